"""The real program in a real terminal: tmux keeps the screen, keys go in, and what is shown is read back."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

FOLDER = "homewright-tmux-"
"""How the folder of a terminal's socket begins; the process that it belongs to comes next."""
SAME = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "PYTHONPATH")


class TmuxTerminal:
    """A terminal of its own tmux server, so that nobody's own sessions are touched."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], size: tuple[int, int] = (80, 24)
    ) -> None:
        # tmux leaves its socket behind, so it lies in a folder that goes with the terminal.
        end_orphans()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
        outer = {name: os.environ[name] for name in SAME if name in os.environ}
        outer |= {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
        inner = {"LANG": "C.UTF-8", "TERM": "tmux-256color", **environment}
        words = ["env", *(f"{name}={value}" for name, value in inner.items()), *command]
        # The pane stays when the program ends, so that its last words can be read.
        line = f"{shlex.join(words)}; echo ended with $?; sleep 600"
        self._run(
            ["new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), "-e", "LANG=C.UTF-8", line], environment=outer
        )
        self._run(["set-option", "-g", "status", "off"])

    @property
    def _socket(self) -> tuple[str, str]:
        return "-S", str(self._folder / "socket")

    def _run(self, words: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = "") -> str:
        done = subprocess.run(
            ["tmux", "-u", *self._socket, "-f", "/dev/null", *words],
            input=stdin,
            capture_output=True,
            text=True,
            env=dict(environment) if environment else None,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def text(self) -> str:
        """What is shown now."""
        return self._run(["capture-pane", "-p"])

    def ask(self, what: str) -> str:
        """What tmux knows of the terminal, such as #{cursor_y}."""
        return self._run(["display-message", "-p", what]).strip()

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: Enter, Escape, C-n, F1, or a letter."""
        for key in keys:
            self._run(["send-keys", key])

    def type(self, text: str) -> None:
        """Type a text letter by letter, as nobody's key names."""
        self._run(["send-keys", "-l", text])

    def type_secret(self, text: str) -> None:
        """The same for what must not stand in tmux's own arguments."""
        self._run(["load-buffer", "-"], stdin=text)
        self._run(["paste-buffer", "-d", "-r"])

    def resize(self, width: int, height: int) -> None:
        self._run(["resize-window", "-x", str(width), "-y", str(height)])

    def wait(self, condition: Callable[[str], bool] | str, limit: float = 60.0) -> str:
        """Wait until the words are shown (or the condition holds of what is shown). Limit in seconds."""
        wanted = condition if callable(condition) else (lambda text: condition in text)
        end = time.monotonic() + limit
        while True:
            text = self.text()
            if wanted(text):
                return text
            assert time.monotonic() < end, f"never shown: {condition}\n{text}"
            time.sleep(0.1)

    def kill(self) -> int:
        """kill -9 of the program, of its shell and of the terminal itself; how many processes that were."""
        server, pane = self._run(["display-message", "-p", "#{pid} #{pane_pid}"]).split()
        doomed = {int(pane)}
        parents = dict(_parents())
        while more := {pid for pid, parent in parents.items() if parent in doomed} - doomed:
            doomed |= more
        for pid in (*doomed, int(server)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(doomed) + 1

    def close(self) -> None:
        """End the program and its terminal."""
        subprocess.run(["tmux", *self._socket, "kill-server"], capture_output=True, timeout=20)
        shutil.rmtree(self._folder, ignore_errors=True)


def end_orphans() -> None:
    """End terminals whose tests were killed: their programs would run on for ever."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*-*"):
        owner = folder.name.removeprefix(FOLDER).partition("-")[0]
        if not (owner.isdigit() and Path("/proc", owner).exists()):
            subprocess.run(["tmux", "-S", str(folder / "socket"), "kill-server"], capture_output=True, timeout=20)
            shutil.rmtree(folder, ignore_errors=True)


def _parents() -> Iterator[tuple[int, int]]:
    """Every process with its parent."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])


def homewright(*arguments: str) -> list[str]:
    """The installed command, of the interpreter that runs the tests."""
    return [str(Path(sys.executable).parent / "homewright"), *arguments]
