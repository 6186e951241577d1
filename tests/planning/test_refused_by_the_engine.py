"""An engine that finds another plan than the one that was approved refuses it, and says what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from homewright.catalogue import load, shipped
from homewright.engine import launch
from homewright.errors import PlanMismatch
from homewright.planning import kept, plan
from homewright.planning.known import known_facts
from homewright.rehearsal.opening import opened
from homewright.site import files

pytestmark = pytest.mark.programs


def test_what_differs_is_said_and_nothing_is_kept_as_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with opened("attic", anew=True) as here:
        site = files.load(here.site_file)
        approved = plan(site, load([shipped()]), known_facts(site, here.state))
        kept.approve(here.state, approved)
        files.update(here.site_file, {"zone": "home.internal"})
        with pytest.raises(PlanMismatch) as caught:
            launch.start(here.site_file, here.state, plan_digest=approved.digest)
        assert "Answer zone: new, home.internal." in caught.value.why
        assert kept.applied(here.state) is None
