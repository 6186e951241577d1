"""The whole line by key presses alone: the real program in an 80x24 terminal, from Welcome to a running workspace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tmux_terminal import TmuxTerminal, homewright

RUN_LIMIT_S = 600.0
"""Stage 00 on three fresh servers, on two busy cores."""


@pytest.fixture
def terminal(lab: Any) -> Iterator[TmuxTerminal]:
    lab.before_first_contact()
    opened = TmuxTerminal(
        homewright(), {name: value for name, value in lab.environment.items() if name.startswith("XDG_")}
    )
    yield opened
    opened.close()
    lab.remove_workspaces()


@pytest.mark.lab
def test_from_welcome_to_a_running_workspace(lab: Any, terminal: TmuxTerminal) -> None:
    count = len(lab.servers)
    all_of = f"{count} of {count}"
    terminal.wait(lambda text: "practice" in text and "all answer" in text)
    terminal.press("Enter")
    terminal.wait(f"0 of {count} reached")
    terminal.press("C")
    # The site carries every server's host key, so it is compared without asking.
    terminal.wait(lambda text: text.count("waits for a password") == count)
    terminal.type(lab.password)
    terminal.press("Enter")
    terminal.wait("Every server here is reached", limit=60)
    assert lab.password not in terminal.text()
    terminal.press("C-n")
    terminal.wait(lambda text: "first contact" not in text)
    terminal.press("C-n")
    terminal.wait(f"{all_of} known", limit=60)
    terminal.press("C-n")
    terminal.wait("4/6 Plan")
    terminal.wait("00/10")
    terminal.press("C-n")
    terminal.wait("approve this plan?")
    terminal.press("Enter")
    terminal.wait("deploying", limit=60)
    terminal.wait("Done,", limit=RUN_LIMIT_S)
    terminal.press("C-n")
    terminal.wait("To trust the site's certificate authority")
    terminal.press("C-n")
    terminal.wait("No workspaces yet", limit=60)
    terminal.press("n")
    terminal.wait("It goes to", limit=60)
    terminal.press("C-s")
    terminal.wait(lambda text: "runs: https://" in text, limit=RUN_LIMIT_S)
    terminal.wait(lambda text: "running" in text and "1 running" in text)
    terminal.press("C-q")
    terminal.wait("ended with 0")
