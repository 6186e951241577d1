"""The disk of the state folder fills up in the middle of a run, a whole engine and its runners on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from homewright.site.rehearsed import PACE

from .catalogues import NOTHING, Tiny

pytestmark = pytest.mark.programs

SCRIPT = """
import errno, json, os, shutil, subprocess, sys, threading, time
from pathlib import Path

small, elsewhere, stages = map(Path, sys.argv[1:])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(small)], check=True)

from homewright.engine import launch, lock
from homewright.engine.journal import Reader
from homewright.errors import HomewrightError
from homewright.rehearsal import opened
from homewright.site.paths import StateFolder

LIMIT_S = 120.0
said = {}

def ended(state, run):
    end = time.monotonic() + LIMIT_S
    while True:
        record = Reader(state).run(run)
        if record.state.final and lock.holder(state) is None:
            return record
        assert time.monotonic() < end, record
        time.sleep(0.05)

def states(state, run):
    return {row.step: row.state for row in Reader(state).steps(run) if not row.host}

over = threading.Event()

def fill(path):
    # Takes what anybody gives back, the ballast too.
    with path.open("wb", buffering=0) as file:
        while not over.is_set():
            try:
                file.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC
                time.sleep(0.01)

with opened("pair", anew=False) as here:
    run = launch.start(here.site_file, here.state, only="90", stages=[stages])
    while states(here.state, run).get("90/10") != "succeeded":
        time.sleep(0.02)
    filling = threading.Thread(target=fill, args=[small / "theirs"])
    filling.start()
    record = ended(here.state, run)
    over.set()
    filling.join()
    kept = Reader(here.state).last_seq(run)
    said["full"] = [record.state, record.reason, states(here.state, run)]
    try:
        launch.start(here.site_file, here.state, only="00")
    except HomewrightError as error:
        said["refused"] = error.as_text()
    there = StateFolder(elsewhere / "state")
    shutil.copytree(here.state.root, there.root)
    (there.root / "ballast").unlink(missing_ok=True)
    launch.resume(here.site_file, there, run)
    said["elsewhere"] = [ended(there, run).state, Reader(there).last_seq(run) > kept]
    (small / "theirs").unlink()
    launch.resume(here.site_file, here.state, run)
    said["room"] = [ended(here.state, run).state]
    said["log"] = (here.state.run(run) / "engine.log").read_text(errors="replace")
print(json.dumps(said))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="a small file system of its own needs root")
def test_a_run_on_a_full_disk_says_so_keeps_what_was_there_and_goes_on(tmp_path: Path) -> None:
    small, script = tmp_path / "small", tmp_path / "script.py"
    small.mkdir()
    script.write_text(SCRIPT)
    tiny = Tiny(tmp_path / "stages")
    for number in (1, 2, 3, 4):
        tiny.step(number, NOTHING.format(name="run"))
    environment = {**os.environ, "XDG_STATE_HOME": str(small), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    environment[PACE] = "0.05"
    command = ["unshare", "-m", sys.executable, str(script), str(small), str(tmp_path), str(tiny.root)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    state, _, steps = said["full"]
    assert state in ("failed", "interrupted"), "even the ballast was taken: then its end cannot be recorded"
    assert (steps["90/10"], steps["90/40"]) == ("succeeded", "pending")
    assert "The disk that holds the state folder is full." in said["log"]
    assert "homewright --state DIR resume" in said["log"]
    assert "Traceback" not in said["log"], said["log"]
    assert "No space left on device" in said["refused"]
    assert said["elsewhere"] == ["succeeded", True]
    assert said["room"] == ["succeeded"]
