"""Which interface of a server its bridge br0 can take over, and why not the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from homewright.discovery.facts import HostFacts, Nic
from homewright.site.models import Server

KINDS = ("ethernet", "wifi", "bond", "vlan", "bridge")
"""What people know as network interfaces; the others are made by software for itself."""


@dataclass(frozen=True)
class Candidate:
    """An interface: `reason` says why no bridge can take it over, `note` what to know where one can."""

    nic: Nic
    carries: bool
    """It has the server's address."""
    reason: str = ""
    note: str = ""


def candidates(server: Server, facts: HostFacts) -> tuple[Candidate, ...]:
    """The interfaces of a server, the one with its address first, those that cannot be taken last."""
    judged = [_judged(server, nic) for nic in facts.nics if nic.kind != "loopback" and not _of_instances(nic)]
    found = [one for one in judged if one.nic.kind in KINDS or one.carries]
    return tuple(sorted(found, key=lambda one: (bool(one.reason), not one.carries, not one.nic.up, one.nic.name)))


def unfit(server: Server, facts: HostFacts, name: str) -> str:
    """Why the bridge cannot take over the interface of this name; empty where it can."""
    for one in candidates(server, facts):
        if one.nic.name == name:
            return one.reason
    return f"{server.name} has no interface {name}"


def _judged(server: Server, nic: Nic) -> Candidate:
    carries = any(text.partition("/")[0] == server.address for text in nic.addresses)
    if nic.kind == "wifi":
        reason = "is Wi-Fi: an access point lets only one machine behind it answer, so no bridge works on it"
        return Candidate(nic, carries, f"{nic.name} {reason}")
    if nic.master:
        return Candidate(nic, carries, f"{nic.name} belongs to {nic.master}: choose that one")
    if nic.kind == "bridge":
        # Ours is called so; whether a br0 is, is seen on the server by the step, which leaves somebody else's alone.
        ours = carries and nic.name == "br0"
        return Candidate(nic, carries, "" if ours else f"{nic.name} is a bridge of something else")
    if not carries:
        return Candidate(
            nic, carries, "", f"{nic.name} does not have {server.address}: what uses it moves to the bridge"
        )
    return Candidate(nic, carries)


def _of_instances(nic: Nic) -> bool:
    """Bridges and ports that LXD, containers and virtual machines make for themselves."""
    return nic.kind == "bridge" and nic.name.startswith(("lxdbr", "docker", "br-", "virbr", "cni", "lxcbr"))
