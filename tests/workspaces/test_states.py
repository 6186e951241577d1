"""What a node reports, put into words."""

from __future__ import annotations

from typing import Any

import pytest

from homewright.workspaces.models import WorkspaceState
from homewright.workspaces.observation import Observation
from homewright.workspaces.states import judge, notes

NOW = 1_800_000_000.0
RECORD = {
    "uid": "u", "generation": 3, "user": "alice", "name": "default", "node": "s2", "slug": "alice", "template": "node",
    "preset": "small", "port": 8500, "unit": "homewright-workspace-alice.service", "system_user": "hw-alice",
    "data_root": "/srv/homewright/data", "created_at": NOW - 1000, "complete": True,
    "certificate_expires_at": NOW + 300 * 86400,
}  # fmt: skip
UNIT = {
    "loadstate": "loaded", "activestate": "active", "substate": "running", "result": "success",
    "activeentertimestamp": f"@{int(NOW) - 60}",
}  # fmt: skip
HEALTHY = {"ok": True, "heartbeat": NOW - 5}


def seen(record: dict[str, Any] | None = None, unit: dict[str, Any] | None = None, **rest: Any) -> Observation:
    document = {"health": HEALTHY, "free": 1 << 40, **rest}
    return Observation.model_validate({"record": RECORD | (record or {}), "unit": UNIT | (unit or {}), **document})


FAILED = {"activestate": "failed", "substate": "failed", "result": "exit-code", "execmaincode": "1"}
OFF = {"activestate": "inactive", "substate": "dead"}
GONE = {"loadstate": "not-found", "activestate": "inactive"}
AGAIN = {"activestate": "activating", "substate": "auto-restart", "nrestarts": "3"}


@pytest.mark.parametrize(
    ("observation", "state", "says"),
    [
        (seen(), "running", ""),
        (seen(free=1000), "running", "disk of the node is full"),
        (seen(unit=OFF, health=None), "stopped", ""),
        (seen({"complete": False}, OFF, health=None), "pending", "cut off"),
        (seen({"complete": False}, GONE, health=None), "pending", "cut off, or is going on"),
        (seen(unit=GONE, health=None), "error", "unit was removed"),
        (seen(unit={"activestate": "deactivating"}), "stopping", ""),
        (seen({"deleting": "keep"}), "error", "deletion was cut off"),
        (seen(unit={"activestate": "activating", "substate": "start"}, health=None), "starting", ""),
        (seen(health=None), "starting", "does not listen yet"),
        (seen(health={"ok": False, "problem": "timed out"}), "starting", "timed out"),
        (seen(unit={"activeentertimestamp": f"@{int(NOW) - 301}"}, health=None), "error", "301 s and does not answer"),
        (seen(health=None, port_taken_by="python3 (process 7)"), "error", "8500 is taken by python3 (process 7)"),
        (seen(unit=FAILED, health=None, port_taken_by="nginx (process 9)"), "error", "taken by nginx"),
        (seen(unit=AGAIN, health=None, port_taken_by="nginx (process 9)"), "error", "taken by nginx"),
        (
            seen(unit=FAILED | {"execmainstatus": "203"}, health=None, bundle_present=False),
            "error",
            "code-server is missing",
        ),
        (seen(unit=FAILED, health=None, config_present=False), "error", "configuration is missing"),
        (seen(unit=FAILED, health=None, free=1000), "error", "disk of the node is full"),
        (
            seen(unit=FAILED | {"execmainstatus": "226"}, health=None),
            "error",
            "walls (mount namespace) cannot be set up",
        ),
        (seen(unit=FAILED | {"execmainstatus": "217"}, health=None), "error", "system user is missing"),
        (
            seen(unit=FAILED | {"execmainstatus": "1"}, health=None, last_lines=["Error: listen EACCES", ""]),
            "error",
            "ended with exit code 1: Error: listen EACCES",
        ),
        (seen(unit=FAILED | {"result": "oom-kill"}, health=None), "error", "more memory than its preset allows"),
        (
            seen(unit=FAILED | {"result": "signal", "execmaincode": "2", "execmainstatus": "9"}, health=None),
            "error",
            "ended by a signal (9)",
        ),
        (seen(unit=FAILED | {"result": "start-limit-hit"}, health=None), "error", "gave up starting"),
        (seen(unit=AGAIN, health=None), "error", "started 3 times"),
        (seen({"certificate_expires_at": NOW - 1}), "error", "certificate ended on 2027-01-15"),
        (
            seen(health={"ok": False, "problem": "certificate has expired", "certificate": True}),
            "error",
            "certificate is refused: certificate has expired",
        ),
    ],
)
def test_a_state_has_its_reason_in_words(observation: Observation, state: str, says: str) -> None:
    verdict = judge(observation, NOW)
    assert verdict.state is WorkspaceState(state)
    assert says in verdict.reason
    if verdict.state is WorkspaceState.ERROR:
        assert verdict.remedy, "an error says what to do"
    if not says:
        assert verdict.reason == ""


def test_notes_say_what_a_state_does_not() -> None:
    assert notes(seen(), NOW, ("cpu", "memory", "pids")) == ()
    (unenforced,) = notes(seen(), NOW, ("hugetlb",))
    assert "no cpu and no memory controller" in unenforced
    (ending,) = notes(seen({"certificate_expires_at": NOW + 86400}), NOW, ("cpu", "memory"))
    assert "ends on" in ending


def test_a_workspace_cannot_write_escape_sequences_into_the_list() -> None:
    evil = "\x1b]0;root\x07\x1b[2J"
    taken = judge(seen(health=None, port_taken_by=f"{evil} (process 7)"), NOW)
    logged = judge(seen(unit=FAILED, health=None, last_lines=[f"{evil}ended"]), NOW)
    answered = judge(seen(health={"ok": False, "problem": evil}), NOW)
    for verdict in (taken, logged, answered):
        assert verdict.reason and verdict.reason.isprintable()
