"""What can become of each GPU, and why not where it cannot; who uses it now, what was chosen, what would suit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from homewright.discovery.facts import Gpu, HostFacts
from homewright.planning.boot import BootPreview, preview
from homewright.planning.documents import Document, Misfit
from homewright.planning.gpu_groups import Reach, described, reaches
from homewright.planning.instances import InstancePlan, place
from homewright.planning.virtualization import guest
from homewright.site.answers import GpuChoice
from homewright.site.models import Site

__all__ = ["BootPreview", "Choice", "GpuDocument", "GpuOption", "options", "preview", "problems"]

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


class GpuOption(Document):
    """One GPU and what can become of it."""

    host: str
    address: str
    name: str
    group: int | None
    """Its IOMMU group; None where the IOMMU is off or cannot be seen."""
    groups: tuple[int, ...]
    """All groups that a virtual machine would get with it."""
    group_members: tuple[str, ...]
    """Full addresses of all functions in those groups but bridges."""
    together: tuple[str, ...]
    """Other GPUs that can only be passed through together with it."""
    used_by: str
    """Who uses it now, in words; empty where nobody does."""
    choices: tuple[Choice, ...]
    chosen: Use | None
    """What somebody chose for it; None where nobody did: then it stays as it is."""
    instance: str | None
    """The instance that gets it, where it is passed through."""
    proposed: Use
    """What would suit."""
    why: str
    """Why that was chosen or is proposed, in one sentence."""

    def choice(self, use: Use) -> Choice:
        """The choice of this use."""
        return next(choice for choice in self.choices if choice.use == use)


class GpuDocument(Document):
    """The GPUs of a site, as `homewright plan gpus --json` prints them."""

    version: Literal[1] = 1
    gpus: tuple[GpuOption, ...]
    previews: tuple[BootPreview, ...]
    """Of the servers whose start changes."""
    problems: tuple[Misfit, ...]


@dataclass(frozen=True)
class _Host:
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
        return [gpu for gpu in self.facts.gpus if not _management(gpu) and not gpu.error]


def options(site: Site, facts: Mapping[str, HostFacts], *, placed: InstancePlan | None = None) -> tuple[GpuOption, ...]:
    """Every GPU of every server. Without `placed` the instances are computed."""
    plan = placed or place(site, facts)
    return tuple(option for host in _hosts(site, facts, plan) for option in _options(host))


def document(site: Site, facts: Mapping[str, HostFacts], *, placed: InstancePlan | None = None) -> GpuDocument:
    """Options, previews and problems of a site."""
    plan = placed or place(site, facts)
    found = options(site, facts, placed=plan)
    hosts = dict.fromkeys(choice.host for choice in site.gpus if choice.use == "passthrough")
    known = {server.name for server in site.servers}
    return GpuDocument(
        gpus=found,
        previews=tuple(preview(site, facts, host) for host in hosts if host in known),
        problems=problems(site, facts, placed=plan, found=found),
    )


def problems(
    site: Site,
    facts: Mapping[str, HostFacts],
    *,
    placed: InstancePlan | None = None,
    found: Sequence[GpuOption] | None = None,
) -> tuple[Misfit, ...]:
    """Choices about GPUs that cannot be carried out."""
    plan = placed or place(site, facts)
    known = {(option.host, option.address): option for option in found or options(site, facts, placed=plan)}
    result: list[Misfit] = []
    for choice in site.gpus:
        option = known.get((choice.host, choice.address))
        if choice.host in facts:
            result += _choice_misfits(choice, option, facts[choice.host], plan, site)
    for server in site.servers:
        result += _host_misfits(server.name, [c for c in site.gpus if c.host == server.name], known, facts)
    return tuple(result)


def _hosts(site: Site, facts: Mapping[str, HostFacts], placed: InstancePlan) -> Iterator[_Host]:
    for server in site.servers:
        if server.name in facts and facts[server.name].gpus:
            found = facts[server.name]
            chosen = {choice.address: choice for choice in site.gpus if choice.host == server.name}
            instances = tuple(node.name for node in placed.on(server.name))
            yield _Host(site, found, placed, reaches(found), chosen, instances)


def _options(host: _Host) -> Iterator[GpuOption]:
    choices = {gpu.address: _choices(host, gpu) for gpu in host.facts.gpus}
    suits = _proposals(host, choices)
    for gpu in host.facts.gpus:
        goes = host.reaches.get(gpu.address)
        chosen = host.chosen.get(gpu.address)
        use, why = suits[gpu.address]
        instance = None
        if chosen is not None:
            why = f"You chose it: {WORDS[chosen.use]}."
            instance = chosen.instance if chosen.use == "passthrough" else None
            if chosen.use == "passthrough" and instance is None and len(host.instances) == 1:
                instance = host.instances[0]
        yield GpuOption(
            host=host.facts.host,
            address=gpu.address,
            name=gpu.name or f"{gpu.vendor} {gpu.device_id}".strip(),
            group=gpu.iommu_group,
            groups=goes.groups if goes else (),
            group_members=goes.members if goes else (),
            together=tuple(one for one in goes.gpus if one != gpu.address) if goes else (),
            used_by=_used_by(gpu),
            choices=choices[gpu.address],
            chosen=chosen.use if chosen else None,
            instance=instance,
            proposed=use,
            why=why,
        )


def _choices(host: _Host, gpu: Gpu) -> tuple[Choice, ...]:
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


def _containers(host: _Host, gpu: Gpu) -> tuple[bool, str]:
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


def _passthrough(host: _Host, gpu: Gpu) -> tuple[bool | None, str]:
    """Whether a virtual machine can get it. What no setting can change comes first."""
    facts, name = host.facts, host.facts.host
    kind = guest(facts)
    goes = host.reaches.get(gpu.address)
    refusals = (
        (bool(kind), f"{name} is itself a guest ({kind}): whoever runs it decides about its devices."),
        (bool(gpu.error), _lost(gpu)),
        (_management(gpu), f"It is the screen of {name}'s management controller."),
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
        notes.append(f"Its functions lie in the groups {_listed(map(str, goes.groups))}: the instance gets all.")
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
    groups = f"group {goes.groups[0]} also holds" if one else f"groups {_listed(map(str, goes.groups))} also hold"
    return (
        f"Its IOMMU {groups} {', '.join(told)}{more}, which the server would lose: "
        "another slot of the board may have a group of its own."
    )


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _no_groups(facts: HostFacts) -> str:
    firmware = "AMD-Vi (IOMMU)" if facts.kernel.virtualization_flag == "svm" else "VT-d (IOMMU)"
    return (
        "What shares its group cannot be known before the IOMMU is on "
        f"({facts.why_unknown('iommu', 'pci')}): turn {firmware} on in the firmware; the kernel is told by the "
        "reservation, which looks again before it gives anything away."
    )


def _desktop_loses(host: _Host, gpu: Gpu) -> str:
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


def _proposals(host: _Host, choices: Mapping[str, Sequence[Choice]]) -> dict[str, tuple[Use, str]]:
    """What would suit each GPU: the desktop keeps one, the others go one way on each server."""
    possible = {address: {c.use for c in given if c.possible} for address, given in choices.items()}
    keeper = _keeper(host)
    cards = [g for g in host.facts.gpus if g.vendor == "nvidia" and (keeper is None or g.address != keeper)]
    uses = {choice.use for choice in host.chosen.values()}
    away = "passthrough" not in uses and ("containers" in uses or not _all_go(host, cards, possible))
    mode: Use = "containers" if away else "passthrough"
    found: dict[str, tuple[Use, str]] = {}
    for gpu in host.facts.gpus:
        if gpu.address == keeper:
            found[gpu.address] = ("desktop", f"The desktop of {host.facts.host} needs one, and this one shows it.")
        elif gpu in cards and mode in possible[gpu.address]:
            to = "an instance of the cluster gets it" if mode == "passthrough" else "the server's containers share it"
            found[gpu.address] = (mode, f"It suits: {to}.")
        else:
            why = next(c.why for c in choices[gpu.address] if c.use == (mode if gpu in cards else "containers"))
            found[gpu.address] = ("desktop", why or "Nothing else suits.")
    return found


def _all_go(host: _Host, cards: Sequence[Gpu], possible: Mapping[str, set[Use]]) -> bool:
    """Whether all of a server's cards, and whatever goes with them, can be passed through."""
    names = {gpu.address for gpu in cards}
    return bool(cards) and all(
        "passthrough" in possible[gpu.address] and set(host.reaches[gpu.address].gpus) <= names for gpu in cards
    )


def _keeper(host: _Host) -> str | None:
    """The GPU that a desktop keeps; None where there is no desktop."""
    if not host.facts.system.desktop or not host.displays:
        return None

    def fit(gpu: Gpu) -> tuple[bool, bool, bool]:
        return gpu.displays is True, gpu.boot_display is True, gpu.vendor != "nvidia"

    return max(host.displays, key=fit).address


def _others(host: _Host, gpu: Gpu, use: Use) -> str:
    """The other GPUs of the server that were chosen for this use, in words."""
    return " and ".join(c.address for c in host.chosen.values() if c.use == use and c.address != gpu.address)


def _management(gpu: Gpu) -> bool:
    return gpu.vendor == "other" and (
        gpu.device_id.startswith(MANAGEMENT) or "ASPEED" in gpu.name or "G200" in gpu.name
    )


def _lost(gpu: Gpu) -> str:
    if not gpu.error:
        return ""
    said = " ".join(gpu.error.split()).rstrip(".")
    return f"The driver cannot reach it ({said}): restart the server, then look at its seat and power."


def _used_by(gpu: Gpu) -> str:
    parts = [f"driver {gpu.driver}"] if gpu.driver else []
    if gpu.processes:
        parts.append(f"{gpu.processes} process{'' if gpu.processes == 1 else 'es'}")
    if gpu.displays:
        parts.append("a monitor")
    elif gpu.boot_display:
        parts.append("the firmware's screen")
    if gpu.mig:
        parts.append("MIG")
    return ", ".join(parts)


def _choice_misfits(
    choice: GpuChoice, option: GpuOption | None, facts: HostFacts, placed: InstancePlan, site: Site
) -> Iterator[Misfit]:
    here = f"{choice.address} of {choice.host}"
    look = "see what is possible: homewright plan gpus"
    if option is None:
        known = ", ".join(gpu.address for gpu in facts.gpus)
        has = (
            f"it has {known}" if known else facts.why_unknown("pci", "nvidia-smi") if not facts.pci else "it has no GPU"
        )
        yield Misfit(field="gpus", reason=f"{choice.host} has no GPU {choice.address}: {has}", do=(look,))
        return
    picked = option.choice(choice.use)
    if picked.possible is False:
        reason = f"{here} cannot be {WORDS[choice.use]}: {picked.why[0].lower()}{picked.why[1:].rstrip('.')}"
        yield Misfit(field="gpus", reason=reason, do=("choose another use for it", look))
        return
    if choice.use != "passthrough":
        return
    if option.instance is None:
        names = ", ".join(node.name for node in placed.on(choice.host))
        yield Misfit(field="gpus", reason=f"{here} is passed through to no instance", do=(f"name one: {names}",))
        return
    node = next((node for node in placed.nodes if node.name == option.instance), None)
    if node is None:
        reason = f"{here} goes to {option.instance}, and there is no such instance"
        names = ", ".join(node.name for node in placed.on(choice.host))
        yield Misfit(field="gpus", reason=reason, do=(f"name one of: {names}",))
    elif node.host != choice.host:
        reason = f"{here} goes to {node.name}, which is on {node.host}"
        yield Misfit(
            field="gpus", reason=reason, do=(f"place {node.name} on {choice.host}", "or name an instance there")
        )


def _host_misfits(
    host: str,
    choices: Sequence[GpuChoice],
    known: Mapping[tuple[str, str], GpuOption],
    facts: Mapping[str, HostFacts],
) -> Iterator[Misfit]:
    uses = {choice.use for choice in choices}
    if {"containers", "passthrough"} <= uses:
        do = ("choose the same for all of them, or keep some for the server itself",)
        yield Misfit(field="gpus", reason=f"{host} would do both with its GPUs: {NOT_BOTH}", do=do)
    given = {choice.address: choice for choice in choices if choice.use == "passthrough"}
    for address in given:
        option = known.get((host, address))
        for other in option.together if option else ():
            if other not in given:
                reason = f"{address} of {host} shares its IOMMU group with {other}, which is not passed through with it"
                yield Misfit(field="gpus", reason=reason, do=(f"pass {other} through to the same instance",))
            elif address < other and known[host, other].instance != (option.instance if option else None):
                reason = f"{address} and {other} of {host} share an IOMMU group and go to different instances"
                yield Misfit(field="gpus", reason=reason, do=("give both to one instance",))
