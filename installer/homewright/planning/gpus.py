"""What becomes of each GPU: who uses it now, what is possible, what was chosen, what would suit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from homewright.discovery.facts import Gpu, HostFacts
from homewright.planning.boot import BootPreview, preview
from homewright.planning.documents import Document, Misfit
from homewright.planning.gpu_choices import NOT_BOTH, WORDS, Choice, Host, Use, choices
from homewright.planning.gpu_groups import reaches
from homewright.planning.instances import InstancePlan, place
from homewright.site.answers import GpuChoice
from homewright.site.models import Site

__all__ = ["WORDS", "BootPreview", "Choice", "GpuDocument", "GpuOption", "Use", "options", "preview", "problems"]


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


def _hosts(site: Site, facts: Mapping[str, HostFacts], placed: InstancePlan) -> Iterator[Host]:
    for server in site.servers:
        if server.name in facts and facts[server.name].gpus:
            found = facts[server.name]
            chosen = {choice.address: choice for choice in site.gpus if choice.host == server.name}
            instances = tuple(node.name for node in placed.on(server.name))
            yield Host(site, found, placed, reaches(found), chosen, instances)


def _options(host: Host) -> Iterator[GpuOption]:
    possible = {gpu.address: choices(host, gpu) for gpu in host.facts.gpus}
    suits = _proposals(host, possible)
    for gpu in host.facts.gpus:
        goes = host.reaches.get(gpu.address)
        chosen = host.chosen.get(gpu.address)
        use, why = suits[gpu.address]
        instance = None
        if chosen is not None:
            why = f"You chose it: {WORDS[chosen.use]}."
            instance = host.placed.getting(chosen)
        yield GpuOption(
            host=host.facts.host,
            address=gpu.address,
            name=gpu.name or f"{gpu.vendor} {gpu.device_id}".strip(),
            group=gpu.iommu_group,
            groups=goes.groups if goes else (),
            group_members=goes.members if goes else (),
            together=tuple(one for one in goes.gpus if one != gpu.address) if goes else (),
            used_by=_used_by(gpu),
            choices=possible[gpu.address],
            chosen=chosen.use if chosen else None,
            instance=instance,
            proposed=use,
            why=why,
        )


def _proposals(host: Host, offered: Mapping[str, Sequence[Choice]]) -> dict[str, tuple[Use, str]]:
    """What would suit each GPU: the desktop keeps one, the others go one way on each server."""
    possible = {address: {c.use for c in given if c.possible} for address, given in offered.items()}
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
            why = next(c.why for c in offered[gpu.address] if c.use == (mode if gpu in cards else "containers"))
            found[gpu.address] = ("desktop", why or "Nothing else suits.")
    return found


def _all_go(host: Host, cards: Sequence[Gpu], possible: Mapping[str, set[Use]]) -> bool:
    """Whether all of a server's cards, and whatever goes with them, can be passed through."""
    names = {gpu.address for gpu in cards}
    return bool(cards) and all(
        "passthrough" in possible[gpu.address] and set(host.reaches[gpu.address].gpus) <= names for gpu in cards
    )


def _keeper(host: Host) -> str | None:
    """The GPU that a desktop keeps; None where there is no desktop."""
    if not host.facts.system.desktop or not host.displays:
        return None

    def fit(gpu: Gpu) -> tuple[bool, bool, bool]:
        return gpu.displays is True, gpu.boot_display is True, gpu.vendor != "nvidia"

    return max(host.displays, key=fit).address


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
