"""Seen on the node: the image is there, whole, and of these inputs; and a pod of it answers as a workspace has to."""

from homewright.engine.runners.host import Host, Proof, broken
from homewright.stages import packages
from homewright.stages.components import api
from homewright.stages.devenv import answering, nodes, recipe


def verify(host: Host) -> Proof:
    node = nodes.look(host)
    name = recipe.reference()
    if node.held is None:
        return broken(f"{host.name} has no image {name}.")
    if not node.held.inputs:
        return broken(f"{name} on {host.name} is not one that was built here.")
    if node.held.inputs != recipe.inputs(node.architecture):
        return broken(f"{name} on {host.name} is built of other files than those of this version.")
    if not node.held.whole:
        return broken(f"{name} on {host.name} is not whole.")
    if not node.held.pinned:
        return broken(f"kubelet may remove {name} on {host.name}, and nobody could pull it again.")
    digest = node.held.digest
    return api.seen(host, lambda cluster: answering.prove(cluster, host.site, host.name, digest))


def capture(host: Host) -> dict[str, object]:
    return {"packages": packages.installed(host)}
