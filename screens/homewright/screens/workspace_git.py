"""What a user has at git servers: credentials, given, tested and forgotten, and repositories to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from homewright.errors import HomewrightError
from homewright.screens.ask import AskBox, ProblemBox, parts_of
from homewright.screens.glyphs import look
from homewright.screens.page import TooSmall, WorkingBox
from homewright.screens.widgets.field import Field, first_wrong
from homewright.screens.widgets.line import Line
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.workspaces.models import RepositoryFound, ServerTold
    from homewright.workspaces.one_manager import OneManager

_SAID = {
    True: ("done", "accepts them", "ok"), False: ("failed", "refuses them", "failed"), None: ("unknown", "", "muted")
}  # fmt: skip
_ABOUT = "Pods get them as a file, within a minute or two also those that run. They are never shown."


class CredentialsBox(WorkingBox[None]):
    """The servers that a user's git has credentials for, and what each says of them."""

    BINDINGS = [
        Binding("a,enter", "give", show=False),
        Binding("t", "test", show=False),
        Binding("D", "forget", show=False),
    ]

    def __init__(self, user: str, manager: OneManager) -> None:
        super().__init__()
        self._user = user
        self._manager = manager
        self._servers: tuple[str, ...] = ()
        self._told: dict[str, ServerTold] = {}

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = f"git credentials of {self._user}"
            yield Table([Column("server"), Column("", 22)], id="servers", empty="Looking …")
            yield Static(_ABOUT, id="outcome", markup=False)
            yield Static(
                Content.assemble(
                    ("a ", "bold"), "give    ", ("t ", "bold"), "test    ", ("D ", "bold"), "forget    ",
                    ("esc ", "bold"), "back",
                ),
                classes="buttons",
            )  # fmt: skip
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(Table).focus()
        manager, user = self._manager, self._user
        self.jobs.start("look", lambda: manager.credentials(user), self._seen, self._failed)

    def _seen(self, servers: tuple[str, ...]) -> None:
        self._servers = servers
        self._draw()

    def _draw(self) -> None:
        table = self.query_one(Table)
        table.empty = f"No credentials of {self._user} are kept. a gives some."
        table.set_rows(Row(server, (server, self._words(server))) for server in self._servers)
        # A row has no room for all that a server says.
        lines = [f"{server}: {one.words}." for server, one in self._told.items()]
        self.query_one("#outcome", Static).update("\n".join(lines) or _ABOUT)

    def _words(self, server: str) -> tuple[str, str]:
        if self.jobs.running("test"):
            return "asking …", "muted"
        told = self._told.get(server)
        if told is None:
            return "not asked yet", "muted"
        glyph, words, tone = _SAID[told.accepted]
        return f"{look(glyph).mark(self.home.terminal.ascii)} {words or 'does not tell'}", tone

    def _failed(self, error: HomewrightError) -> None:
        self._draw()
        self.app.push_screen(ProblemBox(error))

    def action_test(self) -> None:
        """Ask every server whether it accepts what is kept for it."""
        manager, user = self._manager, self._user
        if self._servers and not self.jobs.running("test"):
            self.jobs.start("test", lambda: manager.repositories_of(user), self._tested, self._failed)
            self._draw()

    def _tested(self, told: tuple[ServerTold, ...]) -> None:
        self._told = {one.server: one for one in told}
        self._draw()

    def action_give(self) -> None:
        """Give some for a server, or others for the one under the cursor; then it is asked whether it accepts them."""

        def given(servers: tuple[str, ...] | None) -> None:
            if servers is not None:
                self.jobs.forget("test")  # what it asks with are those of before
                self._told = {}
                self._seen(servers)
                self.action_test()

        self.app.push_screen(GiveBox(self._user, self.query_one(Table).cursor_key, self._manager), given)

    def action_forget(self) -> None:
        """Forget those for the server under the cursor."""
        server, manager, user = self.query_one(Table).cursor_key, self._manager, self._user
        if not server:
            return

        def forgotten(servers: tuple[str, ...]) -> None:
            self.jobs.forget("test")
            self._told.pop(server, None)
            self._seen(servers)

        def answered(yes: bool | None) -> None:
            if yes:
                self.jobs.start(
                    "forget", lambda: manager.give_credentials(user, server, "", None), forgotten, self._failed
                )

        lines = [f"{user}'s workspaces sign in at {server} no more.", "What was cloned stays."]
        self.app.push_screen(AskBox(f"forget those for {server}?", lines, "forget them"), answered)


class GiveBox(WorkingBox[tuple[str, ...]]):
    """A server, a name and a token, of which the token is typed unseen."""

    BINDINGS = [Binding("ctrl+s", "keep", show=False, priority=True)]

    def __init__(self, user: str, server: str, manager: OneManager) -> None:
        super().__init__()
        self._user = user
        self._server = server
        self._manager = manager

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = f"git credentials of {self._user}"
            hint = "Its address alone: https://git.example.org"
            yield Field("server", "Server", value=self._server, rule=_no_server, hint=hint, placeholder="https://…")
            yield Field("name", "Name there", value=self._user, rule=_needed, hint="What the user is called there")
            hint = "The user's own. On Gitea: Settings, Applications"
            yield Field("token", "Token", secret=True, rule=_needed, hint=hint)
            yield Static("", id="given", markup=False)
            yield Static(
                Content.assemble(
                    ("enter ", "bold"), "next field    ", ("ctrl+s ", "bold"), "keep them    ", ("esc ", "bold"), "back"
                ),
                classes="buttons",
            )
        yield TooSmall()

    def on_mount(self) -> None:
        field = "token" if self._server else "server"
        self.query_one(f"#field-{field}", Field).control_widget.focus()

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        if message.input is self.query_one("#field-token", Field).control_widget:
            self.action_keep()
        else:
            self.focus_next()

    def action_keep(self) -> None:
        """Keep them in the cluster."""
        fields = {field.field: field for field in self.query(Field)}
        if self.jobs.running("give") or first_wrong(list(fields.values())) is not None:
            return
        manager, user = self._manager, self._user
        server, name, token = (fields[each].value for each in ("server", "name", "token"))
        self.query_one("#given", Static).update("Keeping them …")
        self.jobs.start(
            "give", lambda: manager.give_credentials(user, server, name, token.strip()), self._kept, self._failed
        )

    def _kept(self, servers: tuple[str, ...]) -> None:
        self.dismiss(servers)

    def _failed(self, error: HomewrightError) -> None:
        self.query_one("#given", Static).update(parts_of(error))


class RepositoriesBox(WorkingBox["RepositoryFound"]):
    """What a user may clone, as their git servers tell; the one that is chosen comes back."""

    BINDINGS = [
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("ctrl+t", "credentials", show=False, priority=True),
    ]

    def __init__(self, user: str, manager: OneManager) -> None:
        super().__init__()
        self._user = user
        self._manager = manager
        self._found: dict[str, RepositoryFound] = {}

    def compose(self) -> ComposeResult:
        with Vertical(classes="box wide") as box:
            box.border_title = f"repositories of {self._user}"
            yield Line(placeholder="type a few letters", compact=True)
            table = Table(
                [Column("repository"), Column("branch", 12), Column("", 18)], id="repositories", empty="Asking …"
            )
            table.can_focus = False
            yield table
            yield Static("", id="outcome", markup=False)
            yield Static(
                Content.assemble(
                    ("enter ", "bold"), "choose    ", ("ctrl+t ", "bold"), "credentials    ", ("esc ", "bold"), "back"
                ),
                classes="buttons",
            )
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._look()

    def _look(self) -> None:
        manager, user = self._manager, self._user
        self.jobs.start("look", lambda: manager.repositories_of(user), self._seen, self._failed)

    def _seen(self, told: tuple[ServerTold, ...]) -> None:
        self._found = {one.url: one for server in told for one in server.repositories}
        table = self.query_one(Table)
        table.empty = "There are none." if told else "No credentials are kept: ctrl+t gives some."
        table.set_rows(Row(url, (one.name, one.branch, (one.marks, "muted"))) for url, one in self._found.items())
        # A server that has told its list needs no words.
        lines = [f"{one.server}: {one.words}" for one in told if not (one.kind == "gitea" and one.repositories)]
        self.query_one("#outcome", Static).update("\n".join(lines))

    def _failed(self, error: HomewrightError) -> None:
        self.query_one(Table).empty = "They are not known."
        self.query_one("#outcome", Static).update(parts_of(error))

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        self.query_one(Table).set_needle(message.value)

    def action_move(self, by: int) -> None:
        self.query_one(Table).action_move(by)

    def action_credentials(self) -> None:
        """Give or test what the servers are asked with; then they are asked again."""
        self.app.push_screen(CredentialsBox(self._user, self._manager), lambda _: self._look())

    @on(Input.Submitted)
    @on(Table.Chosen)
    def _choose(self) -> None:
        found = self._found.get(self.query_one(Table).cursor_key)
        if found is not None:
            self.dismiss(found)


def _needed(value: str) -> str:
    return "" if value.strip() else "this is needed"


def _no_server(value: str) -> str:
    from homewright.workspaces.repositories import server

    if not value:
        return "this is needed"
    try:
        server(value)
    except HomewrightError as error:
        return error.what.rstrip(".")
    return ""
