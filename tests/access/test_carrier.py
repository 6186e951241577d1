"""The process that carries out many commands: its other end started here, over a pair of sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from homewright.access.carrier import SCRIPT, Carrier, Gone
from homewright.access.remote import MARKER


class Pair:
    """A carrier, and the process at its other end."""

    def __init__(self, words: list[str], noise: bytes = b"") -> None:
        ours, theirs = socket.socketpair()
        theirs.sendall(noise)
        self.process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
        theirs.close()
        self.socket = ours
        self.carrier = Carrier(ours)

    def end(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.process.wait(10)
        self.socket.close()


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
