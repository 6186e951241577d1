"""The way between the servers and the instances (stage 20, step 20): files of a server, as text. Pure.

Instances hang on the servers' own bridge, so that all of them and all servers reach each other directly; their range is
the site's own, and the LAN's router knows nothing of it. So every server has a route to the range through its bridge,
and leads its own instances out under its own address.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from homewright.discovery.parsers.network import OUR_ROUTES
from homewright.planning.pools import POOL

BRIDGE = "br0"
"""What step 10/10 makes of a server's network interface."""
PROFILE = "homewright"
SCRIPT = "/usr/local/sbin/homewright-instances"
UNIT = "homewright-instances.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
NETWORKD = "/etc/systemd/networkd.conf.d/50-homewright-instances.conf"
NETWORKD_TEXT = """\
# Kept by Homewright: without this, systemd-networkd removes the route to the instances whenever it looks anew.
[Network]
ManageForeignRoutes=no
"""
PACKAGE = "iptables"
"""What leads the instances out. It comes with Debian's LXD and with Ubuntu's server; the snap brings none, and the
smallest images of Ubuntu have none."""
CHAIN = "HOMEWRIGHT-LXD"
UNIT_TEXT = f"""\
[Unit]
Description=Way between this server and the site's LXD instances (Homewright)
Wants=network-online.target
After=network-online.target nftables.service ufw.service
Before=lxd.service snap.lxd.daemon.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={SCRIPT} up
ExecStop={SCRIPT} down
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


def script_text(net: IPv4Network, address: str) -> str:
    """The program that opens the way, closes it, and says whether it is open."""
    return _SCRIPT.format(range=net, address=address, bridge=BRIDGE, chain=CHAIN, proto=OUR_ROUTES)


def profile(owner: str) -> dict[str, object]:
    """What all instances of ours have in common: they start with their server, and hang on its bridge."""
    return {
        "description": "Instances of Homewright",
        "config": {"boot.autostart": "true", "user.homewright": owner},
        "devices": {
            "root": {"type": "disk", "path": "/", "pool": POOL},
            "eth0": {"type": "nic", "nictype": "bridged", "parent": BRIDGE, "name": "eth0"},
        },
    }


_SCRIPT = r"""#!/bin/sh
# Kept by Homewright: the way between this server and the site's LXD instances ({range}).
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
route="{range} dev {bridge} proto {proto} src {address}"
tables() {{ iptables -w 30 "$@"; }}
jump() {{ # table, chain, where to put it
    tables -t "$1" -C "$2" -j {chain} 2>/dev/null || tables -t "$1" "$3" "$2" -j {chain}
}}
unjump() {{
    while tables -t "$1" -C "$2" -j {chain} 2>/dev/null; do tables -t "$1" -D "$2" -j {chain}; done
    tables -t "$1" -F {chain} 2>/dev/null && tables -t "$1" -X {chain} || true
}}
case ${{1:-}} in
up)
    ip route replace $route
    sysctl -q -w net.ipv4.ip_forward=1
    for table in nat filter; do tables -t $table -N {chain} 2>/dev/null || tables -t $table -F {chain}; done
    tables -t nat -A {chain} -s {range} ! -d {range} -j MASQUERADE
    tables -t filter -A {chain} -s {range} -j ACCEPT
    tables -t filter -A {chain} -d {range} -j ACCEPT
    jump nat POSTROUTING -A
    jump filter FORWARD -I
    ;;
down)
    unjump nat POSTROUTING
    unjump filter FORWARD
    ip route del $route 2>/dev/null || true
    ;;
check)
    [ -n "$(ip -4 route show $route)" ] || {{ echo "there is no route to {range} through {bridge}"; exit 3; }}
    [ "$(sysctl -n net.ipv4.ip_forward)" = 1 ] || {{ echo "it forwards nothing (net.ipv4.ip_forward)"; exit 3; }}
    tables -t nat -C {chain} -s {range} ! -d {range} -j MASQUERADE 2>/dev/null &&
        tables -t nat -C POSTROUTING -j {chain} 2>/dev/null ||
        {{ echo "the instances are not led out under its address"; exit 3; }}
    tables -t filter -C {chain} -s {range} -j ACCEPT 2>/dev/null &&
        tables -t filter -C {chain} -d {range} -j ACCEPT 2>/dev/null &&
        tables -t filter -C FORWARD -j {chain} 2>/dev/null ||
        {{ echo "its firewall lets nothing through to the instances"; exit 3; }}
    ;;
*) echo "usage: $0 up|down|check" >&2; exit 64 ;;
esac
"""
