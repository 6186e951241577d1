"""Lines counted in the journal are those that are read from it: as many, in the same places, with the same words."""

from __future__ import annotations

from pathlib import Path

import pytest

from homewright.engine.events import Event, Kind, Level
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.screens import loglines
from homewright.screens.loglines import KEPT, TAIL, LogLines, View, look_on, read_on
from homewright.site.paths import StateFolder

RUN, STEP = "r1", "00/20"
EVENTS = (
    Event(Kind.RUN_STARTED, "Run started."),
    Event(Kind.STEP_STARTED, step=STEP),
    Event(Kind.HOST_STARTED, step=STEP, host="s1"),
    Event(Kind.TASK_STARTED, "Keys", step=STEP),
    Event(Kind.LINE, "one\ntwo\nthree", step=STEP, host="s1"),
    Event(Kind.PROGRESS, step=STEP, data={"percent": 3}),
    Event(Kind.LINE, "four", step=STEP, host="s2"),
    Event(Kind.LINE, "", step=STEP, host="s2"),
    Event(Kind.TASK_FINISHED, "Keys", step=STEP, host="s2", data={"result": "changed"}),
    Event(Kind.VERIFY, "as wanted", step=STEP, host="s1", data={"verdict": "proved"}),
    Event(Kind.VERIFY, "", step=STEP, host="s1", data={"verdict": "broken"}),
    Event("of a newer version", "said", step=STEP),
    Event(Kind.STEP_FINISHED, step=STEP, level=Level.ERROR, data={"reason": "why", "remedy": {"do": ["a", "b"]}}),
)
VIEWS = (View(RUN), View(RUN, STEP), View(RUN, STEP, "s1"), View(RUN, None, "s2"), View(RUN, "00/30"))


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    state = StateFolder(tmp_path / "state").create()
    writer = Writer(state, RUN)
    for event in EVENTS * (KEPT // 8):
        writer.line(event)
    writer.close()
    return Reader(state)


def read(reader: Reader, view: View) -> list[str]:
    found, after, more = [], 0, True
    while more:
        page = read_on(reader, view, after)
        found += [line.text for line in page.lines]
        after, more = page.after, page.more
    return found


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("limit", [7, 997, 100_000])
def test_every_line_is_counted_once_and_found_by_its_number(reader: Reader, view: View, limit: int) -> None:
    lines, wanted = LogLines(reader, view), read(reader, view)
    more = True
    while more:
        batch = look_on(reader, view, lines.after, limit)
        assert len(batch.texts) <= TAIL * 3
        lines.add(batch)
        more = batch.more
    assert len(lines) == len(wanted)
    assert bool(wanted) == (view.step != "00/30")
    shown = [*range(min(len(wanted), 40)), *range(max(len(wanted) - 40, 0), len(wanted)), *range(0, len(wanted), 211)]
    assert [lines.line(number).text for number in shown] == [wanted[number] for number in shown]


def test_what_is_followed_is_there_without_another_look_at_the_journal(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = LogLines(reader, View(RUN))
    lines.add(look_on(reader, lines.view, 0))
    monkeypatch.setattr(lines, "source", None)
    assert all(lines.line(number).text for number in range(len(lines) - 60, len(lines)))


def test_the_first_look_is_a_short_one_since_somebody_waits_for_it(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loglines, "FIRST", 20)
    first = look_on(reader, View(RUN), 0)
    assert (first.after, first.more) == (20, True)
    rest = look_on(reader, View(RUN), first.after)
    assert (rest.after, rest.more) == (len(EVENTS) * (KEPT // 8), False)
