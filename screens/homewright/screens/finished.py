"""Finished: what was proved, what can be opened, how to trust it, and what is worth doing next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.engine.states import State
from homewright.screens import progress
from homewright.screens.glyphs import look
from homewright.screens.page import Page, span_text

if TYPE_CHECKING:
    from homewright.screens.services import Outcome


class Finished(Page):
    """The end of the wizard."""

    CSS_PATH = "finished.tcss"
    WHERE = "Finished"
    HELP = """
What the run has proved: a step counts as done only once its own proof has passed on every server.

Every workspace is served over TLS with a certificate of the site's own authority, which no browser knows
yet. The steps below make your computer trust it, once. Compare the fingerprint before you do.

x makes a site export: one encrypted file with everything that another machine needs to go on with this site,
should this one be lost. Keep it elsewhere, and its passphrase with it.

ctrl+s saves all of this as text, to carry it to the computer that should trust the authority.
"""
    BINDINGS = [
        Binding("ctrl+n", "workspaces", "workspaces", key_display="ctrl+n"),
        Binding("ctrl+s", "save", "save as text", key_display="ctrl+s"),
        Binding("x", "site_export", "site export"),
        Binding("l", "log", "log of the run"),
        Binding("escape", "back", "back", key_display="esc"),
    ]
    AUTO_FOCUS = "#finished"

    def __init__(self) -> None:
        super().__init__()
        self._outcome: Outcome | None = None

    def body(self) -> ComposeResult:
        with VerticalScroll(id="finished"):
            yield Static("Reading the journal …", id="ending")

    def on_mount(self) -> None:
        super().on_mount()
        sitting = self.home.sitting
        assert sitting is not None
        services = self.home.services
        self.start("outcome", lambda: services.outcome(sitting.file, sitting.state), self._read)

    def _read(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self.retitle(f"{look(outcome.run.state).word} · {span_text(outcome.run.seconds or 0)}")
        lines: list[Content] = []
        for text in told(outcome, self.ascii):
            heading = bool(text) and not text.startswith(" ")
            lines.append(Content.styled(text, "bold") if heading else Content(text))
        self.query_one("#ending", Static).update(Content("\n").join(lines))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "save":
            return self._outcome is not None and bool(super().check_action(action, parameters))
        return super().check_action(action, parameters)

    def action_save(self) -> None:
        from homewright.site.paths import write_atomically

        if self._outcome is None:
            return
        file = Path.home() / f"homewright-{self._outcome.site.name}-finished.txt"
        data = ("\n".join(told(self._outcome, ascii=False)) + "\n").encode()
        self.start("save", lambda: write_atomically(file, data), lambda _: self.say(f"Saved in {file}", "ok"))

    def action_workspaces(self) -> None:
        self.home.go("workspaces")

    def action_site_export(self) -> None:
        self.home.action_site_export()

    def exported(self) -> None:
        """An export was made: what is worth doing is another thing now."""
        if self._outcome is not None:
            self._read(replace(self._outcome, export_due=""))

    def action_log(self) -> None:
        self.home.go("deploy")

    def action_back(self) -> None:
        self.home.back_to_welcome()


def _steps(outcome: Outcome, ascii: bool) -> Iterator[str]:
    """Each stage in a line or two: what ended alike stands together. What went wrong has a line of its own."""
    for (stage, state), group in groupby(progress.whole(outcome.steps), lambda step: (step.stage, step.state)):
        steps = list(group)
        if state in (State.SUCCEEDED, State.SKIPPED):
            mark = look("done" if state is State.SUCCEEDED else state).mark(ascii)
            told = ", ".join(step.title for step in steps)
            yield from textwrap.wrap(told, 76, initial_indent=f"  {mark} {stage:<4}", subsequent_indent=" " * 8)
            continue
        for step in steps:
            where = " ".join(row.host for row in outcome.steps if row.step == step.step and row.host)
            yield f"  {look(state).mark(ascii)} {step.step:<6} {step.title:<34} {where}".rstrip()


def told(outcome: Outcome, ascii: bool) -> list[str]:
    """Everything that the screen says, line by line; headings begin at the margin."""
    run, site = outcome.run, outcome.site
    changed = f"{run.changed} changed" if run.changed else "nothing had to be changed"
    proved = run.state is State.SUCCEEDED
    lines = [f"Proved, {changed}" if proved else f"The last run: {look(run.state).word}, {changed}"]
    lines += _steps(outcome, ascii)
    lines += ["", "To open", "  Workspaces: ctrl+n, where n makes the first one and o shows its address."]
    if site.zone is None:
        lines.append("  Their addresses are the servers' own: there is no name to resolve.")
    else:
        lines += [
            f"  Names end in {site.zone}. Your computer resolves them when its resolver, or your router,",
            f"  asks {site.servers[0].address} for {site.zone}. To see: nslookup test.{site.zone}",
        ]
    pairs = outcome.fingerprint.removeprefix("SHA256:").split(":")
    lines += [
        "",
        "To trust the site's certificate authority, once on each computer",
        f"  File           {outcome.certificate}",
        f"  SHA-256        {':'.join(pairs[:16])}",
        f"                 {':'.join(pairs[16:])}",
        "  Carry the file over as homewright-ca.crt (it is no secret), compare its",
        "  fingerprint (openssl x509 -sha256 -fingerprint -noout -in FILE), then:",
        "",
        "  Debian, Ubuntu sudo cp homewright-ca.crt /usr/local/share/ca-certificates/",
        "                 sudo update-ca-certificates",
        "  Fedora         sudo cp homewright-ca.crt /etc/pki/ca-trust/source/anchors/",
        "                 sudo update-ca-trust",
        "  macOS          sudo security add-trusted-cert -d -r trustRoot \\",
        "                   -k /Library/Keychains/System.keychain homewright-ca.crt",
        "  Windows        certutil -addstore -f Root homewright-ca.crt",
        "                 (in a terminal of the administrator)",
        "  Firefox        Settings, Privacy & Security, View Certificates,",
        "                 Authorities, Import; tick that it identifies websites",
        "  Chrome, Linux  Settings, Privacy and security, Security,",
        "                 Manage certificates, Authorities, Import",
        "  Chrome and Edge elsewhere, and Safari, use the computer's own store.",
        "",
        "  To see that it worked: open a workspace's address; the browser shows a",
        "  closed lock and no warning.",
        "",
        "Worth doing next",
        "  Make a workspace for everybody who needs one: ctrl+n, then n.",
    ]
    if outcome.export_due:
        lines += [
            f"  {outcome.export_due}",
            "  x makes one: an encrypted file, with which another machine goes on.",
            "  The same line by line: homewright site export --encrypt FILE",
        ]
    if outcome.old_key:
        lines.append(f"  {outcome.old_key}.")
    return lines
