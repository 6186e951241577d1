"""The bridge br0 of a server as netplan files (stage 10, step 10): what they should be, and why it can have none. Pure.

The server's own address, its routes and its resolvers move from the interface to the bridge; what belongs to the
interface itself (a bond's ports, a VLAN's tag, how it is found) stays where somebody wrote it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import PurePosixPath
from typing import Any

from homewright.errors import HomewrightError
from homewright.site.models import Server, Site
from homewright.stages import netplan
from homewright.stages.netplan import LAYER3, Definition, Link

BRIDGE = "br0"
FOLDER = "/etc/netplan"
FILE = f"{FOLDER}/90-homewright.yaml"
CLOUD = "/etc/cloud/cloud.cfg.d/99-homewright-network.cfg"
CLOUD_TEXT = (
    "# Kept by Homewright: cloud-init would write the network files of this server anew.\nnetwork: {config: disabled}\n"
)
MARK = "/var/lib/homewright/br0"
"""Says that br0 is ours, beyond the life of any file that is put back: only then it may be taken away."""
MAIN_TABLE = 254
"""The kernel's own routing table, which netplan means where it names none (ip-route(8))."""
HEADER = "# Kept by Homewright (10/10): this server's address is on the bridge br0, which its instances share.\n"


class Refused(HomewrightError):
    """The bridge cannot be made; nothing was changed."""

    code = "bridge"


@dataclass(frozen=True)
class Seen:
    """What a server's network is now."""

    links: Mapping[str, Link]
    gateway: str = ""
    gateway_link: str = ""
    """The interface of the default route with the lowest metric."""
    resolvers: tuple[str, ...] = ()
    """Not those on the loopback."""
    files: Mapping[str, str] = field(default_factory=dict)
    """netplan's files, by path."""
    mark: str = ""
    """The interface that our bridge took over, as it is written down beside netplan's files; empty without one."""
    netplan: bool = True
    networkd: bool = True
    manager: str = ""
    """Who else sets up interfaces: NetworkManager, ifupdown."""
    cloud_init: bool = False


@dataclass(frozen=True)
class Wanted:
    """What the files should be."""

    nic: str
    mac: str
    address: str
    """With prefix."""
    gateway: str
    """Empty where the server's default route goes another way."""
    files: Mapping[str, str]
    """Text by path; files that are not named stay as they are."""

    def asked_on(self, seen: Seen) -> str:
        """The interface on which the neighbours answer now: a port hears nothing, its bridge does."""
        return BRIDGE if seen.links[self.nic].master == BRIDGE else self.nic


def is_ours(seen: Seen) -> bool:
    """Whether br0 was made by this step; its file may have been lost since."""
    return seen.files.get(FILE, "").startswith(HEADER) or (bool(seen.mark) and FILE not in seen.files)


def wanted(site: Site, server: Server, seen: Seen, before: Mapping[str, Any] | None = None) -> Wanted:
    """What the files of this server should be. `before` is what was recorded of it before it had a bridge: the gateway
    of then is the one where the site names none, and only the files of then can be put back.

    Raises Refused with the reason where it can have no bridge.
    """
    known = before or {}
    try:
        documents = netplan.documents(seen.files)
    except ValueError as error:
        raise _refused(server, str(error), "put it right: netplan generate says where") from None
    ours = is_ours(seen)
    _refuse_foreign(server, seen, documents, ours)
    nic = _nic(server, seen, ours)
    holder = next((link for link in seen.links.values() if link.has(server.address) and link.name != BRIDGE), nic)
    for link in {nic.name: nic, holder.name: holder}.values():
        _refuse_unfit(server, seen, link)
    found = _definition(server, seen, documents, nic)
    left = _definition(server, seen, documents, holder)
    network = documents.get(FILE, {}).get("network", {})
    own = network.get("bridges", {}).get(BRIDGE)
    base = dict(own) if own else {key: left.merged[key] for key in LAYER3 if key in left.merged}
    top = _layer3(base, site, server, seen, (nic.name, holder.name, BRIDGE), str(known.get("gateway", "")))
    files = {}
    for path in dict.fromkeys((*found.files, *left.files)):
        files[path] = netplan.stripped(netplan.stripped(seen.files[path], found), left)
        if files[path] != seen.files[path] and netplan.holds_secrets(seen.files[path]):
            why = f"{path} also holds secrets (Wi-Fi, 802.1X or keys), and what it said could not be written down"
            raise _refused(server, why, f"move those into a file of their own in {FOLDER}", "then: homewright retry")
        if files[path] != seen.files[path] and path not in known.get("files", {path: ""}):
            why = f"{path} gives {nic.name} addresses beside the bridge, and did not when that was made"
            raise _refused(server, why, "take that out of it, or remove it")
    ports = {section: dict(network[section]) for section in netplan.KINDS if own and section in network}
    for one in (found, left):
        ports.setdefault(one.section, {})[one.id] = _idle(one)
    mac = str(own.get("macaddress", nic.mac)) if own and found.id in own.get("interfaces", ()) else nic.mac
    shape = {
        "renderer": "networkd",
        "interfaces": [found.id],
        "macaddress": mac,
        "parameters": {"stp": False, "forward-delay": 0},
    }
    document = {"network": {"version": 2, **ports, "bridges": {BRIDGE: {**shape, **top}}}}
    if own is None or documents[FILE] != document:
        files[FILE] = HEADER + netplan.text_of(document)
    else:
        files[FILE] = seen.files[FILE]
    if seen.cloud_init:
        files[CLOUD] = CLOUD_TEXT
    address = next(_text_of(one) for one in top["addresses"] if _ip(one) == server.address)
    gateway = next((str(route.get("via", "")) for route in top.get("routes", ()) if _is_default(route)), "")
    return Wanted(nic.name, mac, address, gateway, files)


def recorded(seen: Seen) -> dict[str, str]:
    """The files that may have to be put back, whichever interface is chosen: none with secrets, which go nowhere.

    Raises ValueError where one of them is no YAML.
    """
    documents = netplan.documents(seen.files)
    return {
        path: text
        for path, text in seen.files.items()
        if path.startswith(f"{FOLDER}/")
        and (path == FILE or netplan.gives_addresses(documents[path]))
        and not netplan.holds_secrets(text)
    }


def _idle(definition: Definition) -> dict[str, Any]:
    """An interface that has no address of its own; how it is found has to be said in each file."""
    idle: dict[str, Any] = {"renderer": "networkd", "dhcp4": False, "dhcp6": False, "link-local": []}
    return idle | {key: value for key, value in definition.merged.items() if key in ("match", "set-name")}


def astray(seen: Seen, to_be: Wanted) -> str:
    """What is not in effect although the files may be right; empty where all is."""
    bridge, nic = seen.links.get(BRIDGE), seen.links.get(to_be.nic)
    if bridge is None or bridge.kind != "bridge":
        return "there is no bridge br0"
    if nic is None or nic.master != BRIDGE:
        return f"{to_be.nic} is no port of br0"
    if others := [name for name in _ports(seen) if name != nic.name]:
        return f"br0 still has the port {others[0]} beside {nic.name}"
    if to_be.address not in bridge.addresses:
        return f"br0 does not have {to_be.address} but {' '.join(bridge.addresses) or 'no address'}"
    if nic.addresses:
        return f"{nic.name} still has {' '.join(nic.addresses)}"
    if to_be.gateway and (seen.gateway, seen.gateway_link) != (to_be.gateway, BRIDGE):
        now = f"{seen.gateway} on {seen.gateway_link}" if seen.gateway else "nowhere"
        return f"the default route goes to {now}, not to {to_be.gateway} on br0"
    if bridge.stp or bridge.forward_delay:
        return "br0 waits before it forwards: its spanning tree is on, or its delay is not 0"
    if bridge.mac.lower() != to_be.mac.lower():
        return f"br0 has the hardware address {bridge.mac}, not {to_be.mac}"
    if not bridge.carrier:
        return "br0 has no carrier"
    return ""


def own_addresses(seen: Seen) -> frozenset[str]:
    """The hardware addresses that are the server's own: with two cables in one network it hears itself, since Linux
    answers on each of its interfaces for the addresses of all."""
    return frozenset(link.mac.lower() for link in seen.links.values())


def port_of(seen: Seen) -> str:
    """The interface that our bridge took over; empty where there is none."""
    ports = _ports(seen)
    marked = [seen.mark] if seen.mark in ports or not ports else []
    return next((name for name in (*marked, *ports) if name in seen.links), "")


def _ports(seen: Seen) -> list[str]:
    """The interfaces of the server itself that are ports of br0: an instance's end has no file of networkd's."""
    return sorted(link.name for link in seen.links.values() if link.master == BRIDGE and link.network_file)


def refuse_used(server: Server, seen: Seen, port: str) -> None:
    """Raises Refused where others hang on the bridge: without it, they would be cut off."""
    others = [link.name for link in seen.links.values() if link.master == BRIDGE and link.name != port]
    if others:
        raise Refused(
            f"The bridge br0 of {server.name} carries others: {', '.join(others)}.",
            "Without it they would be cut off, so nothing was changed.",
            ["take away what uses it: instances, virtual machines", "then run rollback again"],
        )


def put_back(before: Mapping[str, str], now: Mapping[str, str], server: Server) -> dict[str, str | None]:
    """The files to write (None: to remove), so that netplan's are as before. Raises Refused where one of those that
    this step changed was edited since."""
    changes: dict[str, str | None] = {path: None for path in now if path == FILE and path not in before}
    for path, text in before.items():
        current = now.get(path)
        if current == text:
            continue
        if current is not None and not netplan.only_stripped(text, current):
            raise Refused(
                f"{path} on {server.name} was edited since the bridge was made.",
                "Putting it back would lose that.",
                [f"move what it says of the interface back by hand, and remove {FILE}", "then run rollback again"],
            )
        changes[path] = text
    return changes


def _refuse_foreign(server: Server, seen: Seen, documents: Mapping[str, dict[str, Any]], ours: bool) -> None:
    if not seen.netplan or not seen.networkd:
        what = "netplan" if not seen.netplan else "systemd-networkd"
        raise _refused(
            server,
            f"it has no {what}{f': its network is set up by {seen.manager}' if seen.manager else ''}",
            "set its network up by netplan with systemd-networkd, as Ubuntu Server does",
        )
    if FILE in seen.files and not ours:
        raise _refused(server, f"{FILE} is there and is not Homewright's", "move it away")
    for path, document in documents.items():
        if path != FILE and BRIDGE in (document.get("network", {}).get("bridges") or {}):
            raise _refused(server, f"{path} defines a bridge br0 that is not Homewright's", *_ANOTHER)
    if BRIDGE in seen.links and not ours:
        kind = seen.links[BRIDGE].kind or "interface"
        raise _refused(server, f"there is a {kind} br0 already that is not Homewright's", *_ANOTHER)


_ANOTHER = (
    "give that one another name, or take it away, if nothing needs it",
    "or let the servers themselves be the cluster's nodes: homewright site set platform.nodes servers",
)


def _nic(server: Server, seen: Seen, ours: bool) -> Link:
    """The interface to be bridged: the chosen one, else the one that has the server's address, or had it before."""
    name = server.nic
    if name is None:
        name = next((link.name for link in seen.links.values() if link.has(server.address)), "")
    if ours and name in ("", BRIDGE):
        name = port_of(seen)
    if not name:
        raise _refused(
            server,
            f"no interface there has {server.address}",
            "see which addresses it has: ip -br address",
            "correct it: homewright site set servers.… address",
        )
    if name not in seen.links:
        there = ", ".join(sorted(link.name for link in seen.links.values() if not link.kind or link.kind == "veth"))
        raise _refused(server, f"it has no interface {name}", f"choose one of: {there}")
    return seen.links[name]


def _refuse_unfit(server: Server, seen: Seen, nic: Link) -> None:
    choose = "choose another interface: homewright site set servers.… nic"
    if nic.wireless:
        why = f"{nic.name} is Wi-Fi: an access point lets only one machine behind it answer"
        raise _refused(server, why, "connect the server by cable", choose)
    if nic.kind == "bridge":
        raise _refused(server, f"{server.address} is on {nic.name}, a bridge that is not Homewright's", *_ANOTHER)
    if nic.master not in ("", BRIDGE):
        raise _refused(server, f"{nic.name} belongs to {nic.master}", f"choose {nic.master}, if it may be bridged")
    if nic.kind not in ("", "veth", "bond", "vlan"):
        raise _refused(server, f"{nic.name} is a {nic.kind}, which no bridge can take over", choose)
    if not nic.carrier:
        why = f"{nic.name} has no link: it is down, or has no cable, or the switch's port is off"
        raise _refused(server, why, f"plug it in, and see: ip -br link show {nic.name}", choose)
    file = PurePosixPath(nic.network_file).name
    if not file and not nic.addresses and not seen.manager:
        return  # nobody has set it up yet
    if not file:
        who = seen.manager or "something else than systemd-networkd"
        raise _refused(
            server,
            f"{nic.name} is set up by {who}",
            "set it up by netplan with `renderer: networkd`, and see that it holds after a restart",
        )
    if not nic.network_file.startswith("/run/systemd/network/10-netplan-") and file < "10-netplan-":
        why = f"{nic.network_file} sets {nic.name} up, and comes before what netplan says"
        raise _refused(server, why, "write into a file of netplan what it says, and remove it")


def _definition(server: Server, seen: Seen, documents: Mapping[str, dict[str, Any]], nic: Link) -> Definition:
    """Where netplan's files define the interface; one of our own where none does."""
    found = netplan.definitions({path: one for path, one in documents.items() if path != FILE}, nic)
    outside = [path for one in found for path in one.files if not path.startswith(f"{FOLDER}/")]
    if outside:
        raise _refused(server, f"{outside[0]} defines {nic.name}", f"move what it says into {FOLDER}")
    if len(found) > 1:
        names = " and ".join(f"{one.section}.{one.id}" for one in found)
        raise _refused(server, f"netplan defines {nic.name} twice, as {names}", "leave one of them")
    if found:
        definition = found[0]
        others = [
            link.name
            for link in seen.links.values()
            if link.name != nic.name
            and not link.kind
            and link.name != "lo"
            and netplan.matches(definition.id, definition.merged, link)
        ]
        if others:
            why = f"netplan's {definition.id} is {nic.name} and {', '.join(others)} in one"
            raise _refused(server, why, f"define {nic.name} by itself, with its address")
        return definition
    if nic.kind in ("bond", "vlan"):
        raise _refused(
            server, f"{nic.name} is a {nic.kind} that netplan did not make", "define it in a file of netplan"
        )
    return Definition("ethernets", nic.name)


def _layer3(
    base: dict[str, Any], site: Site, server: Server, seen: Seen, links: Collection[str], gateway_before: str
) -> dict[str, Any]:
    """Addresses, routes and resolvers of the bridge."""
    top = {key: value for key, value in base.items() if key in LAYER3 and key not in ("dhcp4-overrides", "gateway4")}
    addresses = [one for one in base.get("addresses") or () if _text_of(one)]
    if not any(_ip(one) == server.address for one in addresses):
        live = (text for link in seen.links.values() for text in link.addresses)
        own = next((text for text in live if _ip(text) == server.address), "")
        if not own:
            raise _refused(server, f"no interface there has {server.address}", "see: ip -br address")
        addresses.insert(0, own)
    top["addresses"] = addresses
    top["dhcp4"] = False
    mine = IPv4Interface(next(_text_of(one) for one in addresses if _ip(one) == server.address))
    routes = list(base.get("routes") or ())
    if base.get("gateway4"):
        routes.append({"to": "default", "via": str(base["gateway4"])})
    defaults = [route for route in routes if _is_default(route)]
    gateway = site.network.gateway or ""
    if gateway and IPv4Address(gateway) not in mine.network:
        raise _refused(
            server,
            f"the gateway {gateway} is not in its network {mine.network}",
            "correct it: homewright site set network.gateway …",
        )
    if gateway_before and not gateway and IPv4Address(gateway_before) in mine.network:
        gateway = gateway_before
    if not gateway and not defaults and seen.gateway_link in links:
        gateway = seen.gateway
    if gateway and not any(str(route.get("via")) == gateway for route in defaults):
        routes = [route for route in routes if not _is_default(route)] + [{"to": "default", "via": gateway}]
    if routes:
        top["routes"] = routes
    names = dict(base.get("nameservers") or {})
    asked = [str(one) for one in site.network.resolvers]
    # What is there stays where the site's own answers are among it: step 30/20 puts the platform's DNS before them.
    if not names.get("addresses") or not set(asked) <= set(map(str, names["addresses"])):
        names["addresses"] = asked or list(seen.resolvers)
    if names["addresses"]:
        top["nameservers"] = names
    return top


def _is_default(route: Any) -> bool:
    """Whether a route of netplan's is the server's way out by IPv4.

    `default` may be IPv6's as well, which its gateway tells. One in another table is for what a policy sends there.
    """
    if not isinstance(route, Mapping) or str(route.get("table", MAIN_TABLE)) != str(MAIN_TABLE):
        return False
    return str(route.get("to")) in ("default", "0.0.0.0/0", "0/0") and ":" not in str(route.get("via", ""))


def _text_of(entry: Any) -> str:
    """An entry of netplan's addresses, which may carry a label or a lifetime."""
    return str(next(iter(entry), "")) if isinstance(entry, Mapping) else str(entry)


def _ip(entry: Any) -> str:
    return _text_of(entry).partition("/")[0]


def _refused(server: Server, why: str, *do: str) -> Refused:
    return Refused(f"{server.name} can have no bridge br0: {why}.", "Nothing was changed.", list(do))
