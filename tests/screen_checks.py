"""A few checks of three servers with findings of every kind, for the flows of the checks screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import checking
from recorded_sites import lay_out
from screen_doubles import NOW

from homewright.checks import running
from homewright.checks.models import Category, Finding, FixId, Key, Remedy, Report, Scope, Status
from homewright.screens.check_board import CheckRow, group_of

Made = tuple[str, str, Category, Scope]
CHECKS: tuple[Made, ...] = (
    ("host.system", "Operating system", "host", "host"),
    ("host.memory", "Memory", "host", "host"),
    ("host.clock", "Clock", "host", "host"),
    ("host.swap", "Swap", "host", "host"),
    ("network.ports", "Ports that have to be free", "network", "host"),
    ("gpu.iommu", "IOMMU", "gpu", "host"),
    ("network.reach", "Round trip and loss", "network", "pair"),
    ("topology.quorum", "Quorum", "topology", "site"),
)
LINK = "https://documentation.ubuntu.com/lxd/latest/requirements/"


def rows() -> tuple[CheckRow, ...]:
    """The rows of these checks."""
    return tuple(CheckRow(id, title, group_of(scope, category)) for id, title, category, scope in CHECKS)


def finding(
    check: str,
    subjects: Sequence[str],
    status: Status = "passed",
    measured: str = "as it should be",
    reason: str = "It is as the platform wants it.",
    fix: FixId | None = None,
    changes: Sequence[str] = (),
    do: Sequence[str] = (),
) -> Finding:
    """One finding."""
    _, title, category, scope = next(made for made in CHECKS if made[0] == check)
    severity: Literal["failed", "warning"] = "warning" if status == "warning" else "failed"
    remedy = None if status == "passed" else Remedy(say="Put it right.", do=tuple(do), fix=fix, changes=tuple(changes))
    return Finding(
        check=check,
        title=title,
        category=category,
        scope=scope,
        phase="always",
        subjects=tuple(subjects),
        status=status,
        severity=severity,
        measured=measured,
        threshold="what is wanted",
        reason=reason,
        remedy=remedy,
        link=LINK,
    )


TROUBLE = (
    finding("host.clock", ["s2"], "failed", "25 h behind", "Certificates of the others are not valid there yet.",
            "clock", ["the clock of s2 is set to 12:04"]),
    finding("host.memory", ["s1"], "failed", "1.2 GB", "A control plane needs more.", do=["Put more memory in"]),
    finding("host.swap", ["s3"], "warning", "2 GiB on /swapfile", "Workloads that swap are slow.", do=["swapoff -a"]),
    finding("gpu.iommu", ["s3"], "unknown", "", "The kernel shows no groups before the IOMMU is on."),
    finding("network.ports", ["s1"], "failed", "80: nginx", "The ingress needs it.", "port",
            ["the service nginx of s1 is stopped and disabled"]),
    finding("network.reach", ["s2", "s3"], "warning", "140 ms, 2 %", "A control plane wants it quicker."),
    finding("topology.quorum", [], "warning", "2 control planes", "Two cannot outvote a lost one."),
)  # fmt: skip


def report_of(hosts: Sequence[str], wrong: Sequence[Finding] = (), lost: Sequence[str] = ()) -> Report:
    """A report in which all but these findings passed, and these servers did not answer."""
    findings: dict[Key, Finding] = {}
    for id, _, _, scope in CHECKS:
        subjects: list[tuple[str, ...]] = [()]
        if scope == "host":
            subjects = [(host,) for host in hosts]
        elif scope == "pair":
            subjects = [(one, other) for one in hosts for other in hosts if one != other]
        for about in subjects:
            away = [host for host in about if host in lost]
            made = finding(id, about)
            if away:
                made = finding(id, about, "unknown", "", f"{away[0]} cannot be reached: nothing answers at port 22.")
            findings[made.key] = made
    findings |= {one.key: one for one in wrong}
    return Report(
        site="attic",
        profile="home",
        at=NOW - 5,
        findings=tuple(findings.values()),
        unreachable=dict.fromkeys(lost, "nothing answers at port 22."),
        ran=tuple(findings),
    )


def checked(name: str) -> Path:
    """The site file of these recorded machines, with its facts and the report of all real checks kept."""
    file, state = lay_out(name)
    scene = checking.scene(name)
    findings = scene.judge()
    report = Report(
        site=scene.site.name,
        profile=scene.profile,
        at=NOW - 5,
        findings=findings,
        unreachable=dict(scene.unreachable),
        ran=tuple(finding.key for finding in findings),
    )
    running.keep(state, report)
    return file
