"""What a GPU can be used for on its server, and why not where it cannot. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from homewright.discovery.facts import Gpu, HostFacts
from homewright.planning.documents import Document
from homewright.planning.gpu_groups import Reach, described
from homewright.planning.instances import InstancePlan
from homewright.planning.virtualization import guest
from homewright.planning.wording import listed
from homewright.site.answers import GpuChoice
from homewright.site.models import Site

Use = Literal["containers", "passthrough", "desktop"]

WORDS: dict[Use, str] = {
    "containers": "shared by the server's containers",
    "passthrough": "passed through to an instance",
    "desktop": "kept for the server itself",
}
MANAGEMENT = ("1a03", "102b")
"""ASPEED and Matrox: the graphics of a server's management controller."""
NOT_BOTH = "a server runs GPU containers or passes its GPUs through, not both"


class Choice(Document):
    """One use of a GPU."""

    use: Use
    possible: bool | None
    """None where it cannot be known yet (IOMMU groups are unknown before the IOMMU is on)."""
    why: str
    """Why it is not possible, or what comes with it; may be empty where it simply is possible."""
    instances: tuple[str, ...] = ()
    """The instances on its server that could get it."""


@dataclass(frozen=True)
class Host:
    """A server and what decides about all its GPUs."""

    site: Site
    facts: HostFacts
    placed: InstancePlan
    reaches: Mapping[str, Reach]
    chosen: Mapping[str, GpuChoice]
    instances: tuple[str, ...]

    @property
    def displays(self) -> list[Gpu]:
        """The GPUs that a desktop could be on: not a management controller's, none that is lost."""
        return [gpu for gpu in self.facts.gpus if not management(gpu) and not gpu.error]


def choices(host: Host, gpu: Gpu) -> tuple[Choice, ...]:
    """The three uses of a GPU, each with what speaks against it or comes with it."""
    containers, why_containers = _containers(host, gpu)
    passthrough, why_passthrough = _passthrough(host, gpu)
    return (
        Choice(use="containers", possible=containers, why=why_containers),
        Choice(
            use="passthrough",
            possible=passthrough,
            why=why_passthrough,
            instances=host.instances if passthrough is not False else (),
        ),
        Choice(use="desktop", possible=not gpu.error, why=_lost(gpu)),
    )


def _containers(host: Host, gpu: Gpu) -> tuple[bool, str]:
    if gpu.vendor != "nvidia":
        return False, "The platform's containers use NVIDIA GPUs only."
    if gpu.error:
        return False, _lost(gpu)
    other = _others(host, gpu, "passthrough")
    own = host.chosen.get(gpu.address)
    if other and (own is None or own.use == "desktop"):
        return False, f"{other} of {host.facts.host} is passed through, and {NOT_BOTH}."
    if other:
        return True, f"Then {other} must be too: {NOT_BOTH}."
    if gpu.driver == "vfio-pci":
        return True, "It is reserved for virtual machines now, and comes back at the next start."
    return True, ""


def _passthrough(host: Host, gpu: Gpu) -> tuple[bool | None, str]:
    """Whether a virtual machine can get it. What no setting can change comes first."""
    facts, name = host.facts, host.facts.host
    kind = guest(facts)
    goes = host.reaches.get(gpu.address)
    refusals = (
        (bool(kind), f"{name} is itself a guest ({kind}): whoever runs it decides about its devices."),
        (bool(gpu.error), _lost(gpu)),
        (management(gpu), f"It is the screen of {name}'s management controller."),
        (
            gpu.mig is True,
            f"It is split by MIG: turn that off first (on {name}: sudo nvidia-smi -i {gpu.address} -mig 0).",
        ),
        (goes is not None and bool(goes.foreign), _shared(goes)),
        (goes is None and facts.kernel.virtualization_flag == "", "The processor has no virtualization, so no IOMMU."),
        (
            goes is None and facts.kernel.iommu is False,
            f"The kernel of {name} shows no IOMMU although it was asked: the processor or the board has none, or it is "
            "off in the firmware (VT-d, AMD-Vi).",
        ),
        (
            host.site.platform.nodes == "servers",
            "The servers themselves are the cluster's nodes: there is no instance that could get it.",
        ),
        (host.site.platform.cluster == "existing", "The cluster exists already: there is no instance of ours."),
        (
            host.placed.kind == "container",
            "The instances are containers, which share the server's own driver; only virtual machines get a GPU.",
        ),
        (not host.instances, f"No instance is placed on {name}."),
    )
    for refused, why in refusals:
        if refused:
            return False, why
    if only := _desktop_loses(host, gpu):
        return False, only
    other, own = _others(host, gpu, "containers"), host.chosen.get(gpu.address)
    if other and (own is None or own.use == "desktop"):
        return False, f"{other} of {name} is used by containers, and {NOT_BOTH}."
    if goes is None:
        return None, _no_groups(facts)
    notes = [f"Then {other} must be too: {NOT_BOTH}."] if other else []
    with_it = [address for address in goes.gpus if address != gpu.address]
    if with_it:
        notes.append(f"{' and '.join(with_it)} shares its group and goes to the same instance.")
    elif len(goes.groups) > 1:
        notes.append(f"Its functions lie in the groups {listed(map(str, goes.groups))}: the instance gets all.")
    if gpu.displays:
        notes.append("The monitor on it goes dark.")
    if facts.system.desktop is None and len(host.displays) == 1:
        notes.append(f"Should {name} run a desktop, it loses its only GPU; whether it does is not known.")
    return True, " ".join(notes)


def _shared(goes: Reach | None) -> str:
    if goes is None or not goes.foreign:
        return ""
    told = [described(function) for function in goes.foreign[:3]]
    more = f" and {len(goes.foreign) - 3} more" if len(goes.foreign) > 3 else ""
    one = len(goes.groups) == 1
    groups = f"group {goes.groups[0]} also holds" if one else f"groups {listed(map(str, goes.groups))} also hold"
    return (
        f"Its IOMMU {groups} {', '.join(told)}{more}, which the server would lose: "
        "another slot of the board may have a group of its own."
    )


def _no_groups(facts: HostFacts) -> str:
    firmware = "AMD-Vi (IOMMU)" if facts.kernel.virtualization_flag == "svm" else "VT-d (IOMMU)"
    return (
        "What shares its group cannot be known before the IOMMU is on "
        f"({facts.why_unknown('iommu', 'pci')}): turn {firmware} on in the firmware; the kernel is told by the "
        "reservation, which looks again before it gives anything away."
    )


def _desktop_loses(host: Host, gpu: Gpu) -> str:
    """Why the desktop needs this GPU; empty where it does not."""
    system = host.facts.system
    desktop = system.desktop if system.desktop is not None else (gpu.displays is True or system.chassis == "laptop")
    away = {c.address for c in host.chosen.values() if c.use == "passthrough"} | {gpu.address}
    goes = host.reaches.get(gpu.address)
    away |= set(goes.gpus) if goes else set()
    if not desktop or [one for one in host.displays if one.address not in away]:
        return ""
    others = len(host.displays) > 1
    only = "the other GPUs are passed through" if others else "it is the only GPU"
    return f"The desktop of {host.facts.host} is on it, and {only}: a desktop needs a second one to give one away."


def _others(host: Host, gpu: Gpu, use: Use) -> str:
    """The other GPUs of the server that were chosen for this use, in words."""
    return " and ".join(c.address for c in host.chosen.values() if c.use == use and c.address != gpu.address)


def management(gpu: Gpu) -> bool:
    """Whether it is the screen of a server's management controller."""
    return gpu.vendor == "other" and (
        gpu.device_id.startswith(MANAGEMENT) or "ASPEED" in gpu.name or "G200" in gpu.name
    )


def _lost(gpu: Gpu) -> str:
    if not gpu.error:
        return ""
    said = " ".join(gpu.error.split()).rstrip(".")
    return f"The driver cannot reach it ({said}): restart the server, then look at its seat and power."
