"""kubeadm's configuration files, and containerd's: what the site says, as text. Pure.

kubeadm reads JSON as the YAML that it is. A file with a token is 0600 and goes as soon as kubeadm has read it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from homewright.planning.cluster import API_PORT, ClusterPlan, Node
from homewright.site import mirrored, mirrors
from homewright.site.models import MirrorSettings, Site

API = "kubeadm.k8s.io/v1beta4"
DOMAIN = "cluster.local"
RUNTIME = "/run/homewright-containerd"
"""containerd's state; its socket is in it. It is beside any other containerd, such as Docker's."""
SOCKET = f"unix://{RUNTIME}/containerd.sock"
STORE = "/var/lib/homewright-containerd"
REGISTRIES = "/etc/homewright/containerd/certs.d"
CONTAINERD = "/etc/homewright/containerd/config.toml"
PROGRAMS = "/usr/local/lib/homewright/cluster"
"""Programs, each under its own digest; what is called by name are links to them."""
BIN = "/usr/local/bin"
LINKS = ("kubeadm", "kubelet", "kubectl")
UNITS = "/etc/systemd/system"
VOLUMES = "/var/lib/homewright-volumes"
"""Of local-path, where the site has that; a folder that is empty goes with the node."""
MARK = "(Homewright)"
"""What tells our kubelet's unit from others of that name."""
SCRIPT = "/usr/local/sbin/homewright-runtime"
PLUGINS = "/usr/lib/cni"
"""Where Debian's and Ubuntu's containernetworking-plugins are."""
MORE_PLUGINS = "/opt/cni/bin"
"""Where flannel puts its own."""
NETWORKS = "/etc/cni/net.d"
TOKEN_TTL = "15m0s"


def initial(site: Site, plan: ClusterPlan, token: str) -> str:
    """What `kubeadm init` is told on the control plane. `token` is only for its own first phase."""
    networking = {"podSubnet": str(plan.pods), "serviceSubnet": str(plan.services), "dnsDomain": DOMAIN}
    names = [plan.first.name, plan.first.address, "127.0.0.1", "localhost"]
    names += [f"{plan.first.name}.{plan.zone}"] if plan.zone else []
    return _documents(
        {
            "apiVersion": API,
            "kind": "InitConfiguration",
            "bootstrapTokens": [{"token": token, "ttl": TOKEN_TTL, "description": "homewright"}],
            "localAPIEndpoint": {"advertiseAddress": plan.first.address, "bindPort": API_PORT},
            "nodeRegistration": _registration(site, plan.first),
            # It would print a token.
            "skipPhases": ["show-join-command"],
        },
        {
            "apiVersion": API,
            "kind": "ClusterConfiguration",
            "clusterName": plan.name,
            "kubernetesVersion": plan.version,
            "controlPlaneEndpoint": plan.endpoint,
            "networking": networking,
            "apiServer": {"certSANs": names},
            "etcd": {"local": {"extraArgs": _arguments(site.cluster.overrides.etcd)}},
            **images(site.mirror),
        },
        kubelet(site, contained=plan.contained),
        proxy(site, contained=plan.contained),
    )


def joining(site: Site, plan: ClusterPlan, node: Node, token: str, ca_hash: str, key: str = "") -> str:
    """What `kubeadm join` is told; `ca_hash` is the digest of the only CA to believe.

    A further control plane decrypts the cluster's certificates with `key`.
    """
    discovery = {"apiServerEndpoint": plan.endpoint, "token": token, "caCertHashes": [ca_hash]}
    plane = {"localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": API_PORT}, "certificateKey": key}
    return _documents(
        {
            "apiVersion": API,
            "kind": "JoinConfiguration",
            "discovery": {"bootstrapToken": discovery},
            "nodeRegistration": _registration(site, node),
            **({"controlPlane": plane} if node.control_plane else {}),
        }
    )


def sharing(site: Site, plan: ClusterPlan, key: str, version: str = "") -> str:
    """What kubeadm's phase is told that puts the certificates into the cluster, encrypted with `key`, for a join.

    `version` is the cluster's where it is not what is planned.
    """
    return _documents(
        {
            "apiVersion": API,
            "kind": "InitConfiguration",
            "certificateKey": key,
            "localAPIEndpoint": {"advertiseAddress": plan.first.address, "bindPort": API_PORT},
            "nodeRegistration": _registration(site, plan.first),
        },
        {
            "apiVersion": API,
            "kind": "ClusterConfiguration",
            "kubernetesVersion": f"v{version}" if version else plan.version,
            "controlPlaneEndpoint": plan.endpoint,
        },
    )


def pulling(site: Site, plan: ClusterPlan, node: Node) -> str:
    """What kubeadm is told that pulls the images of the planned version onto a control plane."""
    return _documents(
        {
            "apiVersion": API,
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": API_PORT},
            "nodeRegistration": _registration(site, node),
        },
        {
            "apiVersion": API,
            "kind": "ClusterConfiguration",
            "kubernetesVersion": plan.version,
            "controlPlaneEndpoint": plan.endpoint,
            **images(site.mirror),
        },
    )


def upgrading(site: Site, plan: ClusterPlan, *, first: bool) -> str:
    """What `kubeadm upgrade apply` is told on the first control plane, or `kubeadm upgrade node` on another node."""
    shared = {"ignorePreflightErrors": list(site.cluster.overrides.preflight), "imagePullPolicy": "IfNotPresent"}
    told = {"apply": {"kubernetesVersion": plan.version, **shared}} if first else {"node": shared}
    return _documents({"apiVersion": API, "kind": "UpgradeConfiguration", **told})


# Kubernetes, "Running Kubernetes Node Components as a Non-root User": root of a container of LXD is nobody on its
# server, so what is the kernel's own (its log, limits, sizes of tables, who is ended first) is not a node's to set.
_CONTAINED_KUBELET: dict[str, Any] = {"featureGates": {"KubeletInUserNamespace": True}}
_CONTAINED_PROXY: dict[str, Any] = {
    "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
}
_CONTAINED_RUNTIME: dict[str, Any] = {
    "restrict_oom_score_adj": True, "disable_apparmor": True, "disable_hugetlb_controller": True,
}  # fmt: skip


def kubelet(site: Site, *, contained: bool = False) -> dict[str, Any]:
    """The settings of every kubelet; `contained` where the nodes are containers."""
    own: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd",
        "rotateCertificates": True,
        # A node that shuts down ends its pods in order, and databases in them stay whole.
        "shutdownGracePeriod": "60s",
        "shutdownGracePeriodCriticalPods": "20s",
    }
    return merged(merged(own, _CONTAINED_KUBELET if contained else {}), site.cluster.overrides.kubelet)


def proxy(site: Site, *, contained: bool = False) -> dict[str, Any]:
    """The settings of every kube-proxy; `contained` as above."""
    own: dict[str, Any] = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
    }
    return merged(merged(own, _CONTAINED_PROXY if contained else {}), site.cluster.overrides.kube_proxy)


def containerd(site: Site, *, contained: bool = False) -> str:
    """The settings of containerd, as TOML; `contained` as above."""
    driver = kubelet(site)["cgroupDriver"]
    runtime = site.cluster.runtime
    program = SCRIPT if runtime.script is not None else f"/usr/bin/{runtime.package}"
    alone = {"SystemdCgroup": driver == "systemd", "BinaryName": program}
    cri: dict[str, Any] = {
        "cni": {"bin_dirs": [PLUGINS, MORE_PLUGINS], "conf_dir": NETWORKS},
        "containerd": {
            "default_runtime_name": "runc",
            "runtimes": {"runc": {"runtime_type": "io.containerd.runc.v2", "options": alone}},
        },
    }
    return toml(
        {
            "version": 3,
            "root": STORE,
            "state": RUNTIME,
            "grpc": {"address": f"{RUNTIME}/containerd.sock"},
            "plugins": {
                # It makes this folder, and /opt is not ours.
                "io.containerd.internal.v1.opt": {"path": f"{STORE}/opt"},
                "io.containerd.cri.v1.images": {
                    "snapshotter": "overlayfs",
                    "registry": {"config_path": REGISTRIES},
                    "pinned_images": {"sandbox": mirrors.image(site.mirror, mirrored.reference("pause"))},
                },
                "io.containerd.cri.v1.runtime": merged(
                    merged(cri, _CONTAINED_RUNTIME if contained else {}), site.cluster.overrides.containerd
                ),
            },
        }
    )


def registry(mirror: MirrorSettings) -> tuple[str, str] | None:
    """The path and text of what containerd is told about a mirror without TLS; None where there is none."""
    if not mirror.images or not mirror.plain_http:
        return None
    host = mirror.images.partition("/")[0]
    text = f'server = "http://{host}"\n\n[host."http://{host}"]\n  capabilities = ["pull", "resolve"]\n'
    return f"{REGISTRIES}/{host}/hosts.toml", text


def merged(own: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others merged into them, deep; where both say something, the others do."""
    result = dict(own)
    for name, value in others.items():
        there = result.get(name)
        both = isinstance(there, Mapping) and isinstance(value, Mapping)
        result[name] = merged(there, value) if isinstance(there, Mapping) and both else value
    return result


def toml(settings: Mapping[str, Any]) -> str:
    """Settings as TOML. JSON's texts, numbers, truth values and lists are TOML's as well; null is left out."""
    return "".join(_table((), settings)).lstrip("\n")


def _table(path: tuple[str, ...], settings: Mapping[str, Any]) -> list[str]:
    plain = {name: value for name, value in settings.items() if not isinstance(value, Mapping) and value is not None}
    lines = ["\n[" + ".".join(map(json.dumps, path)) + "]\n"] if path and plain else []
    lines += [f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in plain.items()]
    for name, value in settings.items():
        if isinstance(value, Mapping):
            lines += _table((*path, name), value)
    return lines


def _registration(site: Site, node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "criSocket": SOCKET,
        "imagePullPolicy": "IfNotPresent",
        # Ours are set through the API, where they can be changed later; kubeadm's own would be set here.
        "taints": [],
        # With more than one network it would take any address: the overlay's, or a second one of the LAN.
        "kubeletExtraArgs": _arguments({"node-ip": node.address}),
        "ignorePreflightErrors": list(site.cluster.overrides.preflight),
    }


def _arguments(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def images(mirror: MirrorSettings) -> dict[str, Any]:
    """Where kubeadm takes its images from. CoreDNS lies one name deeper than all others."""
    if not mirror.images:
        return {}
    repository = mirrors.image_repository(mirror, "registry.k8s.io")
    return {"imageRepository": repository, "dns": {"imageRepository": f"{repository}/coredns"}}


def _documents(*documents: Mapping[str, Any] | Sequence[Any]) -> str:
    return "".join(f"---\n{json.dumps(document, indent=1)}\n" for document in documents)
