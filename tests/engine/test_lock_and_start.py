"""One engine a site; how it is started, refuses, and is talked to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from homewright.engine import client, control, launch, listening, lock
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.lock import EngineLock
from homewright.errors import Busy, CatalogueError, HomewrightError, SiteError, StateError, UsageError
from homewright.site.paths import StateFolder

from .conftest import wait_for

HOLD = """
import sys, time
from pathlib import Path
from homewright.engine.lock import EngineLock
from homewright.site.paths import StateFolder
lock = EngineLock.take(StateFolder(Path(sys.argv[1])), "r1")
if len(sys.argv) > 2:
    lock.finishing()
print("held", flush=True)
sys.stdin.read()
"""


def hold(state: StateFolder, *more: str) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state.root), *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def let_go(holder: subprocess.Popen[bytes]) -> None:
    assert holder.stdin is not None and holder.stdout is not None
    holder.stdin.close()
    holder.wait(timeout=20)
    holder.stdout.close()


def test_a_second_engine_is_told_who_holds_the_site(state: StateFolder) -> None:
    holder = hold(state)
    try:
        with pytest.raises(Busy) as caught:
            EngineLock.take(state, "r2")
        assert caught.value.exit_code == 3
        assert "run r1" in caught.value.why
        assert f"process {holder.pid}" in caught.value.why
        found = lock.holder(state)
        assert found is not None and (found.pid, found.run) == (holder.pid, "r1")
    finally:
        let_go(holder)
    assert lock.holder(state) is None
    EngineLock.take(state, "r2").release()


def test_the_lock_of_a_killed_engine_is_free(state: StateFolder) -> None:
    holder = hold(state)
    holder.send_signal(signal.SIGKILL)
    let_go(holder)
    assert lock.holder(state) is None
    EngineLock.take(state, "r2").release()


def test_an_engine_on_its_way_out_is_waited_for(state: StateFolder) -> None:
    holder = hold(state, "finishing")
    threading.Timer(0.3, lambda: let_go(holder)).start()
    EngineLock.take(state, "r2").release()
    assert holder.wait(timeout=20) == 0


def test_children_do_not_inherit_the_lock(state: StateFolder) -> None:
    taken = EngineLock.take(state, "r1")
    child = subprocess.Popen(["sleep", "100"], close_fds=False)
    try:
        taken.release()
        EngineLock.take(state, "r2").release()
    finally:
        child.kill()
        child.wait()


def write_site(folder: Path, text: str) -> Path:
    file = folder / "site.yaml"
    file.write_text(text)
    return file


GOOD = "version: 1\nname: attic\nservers:\n  - {name: s1, address: 192.0.2.1, user: ann}\n"


@pytest.mark.programs
def test_the_engines_own_refusal_reaches_whoever_started_it(tmp_path: Path, state: StateFolder) -> None:
    with pytest.raises(SiteError, match="line 2"):
        launch.start(write_site(tmp_path, "version: 1\nnmae: attic\n"), state)
    with pytest.raises(SiteError, match="no server"):
        launch.start(write_site(tmp_path, "version: 1\nname: attic\n"), state)
    with pytest.raises(CatalogueError, match="no stage 77"):
        launch.start(write_site(tmp_path, GOOD), state, only="77")
    with pytest.raises(HomewrightError) as caught:
        launch.start(write_site(tmp_path, GOOD), state, plan_digest="another")
    assert caught.value.exit_code == 2
    assert Reader(state).runs() == []
    assert list(state.runs.iterdir()) == []
    assert lock.holder(state) is None


@pytest.mark.programs
def test_a_run_is_refused_while_another_engine_is_at_work(tmp_path: Path, state: StateFolder) -> None:
    holder = hold(state)
    try:
        with pytest.raises(Busy, match="Another engine") as caught:
            launch.start(write_site(tmp_path, GOOD), state)
        assert f"process {holder.pid}" in caught.value.why
    finally:
        let_go(holder)


@pytest.mark.programs
def test_what_is_left_of_a_dead_engine_is_ended_before_a_run(tmp_path: Path, state: StateFolder) -> None:
    from homewright.engine.leftovers import site_mark

    left = subprocess.Popen(["sleep", "1000"], env={**os.environ, launch.MARK: f"{site_mark(state)}old:1."})
    with pytest.raises(SiteError):
        launch.start(write_site(tmp_path, "version: 1\nname: attic\n"), state)
    assert left.wait(timeout=20) == -signal.SIGTERM


def test_a_crash_before_the_beginning_is_told(
    tmp_path: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text("import sys\nsys.stderr.write('no luck\\n')\nraise SystemExit(7)\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    with pytest.raises(StateError, match="ended before it began"):
        launch.start(write_site(tmp_path, GOOD), state)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_run_that_is_recorded_keeps_its_folder_when_its_engine_dies_at_once(
    tmp_path: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    def dies(command: list[str], folder: Path, run: str) -> None:
        if recorded:
            writer = Writer(state, run)
            writer.change(writer.add_run(action="run", state="running", created=1.0))
            writer.close()
        raise StateError("The engine ended before it began.")

    monkeypatch.setattr(launch, "_spawn", dies)
    with pytest.raises(StateError, match="ended before it began"):
        launch.start(write_site(tmp_path, GOOD), state)
    assert len(list(state.runs.iterdir())) == int(recorded)
    if recorded:
        assert launch.RunRequest.read(state.run(Reader(state).run().id)).action == "apply"


def test_a_systemd_that_hangs_is_not_waited_for_for_ever(
    tmp_path: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "START_LIMIT_S", 0.2)
    monkeypatch.setattr(launch, "_systemd", lambda run, folder: ["sh", "-c", "exec sleep 100"])
    with pytest.raises(StateError, match="systemd did not start"):
        launch.start(write_site(tmp_path, GOOD), state)
    assert list(state.runs.iterdir()) == []


@pytest.mark.programs
def test_an_unreachable_server_ends_in_a_failed_run_with_reason_and_remedy(tmp_path: Path, state: StateFolder) -> None:
    """The whole engine, detached, without any server: it must end by itself, clearly."""
    site = write_site(tmp_path, GOOD.replace("192.0.2.1", "127.0.0.1").replace("user: ann", "user: ann, port: 1"))
    state.key.write_text("")  # first contact never happened
    run = launch.start(site, state, only="00")
    reader = Reader(state)
    wait_for(lambda: reader.run(run).state.final, "the run's end", 60)
    record = reader.run(run)
    assert record.state == "failed"
    first, *rest = [step for step in reader.steps(run) if not step.host]
    assert first.state == "failed"
    assert first.reason.startswith("s1: ")
    assert {step.state for step in rest} == {"pending"}
    assert "did not run" in rest[0].reason
    last = reader.events(run, reader.last_seq(run) - 1)[0]
    assert last.data["exit_code"] in (1, 5)
    wait_for(lambda: lock.holder(state) is None, "the engine's end")


@pytest.mark.parametrize("deep", [False, True])
def test_commands_are_acknowledged_whatever_the_length_of_the_path(tmp_path: Path, deep: bool) -> None:
    folder = tmp_path / ("d" * 120) / ("e" * 60) if deep else tmp_path
    state = StateFolder(folder / "state").create()
    taken = EngineLock.take(state, "r1")
    seen: list[tuple[str, str]] = []

    def obey(identity: str, command: str, by: str) -> int:
        seen.append((by, command))
        return 41 + len(seen)

    writer = Writer(state, "r1")

    async def whole() -> tuple[int, str]:
        async with control.serving(state, control.Desk(writer, obey)):
            assert state.engine_socket.stat().st_mode & 0o777 == 0o600
            seq = await asyncio.to_thread(client.cancel, state)
            with pytest.raises(HomewrightError, match="refused") as caught:
                await asyncio.to_thread(client.send, state, "explode")
            return seq, caught.value.why

    seq, why = asyncio.run(whole())
    assert seq == 42
    writer.close()
    assert [command for _, command in seen] == ["cancel"]
    assert f"(process {os.getpid()}" in seen[0][0]
    assert "explode" in why
    assert not state.engine_socket.exists()
    with pytest.raises(StateError, match="does not answer"):
        client.cancel(state)
    taken.release()
    with pytest.raises(UsageError, match="No run is going on"):
        client.cancel(state)


def test_garbage_on_the_socket_does_no_harm(state: StateFolder, writer: Writer) -> None:
    async def whole() -> None:
        desk = control.Desk(writer, lambda *_: 1)
        async with control.serving(state, desk):
            for garbage in (b"\n", b"{}\n", b"[]\n", b"x" * 10_000, b""):
                with listening.address(state) as path:
                    reader, stream = await asyncio.open_unix_connection(path)
                stream.write(garbage)
                stream.write_eof()
                answer = await reader.read()
                assert not answer or json.loads(answer)["ok"] is False
                assert answer or garbage not in (b"{}\n", b"[]\n")
                stream.close()
            answer = await asyncio.to_thread(_talk, state)
            assert answer["ok"] is True

    asyncio.run(whole())


def _talk(state: StateFolder) -> dict[str, object]:
    taken = EngineLock.take(state, "r1")
    try:
        return {"ok": client.cancel(state) == 1}
    finally:
        taken.release()


def test_what_viewers_import_comes_without_pydantic_and_ssh() -> None:
    names = ["journal", "events", "states", "launch", "client", "lines", "follow", "lock"]
    script = "import sys\n" + "".join(f"import homewright.engine.{name}\n" for name in names)
    script += "heavy = {'pydantic', 'paramiko', 'ruamel', 'textual', 'cryptography'} & set(sys.modules)\n"
    script += "assert not heavy, heavy\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
