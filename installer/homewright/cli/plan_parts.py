"""`homewright plan PART`: what planning decided about the network, the GPUs, the instances or the platform, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import addressed

if TYPE_CHECKING:
    from homewright.planning.capacity import Share
    from homewright.planning.gpus import GpuDocument
    from homewright.planning.instances import InstancePlan
    from homewright.planning.networks import Networks
    from homewright.planning.platform import PlatformPlan
    from homewright.site.models import Site
    from homewright.site.paths import StateFolder


def show(part: str, site: Site, state: StateFolder, output: Output) -> int:
    """Print one part. Raises StateError."""
    from homewright.cli.plan import in_words
    from homewright.planning.decisions import decide
    from homewright.planning.known import known_facts
    from homewright.site.secrets import Secrets

    facts = known_facts(site, state)
    unknown = [server.name for server in site.servers if server.name not in facts]
    if unknown:
        output.line(addressed(f"The hardware of {', '.join(unknown)} is not known yet: homewright discover"))
    decided = decide(site, facts, Secrets(state.secrets).names())
    views: dict[str, tuple[Networks | GpuDocument | InstancePlan | PlatformPlan, Iterator[str]]] = {
        "network": (decided.networks, network(decided.networks)),
        "gpus": (decided.gpus, gpus(decided.gpus)),
        "instances": (decided.instances, instances(decided.instances)),
        "platform": (decided.platform, platform(decided.platform)),
    }
    document, lines = views[part]
    for line in lines:
        output.line(addressed(line))
    for problem in document.problems:
        for line in in_words(problem):
            output.line(line)
    output.document(document)
    return 0


def network(ranges: Networks) -> Iterator[str]:
    """The ranges in words."""
    for one in ranges.ranges:
        yield f"{one.name}: {one.cidr or 'none'}{'' if one.chosen or one.name == 'lan' else ' (proposed)'}. {one.why}"
    yield f"gateway: {ranges.gateway or 'not known yet'}"
    yield f"resolvers: {', '.join(ranges.resolvers) or 'not known yet'}"
    for bridge in ranges.bridges:
        yield f"bridge on {bridge.host}: {bridge.nic or 'not known yet'}. {bridge.why}"
    yield f"service addresses: {ranges.service_addresses:,}; every workspace takes one"


def gpus(found: GpuDocument) -> Iterator[str]:
    """Each GPU, what can become of it and why not; what reserving changes."""
    from homewright.planning.gpus import WORDS

    if not found.gpus:
        yield "No server that is known has a GPU."
    for option in found.gpus:
        group = "unknown" if option.group is None else " and ".join(map(str, option.groups))
        yield f"{option.host} {option.address} {option.name}, IOMMU group {group}"
        yield f"  now: {option.used_by or 'used by nobody'}"
        if option.chosen is None:
            yield f"  chosen: nothing, so it stays as it is; it could be {WORDS[option.proposed]}. {option.why}"
        else:
            yield f"  chosen: {WORDS[option.chosen]}{f' {option.instance}' if option.instance else ''}. {option.why}"
        for choice in option.choices:
            word = {True: "possible", False: "not possible", None: "not known yet"}[choice.possible]
            yield f"  {WORDS[choice.use]}: {word}{f'. {choice.why}' if choice.why else ''}"
    for preview in found.previews:
        yield f"Changes in how {preview.host} starts: {preview.why}"
        if preview.kernel_added:
            yield f"  kernel arguments now: {preview.kernel_before or 'not known'}"
            yield f"  kernel arguments added: {' '.join(preview.kernel_added)}"
        for change in preview.files:
            yield f"  {'new file' if change.before is None else 'file'} {change.path}:"
            yield from (f"    {line}" for line in (change.after or "").splitlines())
        for command in preview.commands:
            yield f"  then: {command}"
        if preview.reboot:
            yield f"  then {preview.host} restarts"


def instances(placed: InstancePlan) -> Iterator[str]:
    """The instances, and each server as a sum."""
    kind = "virtual machines" if placed.kind == "virtual-machine" else "containers"
    if placed.nodes:
        yield f"{len(placed.nodes)} {kind}{' (proposed)' if placed.proposed else ''}. {placed.why_kind}"
    yield placed.nodes_why
    for node in placed.nodes:
        size = f"{node.cpu} CPU, {node.memory} GiB, {node.disk} GiB disk"
        yield f"  {node.name} on {node.host}: {node.role}, {size}{f', {node.address}' if node.address else ''}"
    yield placed.control_plane_why
    for host in placed.hosts:
        where = f" (disk: what is free in {host.storage})" if host.storage else ""
        yield f"{host.host}: has {_share(host.total)}, keeps {_share(host.reserve)}, free {_share(host.free)}{where}"
        if host.why_unknown:
            yield f"  unknown: {host.why_unknown}"


def platform(planned: PlatformPlan) -> Iterator[str]:
    """The cluster, what its services cost, what is left out."""
    yield f"cluster: {planned.cluster}{'' if planned.chosen else ' (proposed)'}. {planned.why}"
    for cost in planned.costs:
        what = f"{cost.cpu:g} CPU, {cost.memory:g} GiB, {cost.disk:g} GiB disk ({cost.source})"
        wanted = "" if cost.kind == "core" else "wanted " if cost.wanted else "not wanted "
        yield f"  {cost.kind} {wanted}{cost.title}: {what}{f'; {cost.note}' if cost.note else ''}"
    asked = "asked for" if planned.chosen else "would be asked for"
    yield f"{asked}: {_share(planned.asked)}; the nodes have {_share(planned.has)}. {planned.why_fits}"
    for skip in planned.skipped:
        yield f"left out: {skip.what}, since {skip.why}: {skip.do}"


def _share(share: Share) -> str:
    parts = ((share.cpu, "CPU"), (share.memory, "GiB"), (share.disk, "GiB disk"))
    return ", ".join(f"{'?' if value is None else f'{value:g}'} {unit}" for value, unit in parts)
