"""What is new in a run reaches the screen, in whatever order it is written."""

from __future__ import annotations

from screen_doubles import RUN, write_run
from textual.message_pump import MessagePump

from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.lock import EngineLock
from homewright.engine.viewers import Viewer, Viewers
from homewright.screens.feed import Feed
from homewright.site.paths import StateFolder

BOB = Viewer("bob-1", "bob", 4711)


def test_a_state_that_is_written_after_its_event_is_seen(state: StateFolder) -> None:
    """Events and states are files of their own: a disk that is busy may take half a second between the two."""
    lock = EngineLock.take(state, RUN)
    write_run(state)
    writer = Writer(state, RUN)
    feed = Feed(MessagePump(), Reader(state), RUN, lambda: ())
    first, _ = feed._look()
    assert first is not None and first.viewers is None
    writer.transition(Event(Kind.VIEWER, "bob asks for control"))
    feed._look()
    writer.change(writer.set_meta("viewers", Viewers(RUN, (BOB,), asking=BOB.id).as_json()))
    later, _ = feed._look()
    assert later is not None and later.viewers is not None and later.viewers.asking == BOB.id
    assert feed._look() == (None, False), "nothing is new"
    writer.close()
    lock.release()


def test_an_engine_that_does_not_count_is_looked_at_all_the_same(state: StateFolder) -> None:
    lock = EngineLock.take(state, RUN)
    write_run(state)
    writer = Writer(state, RUN)
    feed = Feed(MessagePump(), Reader(state), RUN, lambda: ())
    writer._states.execute("DELETE FROM meta WHERE key = 'changes'")
    feed._look()
    text = Viewers(RUN, (BOB,)).as_json()
    writer._states.execute("INSERT OR REPLACE INTO meta VALUES ('viewers', ?)", (text,))
    later, _ = feed._look()
    assert later is not None and later.viewers is not None
    writer.close()
    lock.release()
