"""The images that a node starts with, pulled while the control plane is made: a node that joins has them at once."""

from __future__ import annotations

import shlex

from homewright.engine.runners.host import Host
from homewright.planning.cluster import ClusterPlan, Node
from homewright.site import mirrored, mirrors
from homewright.site.models import Site
from homewright.stages.cluster import documents, etcd

PULL_S = 600
"""For all images of a node. What is not there by then is pulled by kubelet, as all of them would be."""
EVERYWHERE = ("pause", "kube-proxy", "flannel-cni-plugin", "flannel")
"""What runs on every node from its first moment, in the order in which it starts."""
SERVING = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""What a control plane runs besides."""


def wanted(site: Site, node: Node) -> tuple[str, ...]:
    """The references of a node's first images, as they are pulled. Pure."""
    names = (*SERVING, *EVERYWHERE) if node.control_plane else EVERYWHERE
    return tuple(mirrors.image(site.mirror, mirrored.reference(name, site.cluster.version)) for name in names)


def pull(host: Host, plan: ClusterPlan) -> bool:
    """Have containerd pull what a node starts with; whether all of it is there.

    What cannot be had is no failure of its own: whoever needs it pulls it again, and tells why it cannot.
    Raises Unreachable, Busy.
    """
    references = wanted(host.site, plan.node(host.name))
    done = host.run(["timeout", str(PULL_S), "sh", "-euc", _PULL, "sh", *references], check=False, timeout=PULL_S + 30)
    if done.exit_code != 0:
        said = (done.stderr.strip() or "it took too long").splitlines()[-1]
        host.say(f"not all images are pulled ahead, and kubelet does it later: {said}")
    return done.exit_code == 0


_PULL = f"""for image; do
    {etcd.CTR} images pull --hosts-dir {shlex.quote(documents.REGISTRIES)} "$image" >/dev/null
done
"""
