"""The nodes without the image, but for those that a workspace uses; and without what built it."""

from collections.abc import Sequence

from homewright.cluster.client import ClusterError
from homewright.cluster.kubeconfig import KubeconfigError
from homewright.engine.runners.host import Host, together
from homewright.site.mirrored import BUILDER_PACKAGES
from homewright.stages import packages
from homewright.stages.components import api, proving
from homewright.stages.devenv import nodes


def rollback_all(hosts: Sequence[Host]) -> None:
    together(hosts, _remove)
    first = hosts[0]
    if api.is_gone(first) or api.stays(first):
        return
    try:
        with api.connect(first) as cluster, first.task("No namespace of proofs") as task:
            task.changed = proving.leave(cluster, first.site, first.say)
    except (ClusterError, KubeconfigError) as error:
        first.say(f"the proofs' namespace is left to the next step: {error.what}")


def _remove(host: Host) -> None:
    with host.task("No image") as task:
        task.changed = nodes.remove(host)
    with host.task("No packages") as task:
        task.changed = packages.remove(host, BUILDER_PACKAGES, host.capture.get("packages"))
