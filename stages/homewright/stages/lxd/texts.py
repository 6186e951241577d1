"""What an instance is given: its description for LXD, its network, its account. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from homewright.planning.instances import InstancePlan
from homewright.planning.networks import Networks
from homewright.planning.pools import POOL
from homewright.site import mirrors
from homewright.site.answers import Instance
from homewright.site.models import MirrorSettings, Site
from homewright.stages import environment_file
from homewright.stages.lxd.standing import OWNER
from homewright.stages.lxd.way import BRIDGE, PROFILE

READY = "user.homewright-ready"
"""Set once an instance has its account; one of ours without it was cut off while it was made, and is made anew."""
ADDRESS = "user.homewright-address"
"""Its fixed address, for whoever takes it away when the plan names it no more."""
MOVES = "user.homewright-moves"
"""The name of an instance while it moves, which its copy has as well."""
NETPLAN = "/etc/netplan/50-homewright.yaml"
NIC = "eth0"
"""How a container's interface is called because LXD gives it that name; a virtual machine's is found by its address."""


@dataclass(frozen=True)
class Planned:
    """One instance, with all that the plan says of it."""

    node: Instance
    kind: str
    network: IPv4Network
    gateway: str
    """Its own server, which leads it out."""
    servers: tuple[str, ...]
    resolvers: tuple[str, ...]
    user: str
    sized: bool
    """Somebody chose its size; otherwise one that is there keeps its own, since proposals follow what is free."""

    @property
    def address(self) -> str:
        assert self.node.address is not None
        return self.node.address

    @property
    def mac(self) -> str:
        """Its hardware address: from LXD's own range, and the same whenever it is made anew."""
        told = hashlib.sha256(f"{self.node.name} {self.address}".encode()).hexdigest()
        return f"00:16:3e:{told[0:2]}:{told[2:4]}:{told[4:6]}"


def planned(site: Site, plan: InstancePlan, networks: Networks) -> tuple[Planned, ...]:
    """All instances of the site that have an address."""
    net = networks.network("lxd")
    if net is None:
        return ()
    return tuple(
        Planned(
            node=node,
            kind=plan.kind,
            network=net,
            gateway=site.server(node.host).address,
            servers=tuple(server.address for server in site.servers),
            resolvers=networks.resolvers,
            user=site.server(node.host).user,
            sized=not plan.proposed,
        )
        for node in plan.nodes
        if node.address is not None
    )


def network_config(one: Planned) -> dict[str, Any]:
    """The instance's network as netplan and cloud-init take it: one fixed address, one way out.

    The servers are in the same wire, and answer straight. A container's interface is one of a pair without a permanent
    address, which is what netplan's `match` looks at; LXD names it.
    """
    routes: list[dict[str, Any]] = [{"to": f"{address}/32", "scope": "link"} for address in one.servers]
    routes.append({"to": "default", "via": one.gateway, "on-link": True})
    interface: dict[str, Any] = {
        "dhcp4": False,
        "dhcp6": False,
        "addresses": [f"{one.address}/{one.network.prefixlen}"],
        "routes": routes,
    }
    if one.resolvers:
        interface["nameservers"] = {"addresses": list(one.resolvers)}
    if one.kind == "virtual-machine":
        interface |= {"match": {"macaddress": one.mac}, "set-name": NIC}
    return {"version": 2, "ethernets": {NIC: interface}}


ADDRESSES = f"ip -4 -o address show dev {NIC} scope global | awk '$4 !~ \"/32$\" {{print $4}}' | sort | paste -sd' '"
"""What an instance says of its own addresses. One that control planes share, and that one of them has for a time, is a
network by itself."""


def addresses(one: Planned) -> str:
    """What it should say."""
    return f"{one.address}/{one.network.prefixlen}"


def netplan_text(one: Planned) -> str:
    """The same as a file; JSON is YAML."""
    head = "# Kept by Homewright: the fixed address of this instance.\n"
    return head + json.dumps({"network": {"renderer": "networkd", **network_config(one)}}, indent=1) + "\n"


def resolv_text(one: Planned) -> str:
    """For an image without systemd-resolved, whose file nobody else fills."""
    return "".join(f"nameserver {address}\n" for address in one.resolvers)


def create_body(one: Planned, owner: str, image: str) -> dict[str, Any]:
    """What LXD makes it of."""
    node = one.node
    config = {
        OWNER: owner,
        ADDRESS: one.address,
        "limits.cpu": str(node.cpu),
        "limits.memory": f"{node.memory}GiB",
        "cloud-init.network-config": json.dumps(network_config(one)),
    }
    if one.kind == "container":
        config["security.nesting"] = "true"  # a node of the cluster starts containers itself
    return {
        "name": node.name,
        "type": one.kind,
        "profiles": [PROFILE],
        "source": {"type": "image", "fingerprint": image},
        "config": config,
        "devices": {
            "root": {"type": "disk", "path": "/", "pool": POOL, "size": f"{node.disk}GiB"},
            "eth0": {**_NIC, "hwaddr": one.mac},
        },
    }


_NIC = {"type": "nic", "nictype": "bridged", "parent": BRIDGE, "name": NIC}


def difference(found: Mapping[str, Any], one: Planned, owner: str) -> list[str]:
    """In what an instance that is there is not as planned, in words; empty where it is."""
    node, wanted = one.node, create_body(one, owner, "")
    config, devices = found["config"], found["devices"]
    said = []
    if found["type"] != one.kind:
        said.append(f"it is a {found['type']}, not a {one.kind}")
    if found["location"] not in (node.host, "none"):
        said.append(f"it is on {found['location']}, not on {node.host}")
    if PROFILE not in found["profiles"]:
        said.append(f"it has not the profile {PROFILE}")
    if one.sized:
        for key, words in (("limits.cpu", "CPUs"), ("limits.memory", "of memory")):
            if config.get(key) != wanted["config"][key]:
                said.append(f"it has {config.get(key, 'no limit')} {words}, not {wanted['config'][key]}")
        if devices.get("root", {}).get("size") != wanted["devices"]["root"]["size"]:
            size = devices.get("root", {}).get("size", "no size")
            said.append(f"its disk has {size}, not {wanted['devices']['root']['size']}")
    if devices.get("eth0") != wanted["devices"]["eth0"]:
        said.append("its network card is not as planned")
    if config.get("cloud-init.network-config") != wanted["config"]["cloud-init.network-config"]:
        said.append("its network is described otherwise")
    if _lone(found, one):
        said.append("it may start no containers itself (security.nesting)")
    if MOVES in config:
        said.append("it still has the mark of a move")
    return said


def _lone(found: Mapping[str, Any], one: Planned) -> bool:
    return one.kind == "container" and found["config"].get("security.nesting") != "true"


def shrinks(found: Mapping[str, Any], one: Planned) -> str:
    """How a disk would become smaller than it is, in words; empty where it would not."""
    size = str(found["devices"].get("root", {}).get("size", ""))
    there = int(size.removesuffix("GiB")) if size.removesuffix("GiB").isdigit() else 0
    return f"it has {there} GiB, and {one.node.disk} are planned" if one.sized and one.node.disk < there else ""


def wants_a_stop(found: Mapping[str, Any], one: Planned) -> bool:
    """Whether a running instance has to be stopped for what it is to have: a virtual machine's size is given at its
    start, and so is a container's right to start others."""
    if _lone(found, one):
        return True
    wanted = create_body(one, "", "")
    keys = ("limits.cpu", "limits.memory")
    root = found["devices"].get("root", {}).get("size") != wanted["devices"]["root"]["size"]
    other = root or any(found["config"].get(key) != wanted["config"][key] for key in keys)
    return one.sized and one.kind == "virtual-machine" and other


def is_moved(found: Mapping[str, Any], one: Planned) -> bool:
    """Whether an instance that is there has another card, address or way out than the plan says.

    Not where only the other servers or the resolvers are others: those it reaches by its own server until it starts
    again, and a server more in the site is no reason to restart every instance.
    """
    if found["devices"].get("eth0") != create_body(one, "", "")["devices"]["eth0"]:
        return True
    try:
        there = _place(json.loads(found["config"].get("cloud-init.network-config", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return True  # not as we write it
    return there != _place(network_config(one))


def _place(config: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    interface = config["ethernets"][NIC]
    return interface["addresses"], [route for route in interface["routes"] if route["to"] == "default"]


def strays(state: Mapping[str, Any], one: Planned) -> bool:
    """Whether a running instance has an address, and not the planned one. One that just starts may have none yet."""
    told = ((state.get("network") or {}).get(NIC) or {}).get("addresses") or ()
    there = {address["address"] for address in told if (address["family"], address["scope"]) == ("inet", "global")}
    return bool(there) and one.address not in there


def mended(found: Mapping[str, Any], one: Planned, owner: str) -> dict[str, Any]:
    """The whole of an instance that is there, as planned: what others have set stays."""
    wanted = create_body(one, owner, "")
    sizes = ("limits.cpu", "limits.memory")
    config = {key: value for key, value in wanted["config"].items() if one.sized or key not in sizes}
    root = wanted["devices"]["root"] if one.sized else found["devices"].get("root", wanted["devices"]["root"])
    profiles = list(found["profiles"])
    return {
        "architecture": found["architecture"],
        "description": found["description"],
        "ephemeral": found["ephemeral"],
        "profiles": profiles if PROFILE in profiles else [PROFILE, *profiles],
        "config": {key: value for key, value in found["config"].items() if key != MOVES} | config,
        "devices": {**found["devices"], "root": root, "eth0": wanted["devices"]["eth0"]},
    }


def environment_text(site: Site, one: Planned, groups: Sequence[str]) -> str:
    """The environment file of an instance: as on the servers, with its own name and address."""
    return environment_file.text_of_instance(site, one.node.name, one.address, groups)


def account_script(mirror: MirrorSettings) -> str:
    """What makes an instance ready for us: in it, as root, with its name, its address, the account and its key.

    It prints `changed` where it changed something. What it lacks comes from the site's mirror where there is one.
    """
    return _ACCOUNT.replace("@apt@", mirrors.apt_script(mirror))


_ACCOUNT = r"""
name=$1 address=$2 user=$3 key=$4
changed=
put() { # path, mode, owner, text; not in a pipe, which would forget that it changed something
    printf '%s\n' "$4" >"$1.homewright"
    chmod "$2" "$1.homewright"; chown "$3" "$1.homewright"
    if cmp -s "$1" "$1.homewright" && [ "$(stat -c '%a %U' "$1")" = "$2 ${3%%:*}" ]; then rm "$1.homewright"
    else mv -f "$1.homewright" "$1"; changed=yes; fi
}
missing=
for program in sshd:openssh-server sudo:sudo python3:python3; do
    PATH=$PATH:/usr/sbin command -v "${program%%:*}" >/dev/null || missing="$missing ${program#*:}"
done
if [ -n "$missing" ]; then
    @apt@
    get update >&2
    get install --no-install-recommends $missing >&2
    changed=yes
fi
put /etc/hostname 644 root:root "$name"
[ "$(hostname)" = "$name" ] || hostname "$name"
# Its own name has an address before there is DNS: sudo looks it up.
if ! grep -qxF "$address $name" /etc/hosts; then
    put /etc/hosts 644 root:root "$(sed "/[[:space:]]$name\$/d" /etc/hosts; echo "$address $name")"
fi
if ! id -u "$user" >/dev/null 2>&1; then
    useradd --create-home --shell /bin/bash --password '*' "$user"
    changed=yes
fi
home=$(getent passwd "$user" | cut -d: -f6)
group=$(id -gn "$user")
[ -d "$home/.ssh" ] || { install -d -m 700 -o "$user" -g "$group" "$home/.ssh"; changed=yes; }
keys=$home/.ssh/authorized_keys
if grep -qxF "$key" "$keys" 2>/dev/null; then put "$keys" 600 "$user:$group" "$(cat "$keys")"
else put "$keys" 600 "$user:$group" "$(cat "$keys" 2>/dev/null || true; echo "$key")"; fi
if [ "$user" != root ]; then
    put /etc/sudoers.d/90-homewright 440 root:root "$user ALL=(ALL) NOPASSWD: ALL"
    visudo -cqf /etc/sudoers.d/90-homewright
fi
mkdir -p /etc/homewright
[ -z "$changed" ] || sync
[ -z "$changed" ] || echo changed
"""
"""All its words are public."""
