"""What the platform's DNS server is made of (stage 30, step 20): named's configuration and the zones. Pure.

Nothing of the package's own files is touched: a drop-in makes the package's unit start named with our configuration,
and keeps it from starting at all before that is complete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address

from homewright.planning.zone import ZonePlan

PACKAGE = "bind9"
UNIT = "named.service"
FOLDER = "/etc/bind/homewright"
"""AppArmor lets named read below /etc/bind alone (Ubuntu's profile usr.sbin.named)."""
CONFIGURATION = f"{FOLDER}/named.conf"
DROP_IN = "/etc/systemd/system/named.service.d/homewright.conf"
MARK = "/var/lib/homewright/dns"
"""Says that named is ours, from before its package is there."""
TTL_S = 300
"""A name that moves is found again within five minutes."""
PROOF = "homewright-proof"
"""A name that nothing has: the wildcard answers for it."""

DROP_IN_TEXT = f"""# Kept by Homewright (30/20).
[Unit]
ConditionPathExists={CONFIGURATION}
StartLimitIntervalSec=0

[Service]
Type=simple
PIDFile=
ExecStart=
ExecStart=/usr/sbin/named -f -u bind -c {CONFIGURATION}
Restart=on-failure
RestartSec=2
"""


def files(plan: ZonePlan, forwarders: Sequence[str]) -> dict[str, str]:
    """Every file of the server, by path.

    Nobody is asked at a link-local address: it is one by its interface alone, and that may become another.
    """
    forwarders = [one for one in forwarders if "%" not in one]
    inside = {name: plan.overlay.get(name, address) for name, address in plan.names.items()}
    views: dict[str, tuple[Mapping[str, str], str]] = {"lan": (plan.names, plan.ingress)}
    if plan.overlay:
        # Whoever is far away reaches servers through the overlay alone.
        first = next((plan.overlay[name] for name, one in plan.names.items() if one == plan.ingress), "")
        views = {"overlay": (inside, first or plan.ingress), **views}
    made = {DROP_IN: DROP_IN_TEXT, CONFIGURATION: _configuration(plan, forwarders, list(views))}
    for view, (names, ingress) in views.items():
        made[f"{FOLDER}/{view}.zone"] = _zone(plan.zone, names, ingress, names[plan.server])
    for address, name in reverse(plan).items():
        pointer = IPv4Address(address).reverse_pointer
        made[f"{FOLDER}/{address}.reverse"] = _reverse(pointer, f"{name}.{plan.zone}.", plan)
    return made


def reverse(plan: ZonePlan) -> dict[str, str]:
    """Name of everything with an address, in the LAN and in the overlay.

    Each address is a zone of its own: for whatever else is in these networks, the router goes on answering.
    """
    return {address: name for one in (plan.names, plan.overlay) for name, address in one.items()}


def _configuration(plan: ZonePlan, forwarders: Sequence[str], views: Iterable[str]) -> str:
    listen = [plan.address, *([plan.overlay[plan.server]] if plan.overlay else [])]
    lines = [
        "// Kept by Homewright (30/20).",
        f"acl site {{ localhost; {' '.join(f'{net};' for net in plan.askers)} }};",
        "options {",
        '    directory "/var/cache/bind";',
        f"    listen-on {{ {' '.join(f'{one};' for one in listen)} }};",
        "    listen-on-v6 { none; };",
        "    allow-query { site; };",
        "    allow-recursion { site; };",
        "    allow-transfer { none; };",
        # Home routers answer no DNSSEC; what they forward to validates.
        "    dnssec-validation no;",
        # Names of other private addresses are the router's to know.
        "    empty-zones-enable no;",
        "    version none;",
        "    hostname none;",
    ]
    if forwarders:
        lines += ["    forward only;", f"    forwarders {{ {' '.join(f'{one};' for one in forwarders)} }};"]
    lines.append("};")
    for view in views:
        match = f"{plan.overlay_range};" if view == "overlay" else "any;"
        lines += [f'view "{view}" {{', f"    match-clients {{ {match} }};", _statement(plan.zone, f"{view}.zone")]
        for address in reverse(plan):
            lines.append(_statement(IPv4Address(address).reverse_pointer, f"{address}.reverse"))
        lines.append("};")
    return "\n".join(lines) + "\n"


def _statement(zone: str, file: str) -> str:
    return f'    zone "{zone}" {{ type primary; file "{FOLDER}/{file}"; }};'


def _zone(zone: str, names: Mapping[str, str], ingress: str, server: str) -> str:
    """The names, those below each (a workspace's on a node is one), and the platform for all others."""
    records = [f"@\tIN\tNS\tns1.{zone}.", f"@\tIN\tA\t{ingress}", f"*\tIN\tA\t{ingress}"]
    for name, address in ({"ns1": server} | dict(names)).items():
        records += [f"{name}\tIN\tA\t{address}", f"*.{name}\tIN\tA\t{address}"]
    return _file(zone, records)


def _reverse(zone: str, name: str, plan: ZonePlan) -> str:
    return _file(plan.zone, [f"@\tIN\tNS\tns1.{plan.zone}.", f"@\tIN\tPTR\t{name}"])


def _file(zone: str, records: Sequence[str]) -> str:
    """A zone's file. Its serial is of its content: nobody copies it by transfer, so it need not grow."""
    serial = int.from_bytes(hashlib.sha256("\n".join(records).encode()).digest()[:4], "big") or 1
    soa = f"@\tIN\tSOA\tns1.{zone}. hostmaster.{zone}. ( {serial} 3600 600 604800 60 )"
    return "\n".join(["; Kept by Homewright (30/20).", f"$TTL {TTL_S}", soa, *records]) + "\n"
