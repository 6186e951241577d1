"""Every server in the ZeroTier network, let in, each with its fixed address; names of the zone are asked there too."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.planning.groups import members
from homewright.planning.networks import propose
from homewright.stages import overlay_effect as overlay
from homewright.stages import zerotier


def run_all(hosts: Sequence[Host]) -> None:
    first = hosts[0]
    by_name = {host.name: host for host in hosts}
    network, account, wanted = overlay.network_of(first), overlay.central(first), overlay.addresses(first)
    net = propose(first.site, first.facts).network("overlay")
    if net is None:
        raise zerotier.OverlayError("There is no room for the overlay's addresses.", "", ["homewright plan says why"])
    config = account.network(network)["config"]
    known = account.members(network)
    own = together(hosts, overlay.node)
    asking = {name: wanted[name] for name in own}  # the others' members have their addresses already
    zerotier.refuse(network, config, known, asking, net, own.values())
    there = {name: own[name] for name in own if network in by_name[name].capture.get("networks", ())}
    zerotier.refuse_moved(network, known, there, asking)
    together(hosts, overlay.install)
    nodes = {name: node for name, node in together(hosts, overlay.node).items() if node}
    if not zerotier.routes(config):
        account.set_network(network, {"routes": [*(config.get("routes") or ()), {"target": str(net)}]})
    by_node = {str(one.get("nodeId")): one for one in known}
    for host in hosts:
        if host.name in nodes:
            values = zerotier.member(host.name, host.site.name, wanted[host.name])
            with host.task("Let in") as task:
                if not zerotier.is_as(values, by_node.get(nodes[host.name])):
                    account.set_member(network, nodes[host.name], values)
                    task.changed = True
    together(hosts, lambda host: overlay.join(host, network, wanted[host.name]))
    server = members("dns_server", first.site, first.facts)[0]
    asked = zerotier.dns(config, first.site.zone, wanted[server])
    if asked is not None:
        account.set_network(network, asked)
