"""10,000 lines a second for 30 s through journal and screen: a runner, the engine's loop, the wizard over SSH.

The three are processes of their own, as in a run, and what lies between them is the product's own: the runner's
descriptor, the conversation, redaction, the journal. Only where the lines come from is not: no server says so much
for so long. The wizard runs in a real pty of 120x40 with SSH_CONNECTION set, and follows the log; in between `home`
and `f` are pressed in turn, and the clock stops when the terminal is sent what they show: the log's first line, and
lines of the flood, which come only to who follows.

Goals: the wizard at most 15 % of a core and 40 KB/s to the terminal; 99 of 100 keys within 50 ms; no line lost or
doubled, in the journal and on the screen.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from screen_doubles import HOSTS, RUN, write_run  # noqa: E402 - the tests write runs as an engine does; no package

from homewright.catalogue.models import Limits  # noqa: E402 - as above
from homewright.engine import control  # noqa: E402 - as above
from homewright.engine.conversation import Conversation  # noqa: E402 - as above
from homewright.engine.events import Kind  # noqa: E402 - as above
from homewright.engine.journal import Reader  # noqa: E402 - as above
from homewright.engine.journal.writer import Writer  # noqa: E402 - as above
from homewright.engine.lock import EngineLock, holder  # noqa: E402 - as above
from homewright.engine.runner_process import RunnerProcess  # noqa: E402 - as above
from homewright.engine.runners.protocol import Emitter  # noqa: E402 - as above
from homewright.engine.runners.request import EVENTS_DESCRIPTOR  # noqa: E402 - as above
from homewright.engine.schedule import FLUSH_S  # noqa: E402 - as above
from homewright.engine.states import Action  # noqa: E402 - as above
from homewright.screens.loglines import lines_of  # noqa: E402 - as above
from homewright.site import files  # noqa: E402 - as above
from homewright.site.models import Server, Site  # noqa: E402 - as above
from homewright.site.paths import StateFolder  # noqa: E402 - as above

RATE = 10_000
SECONDS = 30.0
BATCH_S = 0.01
STEP = "00/20"
SIZE = (120, 40)
HOME = b"\x1b[H"
LINES = b" of what a package"
LOOKING_BACK_S, FOLLOWING_S = 0.1, 0.6
"""Between a key's answer and the next key: most of the time the log is followed."""
LIMIT_S = 60.0
GOAL_CORE, GOAL_KEY_S, GOAL_BYTES = 0.15, 0.05, 40_000.0
TEXT = re.compile(r"^line (\d+) of ")
GO = "go"


def flooding() -> int:
    """The runner: waits for the word, then says so many lines a second."""
    emitter = Emitter(EVENTS_DESCRIPTOR, STEP)
    request = Path(sys.argv[1])
    folder, wanted = request.parent, int(json.loads(request.read_text())["lines"])
    while not (folder / GO).exists():
        time.sleep(0.01)
    began, said = time.monotonic(), 0
    while said < wanted:
        due = min(int((time.monotonic() - began) * RATE), wanted)
        for number in range(said, due):
            emitter.line(f"line {number} of what a package manager has to say of its work", host=HOSTS[number % 3])
        said = due
        time.sleep(BATCH_S)
    (folder / "seconds").write_text(f"{time.monotonic() - began}")
    for host in HOSTS:
        emitter.finished(host, "succeeded", changed=1)
    return 0


async def conducting(state: StateFolder, folder: Path) -> None:
    """What the engine has at work while a step runs: its runner, its batches, and the socket that viewers ask."""
    writer = Writer(state, RUN)
    talk = Conversation(writer, STEP, Action.RUN, HOSTS)

    async def batches() -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            writer.flush()

    request = folder / "request.json"
    limits = Limits(soft=10, hard=10, silent=10)
    runner = RunnerProcess(Path(__file__).stem, request, STEP, f"bench-{os.getpid()}:", limits, talk.take)
    async with control.serving(state, control.Desk(writer, lambda *_: 1)):
        flushing = asyncio.ensure_future(batches())
        ending = await runner.run(asyncio.Event())
        talk.close(ending)
        flushing.cancel()
        writer.flush()
        await asyncio.to_thread(sys.stdin.read)  # until whoever measures has seen enough
    writer.close()


def engine(state_root: str, folder: str) -> int:
    """The engine's process: it holds the site, as one that is at work does."""
    state = StateFolder(Path(state_root))
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    lock = EngineLock.take(state, RUN)
    asyncio.run(conducting(state, Path(folder)))
    lock.release()
    return 0


@dataclass(frozen=True)
class Found:
    """What one flood showed."""

    rate: float
    """Lines a second that the runner could say."""
    core: float
    """Processor time of the wizard for each second of lines, at the rate that is asked for."""
    bytes: float
    """To the terminal, a second."""
    apart: int
    """By how many the screen's count of lines differs from the journal's."""
    memory: int
    keys: list[float]
    """Seconds from each key to what it shows, sorted."""


def peak(pid: int) -> int:
    """The most resident memory of a process so far, in bytes; 0 where it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


class Wizard:
    """The real program in a pty, what it sends, and when."""

    def __init__(self, environment: Mapping[str, str], size: tuple[int, int] = SIZE) -> None:
        self.began = time.perf_counter()
        command = [str(Path(sys.executable).parent / "homewright")]
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execve(command[0], command, dict(environment))
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.bytes = 0
        self.recent = b""

    def press(self, key: bytes) -> None:
        self.recent = b""
        os.write(self._terminal, key)

    def read(self, wait_s: float) -> None:
        """Take what has been sent, waiting so long for it at most."""
        ready, _, _ = select.select([self._terminal], [], [], wait_s)
        if ready:
            sent = os.read(self._terminal, 1 << 16)
            self.bytes += len(sent)
            self.recent = (self.recent + sent)[-(1 << 18) :]

    def until(self, shown: bytes, limit_s: float = LIMIT_S) -> float:
        """Until these bytes are sent; when that was. Raises SystemExit after the limit."""
        end = time.perf_counter() + limit_s
        while shown not in self.recent:
            if time.perf_counter() > end:
                raise SystemExit(f"never shown: {shown!r}\n{self.recent[-3000:]!r}")
            self.read(0.2)
        return time.perf_counter()

    def pause(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self.read(left)

    def answer(self, key: bytes, shown: bytes) -> float:
        """Seconds from a key to what it shows."""
        began = time.perf_counter()
        self.press(key)
        return self.until(shown) - began

    def spent(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def held(self) -> int:
        """The most resident memory so far, in bytes."""
        return peak(self.pid)

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)


def prepared(folder: Path, write: Callable[[StateFolder], None]) -> tuple[StateFolder, dict[str, str]]:
    """A site of three servers with a run in its journal, and the environment in which it is the only site."""
    places = {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
    environment = {**os.environ, **places, "TERM": "xterm-256color", "LANG": "C.UTF-8", "HOMEWRIGHT_AT_BOOT": "no"}
    file = folder / "config" / "homewright" / "attic" / "site.yaml"
    servers = tuple(Server(name=name, address=f"127.0.0.{n}", user="admin", port=1) for n, name in enumerate(HOSTS, 1))
    files.save(file, Site(name="attic", servers=servers))
    state = StateFolder(folder / "state" / "homewright" / "sites" / "attic", file).create()
    write(state)
    return state, environment


def numbers(state: StateFolder) -> tuple[list[int], int]:
    """The numbers of the flood's lines in the journal, in its order, and which line of the log is the last one."""
    reader, after, found, lines, last = Reader(state), 0, list[int](), 0, 0
    while page := reader.events(RUN, after, 10_000):
        after = page[-1].seq
        for event in page:
            lines += len(lines_of(event))
            if event.kind == Kind.LINE and (match := TEXT.match(event.text)):
                found.append(int(match[1]))
                last = lines
    return found, last


def measure(folder: Path, lines: int) -> Found:
    """One flood. Raises SystemExit where a line is lost or doubled in the journal."""
    state, environment = prepared(folder, lambda state: write_run(state, lines=0))
    (folder / "request.json").write_text(json.dumps({"lines": lines}))
    working = subprocess.Popen(
        [sys.executable, __file__, "engine", str(state.root), str(folder)], stdin=subprocess.PIPE
    )
    held = time.perf_counter() + LIMIT_S
    while holder(state) is None:  # a run without its engine is a broken-off one: the wizard would open Resume
        if working.poll() is not None or time.perf_counter() > held:
            raise SystemExit("the engine's process has not begun")
        time.sleep(0.01)
    wizard = Wizard({**environment, "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"})
    answers: list[float] = []
    try:
        wizard.until(b"Run started")
        wizard.until(b"in control")
        wizard.press(b"\r")  # into the log
        wizard.pause(1)
        (folder / GO).touch()
        began, spent, sent = time.perf_counter(), wizard.spent(), wizard.bytes
        wizard.until(b"line ")
        while not (folder / "seconds").exists():
            answers.append(wizard.answer(HOME, b"Run started"))
            wizard.pause(LOOKING_BACK_S)
            answers.append(wizard.answer(b"f", LINES))
            wizard.pause(FOLLOWING_S)
        wizard.until(f"line {lines - 1} of".encode())
        passed = time.perf_counter() - began
        spent, sent = wizard.spent() - spent, wizard.bytes - sent
        found, last = numbers(state)
        if found != list(range(lines)):
            raise SystemExit(f"{len(found)} lines in the journal, not each of {lines} once and in order")
        wizard.press(b"/")
        wizard.until(b"search the log")
        wizard.press(f"line {lines - 1} of\r".encode())
        wizard.until(b"again for the next one")
        told = re.search(rb"Line (\d+)\.", wizard.recent)
        took = float((folder / "seconds").read_text())
        shown = int(told[1]) if told else 0
        return Found(lines / took, spent / (lines / RATE), sent / passed, shown - last, wizard.held(), sorted(answers))
    finally:
        wizard.close()
        (folder / GO).touch()
        working.communicate(timeout=LIMIT_S + lines / RATE * 10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    lines = int(parser.parse_args().seconds * RATE)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="homewright-flood-") as name:
        found = measure(Path(name), lines)
    keys = found.keys
    late = keys[int(len(keys) * 0.99)]
    print(
        f"{lines} lines, {found.rate:.0f} a second (of {RATE} that were asked for), at a load of {load:.1f} before it"
    )
    print(f"in the journal each once and in order; on the screen {found.apart:+d} lines than there should be")
    for what, value, goal, unit in (
        (f"wizard, of a core at {RATE} lines a second", found.core * 100, GOAL_CORE * 100, "%"),
        ("to the terminal over SSH, a second", found.bytes / 1000, GOAL_BYTES / 1000, "KB"),
        (f"{len(keys)} keys, 99 of 100 painted within", late * 1000, GOAL_KEY_S * 1000, "ms"),
    ):
        print(f"{what:46} {value:8.1f} {unit}, goal {goal:.0f}: {'met' if value <= goal else 'missed'}")
    print(f"half of the keys within {statistics.median(keys) * 1000:.1f} ms; memory {found.memory / (1 << 20):.0f} MiB")
    return 0 if found.apart == 0 else 1


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].endswith("request.json"):
        sys.exit(flooding())
    sys.exit(engine(*sys.argv[2:]) if sys.argv[1:2] == ["engine"] else main())
