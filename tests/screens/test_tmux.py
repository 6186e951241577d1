"""The whole line by key presses alone: `make try` in an 80x24 terminal, from Welcome to a running workspace."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from engine.catalogues import Tiny
from integration.leaks import assert_nowhere
from integration.sampling import ProcessSampler
from practice_lab import MAKE_TRY
from tmux_terminal import TmuxTerminal, homewright

from homewright.engine.journal import Reader

RUN_LIMIT_S = 600.0
"""Stage 00 on three fresh servers, on two busy cores."""


STEP_LIMIT_S = 120.0
"""What a page of the wizard asks of the servers, on two busy cores."""


def in_terminal(lab: Any, command: Sequence[str]) -> TmuxTerminal:
    outer = {name: value for name, value in lab.make_environment.items() if name not in ("TERM", "LANG", "LC_ALL")}
    return TmuxTerminal(command, outer)


def onward(terminal: TmuxTerminal, *pages: str) -> None:
    """Through these pages by ctrl+n alone: one that is not ready says so, and is asked again.

    A page that was slow to go may take a key for the next one, too: a later page than the one waited for is as good.
    """

    def there(text: str, number: int) -> bool:
        return any(f"/9 {page}" in text for page in pages[number:])

    for number, page in enumerate(pages):
        end = time.monotonic() + STEP_LIMIT_S
        while not there(terminal.text(), number):
            assert time.monotonic() < end, f"never came to {page}\n{terminal.text()}"
            terminal.press("C-n")
            with contextlib.suppress(AssertionError):
                text = terminal.wait(lambda text, at=number: there(text, at) or "was made for" in text, limit=2)
                if "was made for" in text:  # the administrator's password, which is shown once
                    terminal.press("Enter")
                    terminal.wait(lambda text: "was made for" not in text)


@pytest.mark.lab
def test_the_wizard_is_killed_in_the_middle_of_a_step_and_the_run_goes_on(lab: Any, tmp_path: Path) -> None:
    """kill -9 of the program that approved the plan, of its shell and of their terminal."""
    lab.before_first_contact()
    lab.run("trust", "--all", "--practice").check_returncode()
    lab.run("site", "set", "platform.nodes", "servers").check_returncode()  # no instances: it is about one step
    checked = lab.run("check")
    assert checked.returncode == 0, checked.stdout
    catalogue = Tiny(tmp_path / "catalogue", stage="00").step(1, SLOW)
    terminal = in_terminal(lab, homewright("--stages", str(catalogue.root)))
    try:
        terminal.wait(lambda text: "practice" in text and "all answer" in text)
        terminal.press("Enter")
        terminal.wait("8/9 Plan")
        terminal.wait("00/10")
        terminal.press("C-n")
        terminal.wait("approve this plan?")
        terminal.press("Enter")
        terminal.wait("tick ", limit=60)
        assert terminal.kill() >= 3, "the program, its shell and the terminal"
    finally:
        terminal.close()
        lab.run("site", "unset", "platform.nodes").check_returncode()

    def status() -> dict[str, Any]:
        return dict(json.loads(lab.run("status", "--json").stdout))

    assert status()["state"] == "running", "the run went with the wizard, or was through too soon"
    end = time.monotonic() + 120
    while not Reader(lab.state).run().state.final:
        assert time.monotonic() < end, "the run never ended"
        time.sleep(0.1)
    assert status()["state"] == "succeeded"
    events = [json.loads(line) for line in lab.run("attach", "--jsonl").stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    for host in lab.servers:
        ticks = [event["text"] for event in events if event["host"] == host and event["text"].startswith("tick")]
        assert ticks == [f"tick {number}" for number in range(100)]


@pytest.fixture
def terminal(lab: Any) -> Iterator[TmuxTerminal]:
    lab.before_first_contact()
    opened = in_terminal(lab, MAKE_TRY)
    yield opened
    opened.close()
    lab.remove_workspaces()


@pytest.fixture
def sampler() -> Iterator[ProcessSampler]:
    with ProcessSampler() as watching:
        yield watching


@pytest.mark.lab
def test_from_welcome_to_a_running_workspace(lab: Any, sampler: ProcessSampler, terminal: TmuxTerminal) -> None:
    """On servers as `lab up` makes them, and no secret of it is seen, kept or logged where it must not be."""
    count = len(lab.servers)
    all_of = f"{count} of {count}"
    terminal.wait(lambda text: "practice" in text and "all answer" in text)
    terminal.press("Enter")
    terminal.wait(f"0 of {count} reached")
    terminal.press("C")
    # The site carries every server's host key, so it is compared without asking.
    terminal.wait(lambda text: text.count("waits for a password") == count)
    terminal.press("Tab")
    terminal.type("/no/such/key")
    terminal.wait("there is no such file")
    terminal.press("C-u", "BTab")
    terminal.wait(lambda text: "/no/such/key" not in text)
    terminal.type("not its password")
    terminal.press("Enter")
    terminal.wait(lambda text: text.count("does not let") > count, limit=60)  # rows, and the box
    terminal.type_secret(lab.password)
    terminal.press("Enter")
    terminal.wait("Every server here is reached", limit=60)
    assert lab.password not in terminal.text()
    terminal.press("C-n")
    terminal.wait(lambda text: "first contact" not in text)
    terminal.press("C-n")
    terminal.wait(f"{all_of} known", limit=60)
    onward(terminal, "Checks", "Network", "GPUs", "Instances", "Platform", "Plan")
    asks = "approve this plan?"  # at once where a key for a slow page was one too many
    if asks not in terminal.wait(lambda text: "00/10" in text or asks in text):
        terminal.press("C-n")
    terminal.wait(asks)
    terminal.press("Enter")
    terminal.wait("deploying", limit=60)
    terminal.wait("Done,", limit=RUN_LIMIT_S)
    terminal.press("C-n")
    terminal.wait("To trust the site's certificate authority")
    terminal.press("C-n")
    terminal.wait("No workspaces yet", limit=60)
    terminal.press("n")
    terminal.wait("will it do?")
    terminal.press("End", "C-u")
    terminal.type("alice")
    terminal.wait("It goes to", limit=60)
    terminal.press("Tab", "End", "C-u")
    terminal.wait("this is needed")
    terminal.press("C-s")
    terminal.type("first")
    terminal.wait("It goes to", limit=60)
    terminal.press("C-s")
    terminal.wait(lambda text: "runs: https://" in text, limit=RUN_LIMIT_S)
    terminal.wait(lambda text: "running" in text and "1 running" in text)
    terminal.press("C-q")
    terminal.wait("ended with 0")
    shown = lab.run("workspace", "show", "alice/first", "--password", "--json")
    assert_nowhere(lab, sampler, json.loads(shown.stdout)["password"])


SLOW = """
import time

def run(host):
    for number in range(100):
        host.say(f"tick {number}")
        time.sleep(0.1)
"""
