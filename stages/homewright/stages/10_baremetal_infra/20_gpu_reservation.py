"""GPUs that virtual machines get are kept from the server's own drivers, from its next start on."""

from homewright.discovery import parse
from homewright.discovery.probe import probe
from homewright.engine.runners.host import CommandFailed, Host
from homewright.planning.boot import OURS
from homewright.stages import gpu_reservation, restart


def run(host: Host) -> None:
    facts = parse(probe(host.connection))
    texts = {path: host.read(path) for path in OURS}
    now = {path: text.decode("utf-8", "replace") for path, text in texts.items() if text is not None}
    wanted = gpu_reservation.reservation(host.site, facts, now)
    for command in wanted.commands:
        if host.run(f"command -v {command.split()[0]}", check=False).exit_code != 0:
            why = f"it has no {command.split()[0]}: another way of starting than Debian's and Ubuntu's"
            raise gpu_reservation.CannotReserve(f"A GPU of {host.name} cannot be reserved: {why}.", "")
    with host.task("Files of the start") as task:
        for path, text in wanted.files.items():
            host.run(["mkdir", "-p", path.rpartition("/")[0]])
            task.changed |= host.write(path, text.encode(), mode=wanted.mode(path))
        for path in wanted.obsolete:
            task.changed |= host.remove(path)
        changed = task.changed
    with host.task("Boot loader and initial file system") as task:
        if changed or (host.read(gpu_reservation.BUILT) or b"").decode() != wanted.digest:
            host.remove(gpu_reservation.BUILT)
            for command in wanted.commands:
                try:
                    host.show(command, timeout=900)
                except CommandFailed as error:
                    why = f"{command} failed, so the next start would not know of it: {error.why}"
                    raise gpu_reservation.CannotReserve(
                        f"A GPU of {host.name} is not reserved yet.", why, [f"try it there: sudo {command}"]
                    ) from error
            restart.ask_for(host, "GPUs are reserved for virtual machines")
            host.write(gpu_reservation.BUILT, wanted.digest.encode())
            task.changed = True
