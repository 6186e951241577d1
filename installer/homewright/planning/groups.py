"""Which servers and instances are in a group of the inventory. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from homewright.catalogue.models import Group
from homewright.discovery.facts import HostFacts
from homewright.planning.answers import has_instances as has_instances
from homewright.planning.hosts import instance_names
from homewright.planning.instances import place
from homewright.site.models import Site


def members(group: Group, site: Site, facts: Mapping[str, HostFacts]) -> tuple[str, ...]:
    """Names of the group's servers or instances, in the site's order.

    Two servers cannot form a quorum and neither can four: the control plane is one server below three, else three.
    """
    names = tuple(server.name for server in site.servers)
    match group:
        case "servers":
            return names
        case "lxd_servers":
            return names if has_instances(site) else ()
        case "controller" | "dns_server":
            return names[:1]
        case "kubernetes_control_plane":
            return names[:3] if len(names) >= 3 else names[:1]
        case "kubernetes_workers":
            master = site.master
            return tuple(name for name in names if master is None or name != master.name)
        case "kubernetes_nodes":
            if site.platform.cluster != "kubeadm":
                return ()
            return instance_names(site, facts) if has_instances(site) else names
        case "kubernetes_carriers":
            return names if site.platform.cluster == "kubeadm" and has_instances(site) else ()
        case "kubernetes_api":
            # What is done through the API alone needs one server, whatever the nodes are.
            return names[:1] if site.platform.cluster in ("kubeadm", "existing") else ()
        case "gpu_hosts":
            return tuple(
                name for name in names if name in facts and any(g.vendor == "nvidia" for g in facts[name].gpus)
            )
        case "passthrough_hosts":
            reserved = {choice.host for choice in site.gpus if choice.use == "passthrough"}
            return tuple(name for name in names if name in reserved)
        case "instances":
            return instance_names(site, facts)
        case "gpu_instances":
            plan = place(site, facts)
            given = {plan.getting(choice) for choice in site.gpus}
            return tuple(node.name for node in plan.nodes if node.name in given and node.address is not None)


def why_empty(group: Group, site: Site) -> str:
    """Why no server is in a group, in a sentence."""
    match group:
        case "lxd_servers" | "instances" if site.platform.cluster == "existing":
            return "The cluster is there already, so no server carries instances for it."
        case "lxd_servers" if site.platform.nodes == "servers":
            return "The servers themselves are the cluster's nodes, so none carries instances."
        case "kubernetes_nodes" | "kubernetes_api" | "kubernetes_carriers" if site.platform.cluster is None:
            return "The site names no kind of cluster yet: homewright site set platform.cluster kubeadm"
        case "kubernetes_nodes" | "kubernetes_api" | "kubernetes_carriers" if site.platform.cluster == "microk8s":
            return "Homewright cannot make a MicroK8s cluster yet: kubeadm makes one on the same servers."
        case "kubernetes_nodes" | "kubernetes_carriers" if site.platform.cluster == "existing":
            return "The cluster is there already."
        case "kubernetes_carriers":
            return "The servers themselves are the cluster's nodes, so no port of theirs leads to another one."
        case "gpu_hosts":
            return "No server has an NVIDIA GPU."
        case "passthrough_hosts":
            return "No GPU is reserved for a virtual machine."
        case "gpu_instances":
            return "No instance is given a GPU."
        case _:
            return "No server is in its group."
