"""What tests leave behind when they are killed is ended by those that come next."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tmux_terminal

ABANDONED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from tmux_terminal import TmuxTerminal
terminal = TmuxTerminal(["sleep", "600"], {})
print(terminal._folder, terminal.ask("#{pid}"), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def runs(pid: str) -> bool:
    """Whether there is such a process, other than one whose exit code nobody has taken yet."""
    try:
        return bool(Path("/proc", pid, "cmdline").read_bytes())
    except OSError:
        return False


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path: a socket's is at most 107 characters long."""
    with tempfile.TemporaryDirectory(prefix="hw-") as folder:
        yield Path(folder)


def test_a_terminal_whose_test_was_killed_is_ended(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setattr("tempfile.tempdir", None)
    here = str(Path(tmux_terminal.__file__).parent)
    done = subprocess.run([sys.executable, "-c", ABANDONED, here], capture_output=True, text=True, timeout=60)
    folder, pid = done.stdout.split()
    assert runs(pid), done.stderr
    kept = short / f"{tmux_terminal.FOLDER}1-x"  # of process 1, which lives
    kept.mkdir()
    tmux_terminal.end_orphans()
    assert not Path(folder).exists() and kept.exists()
    limit = time.monotonic() + 20
    while runs(pid):
        assert time.monotonic() < limit
        time.sleep(0.05)
