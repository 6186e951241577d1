"""How a person's own computer comes to find the site's names: by the router, by split DNS, or by lines of its own.

Pure. The commands are those of the systems themselves: dnsmasq(8), resolved.conf(5), resolver(5), NRPT, hosts(5).
"""

from __future__ import annotations

from homewright.site.models import Site
from homewright.site.trusting import Way

MOST_LINES = 4
"""Servers whose lines for a hosts file are written out."""


def ways(site: Site) -> tuple[Way, ...]:
    """Every way, with the steps of each; none where the site has no zone, or no server yet."""
    if site.zone is None or not site.servers:
        return ()
    zone, asked = site.zone, site.servers[0].address
    lines = [f"{server.address} {server.name}.{zone}" for server in site.servers]
    more = [f"and so on, for {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    return (
        Way(where="Router", steps=(f"where it has dnsmasq (OpenWrt, Pi-hole): server=/{zone}/{asked}",), command=False),
        Way(
            where="Linux",
            steps=(
                "sudo mkdir -p /etc/systemd/resolved.conf.d",
                f"printf '%s\\n' '[Resolve]' 'DNS={asked}' 'Domains=~{zone}' | "
                f"sudo tee /etc/systemd/resolved.conf.d/{site.name}.conf",
                "sudo systemctl restart systemd-resolved",
            ),
            command=True,
        ),
        Way(
            where="macOS",
            steps=("sudo mkdir -p /etc/resolver", f"echo nameserver {asked} | sudo tee /etc/resolver/{zone}"),
            command=True,
        ),
        Way(
            where="Windows",
            steps=(f"Add-DnsClientNrptRule -Namespace .{zone} -NameServers {asked}",),
            command=True,
        ),
        Way(
            where="Without DNS",
            steps=(
                "in /etc/hosts, or C:\\Windows\\System32\\drivers\\etc\\hosts:",
                *lines[:MOST_LINES],
                *more,
                "and one for each workspace, as its address says",
            ),
            command=False,
        ),
    )


def test(site: Site) -> str:
    """What shows that it worked; empty where there is nothing to find."""
    return f"ping {site.servers[0].name}.{site.zone}" if site.zone is not None and site.servers else ""
