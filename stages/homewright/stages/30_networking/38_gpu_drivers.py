"""nvidia-smi lists every GPU that the instance has."""

from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.stages import gpu_drivers_effect as drivers


def verify(host: Host) -> Proof:
    seen = drivers.look(host)
    if not seen.functions and not seen.container:
        return broken(f"{host.name} has no NVIDIA GPU on its PCI bus.")
    if not seen.listed:
        return broken(f"nvidia-smi on {host.name} lists no GPU: {seen.said or 'it is not installed'}.")
    if not seen.container and len(seen.listed) != len(seen.functions):
        return broken(f"{host.name} has {len(seen.functions)} GPUs, and nvidia-smi lists {len(seen.listed)}.")
    return proved(f"nvidia-smi on {host.name} lists {', '.join(seen.listed)}.")


def capture(host: Host) -> dict[str, object]:
    return drivers.capture(host)
