"""An engine that proves what was done and then waits for a word; on a site whose server is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from homewright.engine import client, launch, lock, remains
from homewright.engine.client import Presence
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.states import State
from homewright.errors import UsageError
from homewright.planning import kept
from homewright.site.paths import StateFolder

from .catalogues import NOTHING, Tiny
from .conftest import wait_for

pytestmark = pytest.mark.programs


@pytest.fixture
def failed(tmp_path: Path, state: StateFolder) -> tuple[Path, str]:
    """A run that has failed: its site file and its id."""
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 1}\n")
    tiny = Tiny(tmp_path / "catalogue").step(1, NOTHING.format(name="run"))
    run = launch.start(site, state, only="90", stages=[tiny.root])
    wait_for(lambda: lock.holder(state) is None, "the engine's end")
    assert Reader(state).run().state is State.FAILED
    return site, run


def hold(failed: tuple[Path, str], state: StateFolder) -> Reader:
    reader = Reader(state)
    launch.resume(*failed[:1], state, failed[1], hold=True)
    wait_for(lambda: reader.run().reason.startswith("Paused"), "the pause after the proofs")
    assert reader.meta("held") == failed[1]
    return reader


def ended(state: StateFolder, reader: Reader) -> State:
    wait_for(lambda: lock.holder(state) is None, "the engine's end")
    return reader.run().state


def test_a_held_run_that_is_given_up_stands_as_it_stood(failed: tuple[Path, str], state: StateFolder) -> None:
    before = Reader(state).run()
    reader = hold(failed, state)
    present = Presence(state, "screens", wants=True)
    present.start()
    wait_for(lambda: present.viewer, "a place among the viewers")
    present.stop()  # nobody is there to say a word any more
    assert ended(state, reader) is State.FAILED
    assert reader.run().reason == before.reason
    assert reader.meta("held") == "", "or it would count as looked at for ever"
    with pytest.raises(UsageError):
        client.cancel(state)


def test_a_look_at_a_run_that_was_cut_off_while_it_was_paused_leaves_it_paused(
    failed: tuple[Path, str], state: StateFolder
) -> None:
    writer = Writer(state, failed[1])
    paused = "Paused before 90/10 Step 1."
    writer.change(writer.set_run(state=State.RUNNING, reason=paused), writer.set_meta("paused", failed[1]))
    writer.close()
    reader = hold(failed, state)
    client.cancel(state)
    assert ended(state, reader) is State.INTERRUPTED
    assert (reader.run().reason, reader.meta("paused")) == (paused, failed[1])


def test_a_held_run_goes_on_when_it_is_told(failed: tuple[Path, str], state: StateFolder) -> None:
    reader = hold(failed, state)
    client.pause(state)
    assert reader.meta("paused") == failed[1], "a pause is recorded at once, also where a step is still at work"
    client.go_on(state)
    assert reader.meta("paused") == ""
    assert ended(state, reader) is State.FAILED
    assert reader.meta("held") == ""
    finished = [event for event in reader.events(failed[1]) if event.kind == "step-finished"]
    assert len(finished) == 2, "the step was tried again"


def test_a_held_look_leaves_what_answers_are_compared_with(failed: tuple[Path, str], state: StateFolder) -> None:
    site, _run = failed
    was = kept.applied_file(state).read_bytes()
    site.write_text(site.read_text() + "  - {name: s2, address: 127.0.0.2, user: ann, port: 1}\nzone: home.internal\n")
    reader = hold(failed, state)

    def named() -> tuple[set[str], tuple[str, ...]]:
        found = remains.look(site, state)
        return {change.what for change in found.changed}, found.new_servers

    changed, new = named()
    assert "zone" in changed and new == ("s2",), "nothing was done with these answers"
    assert kept.applied_file(state).read_bytes() == was
    client.go_on(state)
    ended(state, reader)
    assert named() == (set(), ())
    assert kept.applied_file(state).read_bytes() != was
