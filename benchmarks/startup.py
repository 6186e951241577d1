"""Time from the start of the process to the first interactive frame, against an empty Textual app.

Both are whole processes in a real pty of 80x24. A frame counts as interactive once the program answers a key: the
terminal sends one as soon as the first frame is there, and the clock stops when what it changes is drawn. Pairs are
measured in turn in one run; the medians and their ratio are printed, with the most memory that the program held.

Goals: at most 1.3 times, at most 60 MiB.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import resource
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

GOAL_RATIO = 1.3
GOAL_MIB = 60
LIMIT_S = 20.0
DOWN = b"\x1b[B"

EMPTY = """
from textual.app import App
from textual.widgets import Static

class Empty(App):
    BINDINGS = [("down", "answer", "answer")]
    def compose(self):
        yield Static("first frame", id="text")
    def action_answer(self):
        self.query_one("#text", Static).update("key answered")

Empty().run()
"""


def measure(
    command: list[str], frame: bytes, key: bytes, answer: bytes, environment: dict[str, str]
) -> tuple[float, int]:
    """Seconds until a key is answered, and the most memory held until then (bytes)."""
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen = b""
    pressed = False
    try:
        while True:
            if time.perf_counter() - started > LIMIT_S:
                raise SystemExit(f"never answered: {command}\n{seen[-2000:]!r}")
            ready, _, _ = select.select([terminal], [], [], 0.5)
            if not ready:
                continue
            seen += os.read(terminal, 1 << 16)
            if not pressed and frame in seen:
                os.write(terminal, key)
                pressed, seen = True, b""
            if pressed and answer in seen:
                return time.perf_counter() - started, memory(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def memory(pid: int) -> int:
    """The most resident memory of a process so far, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=11)
    pairs = parser.parse_args().pairs
    ours: list[float] = []
    empty: list[float] = []
    held: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "TEXTUAL_ANIMATIONS": "none"}
        environment |= {f"XDG_{name}_HOME": f"{folder}/{name}" for name in ("CONFIG", "STATE", "CACHE")}
        program = [str(Path(sys.executable).parent / "homewright")]
        bare = [sys.executable, "-c", EMPTY]
        measure(program, b"Open a site file", DOWN, "▸".encode(), environment)  # compiles what is not yet
        measure(bare, b"first frame", DOWN, b"key answered", environment)
        for _ in range(pairs):
            seconds, _ = measure(bare, b"first frame", DOWN, b"key answered", environment)
            empty.append(seconds)
            seconds, most = measure(program, b"Open a site file", DOWN, "▸".encode(), environment)
            ours.append(seconds)
            held.append(most)
    ratio = statistics.median(ours) / statistics.median(empty)
    most_mib = statistics.median(held) / (1 << 20)
    print(f"empty Textual app     {statistics.median(empty) * 1000:7.0f} ms  (median of {pairs})")
    print(f"homewright            {statistics.median(ours) * 1000:7.0f} ms")
    print(f"ratio                 {ratio:7.2f}     goal {GOAL_RATIO}")
    print(f"memory                {most_mib:7.1f} MiB goal {GOAL_MIB}")
    print(f"processor time of all {resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime:.1f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
