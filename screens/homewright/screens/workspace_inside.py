"""What is inside of a workspace in the cluster: its terminal, its repository, and the way to its editor."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.errors import HomewrightError
from homewright.screens.ask import parts_of
from homewright.screens.glyphs import look
from homewright.screens.page import Page, TooSmall, WorkingBox

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.streams import Forwarder
    from homewright.workspaces.models import Repository, Workspace
    from homewright.workspaces.one_manager import OneManager
    from homewright.workspaces.repositories import Synced


def shell(page: Page, manager: OneManager, one: Workspace) -> None:
    """Its terminal in place of the screen, until it ends."""
    from homewright.cli.workspace_inside import talk

    problem: HomewrightError | None = None
    # The terminal is raw meanwhile, so ctrl+c is the other side's; what still signals us must not end the program.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with page.app.suspend():
            # What is raised must not pass through `suspend`: it would leave the terminal as it is then.
            try:
                print(f"{one.key}: ctrl+d or `exit` leads back.", file=sys.stderr, flush=True)
                talk(manager, one.key, ())
            except HomewrightError as error:
                problem = error
    except SuspendNotSupported:
        page.say("This terminal cannot be handed over; use: homewright workspace shell", "failed")
    finally:
        signal.signal(signal.SIGINT, before)
    if problem is not None:
        page.problem(problem)


class RepositoryBox(WorkingBox[None]):
    """How its repository is; `y` again brings it up to date."""

    BINDINGS = [Binding("y", "sync", show=False)]

    def __init__(self, one: Workspace, manager: OneManager) -> None:
        super().__init__()
        self._one = one
        self._manager = manager

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = f"repository of {self._one.key}"
            with VerticalScroll(classes="inside"):
                yield Static("Looking …", id="repository-text", markup=False)
            yield Static(
                Content.assemble(("y ", "bold"), "bring it up to date    ", ("esc ", "bold"), "back"), classes="buttons"
            )
        yield TooSmall()

    def on_mount(self) -> None:
        manager, key = self._manager, self._one.key
        self.jobs.start("look", lambda: manager.sync(key, "look"), self._looked, self._failed)

    def action_sync(self) -> None:
        """Bring it up to date; what is not committed stays as it is."""
        manager, key = self._manager, self._one.key
        if not self.jobs.running("sync"):
            self._show(Content("Asking its server …"))
            self.jobs.start("sync", lambda: manager.sync(key), self._synced, self._failed)

    def _looked(self, found: tuple[Repository, Synced]) -> None:
        self._show(self._words(*found))

    def _synced(self, found: tuple[Repository, Synced]) -> None:
        from homewright.workspaces.repositories import done

        synced = found[1]
        seen = look("warning" if synced.problem or synced.behind else "done").mark(self.home.terminal.ascii)
        self._show(Content("\n").join([self._words(*found), Content(), Content(f"{seen} {done(synced)}")]))

    def _words(self, repository: Repository, synced: Synced) -> Content:
        from homewright.workspaces.repositories import words

        return Content("\n").join([Content(f"Address   {repository.url}"), Content(f"State     {words(synced)}")])

    def _failed(self, error: HomewrightError) -> None:
        self._show(parts_of(error))

    def _show(self, text: Content) -> None:
        self.query_one("#repository-text", Static).update(text)


class ForwardBox(WorkingBox[None]):
    """A port of this machine leads to its editor as long as this box is open."""

    def __init__(self, one: Workspace, manager: OneManager) -> None:
        super().__init__()
        self._one = one
        self._manager = manager
        self._forwarder: Forwarder | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = f"way to {self._one.key}"
            with VerticalScroll(classes="inside"):
                yield Static("Looking …", id="forward-text", markup=False)
            yield Static(Content.assemble(("esc ", "bold"), "close it"), classes="buttons")
        yield TooSmall()

    def on_mount(self) -> None:
        manager, key = self._manager, self._one.key
        self.jobs.start("open", lambda: manager.forwarder(key), self._opened, self._failed)

    def _opened(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self.jobs.start("serve", forwarder.serve, lambda _: None, self._failed, quiet=True)
        self.query_one("#forward-text", Static).update(
            Content("\n").join(
                [
                    Content.styled(f"http://localhost:{forwarder.port}/", "bold"),
                    Content(),
                    Content(
                        "It has no address of its own. That one leads to it through the cluster's API, on this machine "
                        "alone, as long as this box is open. From elsewhere:"
                    ),
                    Content(f"homewright workspace open --forward {self._one.key}"),
                ]
            )
        )

    def _failed(self, error: HomewrightError) -> None:
        self.query_one("#forward-text", Static).update(parts_of(error))

    def on_unmount(self) -> None:
        if self._forwarder is not None:
            self._forwarder.close()
