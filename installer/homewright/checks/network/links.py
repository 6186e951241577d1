"""A server's own connection: its interface, its address, the way outside, and the overlay."""

from __future__ import annotations

from homewright.checks.check import Check, Outcome, passed, pending, remedy, unknown, warning, wrong
from homewright.checks.ground import HostView
from homewright.discovery.facts import Nic
from homewright.site.models import Site

_NETPLAN = "https://netplan.readthedocs.io/en/stable/netplan-yaml/"
_DEBIAN_NETWORK = "https://wiki.debian.org/NetworkConfiguration"
_ETCD = "https://etcd.io/docs/v3.5/op-guide/hardware/"
_WIFI = "https://wiki.linuxfoundation.org/networking/bridge"
_ZEROTIER = "https://docs.zerotier.com/corporate-firewalls/"


def speed(view: HostView) -> Outcome:
    least, recommended = view.limits.number("least_mbps"), view.limits.number("recommended_mbps")
    threshold = f"{_rate(least)}; {_rate(recommended)} recommended"
    nic = view.ground.nic(view.host)
    if nic is None:
        return unknown(threshold, f"Its interface is not known: {view.facts.why_unknown('network')}.")
    mbps = max((one.speed_mbps for one in _carriers(view, nic) if one.speed_mbps), default=None)
    if mbps is None:
        return unknown(threshold, f"{nic.name} does not say how fast it is, as virtual interfaces do not.")
    half = any(one.duplex == "half" for one in _carriers(view, nic))
    measured = f"{_rate(mbps)} on {nic.name}" + (", half duplex" if half else "")
    if mbps < least or half:
        return wrong(
            measured,
            threshold,
            "Images and volumes between the servers will take long.",
            remedy(
                f"Look at the cable and the switch's port of {view.host}: bad wires make 100 Mb/s of 1 Gb/s.",
                f"ip -s link show {nic.name}",
                f"cat /sys/class/net/{nic.name}/speed",
            ),
        )
    more = "" if mbps >= recommended else f" {_rate(recommended)} would make large images and volumes quicker."
    return passed(measured, threshold, f"It is fast enough.{more}")


def default_route(view: HostView) -> Outcome:
    threshold = "one default route"
    if not view.facts.nics:
        return unknown(threshold, f"The interfaces are not known: {view.facts.why_unknown('network')}.")
    ways = [nic for nic in view.facts.nics if nic.default_route]
    if not ways and not view.probed:
        return unknown(threshold, f"The routes are not known: {view.facts.why_unknown('routes')}.")
    if not ways:
        gateway = view.site.network.gateway
        nic = view.ground.nic(view.host)
        set_now = () if gateway is None or nic is None else (f"sudo ip route add default via {gateway} dev {nic.name}",)
        return wrong(
            "none",
            threshold,
            "The server does not reach the internet, so no package comes.",
            remedy(
                f"Give {view.host} a gateway, in its network settings or in your router's DHCP.", *set_now, "ip route"
            ),
        )
    measured = ", ".join(f"{nic.name}{' by ' + nic.gateway if nic.gateway else ''}" for nic in ways)
    if len(ways) > 1:
        reason = "Answers may leave by another way than the one that they are awaited on."
        netplan = () if view.facts.system.os_id == "debian" else ("sudo netplan get",)
        second = remedy(f"Leave one of them on {view.host}.", "ip route", *netplan)
        return warning(measured, threshold, reason, second)
    return passed(measured, threshold, "It reaches the world outside.")


def static(view: HostView) -> Outcome:
    address = view.server.address
    threshold = f"{address}, set on the server"
    if not view.facts.nics:
        return unknown(threshold, f"The interfaces are not known: {view.facts.why_unknown('network')}.")
    nic = view.ground.nic(view.host)
    carried = nic is not None and any(one.split("/")[0] == address for one in nic.addresses)
    if not any(one.addresses for one in view.facts.nics if one.kind != "loopback"):
        return unknown(threshold, f"Its addresses are not known: {view.facts.why_unknown('network')}.")
    if nic is None or not carried:
        return wrong(
            "on none of its interfaces",
            threshold,
            f"{view.host} is reached as {address} but does not have that address: others will not find it.",
            remedy(
                "Say in the site which address the server really has.",
                "ip -4 addr",
                f"homewright site show servers.{view.host}",
            ),
        )
    if nic.dhcp is None:
        return unknown(
            threshold, f"It is not known where {address} comes from: {view.facts.why_unknown('network', 'netplan')}."
        )
    if nic.dhcp:
        return warning(
            f"{address} by DHCP on {nic.name}",
            threshold,
            "A lease may change, and with it everything that the cluster has written down.",
            remedy(
                f"Reserve {address} for {nic.mac or nic.name} in your router and accept this, or set it on the server.",
                f'homewright check --accept net.static-address --reason "reserved: {nic.mac or nic.name}"',
            ),
        )
    return passed(f"{address} on {nic.name}", threshold, "It keeps its address.")


def bridgeable(view: HostView) -> Outcome:
    threshold = "an interface by cable"
    if not view.facts.nics:
        return unknown(threshold, f"The interfaces are not known: {view.facts.why_unknown('network')}.")
    named = view.server.nic
    nic = next((one for one in view.facts.nics if one.name == named), None) if named else view.ground.nic(view.host)
    wired = [one.name for one in view.facts.nics if one.kind == "ethernet"]
    choose = remedy(
        f"Connect {view.host} by cable and let that interface carry its address.",
        *(f"homewright site set servers.{view.host}.nic {one}" for one in wired[:1]),
        "ip -br link",
    )
    if nic is None:
        missing = f"{named} is not there" if named else "none has the address"
        return wrong(missing, threshold, "There is no interface for the bridge br0 to take over.", choose)
    if nic.kind == "wifi":
        return wrong(f"{nic.name} is Wi-Fi", threshold, "Wi-Fi carries one address each: it cannot be bridged.", choose)
    if nic.kind == "loopback":
        return wrong(
            f"{nic.name} leads nowhere", threshold, "The bridge br0 needs an interface that leads out.", choose
        )
    return passed(f"{nic.name} ({nic.kind})", threshold, "The bridge br0 can take it over, or is there already.")


def zerotier(view: HostView) -> Outcome:
    threshold = "udp/9993 gets out"
    out = view.ground.measurements.outbound.get(view.host, {}).get("udp/9993")
    if out is None:
        why = view.ground.measurements.why_not(view.host, "outbound")
        return unknown(threshold, f"It is not known: {why}.")
    if out:
        return passed("it does", threshold, "ZeroTier finds its other members.")
    return wrong(
        "it does not",
        threshold,
        "Without it ZeroTier goes by relays, slowly, or not at all.",
        remedy("Let UDP port 9993 out, in the router and in the server's firewall.", "sudo ufw allow out 9993/udp"),
    )


def overlay_mtu(view: HostView) -> Outcome:
    wanted = view.limits.number("mtu")
    threshold = f"{wanted:.0f} bytes"
    joined = [nic for nic in view.facts.nics if nic.name.startswith("zt")]
    if not joined:
        return pending("not joined yet", threshold, "Stage 30 joins the ZeroTier network.")
    mtu = joined[0].mtu
    if mtu is None:
        return unknown(threshold, f"The MTU of {joined[0].name} is not known: {view.facts.why_unknown('network')}.")
    if mtu == wanted:
        return passed(f"{mtu} bytes", threshold, "Packets of the overlay have their usual size.")
    return wrong(
        f"{mtu} bytes on {joined[0].name}",
        threshold,
        "Members with different sizes lose each other's large packets.",
        remedy("Set the size that ZeroTier's network has.", f"sudo ip link set {joined[0].name} mtu {wanted:.0f}"),
    )


def _overlay(site: Site, host: str) -> bool:
    return site.network.overlay.kind == "zerotier"


def _carriers(view: HostView, nic: Nic) -> list[Nic]:
    """The interface, or what a bridge or bond is made of."""
    below = [
        one for one in view.facts.nics if one.master == nic.name and one.kind in ("ethernet", "bond", "wifi", "vlan")
    ]
    return below or [nic]


def _rate(mbps: float) -> str:
    return f"{mbps / 1000:g} Gb/s" if mbps >= 1000 else f"{mbps:g} Mb/s"


CHECKS = (
    Check("net.link-speed", "Link speed", "network", "host", ("nics",), _ETCD, host=speed),
    Check("net.default-route", "Default route", "network", "host", ("nics",), _NETPLAN, host=default_route,
          debian_link=_DEBIAN_NETWORK),
    Check("net.static-address", "Fixed address", "network", "host", ("nics", "site.servers"), _NETPLAN, host=static,
          debian_link=_DEBIAN_NETWORK),
    Check("net.bridge-nic", "Interface for the bridge", "network", "host", ("nics", "site.servers"), _WIFI,
          host=bridgeable),
    Check("net.zerotier", "ZeroTier gets out", "network", "host", ("measured.outbound", "site.network"), _ZEROTIER,
          host=zerotier, applies=_overlay),
    Check("net.overlay-mtu", "Overlay's MTU", "network", "host", ("nics", "site.network"), _ZEROTIER,
          host=overlay_mtu, applies=_overlay),
)  # fmt: skip
