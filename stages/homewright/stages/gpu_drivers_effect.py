"""NVIDIA's driver on an instance: looked at, installed, taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.site import mirrors
from homewright.stages import gpu_drivers, packages

_LOOK = r"""
printf '%s\n' "$1"
for d in /sys/bus/pci/devices/*; do
    [ -e "$d/class" ] || continue
    read -r class <"$d/class"; read -r vendor <"$d/vendor"; read -r device <"$d/device"
    printf '%s %s: %s:%s\n' "${d##*/}" "${class#0x}" "${vendor#0x}" "${device#0x}"
done
printf '%s\n' "$1"
[ ! -e /run/systemd/container ] || echo container
printf '%s\n' "$1"
if command -v nvidia-smi >/dev/null; then timeout 30 nvidia-smi -L 2>&1; fi
printf '%s\n' "$1"
. /etc/os-release; echo "$ID"
"""
_KNOWN = "apt-cache $sources pkgnames nvidia-driver 2>/dev/null; true"
START_S = 60


@dataclass(frozen=True)
class Seen:
    """What an instance has."""

    functions: list[str]
    """Addresses of NVIDIA's display controllers on its PCI bus."""
    container: bool
    listed: list[str]
    """What nvidia-smi lists."""
    said: str
    """The last line that it said."""
    system: str


def look(host: Host) -> Seen:
    """What it has now. Raises as Host.run."""
    mark = "\036"
    parts = host.run(["sh", "-c", _LOOK, "sh", mark], timeout=60).stdout.split(f"{mark}\n")
    pci, container, smi, system = (*parts[1:], "", "", "", "")[:4]
    said = smi.strip().rpartition("\n")[2]
    return Seen(gpu_drivers.functions(pci), bool(container.strip()), gpu_drivers.listed(smi), said, system.strip())


def capture(host: Host) -> dict[str, Any]:
    """What taking the driver away needs to know of the instance before."""
    return {"packages": packages.installed(host)}


def install(host: Host, seen: Seen) -> None:
    """The driver, and it runs. Raises HomewrightError where there is no GPU, or apt knows no driver."""
    if not seen.functions:
        raise HomewrightError(
            f"{host.name} has no NVIDIA GPU on its PCI bus.",
            "Stage 20 gives it one, as the site's answers say.",
            ["look at it: lxc config device show, and the step 20/40", "then: homewright retry"],
        )
    with host.task("NVIDIA driver") as task:
        if seen.listed:
            return  # of whatever version: somebody chose it, and it works
        wanted = gpu_drivers.package(seen.system, _known(host))
        if not wanted:
            raise HomewrightError(
                f"There is no NVIDIA driver for {host.name}.",
                "apt knows no package of it: on Debian it is in the components contrib and non-free.",
                ["add those to its sources", "or name a mirror that has it: homewright site set mirror.apt …"],
            )
        task.changed = packages.install(host, [wanted], drivers=True)
        host.run("modprobe nvidia", timeout=START_S)


def _known(host: Host) -> list[str]:
    """The packages of the driver, as the site's mirror has them, or the server's own sources."""
    apt = f"set -e\n{mirrors.apt_script(host.site.mirror, drivers=True)}"
    if not host.site.mirror.apt:
        found = host.run(f"{apt}{_KNOWN}").stdout.split()
        if found:
            return found
    return host.run(f"{apt}get update >&2\n{_KNOWN}", timeout=180).stdout.split()


def remove(host: Host) -> None:
    """No driver, where it was not there before."""
    with host.task("No NVIDIA driver") as task:
        before = host.capture.get("packages")
        if before is not None:
            new = set(packages.installed(host)) - set(before)
            came = sorted(name for name in new if name.startswith("nvidia-driver"))
            task.changed = packages.remove(host, came, before)
