"""What a step must say where it could lock the operator out."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from homewright.catalogue.models import Step

STEP = {"id": "10/10", "title": "T", "runner": "python", "run": "a.py", "verify": "b.py", "rollback": "c.py"}
RISKY = {"may_lock_out": True, "revert": {"files": ["/etc/netplan/", "/etc/hosts"], "command": "netplan apply"}}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"may_lock_out": True}, "needs revert"),
        ({"revert": RISKY["revert"]}, "only for a step that may_lock_out"),
        ({**RISKY, "shares_hosts": True}, "no shares_hosts"),
        ({"reboots": True, "shares_hosts": True}, "no shares_hosts"),
        ({"may_lock_out": True, "revert": {"files": []}}, "at least 1 item"),
        *(
            ({"may_lock_out": True, "revert": {"files": [path]}}, words)
            for path, words in [
                ("etc/netplan", "absolute path"),
                ("/etc/", "absolute path"),
                ("/etc/../boot/x", "absolute path"),
                ("/etc//netplan", "absolute path"),
                ("/tmp/x", "does not last"),
                ("/var/lib/homewright/fence.json", "does not last"),
                ("/proc/sys/net", "does not last"),
            ]
        ),
    ],
)
def test_a_step_that_could_lock_out_says_how_it_is_taken_back(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Step.model_validate({**STEP, **more})


def test_a_step_that_may_lock_out_and_reboots() -> None:
    step = Step.model_validate({**STEP, **RISKY, "reboots": True})
    assert step.revert is not None
    assert (step.revert.minutes, step.revert.command) == (4, "netplan apply")
