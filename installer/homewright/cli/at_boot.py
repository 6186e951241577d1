"""What `plan` and `status` say of resume at boot: whether a run goes on after this machine was off, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from homewright.engine.boot import prospect
from homewright.engine.boot.prospect import Prospect
from homewright.engine.states import State

if TYPE_CHECKING:
    from pathlib import Path

    from homewright.engine.documents import RunDocument
    from homewright.engine.journal import RunRecord
    from homewright.planning import Plan
    from homewright.site.paths import StateFolder


def foreseen(planned: Plan, site_file: Path, state: StateFolder, *, asks: bool = False) -> Plan:
    """The plan with what becomes of its run here; `asks` where sudo may ask for a password when the run begins."""
    from homewright.planning.documents import AtBoot

    found = prospect.expected(site_file, state, asks=asks)
    return planned.model_copy(update={"at_boot": AtBoot(resumes=found.resumes, why=found.why) if found else None})


def plan_lines(planned: Plan) -> Iterator[str]:
    if planned.at_boot is not None:
        yield f"If this machine loses power: {Prospect(planned.at_boot.resumes, planned.at_boot.why).sentence()}"


def of_run(state: StateFolder, record: RunRecord | None) -> Prospect | None:
    """What is to be told of a run that has not ended; None where nothing remains to be gone on with."""
    from homewright.engine.boot import due
    from homewright.engine.journal import Reader

    if record is None:
        # Nothing is recorded, and yet something waits: the state folder is not there yet, or cannot be read.
        return _waiting(prospect.asked(state)) if prospect.installed(state) else None
    held, paused = (Reader(state).meta(key) == record.id for key in ("held", "paused"))
    found = due.look(record, held=held, paused=paused)
    if not found.keep:
        return None
    told = prospect.recorded(state, record.id)
    if record.state is not State.INTERRUPTED:
        return told
    if not found.go:
        return Prospect(False, found.why)
    if not prospect.installed(state):
        return Prospect(False, "its unit is not there any more.") if told and told.resumes else told
    return _waiting(prospect.asked(state)) or told


def _waiting(says: dict[str, str]) -> Prospect | None:
    """What the unit says while it has no engine yet, or why it gave up."""
    text = says.get("StatusText", "")
    if says.get("ActiveState") == "failed":
        return Prospect(False, f"it was tried and given up: {text or 'see systemctl status'}")
    return Prospect(True, text) if text and says.get("ActiveState") in ("active", "activating") else None


def lines(state: StateFolder, record: RunRecord | None) -> Iterator[str]:
    """For `status`."""
    found = of_run(state, record)
    if found is not None:
        yield f"If this machine loses power: {found.sentence()}" if found.resumes else f"{found.sentence()}"


def with_document(document: RunDocument, state: StateFolder, record: RunRecord | None) -> RunDocument:
    """The same for `status --json`."""
    from homewright.planning.documents import AtBoot

    found = of_run(state, record)
    return document.model_copy(update={"at_boot": AtBoot(resumes=found.resumes, why=found.why)}) if found else document
