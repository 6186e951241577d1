"""Everything that the practice site applies is taken back: its servers are what they were before the run."""

from __future__ import annotations

from typing import Any

import pytest
from practice_lab import Lab
from server_listing import CHANGEABLE, SYSTEM, files_command, listing, unlike

pytestmark = [pytest.mark.lab, pytest.mark.long]

LEFT: dict[str, str] = {}
"""What stays on a server on purpose, each with its reason; docs/proofs.md has the same list."""


def look(lab: Lab) -> dict[str, set[str]]:
    """The servers' files, packages, accounts, units, interfaces, addresses, routes and rules, past SSH."""
    commands = f"( {files_command(CHANGEABLE)} ) && ( {SYSTEM} )"
    return listing(lab.on, lab.servers, commands)


def ran(done: Any) -> None:
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]


def test_whatever_the_practice_site_applies_is_taken_back(lab: Lab) -> None:
    lab.before_first_contact()
    ran(lab.run("trust", "--all", "--practice"))
    before = look(lab)
    ran(lab.run("apply", "--yes", timeout=3600))
    made = look(lab)
    ran(lab.run("rollback", "--all", "--yes", timeout=3600))
    after = look(lab)
    assert len(unlike(before, made)) > 100, "the run has changed next to nothing"
    assert unlike(before, after, LEFT) == []
