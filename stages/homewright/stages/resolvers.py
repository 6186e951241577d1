"""Whom a server or an instance asks for names (stage 30): the platform's DNS server first, those of before after it.

So a dead DNS server costs a second a name and cuts nobody off from package mirrors. The zone is no search domain: its
wildcard would answer for every name that is misspelt. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from homewright.errors import HomewrightError

RESOLV = "/etc/resolv.conf"
RESOLVED = "/etc/systemd/resolved.conf.d/90-homewright.conf"
RESOLVEDS_OWN = ("/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf",
                 "/usr/lib/systemd/resolv.conf")  # fmt: skip
MOST = 3
"""Name servers that glibc asks (resolv.conf(5), MAXNS)."""
HEADER = "# Kept by Homewright (30/20): the platform's DNS server first, those of before after it.\n"
_WRITERS = ("NetworkManager", "resolvconf", "dhclient", "dhcpcd", "connman", "tailscale", "netconfig")


class Refused(HomewrightError):
    """This host's resolvers, or its DNS server, are somebody else's business; nothing was changed."""

    code = "dns"


@dataclass(frozen=True)
class Seen:
    """How a host resolves names now."""

    text: str | None
    """Of /etc/resolv.conf; None where there is none."""
    link: str = ""
    """Where it leads, where it is a link."""
    resolved: bool = False
    """Whether systemd-resolved runs."""
    uplink: str = ""
    """What systemd-resolved asks, in resolv.conf's form."""
    client: str = ""
    """A DHCP client that runs here and writes the file with every lease, without a word in it of whose it is."""

    @property
    def by_resolved(self) -> bool:
        """Whether systemd-resolved answers this host's programs."""
        return self.resolved and (self.link in RESOLVEDS_OWN or "nameserver 127.0.0.53" in (self.text or ""))

    @property
    def servers(self) -> tuple[str, ...]:
        """The DNS servers that are asked.

        systemd-resolved names a link-local one with its interface's number, which is another one after some restarts.
        """
        if self.by_resolved:
            return tuple(one for one in name_servers(self.uplink) if "%" not in one)
        return name_servers(self.text or "")


def name_servers(text: str) -> tuple[str, ...]:
    """The `nameserver` lines of a resolv.conf."""
    lines = (line.split() for line in text.splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver")


def why_foreign(host: str, seen: Seen) -> Refused | None:
    """Why the file cannot be kept by us; None where it can."""
    if seen.by_resolved:
        return None
    text = seen.text or ""
    if seen.link:
        writer = f"it leads to {seen.link}"
    else:
        comments = "\n".join(line for line in text.splitlines() if line.startswith(("#", ";")))
        found = next((name for name in _WRITERS if name.lower() in comments.lower()), seen.client)
        if not found:
            return None
        writer = f"{found} writes it"
    return Refused(
        f"{RESOLV} of {host} is not Homewright's to change: {writer}.",
        "Whatever is written there would be lost again, so nothing was changed.",
        [
            "let systemd-resolved answer there: sudo apt-get install systemd-resolved",
            "where dhclient writes it, give the server a fixed address instead",
            "then run apply again",
        ],
    )


def plain(current: str, dns: str, others: Sequence[str]) -> str:
    """/etc/resolv.conf: our server, then the others; search domains and options stay as they are.

    A server that is dead is given up after a second, and each is asked twice.
    """
    kept = [
        line for line in current.splitlines() if line.split() and line.split()[0] in ("search", "domain", "sortlist")
    ]
    options = [word for line in current.splitlines() if line.startswith("options") for word in line.split()[1:]]
    options = [word for word in options if not word.startswith(("timeout:", "attempts:", "rotate"))]
    asked = list(dict.fromkeys([dns, *others]))[:MOST]
    options = ["timeout:1", "attempts:2", *options]
    return HEADER + "".join(
        f"{line}\n" for line in (*kept, *(f"nameserver {one}" for one in asked), f"options {' '.join(options)}")
    )


def without(current: str, dns: str) -> str:
    """What `plain` has made, without our server: for a host of which nobody has written down what was there."""
    ours = (HEADER.rstrip("\n"), f"nameserver {dns}", "options timeout:1 attempts:2")
    return "".join(f"{line}\n" for line in current.splitlines() if line not in ours)


def drop_in(dns: str, zone: str, addresses: Sequence[str]) -> str:
    """systemd-resolved's: the zone and the names of its addresses go to our server, all else to the links' servers too.

    `~` makes a domain one that is routed and not searched (resolved.conf(5)). Never `~.`: all would hang on one server.
    """
    routed = " ".join([f"~{zone}", *(f"~{IPv4Address(one).reverse_pointer}" for one in addresses)])
    return f"{HEADER}[Resolve]\nDNS={dns}\nDomains={routed}\n"
