"""The guard around remote commands, tried with this machine's shell and a fence file of the test's own."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from homewright.engine.runners import guard as room
from homewright.engine.runners.guard import MARK, REFUSED, REFUSED_TEXT, Guard


@pytest.fixture
def fence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "fence.json"
    monkeypatch.setattr(room, "FENCE_FILE", str(file))
    hold(file, "us", 7)
    return file


def hold(file: Path, controller: str, number: int) -> None:
    file.write_text(json.dumps({"controller": controller, "fence": number, "run": "r-7", "released": False}) + "\n")


def sh(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20)


def test_a_command_runs_unchanged_while_the_fence_is_ours(fence: Path) -> None:
    done = sh(Guard("us", 7).around("""echo "it's $((1 + 1))"; echo oops >&2; cat; exit 3""") + " </dev/null")
    assert (done.stdout, done.stderr, done.returncode) == ("it's 2\n", "oops\n", 3)


def test_standard_input_reaches_the_command(fence: Path) -> None:
    assert sh("echo hello | " + Guard("us", 7).around("cat")).stdout == "hello\n"


@pytest.mark.parametrize(
    ("controller", "number"), [("us", 8), ("us", 77), ("us", 70), ("us", 6), ("them", 7), ("them", 8)]
)
def test_a_command_is_refused_once_the_fence_has_moved(fence: Path, controller: str, number: int) -> None:
    hold(fence, controller, number)
    for command in (Guard("us", 7).around("echo done"), Guard("us", 7).prefix + shlex.quote("echo done")):
        done = sh(command)
        assert (done.stdout, done.returncode) == ("", REFUSED)
        assert REFUSED_TEXT in done.stderr


def test_who_has_the_server_now_is_said(fence: Path) -> None:
    held = {"controller": "them", "fence": 8, "run": "r-8", "host": "attic", "site": "it's home", "since": 0}
    fence.write_text(json.dumps(held | {"released": False}) + "\n")
    for command in (Guard("us", 7).around("echo done"), Guard("us", 7).prefix + shlex.quote("echo done")):
        assert sh(command).stderr.strip() == f"{REFUSED_TEXT}: run r-8 of attic for the site it's home"


def test_without_a_fence_nothing_runs(fence: Path) -> None:
    fence.unlink()
    assert sh(Guard("us", 7).around("echo done")).returncode == REFUSED


def test_all_that_a_command_starts_carries_the_mark(fence: Path) -> None:
    for command in (Guard("us", 7).around(f"sh -c 'printenv {MARK}'"), Guard("us", 7).prefix + f"'printenv {MARK}'"):
        assert sh(command).stdout == "7\n"


def test_an_interpreter_is_marked_and_guarded(fence: Path) -> None:
    interpreter = Guard("us", 7).interpreter("python3")
    words = [*shlex.split(interpreter), "-c", f"import os, sys; print(os.environ['{MARK}'], sys.argv[1])", "a b"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "7 a b\n"
    hold(fence, "us", 8)
    assert subprocess.run(words, capture_output=True, text=True).returncode == REFUSED
