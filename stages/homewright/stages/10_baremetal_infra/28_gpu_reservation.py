"""The files say which GPUs are kept, the start was built from them, and once it has restarted vfio-pci has them."""

from homewright.discovery import parse
from homewright.discovery.probe import probe
from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.planning.boot import OURS
from homewright.stages import gpu_reservation, restart


def verify(host: Host) -> Proof:
    facts = parse(probe(host.connection))
    texts = {path: host.read(path) for path in OURS}
    now = {path: text.decode("utf-8", "replace") for path, text in texts.items() if text is not None}
    try:
        wanted = gpu_reservation.reservation(host.site, facts, now)
    except gpu_reservation.CannotReserve as error:
        return broken(error.what)
    for path, text in wanted.files.items():
        if now.get(path) != text:
            return broken(f"{path} on {host.name} is {'not what it should be' if path in now else 'missing'}.")
        if host.stat(path) != f"{wanted.mode(path):o} root:root":
            return broken(f"{path} on {host.name} is {host.stat(path)}, not {wanted.mode(path):o} root:root.")
    if wanted.obsolete:
        return broken(f"{wanted.obsolete[0]} on {host.name} is no longer needed, and still there.")
    if (host.read(gpu_reservation.BUILT) or b"").decode() != wanted.digest:
        return broken(f"The start of {host.name} was not built from these files.")
    if restart.waiting(host):
        return proved(f"{len(wanted.functions)} functions are reserved from the next start on.")
    wrong = gpu_reservation.not_bound(facts, wanted.functions)
    if wrong:
        return broken(f"On {host.name} {wrong}, although it has restarted.")
    return proved(f"vfio-pci has {', '.join(wanted.functions)}.")


def capture(host: Host) -> dict[str, object]:
    return {"files": [path for path in OURS if host.exists(path)]}
