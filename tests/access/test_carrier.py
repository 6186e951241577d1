"""The process that carries out many commands: its other end started here, over a pair of sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homewright.access.carrier import SCRIPT, Carrier, Gone, _Waiting
from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.access.remote import MARKER, Completed
from homewright.errors import Unreachable


class End:
    """The process at the other end."""

    def __init__(self, words: list[str], noise: bytes = b"") -> None:
        ours, theirs = socket.socketpair()
        theirs.sendall(noise)
        self.process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
        theirs.close()
        self.socket = ours

    def end(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.process.wait(10)
        self.socket.close()


class Pair(End):
    """A carrier, and the process at its other end."""

    def __init__(self, words: list[str], noise: bytes = b"") -> None:
        super().__init__(words, noise)
        self.carrier = Carrier(self.socket)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair([sys.executable, "-I", "-S", "-c", SCRIPT], b"Welcome to attic!\n" + MARKER)
    assert made.carrier.of_use
    yield made
    made.end()


def test_outputs_and_exit_code_are_those_of_the_command(pair: Pair) -> None:
    done = pair.carrier.run("echo a; echo b >&2; exit 3", None, 10)
    assert (done.stdout, done.stderr, done.exit_code) == ("a\n", "b\n", 3)
    assert pair.carrier.run("kill -9 $$", None, 10).exit_code == -1
    assert pair.carrier.run("printf '\\377\\0'", None, 10).stdout_bytes == b"\xff\0"


def test_input_arrives_whole_and_without_one_it_ends_at_once(pair: Pair) -> None:
    given = bytes(range(256)) * 4096
    assert pair.carrier.run("cat", given, 20).stdout_bytes == given
    assert pair.carrier.run("cat; echo end", None, 10).stdout == "end\n"
    assert pair.carrier.run("true", given, 10).exit_code == 0  # who reads nothing of it


def test_a_pipe_that_nobody_reads_ends_its_writer(pair: Pair) -> None:
    assert pair.carrier.run("yes | head -n 1", None, 10).stdout == "y\n"


def test_many_at_a_time_do_not_wait_for_one_another(pair: Pair, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    slow: list[str] = []
    waits = threading.Thread(
        target=lambda: slow.append(
            pair.carrier.run(f"until [ -e {gate} ]; do sleep 0.05; done; echo slow", None, 30).stdout
        )
    )
    waits.start()
    told = [pair.carrier.run(f"echo {number}", None, 10).stdout for number in range(20)]
    assert told == [f"{number}\n" for number in range(20)] and not slow
    gate.touch()
    waits.join(30)
    assert slow == ["slow\n"]


def test_one_that_takes_too_long_is_left_and_its_late_answer_is_nobodys(pair: Pair, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with pytest.raises(TimeoutError):
        pair.carrier.run(f"until [ -e {gate} ]; do sleep 0.05; done; echo late", None, 0.2)
    gate.touch()
    assert pair.carrier.run("echo next", None, 10).stdout == "next\n"


def test_one_that_is_left_is_hung_up_on_and_nothing_of_it_is_kept(pair: Pair, tmp_path: Path) -> None:
    ended, descriptors = tmp_path / "ended", Path(f"/proc/{pair.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    flood = f"sh -c 'exec yes'; kill -l $? >{ended}"
    with pytest.raises(TimeoutError):
        pair.carrier.run(flood, None, 0.3)
    limit = time.monotonic() + 30
    while not (ended.exists() and ended.read_text()):
        assert time.monotonic() < limit, "it is still listened to"
        time.sleep(0.05)
    assert ended.read_text() == "PIPE\n"
    assert pair.carrier.run("echo next", None, 10).stdout == "next\n"
    assert len(list(descriptors.iterdir())) == before


@pytest.mark.parametrize(
    ("command", "why"),
    [("true " + "x" * (1 << 17), "Argument list too long"), ("echo \0", "null byte")],
    ids=["too long", "no words"],
)
def test_one_that_cannot_be_started_tells_why_and_the_others_go_on(pair: Pair, command: str, why: str) -> None:
    before = len(list(Path(f"/proc/{pair.process.pid}/fd").iterdir()))
    for given in (None, b"x"):
        done = pair.carrier.run(command, given, 10)
        assert done.exit_code == 126 and why in done.stderr and not done.stdout
    assert len(list(Path(f"/proc/{pair.process.pid}/fd").iterdir())) == before
    assert pair.carrier.run("echo next", None, 10).stdout == "next\n"


def test_an_answer_that_comes_as_time_runs_out_is_taken(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(threading.Event):
        """Says that time has run out, just after the answer was found for who waits."""

        def wait(self, timeout: float | None = None) -> bool:
            return super().wait() and timeout is None

    monkeypatch.setattr("homewright.access.carrier._Waiting", lambda: _Waiting(Late()))
    assert pair.carrier.run("echo told", None, 5).stdout == "told\n"


def test_time_runs_out_for_one_that_cannot_be_sent_too(pair: Pair) -> None:
    with pair.carrier._sending, pytest.raises(TimeoutError):
        pair.carrier.run("true", None, 0.1)
    assert not pair.carrier._waiting


def test_who_waits_is_told_when_it_is_gone(pair: Pair) -> None:
    threading.Timer(0.3, pair.process.kill).start()
    with pytest.raises(Gone):
        pair.carrier.run("sleep 20", None, 20)
    with pytest.raises(Gone):
        pair.carrier.run("true", None, 5)


def test_it_ends_when_we_hang_up(pair: Pair) -> None:
    pair.socket.shutdown(socket.SHUT_WR)
    assert pair.process.wait(10) == 0


def test_one_that_never_starts_is_of_no_use() -> None:
    made = Pair(["sh", "-c", "echo python3: not found"], MARKER)
    began = time.monotonic()
    assert not made.carrier.of_use and not made.carrier.started
    assert time.monotonic() - began < 20
    made.end()


class Local(Connection):
    """A connection whose server is here; its other way to run a command only tells what it was asked."""

    def __init__(self, tmp_path: Path) -> None:
        place = Endpoint("s1", "192.0.2.1", 22, "root", tmp_path / "key", tmp_path / "known_hosts")
        super().__init__(place, Any)  # type: ignore[arg-type]  # nothing here goes over a network
        self.ends: list[End] = []
        self.alone: list[int] = []

    def _start(self, command: Any, sudo: bool, combined: bool = False, tty: bool = False) -> Any:
        self.ends.append(End([sys.executable, "-I", "-S", "-c", SCRIPT], MARKER))
        return self.ends[-1].socket

    def run(self, command: Any, *, stdin: bytes | None = None, **_: Any) -> Completed:  # type: ignore[override]
        self.alone.append(len(stdin or b""))
        return Completed("alone\n", "", 0)


def test_one_that_has_ended_is_replaced_for_what_comes_next(tmp_path: Path) -> None:
    local = Local(tmp_path)
    assert local.carry("echo one", mark="A=1").stdout == "one\n"
    with pytest.raises(Unreachable):
        local.carry("kill -9 $PPID", mark="A=1")
    local.ends[0].process.wait(10)
    assert local.carry("echo two", mark="A=1").stdout == "two\n"
    assert local.carry("echo three", mark="A=1").stdout == "three\n"
    assert len(local.ends) == 2 and not local.alone
    local.ends[1].end()
    local.ends[0].socket.close()


def test_much_input_goes_by_a_way_of_its_own(tmp_path: Path) -> None:
    local = Local(tmp_path)
    assert local.carry("cat", mark="A=1", stdin=b"x" * (1 << 16)).stdout == "x" * (1 << 16)
    assert local.carry("cat", mark="A=1", stdin=b"x" * ((1 << 16) + 1)).stdout == "alone\n"
    assert local.alone == [(1 << 16) + 1]
    local.ends[0].end()


def test_one_that_is_started_while_all_are_closed_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Growing:
        """As another thread that sends its first command just now."""

        def close(self) -> None:
            local._carriers[True, f"A={len(local._carriers)}"] = self  # type: ignore[assignment]
            raise EOFError

    monkeypatch.setattr("homewright.access.connection.hang_up", hung_up := list[object]().append)
    local = Local(tmp_path)
    for mark in ("A=1", "A=2"):
        local._carriers[False, mark] = Growing()  # type: ignore[assignment]
    local.close()
    assert hung_up.__self__ == [Any]  # type: ignore[attr-defined]
