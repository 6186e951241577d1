"""The image on every node: from a node that has it, else built on one; the others get the very same one."""

from collections.abc import Sequence

from homewright.cluster import objects
from homewright.engine.runners.host import Host, together
from homewright.errors import HomewrightError
from homewright.site.mirrored import BUILDER_PACKAGES, Architecture
from homewright.stages import packages
from homewright.stages.cluster import forming
from homewright.stages.components import api, proving
from homewright.stages.devenv import nodes, recipe


def run_all(hosts: Sequence[Host]) -> None:
    seen = together(hosts, nodes.look)
    for architecture in sorted({one.architecture for one in seen.values()}):
        those = [host for host in hosts if host.name in seen and seen[host.name].architecture == architecture]
        lacking = [host for host in those if not _has(seen[host.name], architecture)]
        if lacking:
            _bring(those, lacking, seen, architecture)
    with api.connect(hosts[0]) as cluster, hosts[0].task("Where its proofs are made") as task:
        task.changed = objects.apply(cluster, hosts[0].site.name, proving.namespace(hosts[0].site))


def _has(node: nodes.Node, architecture: Architecture) -> bool:
    return node.held is not None and node.held.is_good(architecture)


def _bring(
    those: Sequence[Host], lacking: Sequence[Host], seen: dict[str, nodes.Node], architecture: Architecture
) -> None:
    source = next((host for host in those if host not in lacking), None) or _elsewhere(those, architecture)
    if source is not None:
        with source.task("The image as a file"):
            nodes.export(source)
    else:
        # The control plane comes first: another node has more time for it.
        source = those[-1]
        nodes.require_room(source)
        with source.task("Packages") as task:
            task.changed = packages.install(source, BUILDER_PACKAGES)
        with source.task("The image, built") as task:
            source.say(f"building {recipe.reference()}: {recipe.inputs(architecture)}")
            nodes.build(source, architecture)
            task.changed = True
    try:
        nodes.pass_on(source, [host for host in lacking if host is not source])
        digests = together(lacking, lambda host: _take_in(host, architecture))
    finally:
        source.run(f"rm -rf --one-file-system {recipe.FOLDER}")
    if len(set(digests.values())) > 1:
        raise HomewrightError("The nodes have got different images of devenv.", ", ".join(sorted(digests.values())))


def _take_in(host: Host, architecture: Architecture) -> str:
    with host.task("The image, imported") as task:
        digest = nodes.take_in(host, architecture)
        host.say(f"{recipe.reference()} is {digest}")
        task.changed = True
    return digest


def _elsewhere(those: Sequence[Host], architecture: Architecture) -> Host | None:
    """A node that this run was not asked to act on, and that has it."""
    own = {node.name for node in forming.plan_of(those[0]).nodes} - {host.name for host in those}
    for peer in those[0].peers:
        try:
            if peer.name in own and _has(nodes.look(peer), architecture):
                return peer
        except HomewrightError:
            continue  # one that does not answer is no source
    return None
