"""A cluster that runs is brought to the planned Kubernetes, node by node; what was cut off goes on.

Nothing is kept of how far an upgrade is: each node is asked what it has (`versions`). The control planes' containers go
first, on all of them, and then every node's kubelet: behind a shared address any of the APIs may answer a kubelet, and
must not be older than it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from homewright.cluster import client
from homewright.cluster.client import Cluster
from homewright.engine.runners.host import Host, together
from homewright.errors import Cancelled, HomewrightError
from homewright.planning.cluster import ClusterPlan
from homewright.site import mirrors
from homewright.site.models import MirrorSettings
from homewright.stages.cluster import documents, draining, etcd, forming, network, nodes, services, versions
from homewright.stages.cluster.look import ARCHITECTURES, Refused
from homewright.stages.cluster.versions import Standing

SETTINGS = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
"""What kubeadm knows of the cluster, and goes by in an upgrade."""
PROXY = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"
PUBLIC = "registry.k8s.io"
BESIDE = "/run/homewright/beside"
"""Where the new kubeadm is called from while the old one is still what is called by name."""
WELL_S = 120.0
"""How long nodes and etcd may take to be well before it begins: a server that was off may just be back."""
READY_S = 300.0
PULL_S = 1800.0
KUBEADM_S = 1800.0
"""kubeadm waits five minutes for each of four containers by itself."""

Programs = Mapping[str, tuple[mirrors.Fetch, str]]
Turn = tuple[Host, Callable[[Host], None]]


def upgrade(hosts: Sequence[Host]) -> None:
    """Bring these nodes to the planned version where they are not there; where all are, nothing is changed.

    Raises Refused before any change. A node that fails has that as its error, and no further one is begun.
    """
    plan, planned = forming.plan_of(hosts[0]), hosts[0].site.cluster.version
    there = versions.standing(hosts, plan)
    versions.refuse(there.values(), planned)
    behind = {name: why for name, one in there.items() if (why := versions.due(one, planned))}
    with forming.connect(hosts[0]) as api:
        # While a control plane is behind kubeadm leaves these as they are.
        planes_behind = [name for name, one in there.items() if {*one.parts.values()} - {planned}]
        stale = "" if planes_behind else objects_behind(api, plan.version)
        if stale:
            behind.setdefault(plan.first.name, stale)
        mine = [host for host in ordered(hosts, plan, there) if host.name in behind]
        if mine:
            for name, why in behind.items():
                hosts[0].say(f"Kubernetes {planned} is not there yet on {name}: {why}")
            first = forming.control_plane(hosts, plan)
            unseen = [node.name for node in plan.planes if node.name not in there]
            _require_reached(mine, [*planes_behind, *unseen])
            _require_well(hosts, api, plan)
            programs = _bring(mine, plan, there)
            _begin(first, api)
            planes = [host for host in mine if there[host.name].parts]
            turns: list[Turn] = [
                (host, lambda one: _plane(one, plan, there[one.name], programs, stale)) for host in planes
            ]
            _each([*turns, *((host, lambda one: _node(one, plan, there[one.name], programs)) for host in mine)])
        for host in hosts:
            if host not in mine and host.error is None:
                _settle(host, api)
                host.say(f"Kubernetes on {host.name} is {planned}: there is nothing to upgrade")


def ordered(hosts: Sequence[Host], plan: ClusterPlan, there: Mapping[str, Standing]) -> list[Host]:
    """These nodes as they take their turns: the first control plane, the others, then all that are none. Pure."""

    def turn(host: Host) -> tuple[bool, bool]:
        return host.name != plan.first.name, not there[host.name].parts

    return sorted((host for host in hosts if host.name in there), key=turn)


def objects_behind(api: Cluster, version: str) -> str:
    """Which of the cluster's objects is of another version, in a sentence; empty where none is. Raises ClusterError.

    kubeadm changes them when the last control plane is upgraded; a saved state that was put back has those of before.
    """
    text = ((api.find(SETTINGS) or {}).get("data") or {}).get("ClusterConfiguration", "")
    found = re.search(r"^kubernetesVersion: *(\S+)$", text, re.MULTILINE)
    if found is not None and found[1] != version:
        return f"The cluster's own settings are of {found[1]}, not of {version}."
    for container in _containers(api.find(PROXY)):
        told = container.get("image", "").rpartition(":")[2]
        if container.get("name") == "kube-proxy" and told != version:
            return f"kube-proxy is {told}, not {version}."
    return ""


def _containers(daemons: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """None where the site has another proxy."""
    found: Sequence[Mapping[str, Any]] = (
        (daemons or {}).get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
    )
    return found


def unlike(api: Cluster, name: str, version: str) -> str:
    """Why the cluster does not know a node as one of this version that takes pods again; empty where it does.

    Raises ClusterError.
    """
    found = api.find(f"/api/v1/nodes/{name}")
    if found is None:
        return f"The cluster does not know {name}."
    told = found["status"]["nodeInfo"]["kubeletVersion"]
    if told != version:
        return f"kubelet on {name} is {told}, not {version}."
    if draining.EMPTIED in (found["metadata"].get("annotations") or {}):
        return f"{name} was emptied, and gets no pods yet."
    return ""


def sources(text: str, mirror: MirrorSettings) -> str | None:
    """kubeadm's settings of the cluster with its images from where the site gets them now; None where they are. Pure.

    Raises HomewrightError for what is no such settings.
    """
    yaml = YAML()
    try:
        settings = yaml.load(text)
        before = (settings.get("imageRepository", PUBLIC), (settings.get("dns") or {}).get("imageRepository"))
    except (YAMLError, AttributeError) as error:
        raise HomewrightError(
            "What kubeadm knows of the cluster cannot be read.",
            f"In the config map kubeadm-config: {str(error).splitlines()[0]}",
            ["see it: kubectl -n kube-system get cm kubeadm-config -o yaml"],
        ) from error
    wanted = documents.images(mirror)
    after = (wanted.get("imageRepository", PUBLIC), (wanted.get("dns") or {}).get("imageRepository"))
    if before == after:
        return None
    settings["imageRepository"], settings["dns"] = after[0], wanted.get("dns", {})
    told = io.StringIO()
    yaml.dump(settings, told)
    return told.getvalue()


def _require_reached(mine: Sequence[Host], planes: Sequence[str]) -> None:
    """Control planes go first: an older one, or one that cannot be looked at, that is none of these holds them up.

    Raises Refused.
    """
    names = {host.name for host in mine}
    if missing := [name for name in planes if name not in names]:
        raise Refused(
            f"{missing[0]} is a control plane that may be of an older version, and this run does not work on it.",
            "No kubelet may be newer than the API that it asks.",
            ["run the whole stage: homewright apply --only 40/core/cluster"],
        )


def _require_well(hosts: Sequence[Host], api: Cluster, plan: ClusterPlan) -> None:
    """Raises Refused where a node or etcd is not well, and does not become so soon."""

    def held() -> str:
        for node in plan.nodes:
            if why := network.unready(api, node.name):
                return why
        planes = [one for one in (*hosts, *hosts[0].peers) if one.name in {node.name for node in plan.planes}]
        return next((why for one in planes if (why := etcd.unwell(one))), "")

    with hosts[0].task("Nodes and etcd are well"):
        if why := client.wait(WELL_S, held):
            raise Refused(
                why,
                "An upgrade begins with a whole cluster, and none is begun on any node now.",
                ["see what is wrong: homewright verify", "mend it, then: homewright retry"],
            )


def _bring(mine: Sequence[Host], plan: ClusterPlan, there: Mapping[str, Standing]) -> dict[str, Programs]:
    """The new programs on every node, called by nobody yet, and the images on control planes. Raises for the first
    that cannot be had: nothing of the cluster was changed then."""
    wanted = dict.fromkeys(versions.PROGRAMS, plan.version.lstrip("v"))

    def asked(host: Host) -> Programs:
        machine = host.run(["uname", "-m"]).stdout.strip()
        if machine not in ARCHITECTURES:
            raise Refused(f"{host.name} is a {machine}.", "Kubernetes is there for x86_64 and aarch64.")
        return nodes.checksums(host, machine, wanted)

    found = together(mine, asked)
    _raise_first(mine)

    def bring(host: Host) -> None:
        with host.task("Programs beside those that run") as task:
            task.changed = nodes.fetch(host, found[host.name])
        if there[host.name].parts:
            with host.task("Images"):
                _pull(host, plan, nodes.program(found[host.name]["kubeadm"][1]))

    together(mine, bring)
    _raise_first(mine)
    return found


def _raise_first(hosts: Sequence[Host]) -> None:
    failed = [host.error for host in hosts if host.error is not None]
    if failed:
        raise failed[0]


def _pull(host: Host, plan: ClusterPlan, kubeadm: str) -> None:
    config = documents.pulling(host.site, plan, plan.node(host.name))
    # By its own name: the practice servers' programs are one file, which goes by that.
    host.run(f"mkdir -p -m 700 {BESIDE} && ln -sfT {kubeadm} {BESIDE}/kubeadm")
    try:
        forming.kubeadm(host, "config images pull", config, PULL_S, program=f"{BESIDE}/kubeadm")
    except HomewrightError as error:
        raise HomewrightError(
            f"The images of Kubernetes {plan.version} cannot be had on {host.name}.",
            f"{error.why} Nothing of the cluster was changed.".lstrip(),
            [
                "let the servers reach registry.k8s.io",
                "a site with a mirror has to have them there: homewright mirror verify",
                "then: homewright retry",
            ],
        ) from error
    finally:
        host.remove(BESIDE)


def _begin(first: Host, api: Cluster) -> None:
    """What comes before the first node: the cluster's settings are the site's, and what is in etcd is saved."""
    with first.task("The cluster's own settings") as task:
        text = ((api.find(SETTINGS) or {}).get("data") or {}).get("ClusterConfiguration", "")
        if (changed := sources(text, first.site.mirror)) is not None:
            api.merge(SETTINGS, {"data": {"ClusterConfiguration": changed}})
            task.changed = True
    with first.task("A saved state"):
        etcd.snapshot(first)


def _each(turns: Sequence[Turn]) -> None:
    """One after the other; after one that fails, or a cancel, none is begun."""
    for number, (host, act) in enumerate(turns):
        together([host], act)
        if host.error is None:
            continue
        for left, _ in turns[number + 1 :]:
            if left.error is None and isinstance(host.error, Cancelled):
                left.error = host.error
            elif left.error is None:
                why = f"{host.name}, whose turn was before, has failed."
                left.error = HomewrightError(f"{left.name} was not upgraded to its end.", why)
        return


def _plane(host: Host, plan: ClusterPlan, has: Standing, programs: Mapping[str, Programs], stale: str) -> None:
    """A control plane's own containers at the planned version.

    `stale` says which of the cluster's objects is behind where no control plane is: the first one brings those.
    """
    planned, is_first = plan.version.lstrip("v"), host.name == plan.first.name
    # kubeadm comes before kubelet: where that one is new, it came to its end.
    if {*has.parts.values(), has.programs.get("kubelet")} == {planned} and not (is_first and stale):
        return
    _kubeadm(host, plan, programs[host.name])
    if is_first:
        forming.keep_kubeconfig(host, plan)  # its certificate is a new one
    if waiting := client.wait(forming.API_S, lambda: forming.ready(host)):
        raise HomewrightError(
            f"The API does not answer since the control plane on {host.name} is {plan.version}.",
            waiting,
            [f"on {host.name}: sudo journalctl -u kubelet -n 50; sudo ls /var/log/pods", "then: homewright retry"],
        )


def _kubeadm(host: Host, plan: ClusterPlan, programs: Programs) -> None:
    is_first = host.name == plan.first.name
    with host.task("kubeadm upgrade") as task:
        nodes.link(host, {"kubeadm": programs["kubeadm"]})
        verb = "upgrade apply --yes" if is_first else "upgrade node"
        forming.kubeadm(host, verb, documents.upgrading(host.site, plan, first=is_first), KUBEADM_S)
        task.changed = True


def _node(host: Host, plan: ClusterPlan, has: Standing, every: Mapping[str, Programs]) -> None:
    """A node's kubelet at the planned version. Once it is being emptied it is gone through with."""
    planned, programs = plan.version.lstrip("v"), every[host.name]
    has_old_kubelet = has.programs.get("kubelet") != planned
    if has_old_kubelet and not has.parts:
        _kubeadm(host, plan, programs)
    if has_old_kubelet or has.is_stale:
        _empty(host)
        with host.task("kubelet", now=True) as task:
            nodes.link(host, programs)
            host.run("systemctl restart kubelet.service", timeout=180)
            task.changed = True
    else:
        with host.task("Programs", now=True) as task:
            task.changed = nodes.link(host, programs)
    with host.task(f"Ready with {plan.version}", now=True), forming.connect(host) as api:
        if waiting := client.wait(READY_S, lambda: _waits(api, host.name, plan.version)):
            raise HomewrightError(
                f"{host.name} does not become ready with Kubernetes {plan.version}.",
                waiting,
                [f"what kubelet says: sudo journalctl -u kubelet -n 50 (on {host.name})", "then: homewright retry"],
            )
        _settle(host, api)
    services.reach(host)


def _waits(api: Cluster, name: str, version: str) -> str:
    found = api.find(f"/api/v1/nodes/{name}")
    told = (found or {}).get("status", {}).get("nodeInfo", {}).get("kubeletVersion", "nothing")
    return f"kubelet on {name} still tells {told}." if told != version else network.unready(api, name)


def _empty(host: Host) -> None:
    """The node's pods go elsewhere, where there is an elsewhere."""
    with host.task("Emptied") as task, forming.connect(host) as api:
        others = [
            one["metadata"]["name"]
            for one in api.list("/api/v1/nodes")
            if one["metadata"]["name"] != host.name and takes_pods(one)
        ]
        if not others:
            host.say(f"no other node takes the pods of {host.name}: they stay, and some may be started anew")
            return
        went = draining.drain(api, host.name)
        host.say(f"{went} pods of {host.name} go elsewhere")
        task.changed = True


def takes_pods(node: Mapping[str, Any]) -> bool:
    """Whether a node is ready and not cordoned. Pure."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return ready and not (node.get("spec") or {}).get("unschedulable")


def _settle(host: Host, api: Cluster) -> None:
    """The node keeps its version, and takes pods where it was we who kept them from it."""
    with host.task("Takes pods", now=True) as task:
        task.changed = host.write(versions.VERSION, f"{host.site.cluster.version}\n".encode())

        def opened() -> str:
            task.changed |= draining.open_again(api, host.name)
            return ""

        # A kubelet that has just started may start an API anew.
        if waiting := client.wait(forming.API_S, opened):
            raise HomewrightError(f"The cluster does not hear that {host.name} takes pods again.", waiting)
