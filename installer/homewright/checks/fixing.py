"""Putting right what Homewright can: one repair for each id in `FixId`, by sudo over our own connection.

A repair says before what it will change (`Remedy.changes`) and afterwards what it did. All of them may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from homewright.access.connection import Connection, Endpoint
from homewright.checks import profiles
from homewright.checks.fixes import clocks, kernel, names, packages, wires
from homewright.checks.fixes.repair import FixFailed, Repair
from homewright.checks.ground import Ground
from homewright.checks.models import Finding, FixId, Report
from homewright.discovery import recorded as recorded_facts
from homewright.errors import UsageError
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.rehearsed import refuse

__all__ = ["REPAIRS", "FixFailed", "fix", "fixable", "once", "places"]

Say = Callable[[str], None]

REPAIRS: Mapping[FixId, Callable[[Repair], None]] = MappingProxyType(
    {
        "clock": clocks.set_clock,
        "time-sync": clocks.keep_time,
        "resolv": names.mend_resolvers,
        "dns": names.mend_resolvers,
        "hosts": names.write_hosts,
        "hostname": names.set_hostname,
        "inotify": kernel.raise_inotify,
        "aio": kernel.raise_aio,
        "br-netfilter": kernel.load_br_netfilter,
        "snap-hold": packages.hold_snaps,
        "apt-lock": packages.wait_for_lock,
        "packages": packages.finish,
        "disk": packages.make_room,
        "port": wires.free_ports,
        "mtu": wires.set_mtu,
        "loss": wires.stop_losing,
    }
)


def fix(site: Site, state: StateFolder, finding: Finding, say: Say) -> None:
    """Do what the finding's remedy offers, on the servers that it concerns; `say` hears what was done.

    Raises UsageError where there is nothing that Homewright can do itself, FixFailed where it did not work, Unreachable
    where a server cannot be reached, RehearsalOnly in a rehearsal.
    """
    if finding.remedy is None or finding.remedy.fix is None:
        raise UsageError(
            f"{finding.title}: there is nothing that Homewright can put right by itself.",
            finding.remedy.say if finding.remedy is not None else "",
            finding.remedy.do if finding.remedy is not None else (),
        )
    refuse(state.root, f"{finding.title} is not put right in a rehearsal.")
    ground = Ground(site, recorded_facts(state))
    profile = profiles.load(site.profile)
    act = REPAIRS[finding.remedy.fix]
    for host in places(ground, finding):
        server = site.server(host)
        with Connection.open(Endpoint.of(server, state)) as connection:
            act(Repair(ground, profile, finding, server, connection, say))


def places(ground: Ground, finding: Finding) -> tuple[str, ...]:
    """The servers that a finding's repair works on. Pure.

    Of a pair, a wrong MTU is mended on the one that is unlike most; loss may be made on either.
    """
    if len(finding.subjects) == 2 and finding.remedy is not None and finding.remedy.fix == "mtu":
        odd = [host for host in finding.subjects if (nic := ground.nic(host)) and nic.mtu not in (None, ground.mtu)]
        return tuple(odd) or finding.subjects[:1]
    return finding.subjects


def fixable(report: Report, site: Site, state: StateFolder, name: str, hosts: Collection[str]) -> tuple[Finding, ...]:
    """The open findings on these servers whose repair, or whose check, has this id; each server's repair once."""
    ground = Ground(site, recorded_facts(state))
    named = [one for one in report.findings if one.remedy and name in (one.remedy.fix, one.check)]
    return once(ground, [one for one in named if {*places(ground, one), *one.subjects} & set(hosts)])


def once(ground: Ground, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those of the findings that are open and whose repairs put all of them right: each server's repair once. Pure."""
    found: list[Finding] = []
    mended: dict[str, set[str]] = {}
    for finding in findings:
        if finding.remedy is None or finding.remedy.fix is None or not finding.open:
            continue
        where = places(ground, finding)
        seen = mended.setdefault(finding.remedy.fix, set())
        if not seen.issuperset(where):
            found.append(finding)
            seen.update(where)
    return tuple(found)
