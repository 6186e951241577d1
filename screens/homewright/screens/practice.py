"""Practise on this machine: makes the practice servers, says what it does, and opens their site."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from queue import Queue

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.errors import HomewrightError
from homewright.screens.app import unforeseen
from homewright.screens.ask import AskBox, parts_of
from homewright.screens.page import Page, span_text

SERVERS = 3


class Practice(Page):
    """`homewright lab up` with its progress."""

    CSS_PATH = "practice.tcss"
    WHERE = "practice servers"
    HELP = """
Practice servers are real LXD containers on this machine, each a small Debian with systemd and SSH, made to
try everything on. Making them the first time takes about three minutes, because their image is built; later
less than half a minute.

They take some 400 MB of disk and little memory. `homewright lab down` takes everything away again but the
image. Making them needs root, by sudo; the site and everything recorded stay yours.

The password of every practice server is shown here once they are up, and by `homewright lab status
--password`.
"""
    BINDINGS = [
        Binding("ctrl+n", "next", "to the servers", key_display="ctrl+n"),
        Binding("enter", "begin", "make them", key_display="enter"),
        Binding("escape", "back", "back", key_display="esc"),
    ]
    AUTO_FOCUS = "#steps"

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        self._begun = 0.0
        self._up: Path | None = None

    def body(self) -> ComposeResult:
        with VerticalScroll(id="steps"):
            yield Static(
                f"This makes {SERVERS} practice servers on this machine: LXD containers with systemd and SSH. "
                "The first time takes about three minutes, later half a minute. It needs root, by sudo; "
                "Debian packages that are missing are named before anything is installed.\n\n"
                "enter makes them; esc goes back, and nothing is done.",
                id="practice-text",
                markup=False,
            )

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        if self.jobs.running("lab"):
            self.retitle(span_text(self.now() - self._begun))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not super().check_action(action, parameters):
            return False
        if action == "begin":
            return self._up is None and not self.jobs.running("lab")
        if action == "next":
            return self._up is not None
        return True

    def action_begin(self) -> None:
        if not self._may_be_root():
            return
        self._begun = self.now()
        self._lines = ["Making the practice servers …"]
        self.query_one("#practice-text", Static).update(Content("\n".join(self._lines)))
        services = self.home.services
        tell = self.jobs.teller("lab", self._said)
        self.start("lab", lambda: services.lab_up(SERVERS, tell, self._agree), self._made, self._failed)

    def _may_be_root(self) -> bool:
        """Have sudo ask for its password before the work begins: on the terminal, with the screen put aside."""
        from homewright.lab.privilege import require_sudo

        if os.geteuid() == 0:
            return True
        problem: HomewrightError | None = None
        # ctrl+c at sudo's question is for sudo alone (a child starts with the default again): it ends the question.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            with self.app.suspend():
                # What is raised must not pass through `suspend`: it would leave the terminal as it is then.
                try:
                    require_sudo(print)
                except HomewrightError as error:
                    problem = error
                except Exception as error:
                    problem = unforeseen(error)
        except SuspendNotSupported:
            return True
        finally:
            signal.signal(signal.SIGINT, before)
        if problem is not None:
            self.problem(problem)
        return problem is None

    def _agree(self, question: str) -> bool:
        """Ask, from the job's thread, and wait for the answer there."""
        answered: Queue[bool] = Queue(1)

        def ask(text: str) -> None:
            self._ask(text, answered)

        self.jobs.teller("lab", ask, now=True)(question)
        return answered.get()

    def _ask(self, question: str, answered: Queue[bool]) -> None:
        self.app.push_screen(
            AskBox("may this be done?", [question], "yes", no="no"), lambda yes: answered.put(bool(yes))
        )

    def _said(self, line: str) -> None:
        self._lines.append(f"  {span_text(self.now() - self._begun)}  {line}")
        self.query_one("#practice-text", Static).update(Content("\n".join(self._lines)))
        self.query_one("#steps").scroll_end(animate=False)

    def _made(self, made: tuple[str, Path, str]) -> None:
        name, file, password = made
        self._up = file
        self.retitle(f"ready after {span_text(self.now() - self._begun)}")
        self.home.open_site(file, name)
        self._lines += [
            "",
            "The practice servers are up.",
            f"  Site      {file}",
            f"  Password  {password}",
            "            (homewright lab status --password shows it again)",
            "",
            "Go on with ctrl+n: first contact asks for that password, once.",
        ]
        self.query_one("#practice-text", Static).update(Content("\n".join(self._lines)))
        self.query_one("#steps").scroll_end(animate=False)
        self.retitle()

    def _failed(self, error: HomewrightError) -> None:
        self.query_one("#practice-text", Static).update(
            Content("\n").join([*(Content(line) for line in self._lines), Content(), parts_of(error)])
        )

    def action_next(self) -> None:
        self.home.go("servers")

    def action_back(self) -> None:
        if self.jobs.running("lab"):
            self.say("They are still being made; this goes on until it is done. ctrl+q stops it.", "warning")
            return
        self.home.back_to_welcome()
