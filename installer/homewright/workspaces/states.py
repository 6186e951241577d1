"""What state a node workspace is in, and why, in words. Pure: an observation in, a verdict out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from homewright.workspaces.models import WorkspaceState
from homewright.workspaces.observation import Observation

FULL = 64 << 20
"""Less than this, in bytes, and an editor cannot save its own state any more."""
RENEW_S = 30 * 86400
"""A certificate that ends sooner than this is made anew at the next start."""
START_TIMEOUT_S = 300.0

_RESULTS = {
    "exit-code": "it ended with exit code {status}",
    "signal": "it was ended by a signal ({status})",
    "core-dump": "it crashed (signal {status})",
    "oom-kill": "the kernel ended it because it used more memory than its preset allows",
    "timeout": "it did not do what systemd waited for in time",
    "start-limit-hit": "it failed so often that systemd gave up starting it",
    "resources": "the node has no resources left for it",
    "watchdog": "its watchdog ended it",
}
_EXITS = {
    "203": "its program cannot be run",
    "217": "its system user is missing",
    "200": "its working folder is missing",
    "216": "its group is missing",
    "226": "its walls (mount namespace) cannot be set up on this node",
    "228": "its system-call filter cannot be set up on this node",
}


@dataclass(frozen=True)
class Verdict:
    """A state, why it is in it, and what to do."""

    state: WorkspaceState
    reason: str = ""
    remedy: str = ""


def judge(seen: Observation, now: float, start_timeout_s: float = START_TIMEOUT_S) -> Verdict:
    """The state of a workspace. `now` is the node's clock, in Unix seconds."""
    record, unit = seen.record, seen.unit
    if record.deleting:
        return Verdict(WorkspaceState.ERROR, "its deletion was cut off", "delete it again to finish that")
    if unit.activestate == "deactivating":
        return Verdict(WorkspaceState.STOPPING)
    if unit.loadstate == "not-found":
        if record.complete:
            return Verdict(
                WorkspaceState.ERROR, "its unit was removed from the node", "create it again: its data is kept"
            )
        return Verdict(
            WorkspaceState.PENDING, "its creation was cut off, or is going on", "create it again to finish that"
        )
    if unit.activestate in ("failed", "activating") or (unit.activestate == "inactive" and unit.result != "success"):
        return _failing(seen)
    if unit.activestate == "inactive":
        if not record.complete:
            return Verdict(WorkspaceState.PENDING, "its creation was cut off", "create it again to finish that")
        return Verdict(WorkspaceState.STOPPED)
    return _active(seen, now, start_timeout_s)


def _failing(seen: Observation) -> Verdict:
    reason, remedy = _cause(seen)
    if seen.unit.activestate == "activating" and not reason:
        return Verdict(WorkspaceState.STARTING)
    return Verdict(WorkspaceState.ERROR, reason or "it failed", remedy or "look at its log, then start it again")


def _cause(seen: Observation) -> tuple[str, str]:
    """Why a unit does not stay up: what is certain first, what systemd says last."""
    unit, record = seen.unit, seen.record
    if seen.port_taken_by:
        return (
            f"its port {record.port} is taken by {seen.port_taken_by}",
            "end that process on the node, then start the workspace",
        )
    if not seen.bundle_present:
        return "its code-server is missing on the node", "create it again: that puts it back"
    if not seen.config_present:
        return "its configuration is missing on the node", "create it again: that puts it back"
    if seen.free is not None and seen.free < FULL:
        return f"the disk of the node is full under {record.data_root}", "free some space there, then start it"
    if unit.activestate == "activating" and unit.substate != "auto-restart":
        return "", ""
    cause = _EXITS.get(unit.execmainstatus, "") if unit.execmaincode == "1" else ""
    cause = cause or _RESULTS.get(unit.result, "").format(status=unit.execmainstatus)
    if not cause and unit.substate == "auto-restart":
        cause = f"it keeps ending, and was started {unit.nrestarts} times"
    last = next((line for line in reversed(seen.last_lines) if line.strip()), "")
    return f"{cause}: {last}" if cause and last else cause, ""


def _active(seen: Observation, now: float, start_timeout_s: float) -> Verdict:
    record, health = seen.record, seen.health
    expires = record.certificate_expires_at
    if expires is not None and expires <= now:
        return Verdict(
            WorkspaceState.ERROR, f"its certificate ended on {_day(expires)}", "stop and start it: that makes a new one"
        )
    if health is not None and health.ok:
        if seen.free is not None and seen.free < FULL:
            return Verdict(
                WorkspaceState.RUNNING,
                f"the disk of the node is full under {record.data_root}",
                "free some space there",
            )
        return Verdict(WorkspaceState.RUNNING)
    if health is not None and health.certificate:
        return Verdict(
            WorkspaceState.ERROR,
            f"its certificate is refused: {health.problem}",
            "stop and start it: that makes a new one",
        )
    if seen.port_taken_by:
        return Verdict(WorkspaceState.ERROR, *_cause(seen))
    problem = health.problem if health is not None else "it does not listen yet"
    age = now - (seen.unit.active_since or now)
    if age < start_timeout_s:
        return Verdict(WorkspaceState.STARTING, problem)
    return Verdict(
        WorkspaceState.ERROR,
        f"it runs for {round(age)} s and does not answer: {problem}",
        "look at its log, then stop and start it",
    )


def notes(seen: Observation, now: float, controllers: tuple[str, ...]) -> tuple[str, ...]:
    """What is worth knowing besides the state."""
    found = []
    expires = seen.record.certificate_expires_at
    if expires is not None and now < expires < now + RENEW_S:
        found.append(f"Its certificate ends on {_day(expires)}: stop and start it, and it gets a new one.")
    missing = [name for name in ("cpu", "memory") if name not in controllers]
    if missing:
        found.append(
            f"The kernel of {seen.record.node} offers no {' and no '.join(missing)} controller: "
            "the limits of its preset are not enforced there."
        )
    return tuple(found)


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
