"""One address for several control planes: keepalived gives it to one that lives, HAProxy there asks whichever answers.

Both run by units of ours, beside an HAProxy or keepalived that the server has for something else. Texts are pure.
"""

from __future__ import annotations

from homewright.engine.runners.host import Host
from homewright.planning.cluster import API_PORT, SHARED_PORT, ClusterPlan, Node
from homewright.site import mirrored
from homewright.stages.cluster import documents

PACKAGES = mirrored.BALANCER_PACKAGES
FOLDER = "/etc/homewright/cluster"
BALANCER = f"{FOLDER}/haproxy.cfg"
ADDRESS = f"{FOLDER}/keepalived.conf"
BALANCER_UNIT = "homewright-api.service"
ADDRESS_UNIT = "homewright-api-address.service"
UNITS = (BALANCER_UNIT, ADDRESS_UNIT)
PATHS = (BALANCER, ADDRESS, *(f"{documents.UNITS}/{unit}" for unit in UNITS))
"""Every file of it, whatever is planned."""


def files(plan: ClusterPlan, node: Node, interface: str) -> dict[str, tuple[str, int]]:
    """What a control plane has for the shared address: text and mode by path; nothing where none is shared."""
    if plan.address is None or not node.control_plane:
        return {}
    return {
        BALANCER: (balancer(plan), 0o644),
        ADDRESS: (address(plan, node, interface), 0o644),
        f"{documents.UNITS}/{BALANCER_UNIT}": (_BALANCER_UNIT, 0o644),
        f"{documents.UNITS}/{ADDRESS_UNIT}": (_ADDRESS_UNIT, 0o644),
    }


def balancer(plan: ClusterPlan) -> str:
    """HAProxy's settings."""
    planes = "".join(f"    server {node.name} {node.address}:{API_PORT}\n" for node in plan.planes)
    return _BALANCER.format(port=SHARED_PORT, planes=planes)


def address(plan: ClusterPlan, node: Node, interface: str) -> str:
    """keepalived's settings on one control plane. The first has it while all live; the answering one, when not."""
    assert plan.address is not None
    place = plan.planes.index(node)
    return _ADDRESS.format(
        name=node.name,
        interface=interface,
        router=int(plan.address) % 256 or 255,
        priority=100 - place,
        own=node.address,
        # One on each line: of several on one, keepalived takes the first.
        peers="\n        ".join(other.address for other in plan.planes if other is not node),
        address=plan.address,
        port=SHARED_PORT,
    )


def interface_of(host: Host, node: Node) -> str:
    """The interface that has the node's address, where the shared one is added."""
    said = host.run(["ip", "-4", "-o", "addr", "show", "to", node.address]).stdout.split()
    return said[1].partition("@")[0] if len(said) > 1 else "eth0"


def start(host: Host, *, restart: bool) -> bool:
    """Have both run now and after a restart; whether anything was not so."""
    units = " ".join(UNITS)
    said = host.run(f"systemctl is-active {units}; systemctl is-enabled {units}; true").stdout.split()
    if said == ["active", "active", "enabled", "enabled"] and not restart:
        return False
    host.run(
        f"set -e\n{_TRIED}systemctl daemon-reload\nsystemctl enable -q {units}\nsystemctl restart {units}\n", timeout=60
    )
    return True


def quiet(host: Host) -> None:
    """The units that a fresh package brings stay off: ours do the work."""
    host.run(
        "for one in haproxy keepalived; do systemctl disable -q --now $one.service 2>/dev/null; "
        "systemctl reset-failed $one.service 2>/dev/null; done; true"
    )


def stop(host: Host) -> None:
    """End both; whatever is not there is none the worse for it."""
    host.run(f"systemctl disable -q --now {' '.join(UNITS)} 2>/dev/null; true", timeout=60)


def hollow(host: Host) -> None:
    """With its package HAProxy's folder goes, where nothing is in it but the place of the log's socket."""
    host.run(_HOLLOW)


_HOLLOW = """\
# systemd made it when Debian's own unit began; dpkg leaves a folder that is not empty.
[ -e /usr/sbin/haproxy ] || [ -s /var/lib/haproxy/dev/log ] || rm -f /var/lib/haproxy/dev/log
[ -e /usr/sbin/haproxy ] || rmdir /var/lib/haproxy/dev /var/lib/haproxy 2>/dev/null || true
"""
_TRIED = f"""\
# What keepalived does not understand it leaves out, and runs: two servers would have the address.
said=$(keepalived --config-test -f {ADDRESS} 2>&1) || {{ printf '%s\\n' "$said" >&2; exit 1; }}
"""
_BALANCER = """\
# Kept by Homewright: the API of the cluster, whichever control plane answers.
global
    maxconn 4000
    user haproxy
    group haproxy

defaults
    mode tcp
    timeout connect 5s
    timeout check 5s
    # Watches are silent for long; a peer that is gone is found by the kernel.
    timeout client 1h
    timeout server 1h
    timeout tunnel 4h
    option clitcpka
    option srvtcpka

frontend api
    bind *:{port}
    default_backend control-planes

backend control-planes
    balance leastconn
    option httpchk GET /readyz
    http-check expect status 200
    # Whoever connects through here checks the certificate; this only asks who is up.
    default-server check check-ssl verify none inter 2s fall 2 rise 1 on-marked-down shutdown-sessions
{planes}"""
_ADDRESS = """\
# Kept by Homewright: the address of the cluster's API, on one control plane at a time.
global_defs {{
    router_id {name}
    script_user root
    enable_script_security
}}

vrrp_script api {{
    script "/usr/bin/curl -fsk -o /dev/null -m 2 https://127.0.0.1:{port}/readyz"
    interval 3
    timeout 3
    fall 2
    rise 1
    # More than all differences of priority: who answers goes before who does not.
    weight 50
}}

vrrp_instance api {{
    state BACKUP
    interface {interface}
    virtual_router_id {router}
    priority {priority}
    advert_int 1
    unicast_src_ip {own}
    unicast_peer {{
        {peers}
    }}
    virtual_ipaddress {{
        {address}/32 dev {interface}
    }}
    track_script {{
        api
    }}
}}
"""
_BALANCER_UNIT = f"""\
[Unit]
Description=The cluster's API, whichever control plane answers (Homewright)
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
RuntimeDirectory=homewright-api
ExecStart=/usr/sbin/haproxy -Ws -f {BALANCER} -p /run/homewright-api/haproxy.pid
ExecReload=/bin/kill -USR2 $MAINPID
KillMode=mixed
Restart=always
RestartSec=2
LimitNOFILE=16384

[Install]
WantedBy=multi-user.target
"""
_ADDRESS_UNIT = f"""\
[Unit]
Description=The address of the cluster's API (Homewright)
Wants=network-online.target
After=network-online.target {BALANCER_UNIT}

[Service]
Type=simple
RuntimeDirectory=homewright-api-address
ExecStart=/usr/sbin/keepalived --dont-fork --log-console --vrrp -f {ADDRESS} \\
    -p /run/homewright-api-address/keepalived.pid -r /run/homewright-api-address/vrrp.pid
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
"""
