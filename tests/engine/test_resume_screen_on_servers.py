"""The real program on a run that was cut off: it opens there, proves, names the drift, and goes on by one key."""

from __future__ import annotations

import os
import signal

import pytest
from tmux_terminal import TmuxTerminal, homewright

from homewright.engine import lock
from homewright.engine.states import State

from .bench import SLOW, Bench, keeping
from .conftest import wait_for

pytestmark = pytest.mark.lab

FILE = "/tmp/homewright-shown"
LIMIT_S = 120.0


def test_an_unfinished_run_is_opened_proved_and_gone_on_with(bench: Bench) -> None:
    bench.tiny.step(1, *keeping(FILE)).step(2, SLOW)
    for host in bench.hosts:
        bench.on(host, "touch /tmp/homewright-slow")
    started = bench.run("apply", "--yes", "--detach")
    assert started.returncode == 0, started.stderr
    run = bench.wait_for_text("tick 5")
    holder = lock.holder(bench.state)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    wait_for(lambda: lock.holder(bench.state) is None, "the engine's end")
    drifted = bench.hosts[-1]
    bench.on(drifted, f"rm {FILE}")
    for host in bench.hosts:
        bench.on(host, "rm /tmp/homewright-slow")

    words = homewright("--site", str(bench.lab.site_file), *bench.lab.state_args)
    environment = {name: bench.lab.environment[name] for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")}
    terminal = TmuxTerminal(words, {**environment, "HOMEWRIGHT_AT_BOOT": "no"})
    try:
        terminal.wait("was cut off in 90/20", limit=LIMIT_S)
        terminal.wait(lambda text: "Drifted since: 90/10" in text and f"broken {drifted}" in text, limit=LIMIT_S)
        terminal.wait("the file is gone", limit=LIMIT_S)
        assert bench.on(drifted, f"ls {FILE} 2>/dev/null") == "", "nothing is done before a word"
        terminal.press("C-q")
        terminal.wait("ended with 0", limit=LIMIT_S)
    finally:
        terminal.close()
    assert bench.end_of(run) is State.INTERRUPTED, "looking at it has changed nothing"

    terminal = TmuxTerminal(words, {**environment, "HOMEWRIGHT_AT_BOOT": "no"})
    try:
        terminal.wait("Drifted since: 90/10", limit=LIMIT_S)
        terminal.press("C-n")
        terminal.wait("Done,", limit=LIMIT_S)
        terminal.press("C-q")
        terminal.wait("ended with 0", limit=LIMIT_S)
    finally:
        terminal.close()
    assert bench.end_of(run) is State.SUCCEEDED
    for host in bench.hosts:
        assert bench.on(host, f"cat {FILE}; rm {FILE}") == "made"
