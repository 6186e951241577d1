"""The site's notification command: what it is told, and that nothing it does can harm the run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from homewright.cli import runs
from homewright.cli.status import untold
from homewright.engine import launch, lock, notices
from homewright.engine.events import Event, Kind
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.lines import attention
from homewright.engine.notices import Notices, tell
from homewright.engine.redaction import Redactor
from homewright.engine.states import Action, State
from homewright.site.paths import StateFolder

from .catalogues import NOTHING, Tiny
from .conftest import wait_for

CANARY = "canary-Zq7-secret"


def hook(file: Path, script: str) -> list[str]:
    file.write_text(script)
    return [sys.executable, str(file)]


def keep(target: Path) -> str:
    """A hook that keeps what it was told, and its environment."""
    return (
        f"import json, os, sys\nwith open({str(target)!r}, 'a') as kept:\n"
        "    told = json.load(sys.stdin)\n    told['environment'] = dict(os.environ)\n"
        "    kept.write(json.dumps(told) + '\\n')\n"
    )


def told(target: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in target.read_text().splitlines()] if target.exists() else []


@pytest.mark.programs
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.stdin.read()", ""),
        ("", ""),  # it need not read what it is told
        ("import sys; sys.exit(3)", "ended with 3"),
        ("import os; os.kill(os.getpid(), 15)", "was ended by signal 15"),
        ("import sys\nfor _ in range(200000): print('x' * 99); print('x' * 99, file=sys.stderr)", ""),
        ("import time; time.sleep(600)", "took longer than 1 s and was ended"),
    ],
    ids=["reads", "reads-nothing", "fails", "dies", "floods", "hangs"],
)
def test_whatever_the_command_does_is_said_and_over_in_time(tmp_path: Path, script: str, said: str) -> None:
    limit = 1.0 if "sleep" in script else 30.0
    assert asyncio.run(tell(hook(tmp_path / "hook.py", script), b"x" * 300_000, limit)) == said


def test_what_it_leaves_behind_is_ended_and_a_missing_one_is_said(tmp_path: Path) -> None:
    pids: list[int] = []
    script = "import subprocess; subprocess.Popen(['sleep', '600'])"
    assert asyncio.run(tell(hook(tmp_path / "hook.py", script), b"{}", spawned=pids.append)) == ""
    wait_for(lambda: not any(_group(pid) == pids[0] for pid in _pids()), "the end of what it left")
    assert "could not be started" in asyncio.run(tell([str(tmp_path / "none")], b"{}"))


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid) if lock.start_ticks(pid) is not None else None
    except ProcessLookupError:
        return None


def test_a_failure_is_told_while_the_run_goes_on_and_then_its_end(
    state: StateFolder, writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "LOOK_S", 0.02)
    monkeypatch.setenv(launch.MARK, "of-an-engine")
    monkeypatch.setenv("A_TOKEN", CANARY)
    target = tmp_path / "told"
    writer.redactor = Redactor([CANARY])
    row = {"stage": "90", "title": "Step", "runner": "python", "position": 1, "state": "pending", "minutes": 1}
    writer.change(writer.add_step("90/10", "", **row), writer.add_step("90/20", "", **row))
    writer.change(writer.set_step("90/10", "", state="failed", finished=1.0, reason="of an earlier engine"))
    found = Notices(hook(tmp_path / "hook.py", keep(target)), "attic", Action.RUN, writer)

    async def whole() -> None:
        watching = asyncio.create_task(found.watch())
        failed = {
            "state": "failed",
            "finished": 2.0,
            "reason": f"it holds {CANARY}",
            "say": "Full.",
            "do": '["Make room"]',
        }
        writer.change(writer.set_step("90/20", "", **failed))
        end = time.monotonic() + 20
        while not told(target):
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
        watching.cancel()
        await found.ended(State.FAILED, "90/20 failed", 3, 1)

    asyncio.run(whole())
    first, last = told(target)
    assert (first["event"], first["state"], [step["id"] for step in first["failed"]]) == (
        "step-failed",
        "running",
        ["90/20"],
    )
    assert first["failed"][0]["do"] == ["Make room"]
    assert (last["event"], last["state"], last["exit_code"], last["changed"]) == ("run-ended", "failed", 1, 3)
    assert len(last["failed"]) == 2
    assert CANARY not in target.read_text()
    assert launch.MARK not in first["environment"]


def test_a_command_that_fails_at_the_end_is_said_by_status(state: StateFolder, writer: Writer, tmp_path: Path) -> None:
    found = Notices(hook(tmp_path / "hook.py", "import sys; sys.exit(2)"), "attic", Action.RUN, writer)
    writer.change(writer.set_run(state="succeeded", finished=1.0))
    asyncio.run(found.ended(State.SUCCEEDED, "", 0, 0))
    reader = Reader(state)
    assert list(untold(reader, reader.run())) == [
        "The notification command ended with 2: nobody may have been told of the end."
    ]
    Notices(["true"], "attic", Action.RUN, writer)
    assert not list(untold(reader, reader.run()))


@pytest.mark.programs
def test_an_engine_that_nobody_looks_at_tells_of_its_end(tmp_path: Path, state: StateFolder) -> None:
    target = tmp_path / "told"
    command = json.dumps(hook(tmp_path / "hook.py", keep(target)))
    site = tmp_path / "site.yaml"
    servers = "servers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 1}\n"
    site.write_text(f"version: 1\nname: attic\n{servers}notify:\n  command: {command}\n")
    tiny = Tiny(tmp_path / "catalogue").step(1, NOTHING.format(name="run"))
    run = launch.start(site, state, only="90", stages=[tiny.root])
    wait_for(lambda: lock.holder(state) is None, "the engine's end")
    last = told(target)[-1]
    assert (last["event"], last["run"], last["site"], last["action"]) == ("run-ended", run, "attic", "run")
    assert (last["state"], [step["id"] for step in last["failed"]]) == ("failed", ["90/10"])


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("xterm-256color", "\a\x1b]2;homewright: run succeeded\a"),
        ("linux", "\a"),
        ("dumb", "\a"),
        ("", "\a"),
    ],
)
def test_a_terminal_is_rung_and_titled(
    kind: str, written: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", kind)
    runs.attract(Event(Kind.RUN_FINISHED, data={"state": "succeeded"}))
    runs.attract(Event(Kind.LINE, "no reason to ring"))
    runs.attract(Event(Kind.STEP_FINISHED, step="00/10"))
    assert capsys.readouterr().out == written
    assert attention("a\x1b]0;b\nc", "xterm") == "\a\x1b]2;a]0;bc\a"
