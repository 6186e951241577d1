"""The journal: order, batches, readers, full disks, and where it may lie."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader, volumes
from homewright.engine.journal import writer as writing
from homewright.engine.journal.writer import Writer
from homewright.engine.lock import EngineLock
from homewright.engine.redaction import Redactor
from homewright.engine.states import State
from homewright.errors import StateError, UsageError
from homewright.site.paths import StateFolder


def line(number: int, **more: str) -> Event:
    return Event(Kind.LINE, f"line {number}", **more)  # type: ignore[arg-type]  # names of its own fields


def test_lines_wait_for_the_batch_and_are_there_before_any_later_transition(state: StateFolder, writer: Writer) -> None:
    reader = Reader(state)
    writer.line(line(1, step="00/10", host="s1"))
    assert reader.last_seq("r1") == 0
    writer.transition(Event(Kind.STEP_FINISHED, step="00/10"), writer.set_run(changed=3))
    assert [(event.seq, event.kind) for event in reader.events("r1")] == [(1, "line"), (2, "step-finished")]
    assert reader.runs()[0].changed == 3


def test_seq_has_no_gaps_and_goes_on_after_a_restart(state: StateFolder, writer: Writer) -> None:
    for number in range(10):
        writer.line(line(number))
    writer.close()
    again = Writer(state, "r1")
    again.transition(line(10))
    assert [event.seq for event in Reader(state).events("r1")] == list(range(1, 12))
    again.close()


def test_pages_by_step_and_host(state: StateFolder, writer: Writer) -> None:
    for number in range(30):
        writer.line(line(number, step=f"00/{1 + number % 2}0", host=("s1", "s2", "")[number % 3]))
    writer.flush()
    reader = Reader(state)
    first = reader.events("r1", limit=7)
    second = reader.events("r1", after=first[-1].seq, limit=7)
    assert [event.seq for event in first + second] == list(range(1, 15))
    mine = reader.events("r1", step="00/10", host="s1")
    assert {(event.step, event.host) for event in mine} == {("00/10", "s1"), ("00/10", "")}
    assert [event.seq for event in reader.last_events("r1", 2, step="00/10", host="s1")] == [mine[-2].seq, mine[-1].seq]


def test_secrets_and_control_sequences_never_reach_the_disk(state: StateFolder) -> None:
    secret = "correct-horse-battery"
    writer = Writer(state, "r1", Redactor([secret]))
    writer.change(writer.add_run(action="run", state="running", created=0.0))
    event = Event(Kind.TASK_FINISHED, f"\x1b]0;{secret}\x07 {secret}", data={"reason": json.dumps({"p": secret})})
    writer.transition(event, writer.set_run(reason=f"it said {secret}"))
    with pytest.raises(StateError, match="holds a secret"):
        writer.keep_capture("00/10", "s1", {"file": f"password={secret}"})
    writer.close()
    for file in state.root.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()


def test_a_capture_is_never_overwritten(state: StateFolder, writer: Writer) -> None:
    writer.change(writer.keep_capture("00/10", "s1", {"before": 1}))
    writer.change(writer.keep_capture("00/10", "s1", {"before": 2}))
    assert Reader(state).captures("00/10") == {"s1": {"before": 1}}


def test_bytes_that_are_no_utf8_are_shown_and_not_captured(state: StateFolder, writer: Writer) -> None:
    lost = "caf\udce9"
    writer.line(Event(Kind.LINE, lost, host=lost))
    writer.transition(Event(Kind.LINE, data={lost: [lost]}), writer.set_run(reason=lost))
    shown = "caf\N{REPLACEMENT CHARACTER}"
    first, second = Reader(state).events("r1")
    assert (first.text, first.host, second.data) == (shown, shown, {shown: [shown]})
    assert Reader(state).run("r1").reason == shown
    with pytest.raises(StateError, match="no UTF-8"):
        writer.keep_capture("00/10", "s1", {"hosts": lost})


def test_the_latest_run_is_the_last_one_even_where_the_clock_was_set_back(state: StateFolder, writer: Writer) -> None:
    later = Writer(state, "r2")
    later.change(later.add_run(action="run", state="succeeded", created=time.time() - 86400))
    later.close()
    assert Reader(state).run().id == "r2"


def test_lines_past_the_bound_are_counted_and_dropped_and_states_are_not(
    state: StateFolder, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_LINES", 100)
    for number in range(250):
        writer.line(line(number))
    writer.transition(Event(Kind.STEP_FINISHED, step="00/10"))
    events = Reader(state).events("r1")
    assert len(events) == 102
    assert events[100].data == {"dropped": 150}
    assert events[101].kind == Kind.STEP_FINISHED
    assert [event.seq for event in events] == list(range(1, 103))


def test_a_reader_leaves_the_wal_alone_and_reads_on_after_the_engine(state: StateFolder, writer: Writer) -> None:
    writer.transition(line(1))
    wal = state.run("r1") / "events.db-wal"
    assert Reader(state).last_seq("r1") == 1
    assert wal.stat().st_size > 0
    writer.close()
    assert Reader(state).last_seq("r1") == 1


def test_a_readers_open_page_keeps_nothing_locked(state: StateFolder, writer: Writer) -> None:
    reader = Reader(state)
    for number in range(50):
        reader.events("r1")
        writer.transition(line(number))
    assert reader.last_seq("r1") == 50


def test_a_run_without_a_live_engine_is_interrupted(state: StateFolder, writer: Writer) -> None:
    rows = {"stage": "00", "title": "T", "runner": "python", "position": 0, "state": State.RUNNING}
    writer.change(writer.add_step("00/10", "", **rows), writer.add_step("00/10", "s1", **rows))
    reader = Reader(state)
    assert reader.run().state is State.INTERRUPTED
    assert {record.state for record in reader.steps("r1")} == {State.INTERRUPTED}
    lock = EngineLock.take(state, "r1")
    assert reader.run("r1").state is State.RUNNING
    assert {record.state for record in reader.steps("r1")} == {State.RUNNING}
    lock.release()
    assert reader.run().state is State.INTERRUPTED


def test_history_is_the_mean_of_the_last_successes(state: StateFolder) -> None:
    for run, seconds, ended in (("r1", 60.0, "succeeded"), ("r2", 120.0, "succeeded"), ("r3", 999.0, "failed")):
        writer = Writer(state, run)
        writer.change(writer.add_run(action="run", state=ended, created=0.0))
        values = {"stage": "00", "title": "T", "runner": "python", "position": 0, "state": ended}
        writer.change(writer.add_step("00/10", "", started=10.0, finished=10.0 + seconds, **values))
        writer.close()
    assert Reader(state).history() == {"00/10": pytest.approx(1.5)}


def test_nothing_recorded_yet(state: StateFolder) -> None:
    reader = Reader(state)
    assert reader.runs() == []
    assert reader.last_seq("r1") == 0
    assert reader.history() == {}
    with pytest.raises(UsageError, match="Nothing was run yet"):
        reader.run()
    with pytest.raises(UsageError, match="no run r9"):
        reader.run("r9")


def test_files_are_private(state: StateFolder, writer: Writer) -> None:
    writer.transition(line(1))
    for file in state.root.rglob("*"):
        wanted = 0o700 if file.is_dir() else 0o600
        assert file.stat().st_mode & 0o777 == wanted, file


def test_a_journal_of_a_newer_version_is_refused(state: StateFolder, writer: Writer) -> None:
    writer.close()
    connection = sqlite3.connect(state.journal)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateError, match="newer Homewright"):
        Writer(state, "r2")


def test_a_damaged_journal_is_told(state: StateFolder) -> None:
    state.journal.write_bytes(b"no database at all, just text " * 100)
    with pytest.raises(StateError, match="is damaged"):
        Reader(state).runs()
    with pytest.raises(StateError, match="is damaged"):
        Writer(state, "r1")


@pytest.mark.parametrize(
    ("magic", "mount", "name"),
    [
        (0xEF53, "ext4", None),
        (0x9123683E, "btrfs", None),
        (0x6969, "nfs4", "NFS"),
        (-0xACB2BE & 0xFFFFFFFF, "cifs", "CIFS"),
        (0xFE534D42, "smb3", "SMB"),
        (0x01021997, "9p", "9P"),
        (0x65735546, "fuse.sshfs", "fuse.sshfs"),
        (0x65735546, "fuseblk", None),
        (0x65735546, "fuse.bindfs", None),
    ],
)
def test_network_file_systems_are_known(magic: int, mount: str, name: str | None) -> None:
    assert volumes.network_kind(magic, mount) == name


def test_a_state_folder_on_the_network_is_refused(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes, "_magic", lambda folder: 0x6969)
    with pytest.raises(StateError, match="network file system") as caught:
        Writer(state, "r1")
    assert "--state" in caught.value.do[0]


def test_the_ballast_is_really_allocated(state: StateFolder, writer: Writer) -> None:
    assert (state.root / "ballast").stat().st_blocks * 512 >= writing.BALLAST


@pytest.mark.programs
@pytest.mark.skipif(os.getuid() != 0, reason="a mount of its own needs root")
def test_a_read_only_state_folder_can_be_read_and_says_that_it_cannot_be_written(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state").create()
    writer = Writer(state, "r1")
    writer.transition(line(1), writer.add_run(action="run", state="succeeded", created=time.time()))
    writer.close()
    script = tmp_path / "read_only.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom homewright.engine import launch\n"
        "from homewright.engine.journal import Reader\nfrom homewright.errors import StateError\n"
        "from homewright.site.paths import StateFolder\n"
        "state = StateFolder(Path(sys.argv[1]))\nprint(Reader(state).run().state, Reader(state).last_seq('r1'))\n"
        "try:\n    launch.start(Path('/nowhere/site.yaml'), state)\nexcept StateError as error:\n"
        "    print(error.what, error.why)\n"
        "import sqlite3\nfrom homewright.engine.journal import writer\n"
        "error = sqlite3.OperationalError('disk I/O error')\nerror.sqlite_errorname = 'SQLITE_IOERR_WRITE'\n"
        "print(*(writer._failed(error, Path(place)).what for place in (sys.argv[1], '/dev/shm')), sep='\\n')\n"
    )
    commands = f"mount --bind {state.root} {state.root} && mount -o remount,bind,ro {state.root} && "
    commands += f"{sys.executable} {script} {state.root}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", commands], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "succeeded 1"
    assert "cannot be written" in done.stdout
    assert "Read-only file system" in done.stdout
    # What SQLite says in the middle of a run is the same on a full disk and on one that was made read-only since.
    in_the_middle = ["The journal cannot be written.", "The disk that holds the state folder is full."]
    assert done.stdout.splitlines()[-2:] == in_the_middle


@pytest.mark.long
def test_a_million_events_are_read_in_flat_memory(state: StateFolder, writer: Writer) -> None:
    for number in range(1_000_000):
        writer.line(line(number, step="00/10", host="s1"))
        if number % 5000 == 4999:
            writer.flush()
    writer.flush()
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom homewright.engine.journal import Reader\n"
        "from homewright.site.paths import StateFolder\n"
        "reader = Reader(StateFolder(Path(sys.argv[1])))\nafter = count = first = 0\n"
        "while page := reader.events('r1', after, 500):\n"
        "    count += len(page); after = page[-1].seq\n"
        "    first = first or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(state.root)], capture_output=True, text=True, check=True)
    count, grown_kib = map(int, done.stdout.split())
    assert count == 1_000_000
    assert grown_kib < 8 * 1024
