"""The cluster that kubeadm makes: its nodes with their roles, labels and taints, its endpoint and its ranges. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from homewright.discovery.facts import HostFacts
from homewright.errors import HomewrightError
from homewright.planning.answers import has_instances
from homewright.planning.groups import members
from homewright.planning.instances import place
from homewright.planning.networks import propose
from homewright.site.cluster import Taint
from homewright.site.models import Site

API_PORT = 6443
SHARED_PORT = 8443
"""Where the API is at an address that several control planes share: beside each one's own, which takes 6443."""
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
WORKER = "node-role.kubernetes.io/worker"
GPU = "nvidia.com/gpu.present"
"""What NVIDIA's GPU operator labels nodes with too, so that what asks for a GPU node finds it before and after."""
SITE = "homewright.dev/site"
"""The label that says whose a node is."""
WEB_PORTS = (80, 443)
"""Where the way into the cluster is on every node."""
LEAST_CPU = 2
"""kubeadm's own demand for a control plane; a worker is planned with as many (instances: product's minimum)."""
LEAST_MEMORY_MIB = 1700
"""kubeadm's own demand for a control plane."""


class ClusterPlanError(HomewrightError):
    """The cluster cannot be planned from the answers."""

    code = "cluster-plan"
    exit_code = 2


@dataclass(frozen=True)
class Node:
    """One node of the cluster."""

    name: str
    address: str
    server: str
    """The server that it is, or runs on."""
    control_plane: bool
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    entrance: str = ""
    """Of an instance the address of its server, whose ports lead to it; empty for a server."""


@dataclass(frozen=True)
class Lead:
    """A port of a server that leads to the instance on it which is a node."""

    port: int
    node: str
    """The instance's name."""
    to: str
    """ADDRESS:PORT of the instance."""


@dataclass(frozen=True)
class ClusterPlan:
    """The whole cluster."""

    name: str
    version: str
    """As Kubernetes writes it: v1.36.3."""
    nodes: tuple[Node, ...]
    """The control plane first."""
    pods: IPv4Network
    services: IPv4Network
    zone: str | None
    address: IPv4Address | None = None
    """What the control planes share; None where there is one, found at its own address."""
    contained: bool = False
    """Whether its nodes are containers: instances of LXD that are no virtual machines."""

    @property
    def first(self) -> Node:
        """The control plane that is made first."""
        return self.nodes[0]

    @property
    def planes(self) -> tuple[Node, ...]:
        """All control planes, the first one first."""
        return tuple(node for node in self.nodes if node.control_plane)

    @property
    def network(self) -> str:
        """The network that its nodes are in, in words for whoever chooses an address there."""
        return _network(self.first)

    @property
    def endpoint(self) -> str:
        """Where the API is: ADDRESS:PORT."""
        return f"{self.first.address}:{API_PORT}" if self.address is None else f"{self.address}:{SHARED_PORT}"

    @property
    def outside(self) -> str:
        """Where the API is to whoever is no node: ADDRESS:PORT. The LAN has no way to an instance but its server's."""
        return f"{self.first.entrance}:{API_PORT}" if self.first.entrance else self.endpoint

    def leads(self, server: str) -> tuple[Lead, ...]:
        """The ports of a server that lead to the instance on it; of several on one server, to the first of the plan.

        Those of the way in lead there where there is a zone, for without one nothing answers. The API's leads to a
        control plane: to what shares its work, where there is such a thing.
        """
        here = [node for node in self.nodes if node.server == server and node.entrance]
        ports = [(port, port, here[0]) for port in WEB_PORTS if here and self.zone is not None]
        api = SHARED_PORT if self.address is not None else API_PORT
        ports += [(API_PORT, api, node) for node in here if node.control_plane][:1]
        return tuple(
            Lead(port, node.name, f"{node.address}:{to}") for port, to, node in sorted(ports, key=lambda one: one[0])
        )

    def node(self, name: str) -> Node:
        """The node of this name; KeyError where there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)


def planned(site: Site, facts: Mapping[str, HostFacts]) -> ClusterPlan:
    """The cluster of a site whose kind is kubeadm.

    One node is its control plane: the first that is planned to be one; all of those where they share an address.
    Raises ClusterPlanError where there is no node or no room for its ranges, where labels are wanted for what is no
    node, and where somebody has the shared address.
    """
    ranges = propose(site, facts)
    pods, services = ranges.network("pods"), ranges.network("services")
    if pods is None or services is None:
        raise ClusterPlanError(
            "There is no room for the cluster's addresses.", "", ["homewright plan says what is in the way"]
        )
    found = tuple(_nodes(site, facts))
    if not found:
        raise ClusterPlanError("The cluster has no node.", "", ["see what is planned: homewright plan"])
    names = {node.name for node in found}
    for told in site.cluster.nodes:
        if told.name not in names:
            raise ClusterPlanError(
                f"cluster.nodes names {told.name}, which is no node of the cluster.",
                f"Its nodes are {', '.join(sorted(names))}.",
                [f"homewright site unset cluster.nodes.{told.name}"],
            )
    taken = {server.address: server.name for server in site.servers} | {node.address: node.name for node in found}
    address = site.cluster.address
    if address is not None and str(address) in taken:
        raise ClusterPlanError(
            f"cluster.address is {address}, which {taken[str(address)]} has.",
            "The control planes share one that is nobody's own.",
            [f"choose a free one of {_network(found[0])}: homewright site set cluster.address …"],
        )
    first = next((node for node in found if node.control_plane), found[0])
    ordered = (first, *(node for node in found if node is not first))
    contained = has_instances(site) and place(site, facts).kind == "container"
    version = f"v{site.cluster.version}"
    return ClusterPlan(site.name, version, ordered, pods, services, site.zone, address, contained)


def _network(node: Node) -> str:
    return "the instances' range (homewright plan networks)" if node.entrance else "the LAN"


def _nodes(site: Site, facts: Mapping[str, HostFacts]) -> Iterator[Node]:
    where = _places(site, facts)
    with_gpu = gpu_nodes(site, facts)
    told = {node.name: node for node in site.cluster.nodes}
    planes = [name for name, (_, _, plane) in where.items() if plane] or list(where)[:1]
    if site.cluster.address is None:
        planes = planes[:1]
    for name, (address, server, _) in where.items():
        plane = name in planes
        labels = {SITE: site.name, CONTROL_PLANE if plane else WORKER: ""}
        labels |= {GPU: "true"} if name in with_gpu else {}
        labels |= told[name].labels if name in told else {}
        taints = told[name].taints if name in told else ()
        if plane and not site.cluster.workloads_on_control_plane and len(where) > len(planes):
            taints = (Taint(key=CONTROL_PLANE), *taints)
        entrance = site.server(server).address if has_instances(site) else ""
        yield Node(name, address, server, plane, labels, taints, entrance)


def _places(site: Site, facts: Mapping[str, HostFacts]) -> dict[str, tuple[str, str, bool]]:
    """Address, server, and whether it is planned as control plane, of every node by its name."""
    if not has_instances(site):
        planes = members("kubernetes_control_plane", site, facts)
        return {one.name: (one.address, one.name, one.name in planes) for one in site.servers}
    return {
        node.name: (node.address, node.host, node.role == "control-plane")
        for node in place(site, facts).nodes
        if node.address is not None
    }


def gpu_nodes(site: Site, facts: Mapping[str, HostFacts]) -> frozenset[str]:
    """The nodes that have a GPU for pods: one that is kept for a desktop is none."""
    chosen = {(choice.host, choice.address): choice for choice in site.gpus}
    if has_instances(site):
        plan = place(site, facts)
        shared = {choice.host for choice in site.gpus if choice.use == "containers"}
        given = {plan.getting(choice) for choice in site.gpus}
        return frozenset(node.name for node in plan.nodes if node.name in given or node.host in shared)
    return frozenset(
        name
        for name, found in facts.items()
        for gpu in found.gpus
        if gpu.vendor == "nvidia" and not gpu.error
        and ((name, gpu.address) not in chosen or chosen[name, gpu.address].use == "containers")
    )  # fmt: skip
