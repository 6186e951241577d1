"""Boxes about one workspace: everything about it, its log, its address or password, and its end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from homewright.errors import HomewrightError
from homewright.screens.ask import parts_of
from homewright.screens.glyphs import look
from homewright.screens.page import Box, TooSmall, WorkingBox, age_text, size_text
from homewright.screens.widgets.field import Tick
from homewright.screens.widgets.line import Line
from homewright.screens.widgets.log_pane import clean

if TYPE_CHECKING:
    from homewright.workspaces.manager import Manager
    from homewright.workspaces.models import Session, Workspace

LOG_LINES = 300


def _from(session: Session) -> str:
    return f"{session.address} ({session.connections})" if session.connections else session.address


class DetailBox(WorkingBox[None]):
    """All of one workspace."""

    BINDINGS = [Binding("enter", "close", show=False)]

    def __init__(self, one: Workspace, manager: Manager, now: float) -> None:
        super().__init__()
        self._one = one
        self._manager = manager
        self._now = now

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = f"workspace {self._one.key}"
            with VerticalScroll():
                yield Static(self._words(), markup=False)
                yield Static("On now    looking …", id="on", markup=False)
            yield Static(Content.assemble(("esc ", "bold"), "back"), classes="buttons")
        yield TooSmall()

    def on_mount(self) -> None:
        manager, key = self._manager, self._one.key
        self.jobs.start("on", lambda: manager.sessions(key), self._seen, self._unseen)

    def _seen(self, sessions: tuple[Session, ...]) -> None:
        who = ", ".join(_from(session) for session in sessions) or "nobody"
        self.query_one("#on", Static).update(f"On now    {who}")

    def _unseen(self, error: HomewrightError) -> None:
        self.query_one("#on", Static).update(f"On now    unknown: {error.what}")

    def _words(self) -> str:
        one = self._one
        seen = look({"running": "done", "error": "failed", "pending": "starting"}.get(str(one.state), str(one.state)))
        active = f"{age_text(self._now - one.last_active_at)} ago" if one.last_active_at else "not since its start"
        cpu = "–" if one.cpu is None else f"{one.cpu:.1f} processors"
        lines = [
            f"State     {seen.mark(self.home.terminal.ascii)} {one.state}{f' · {one.reason}' if one.reason else ''}",
            f"Address   {one.address or 'none'}",
            *([f"By name   {one.by_name}"] if one.by_name not in ("", one.address) else []),
            f"Node      {one.node}, port {one.port or '–'}",
            f"Template  {one.template}, preset {one.preset}",
            f"Uses      {cpu}, {size_text(one.memory)} memory",
            f"Made      {_when(one.created_at)}",
            f"Started   {_when(one.started_at)}",
            f"Active    {active}",
            f"Account   {one.slug}",
        ]
        lines += [f"To do     {one.remedy}"] if one.remedy else []
        lines += [f"! {note}" for note in one.notes]
        return "\n".join(lines)


def _when(ts: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ts)) if ts else "–"


class LogBox(WorkingBox[None]):
    """The last lines of a workspace's log."""

    BINDINGS = [Binding("r", "again", show=False)]

    def __init__(self, one: Workspace, manager: Manager) -> None:
        super().__init__()
        self._one = one
        self._manager = manager

    def compose(self) -> ComposeResult:
        with Vertical(classes="box wide") as box:
            box.border_title = f"log of {self._one.key}"
            with VerticalScroll(id="log-scroll"):
                yield Static("Reading …", id="log-text", markup=False)
            yield Static(
                Content.assemble(
                    ("r ", "bold"), "read again    ", ("up down ", "bold"), "scroll    ", ("esc ", "bold"), "back"
                ),
                classes="buttons",
            )
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one("#log-scroll").focus()
        self.action_again()

    def action_again(self) -> None:
        manager, key = self._manager, self._one.key
        self.jobs.start("log", lambda: list(manager.logs(key, LOG_LINES)), self._read, self._failed)

    def _read(self, lines: list[str]) -> None:
        self.query_one("#log-text", Static).update(
            "\n".join(clean(line) for line in lines) or "It has said nothing yet."
        )
        self.call_after_refresh(self.query_one("#log-scroll").scroll_end, animate=False)

    def _failed(self, error: HomewrightError) -> None:
        self.query_one("#log-text", Static).update(parts_of(error))


class CopyBox(Box[None]):
    """Something to carry elsewhere: shown, copied where the terminal can, saved to a file where it may not."""

    BINDINGS = [
        Binding("c,enter", "copy", show=False),
        Binding("s", "save", show=False),
    ]

    def __init__(self, title: str, text: str, lines: list[str], file: str) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._lines = lines
        self._file = file

    def compose(self) -> ComposeResult:
        save: list[str | tuple[str, str]] = [("s ", "bold"), "save to a file    "] if self._file else []
        with Vertical(classes="box") as box:
            box.border_title = self._title
            yield Static(Content.styled(self._text, "bold"), id="copied")
            yield Static("\n" + "\n".join(self._lines), markup=False)
            yield Static("", id="outcome", markup=False)
            yield Static(
                Content.assemble(("c ", "bold"), "copy    ", *save, ("esc ", "bold"), "back"), classes="buttons"
            )
        yield TooSmall()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._text)
        other = ", or press s" if self._file else ""
        self.query_one("#outcome", Static).update(
            f"Sent to the terminal's clipboard. Not every terminal takes it: else select it above{other}."
        )

    def action_save(self) -> None:
        from homewright.site.paths import write_atomically

        if not self._file:
            return
        file = Path.home() / f"homewright-{self._file}.txt"
        try:
            write_atomically(file, f"{self._text}\n".encode())
            self.query_one("#outcome", Static).update(f"Saved in {file}")
        except HomewrightError as error:
            self.query_one("#outcome", Static).update(f"{error.what} {error.why}")


class DeleteBox(Box[bool]):
    """The end of a workspace: its name is typed, and its storage goes only when that is ticked."""

    def __init__(self, one: Workspace, on: list[str]) -> None:
        super().__init__(classes="-error")
        self._one = one
        self._on = on

    def compose(self) -> ComposeResult:
        one = self._one
        with Vertical(classes="box") as box:
            box.border_title = f"delete {one.key}?"
            if self._on:
                yield Static("\n".join(["These sessions end:", *self._on, ""]), markup=False)
            yield Static(
                "The workspace, its account and its password go. The shared folders (projects, "
                "datasets, jobs) are not touched.\n",
                markup=False,
            )
            yield Tick("its own settings and extensions go too")
            yield Static(f"\nType {self._word} to delete it:", markup=False)
            yield Line(compact=True)
            yield Static("", id="mismatch")
            yield Static(
                Content.assemble(
                    ("enter ", "bold"), "delete    ", ("tab space ", "bold"), "tick    ", ("esc ", "bold"), "keep it"
                ),
                classes="buttons",
            )
        yield TooSmall()

    @property
    def _word(self) -> str:
        return str(self._one.key)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        if self.query_one(Input).value.strip() != self._word:
            self.query_one("#mismatch", Static).update(Content.styled(f"✗ that is not {self._word}", "$text-error"))
            return
        self.dismiss(self.query_one(Tick).on)
