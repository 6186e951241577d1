"""Boxes about one workspace: everything about it, its log, its address or password, and its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
from homewright.screens.page import Box, TooSmall, WorkingBox, age_text, clock_text, size_text
from homewright.screens.widgets.field import Choice, Field, Tick
from homewright.screens.widgets.line import Line
from homewright.screens.widgets.log_pane import clean

if TYPE_CHECKING:
    from homewright.workspaces.manager import Manager
    from homewright.workspaces.models import Session, Workspace, WorkspaceEvent
    from homewright.workspaces.one_manager import OneManager
    from homewright.workspaces.templates import Template

LOG_LINES = 300
SHOWN = 6
"""Names of many that a question shows."""


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
                if self._one.key.node is None and self._one.address:
                    yield Static("Way in    looking …", id="route", markup=False)
                yield Static("On now    looking …", id="on", markup=False)
            yield Static(Content.assemble(("esc ", "bold"), "back"), classes="buttons")
        yield TooSmall()

    def on_mount(self) -> None:
        manager, key = self._manager, self._one.key
        self.jobs.start("on", lambda: manager.sessions(key), self._seen, self._unseen)
        if self.query("#route"):
            self.jobs.start("route", lambda: manager.show(key).route, self._leads, lambda _: self._leads("unknown"))

    def _leads(self, route: str) -> None:
        self.query_one("#route", Static).update(f"Way in    {route or 'none: start it again to make one'}")

    def _seen(self, sessions: tuple[Session, ...]) -> None:
        who = ", ".join(_from(session) for session in sessions) or "nobody"
        self.query_one("#on", Static).update(f"On now    {who}")

    def _unseen(self, error: HomewrightError) -> None:
        self.query_one("#on", Static).update(f"On now    unknown: {error.what}")

    def _words(self) -> str:
        one = self._one
        seen = look({"running": "done", "error": "failed", "pending": "starting"}.get(str(one.state), str(one.state)))
        active = f"{age_text(self._now - one.last_active_at)} ago" if one.last_active_at else "not since its start"
        cpu = [] if one.cpu is None else [f"{one.cpu:.1f} processors"]
        used = ", ".join([*cpu, *([] if one.memory is None else [f"{size_text(one.memory)} memory"])])
        lines = [
            f"State     {seen.mark(self.home.terminal.ascii)} {one.state}{f' · {one.reason}' if one.reason else ''}",
            f"Address   {one.address or 'none'}",
            *([f"By name   {one.by_name}"] if one.by_name not in ("", one.address) else []),
            f"Node      {one.node}, port {one.port or '–'}",
            f"Template  {one.template}, preset {one.preset}",
            "Sign-in   by a password of its own (p)",
            f"Uses      {used or 'not measured'}",
            *([f"Title     {one.title}"] if one.title else []),
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


def ends_with(chosen: Sequence[Workspace]) -> tuple[str, str]:
    """What goes with workspaces that are deleted, and what goes besides when that is ticked."""
    one = len(chosen) == 1
    its, workspaces = ("its", "The workspace") if one else ("their", "The workspaces")
    on_servers = sum(each.key.node is not None for each in chosen)
    account = "account and its password go" if one else "accounts and passwords go"
    kept = "The shared folders (projects, datasets, jobs) are not touched."
    if on_servers == len(chosen):
        return f"{workspaces}, {its} {account}. {kept}", f"{its} own settings and extensions go too"
    back = "kept for seven days, u takes it back"
    if not on_servers:
        password = "password goes" if one else "passwords go"
        goes = f"{workspaces} and {its} {password}. The storage stays, for the next one of that name."
        return goes, f"{its} storage goes too ({back})"
    apart = f"In the cluster the storage stays; on servers: {kept[0].lower()}{kept[1:]}"
    goes = f"{workspaces} and {its} passwords go. {apart}"
    return goes, f"storage in the cluster ({back}) and settings go too"


class DeleteBox(Box[bool]):
    """The end of workspaces: what is deleted is typed, and storage goes only when that is ticked."""

    BINDINGS = [Binding("enter", "delete", show=False)]

    def __init__(self, chosen: Sequence[Workspace], on: list[str]) -> None:
        super().__init__(classes="-error")
        self._chosen = chosen
        self._on = on
        self._word = str(chosen[0].key) if len(chosen) == 1 else f"{len(chosen)} workspaces"

    def compose(self) -> ComposeResult:
        one = len(self._chosen) == 1
        with Vertical(classes="box") as box:
            box.border_title = f"delete {self._word}?"
            if not one:
                names = ", ".join(str(each.key) for each in self._chosen[:SHOWN])
                more = f" and {len(self._chosen) - SHOWN} more" if len(self._chosen) > SHOWN else ""
                yield Static(f"{names}{more}\n", markup=False)
            if self._on:
                yield Static("\n".join(["These sessions end:", *self._on, ""]), markup=False)
            goes, with_it = ends_with(self._chosen)
            yield Static(f"{goes}\n", markup=False)
            yield Tick(with_it)
            yield Static(f"\nType {self._word} to delete {'it' if one else 'them'}:", markup=False)
            yield Line(compact=True)
            yield Static("", id="mismatch")
            yield Static(
                Content.assemble(
                    ("enter ", "bold"), "delete    ", ("tab space ", "bold"), "tick    ",
                    ("esc ", "bold"), "keep it" if one else "keep them",
                ),
                classes="buttons",
            )  # fmt: skip
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Changed)
    def _changed(self) -> None:
        self.query_one("#mismatch", Static).update("")

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_delete()

    def action_delete(self) -> None:
        if self.query_one(Input).value.strip() != self._word:
            self.query_one("#mismatch", Static).update(Content.styled(f"✗ that is not {self._word}", "$text-error"))
            return
        self.dismiss(self.query_one(Tick).on)


class EventBox(WorkingBox[None]):
    """What happened to a workspace: what the cluster said, and who did what."""

    BINDINGS = [Binding("r", "again", show=False), Binding("enter", "close", show=False)]

    def __init__(self, one: Workspace, manager: OneManager) -> None:
        super().__init__()
        self._one = one
        self._manager = manager

    def compose(self) -> ComposeResult:
        with Vertical(classes="box wide") as box:
            box.border_title = f"events of {self._one.key}"
            with VerticalScroll(id="events-scroll", classes="tall"):
                yield Static("Looking …", id="events-text", markup=False)
            yield Static(
                Content.assemble(
                    ("r ", "bold"), "look again    ", ("up down ", "bold"), "scroll    ", ("esc ", "bold"), "back"
                ),
                classes="buttons",
            )
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one("#events-scroll").focus()
        self.action_again()

    def action_again(self) -> None:
        manager, key = self._manager, self._one.key
        self.jobs.start("events", lambda: manager.events(key), self._seen, self._failed)

    def _seen(self, events: tuple[WorkspaceEvent, ...]) -> None:
        warning = look("warning").mark(self.home.terminal.ascii)
        lines = [
            f"{clock_text(event.at)}  {warning if event.warning else ' '} {event.what}"
            f"{f' (x{event.count})' if event.count > 1 else ''}  {clean(event.message)}"
            for event in events
        ]
        none = "Nothing is known: the cluster forgets events after an hour."
        self.query_one("#events-text", Static).update("\n".join(lines) or none)
        self.call_after_refresh(self.query_one("#events-scroll").scroll_end, animate=False)

    def _failed(self, error: HomewrightError) -> None:
        self.query_one("#events-text", Static).update(parts_of(error))


class SizeBox(Box[str]):
    """Another size of a workspace's template."""

    BINDINGS = [Binding("enter", "keep", show=False)]

    def __init__(self, names: str, template: Template, preset: str) -> None:
        super().__init__()
        self._names = names
        self._template = template
        self._preset = preset

    def compose(self) -> ComposeResult:
        presets = [
            (name, f"{name} · {preset.cpu:g} CPU, {preset.memory}") for name, preset in self._template.sizes.items()
        ]
        with Vertical(classes="box") as box:
            box.border_title = f"size of {self._names}"
            yield Field("preset", "Preset", options=presets, value=self._preset, hint="left and right change it")
            yield Static("\nWhat runs goes on as it is: the next start or restart (R) brings the size.", markup=False)
            yield Static(
                Content.assemble(("enter ", "bold"), "keep it so    ", ("esc ", "bold"), "back"), classes="buttons"
            )
        yield TooSmall()

    def on_mount(self) -> None:
        choice = self.query_one(Choice)
        choice.choose(self._preset)
        choice.focus()

    def action_keep(self) -> None:
        self.dismiss(self.query_one(Choice).value)
