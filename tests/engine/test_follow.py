"""Whoever follows a run hears each of its events once, and of its end at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from homewright.engine import follow as following
from homewright.engine.events import Event, Kind
from homewright.engine.follow import PAGE, POLL_S, follow
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.lock import EngineLock
from homewright.site.paths import StateFolder

RUN = "r1"


def test_each_event_once_and_the_end_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is told by an event; the state that ends the following is written after it, in another file."""
    state = StateFolder(tmp_path / "state").create()
    lock, writer = EngineLock.take(state, RUN), Writer(state, RUN)
    row = writer.add_run(action="run", state="running", created=1.0, started=1.0)
    writer.transition(Event(Kind.RUN_STARTED, "Run started."), row)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        """What an engine does meanwhile."""
        waited.append(seconds)
        match len(waited):
            case 1:
                for number in range(2 * PAGE + 7):
                    writer.line(Event(Kind.LINE, f"line {number}", step="00/10"))
                writer.flush()
            case 2:
                writer.transition(Event(Kind.RUN_FINISHED, "Done."))
            case 3:
                writer.change(writer.set_run(state="succeeded", finished=2.0))
            case _:
                raise AssertionError("it follows a run that has ended")

    # Its own sleep alone: the module is everybody's, and a thread of another test may be asleep in it.
    monkeypatch.setattr(following, "time", SimpleNamespace(sleep=sleep))
    told = [event.text for event in follow(Reader(state), RUN)]
    writer.close()
    lock.release()
    assert told == ["Run started.", *(f"line {number}" for number in range(2 * PAGE + 7)), "Done."]
    assert waited[:2] == [POLL_S, POLL_S]
    assert waited[2] < POLL_S / 4
