"""Finished: what was proved, what can be opened, how to trust it, and what is worth doing next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.screens.finished_text import told
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

v proves all of it again, on every server at once; nothing is changed by that.

c lists the saved states of a cluster that Homewright made, saves one more, and puts the cluster back to one; what
that costs is said before anything is done.

ctrl+s saves all of this as text, to carry it to the computer that should trust the authority.
"""
    BINDINGS = [
        Binding("ctrl+n", "workspaces", "workspaces", key_display="ctrl+n"),
        Binding("ctrl+s", "save", "save as text", key_display="ctrl+s"),
        Binding("x", "site_export", "site export"),
        Binding("l", "log", "log of the run"),
        Binding("v", "app.verify", "verify"),
        Binding("c", "saved_states", "saved states"),
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
        if action == "saved_states" and (self._outcome is None or self._outcome.site.platform.cluster != "kubeadm"):
            return False
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

    def action_saved_states(self) -> None:
        from homewright.screens.saved_states import open_saved_states

        open_saved_states(self)

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
