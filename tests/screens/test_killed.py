"""kill -9 of the full-screen program at random moments: the run goes on, and nothing that it keeps is half written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import random
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tmux_terminal import homewright

from homewright.engine import launch, lock
from homewright.engine.journal import Reader
from homewright.engine.states import State
from homewright.rehearsal import opened
from homewright.rehearsal.opening import Opened
from homewright.site import files

KEYS = (b"\x1b[B", b"\x1b[A", b"\t", b"\r", b"\x1b", b"\x0e", b"f", b"/", b"v", b"w", b"l", b"?", b"x", b"\x1bOP")
"""Down, up, tab, enter, escape, ctrl+n, letters and F1: all but those that cancel, pause or skip."""
FIRST_PAGE = 1000
"""Bytes that no first page of the program does without."""
LAST_WORDS = 20_000
START_LIMIT_S = 120.0
LONGEST_S = 2.5
RUN_LIMIT_S = 120.0


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """A rehearsed site: a real engine works on it, and no server is touched."""
    for name, folder in (("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config"), ("HOME", "home")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    with opened("pair", anew=False) as made:
        yield made
    held = lock.holder(made.state)
    if held is not None:
        os.kill(held.pid, signal.SIGKILL)


def killed_after(here: Opened, dice: random.Random, first: int) -> None:
    """One program on a terminal of its own, keys at random, killed at a random moment after so many bytes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    command = homewright("--site", str(here.site_file), "--state", str(here.state.root))
    program = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True, close_fds=True
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    shown, tail = 0, b""
    last = time.monotonic() + START_LIMIT_S
    left = dice.uniform(0.05, LONGEST_S)
    until = time.monotonic() + left
    while time.monotonic() < until:
        ended = program.poll()
        with contextlib.suppress(OSError):
            os.write(ours, dice.choice(KEYS))
        with contextlib.suppress(OSError):
            block = os.read(ours, 65536)  # of one that has ended: all that is left of it
            shown, tail = shown + len(block), (tail + block)[-LAST_WORDS:]
        assert ended is None, f"it ended by itself ({ended}): {tail.decode(errors='replace')}"
        time.sleep(dice.uniform(0.0, 0.1))
        if shown < first:
            assert time.monotonic() < last, "nothing was ever shown"
            until = time.monotonic() + left
    os.killpg(program.pid, signal.SIGKILL)
    assert program.wait(20) == -signal.SIGKILL
    os.close(ours)


@pytest.mark.parametrize("times", [5, pytest.param(100, marks=pytest.mark.long)])
def test_killed_at_random_moments_it_leaves_all_whole(here: Opened, times: int) -> None:
    reader, dice = Reader(here.state), random.Random(times)
    before = here.site_file.read_bytes()
    run = launch.start(here.site_file, here.state, only="00")
    for number in range(times):
        killed_after(here, dice, first=FIRST_PAGE * (number % 2))  # every other one may die before it shows anything
        files.load(here.site_file)
        assert not list(here.site_file.parent.glob(".site.yaml*")), "a file that was being written is left"
        events = reader.events(run, limit=100_000)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert reader.run(run).state in (State.RUNNING, State.SUCCEEDED), "the run went with its viewer"
    end = time.monotonic() + RUN_LIMIT_S
    while not reader.run(run).state.final or lock.holder(here.state) is not None:
        assert time.monotonic() < end, "the run never ended"
        time.sleep(0.1)
    assert reader.run(run).state is State.SUCCEEDED
    assert here.site_file.read_bytes() == before
