"""What checking says: findings, their remedies, and the report that keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["passed", "warning", "failed", "unknown", "pending"]
"""`unknown`: it could not be found out, and the reason says why; `pending`: its time has not come yet."""
Severity = Literal["failed", "warning"]
"""`failed` blocks apply; only a `warning` can be accepted."""
Category = Literal["host", "network", "gpu", "topology"]
Scope = Literal["host", "pair", "site"]
Phase = Literal["before-install", "after-names", "always"]
"""`before-install`: asks for what the platform takes afterwards, and then counts as ours. `after-names`: pending until
stage 00, step 10 has written the servers' names."""

FixId = Literal[
    "clock",
    "time-sync",
    "resolv",
    "dns",
    "hosts",
    "hostname",
    "inotify",
    "aio",
    "br-netfilter",
    "snap-hold",
    "apt-lock",
    "packages",
    "port",
    "disk",
    "mtu",
    "loss",
]
"""Repairs that Homewright can do by itself: each is safe to repeat, and the remedy's `changes` say what it will do.

- `clock`: sets the clock to the median of the site's.
- `time-sync`: enables and starts the time service that is there.
- `resolv`: writes resolvers that answer in place of those that do not.
- `dns`: takes away the name server, or the search domain, that answers for names that cannot exist.
- `hosts`: writes the servers' names into /etc/hosts, as stage 00, step 10 does.
- `hostname`: sets the host name to the server's name in the site.
- `inotify`, `aio`: set the limits now and in /etc/sysctl.d. `br-netfilter`: loads the module now and at every boot.
- `snap-hold`: holds snaps from refreshing by themselves.
- `apt-lock`: waits, for a limited time, until whoever holds the lock has finished; it ends nobody.
- `packages`: finishes what dpkg left half installed.
- `port`: stops the systemd service, or ends the process, that listens on the port; the remedy names it.
- `disk`: empties the package cache and old journals; files of a person are never removed.
- `mtu`: sets the interface's MTU to what the other servers have.
- `loss`: takes away artificial delay and loss (a netem queue) from the interface; a bad cable is for a person.
"""

Key = tuple[str, tuple[str, ...]]
"""What is judged: a check, and whom it is about."""


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Remedy(Document):
    """What to do about a finding."""

    say: str
    """One sentence."""
    do: tuple[str, ...] = ()
    """Commands that can be pasted as they stand on the server that the finding is about, or sentences, in order."""
    fix: FixId | None = None
    """The repair that Homewright can do by itself; None where it is for a person."""
    changes: tuple[str, ...] = ()
    """What the repair will change, where there is one."""


class Finding(Document):
    """What one check found about its subjects."""

    check: str
    """The check's stable id, such as `host.memory`."""
    title: str
    category: Category
    scope: Scope
    phase: Phase
    subjects: tuple[str, ...]
    """The server; of a pair source and target; none for the site."""
    status: Status
    severity: Severity
    """How bad it is; of one that passed, how bad it would be."""
    measured: str
    """With units; empty where it is unknown."""
    threshold: str
    """What was wanted."""
    reason: str
    """One sentence."""
    remedy: Remedy | None = None
    link: str = ""
    """Public documentation of the thing."""
    accepted: str | None = None
    """Why somebody accepted this warning; None where nobody did, or where another value was measured since."""

    @property
    def key(self) -> Key:
        return self.check, self.subjects

    @property
    def open(self) -> bool:
        """Whether it is still to be dealt with: failed, unknown, or a warning that nobody accepted."""
        return self.status in ("failed", "unknown") or (self.status == "warning" and self.accepted is None)


class Report(Document):
    """What `homewright check --json` prints, and what is kept in the state folder."""

    version: Literal[1] = 1
    site: str
    profile: str
    at: float
    """Unix seconds."""
    findings: tuple[Finding, ...] = ()
    unreachable: dict[str, str] = {}
    """Servers that could not be reached, and why."""
    ran: Annotated[tuple[Key, ...], Field(description="What was judged this time, by check and subjects.")] = ()

    def blocking(self) -> tuple[Finding, ...]:
        """What has to be put right before apply."""
        return tuple(finding for finding in self.findings if finding.status == "failed")

    def warnings(self) -> tuple[Finding, ...]:
        """Warnings that nobody has accepted."""
        return tuple(finding for finding in self.findings if finding.status == "warning" and finding.accepted is None)

    def unknown(self) -> tuple[Finding, ...]:
        """What could not be found out."""
        return tuple(finding for finding in self.findings if finding.status == "unknown")

    def of(self, host: str) -> tuple[Finding, ...]:
        """What is about this server, pairs that it is part of included."""
        return tuple(finding for finding in self.findings if host in finding.subjects)

    def finding(self, check: str, *subjects: str) -> Finding | None:
        """The finding of one check about these subjects."""
        return next((found for found in self.findings if found.key == (check, subjects)), None)

    def updated(self, findings: Iterable[Finding], at: float, unreachable: dict[str, str] | None = None) -> Report:
        """The report after these were judged anew: they stand where their predecessors stood."""
        fresh = {finding.key: finding for finding in findings}
        kept = [fresh.pop(old.key, old) for old in self.findings]
        ran = tuple(finding.key for finding in findings)
        return self.model_copy(
            update={
                "findings": (*kept, *fresh.values()),
                "at": at,
                "ran": ran,
                "unreachable": self.unreachable if unreachable is None else unreachable,
            }
        )
