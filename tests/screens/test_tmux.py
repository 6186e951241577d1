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


@contextlib.contextmanager
def going_on(lab: Any) -> Iterator[None]:
    """What is `SLOW` goes on until this ends."""
    for host in lab.servers:
        lab.on(host, f"touch {GOES_ON}")
    try:
        yield
    finally:
        for host in lab.servers:
            lab.on(host, f"rm {GOES_ON}")


def ticks_of(lab: Any) -> int:
    """How often the run has said so far that it is at work."""
    reader = Reader(lab.state)
    return sum(event.text.startswith("tick") for event in reader.events(reader.run().id, limit=100_000))


def wait_for_ticks(lab: Any, count: int) -> None:
    end = time.monotonic() + STEP_LIMIT_S
    while ticks_of(lab) < count:
        assert time.monotonic() < end, "the run is said to go on, and says nothing more"
        time.sleep(0.1)


@pytest.mark.lab
def test_the_wizard_is_killed_in_the_middle_of_a_step_and_the_run_goes_on(lab: Any, tmp_path: Path) -> None:
    """kill -9 of the program that approved the plan, of its shell and of their terminal."""
    lab.before_first_contact()
    lab.run("trust", "--all", "--practice").check_returncode()
    # Neither instances nor names: it is about one step, and what later stages leave would cost the servers.
    zone = json.loads(lab.run("site", "show", "--json").stdout)["zone"]
    lab.run("site", "set", "platform.nodes", "servers").check_returncode()
    lab.run("site", "unset", "zone").check_returncode()
    checked = lab.run("check")
    assert checked.returncode == 0, checked.stdout

    def status() -> dict[str, Any]:
        return dict(json.loads(lab.run("status", "--json").stdout))

    catalogue = Tiny(tmp_path / "catalogue", stage="00").step(1, SLOW)
    try:
        with going_on(lab):
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
            assert status()["state"] == "running", "the run went with the wizard"
            wait_for_ticks(lab, ticks_of(lab) + 2)
    finally:
        lab.run("site", "unset", "platform.nodes").check_returncode()
        lab.run("site", "set", "zone", zone).check_returncode()
    end = time.monotonic() + 120
    while not Reader(lab.state).run().state.final:
        assert time.monotonic() < end, "the run never ended"
        time.sleep(0.1)
    assert status()["state"] == "succeeded"
    events = [json.loads(line) for line in lab.run("attach", "--jsonl").stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    for host in lab.servers:
        ticks = [event["text"] for event in events if event["host"] == host and event["text"].startswith("tick")]
        assert ticks == [f"tick {number}" for number in range(len(ticks))]
        assert len(ticks) > 1
    lab.run("rollback", "10", "--yes").check_returncode()  # what follows is to find servers as `lab up` makes them


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


GOES_ON = "/run/homewright-slow"
SLOW = f"""
import itertools, time

def run(host):
    for number in itertools.count():
        host.say(f"tick {{number}}")
        if not host.exists("{GOES_ON}"):
            return
        time.sleep(0.1)
"""
"""Takes as long as a test wants it to: until the file is gone."""
