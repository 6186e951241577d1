"""First contact: the host key is compared before anything is sent; then one sign-in, our key, and sudo proved."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, Static

from homewright.errors import HomewrightError
from homewright.screens.ask import parts_of
from homewright.screens.glyphs import look
from homewright.screens.page import Page
from homewright.screens.servers import beside_its_name
from homewright.screens.widgets.field import Field
from homewright.screens.widgets.table import Column, Row, Table
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from homewright.access.trust import HostKeyOffer
    from homewright.screens.services import Scanned
    from homewright.site.models import Server

ASKED = ("compare", "password")


@dataclass(frozen=True)
class Standing:
    """How far first contact with one server is: scan, compare, password, work, done, refused or failed."""

    at: str
    text: str
    offer: HostKeyOffer | None = None
    error: HomewrightError | None = None


class Contact(Page):
    """First contact with one server or all of them, side by side."""

    CSS_PATH = ["widgets/frame.tcss", "widgets/field.tcss", "contact.tcss"]
    WHERE = "Servers · first contact"
    STEP = 1
    HELP = """
Before a password is sent anywhere, you make sure that the right machine answers. Each server shows the
fingerprint of its host key. On that server's own console (its screen and keyboard, or its web console) the
command shown prints the same fingerprint. The same: y. Not the same: x, and nothing is sent to it.

Where site.yaml holds a server's host key (servers.host_key), it is compared for you.

Password  of the account that Homewright signs in as. It is used once, for every server here that waits
          for one, and kept nowhere
Key file  instead of a password: a private key that the servers know already

Then Homewright's own key is installed, and sudo is proved. Where sudo wants a password, a file that
Homewright makes in /etc/sudoers.d lets it work without one; whether it stays after a run is the
answer sudo.keep in site.yaml.
"""
    BINDINGS = [
        Binding("y", "same", "the same"),
        Binding("x", "other", "not the same"),
        Binding("ctrl+s", "sign_in", "sign in", key_display="ctrl+s", priority=True),
        Binding("r", "again", "try again"),
        Binding("ctrl+n", "done", "done", key_display="ctrl+n", priority=True),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def __init__(self, servers: Sequence[Server]) -> None:
        super().__init__()
        self._servers = {server.name: server for server in servers}
        self._standing = {name: Standing("scan", "looking at its host key …") for name in self._servers}

    def body(self) -> ComposeResult:
        yield Table([Column("server", 14), Column("address", 20), Column("state")], id="contacts")
        yield Static(id="contact", classes="frame")
        users = ", ".join(dict.fromkeys(server.user for server in self._servers.values()))
        hint = f"Of {users}; used once, kept nowhere. Enter signs in"
        yield Field("password", "Password", secret=True, hint=hint)
        yield Field("identity", "or key file", rule=_file_reason, hint="A private key that the servers know already")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#contacts", Table).focus()
        for name in self._servers:
            self._scan(name)
        self._draw()

    # Each server's way

    def _put(self, name: str, standing: Standing) -> None:
        before = self._standing[name].at
        self._standing[name] = standing
        self._draw()
        if standing.at in ASKED and before != standing.at:
            self._lead()
        if self._all("done") and before != "done":
            self.query_one("#contacts", Table).focus()
            self.say("Every server here is reached. Go on: ctrl+n.", "ok")

    def _all(self, at: str) -> bool:
        return all(standing.at == at for standing in self._standing.values())

    def _names(self, *at: str) -> list[str]:
        return [name for name, standing in self._standing.items() if standing.at in at]

    def _lead(self) -> None:
        """Put the focus where an answer is wanted: a fingerprint first, then the password."""
        table = self.query_one("#contacts", Table)
        compare = self._names("compare")
        if compare:
            if self._standing.get(table.cursor_key, Standing("", "")).at != "compare":
                table.move_to(compare[0])
            table.focus()
        elif self._names("password") and not self._names("scan", "work"):
            self.query_one("#field-password", Field).control_widget.focus()

    def _scan(self, name: str) -> None:
        self._standing[name] = Standing("scan", "looking at its host key …")
        server, state, services = self._servers[name], self._state, self.home.services

        def scanned(result: Scanned) -> None:
            if result.offer is None:
                self._work(name)
            else:
                self._put(name, Standing("compare", "compare its fingerprint", result.offer))

        self.start(f"scan {name}", lambda: services.scan(server, state), scanned, self._failing(name))

    def _work(self, name: str, password: str | None = None, identity: str = "") -> None:
        server, state, services = self._servers[name], self._state, self.home.services
        self._standing[name] = Standing("work", "signing in …")

        def say(text: str) -> None:
            self._put(name, Standing("work", text.removeprefix(f"{name}: ")))

        def done(_: object) -> None:
            self._put(name, Standing("done", "reached, sudo proved"))

        tell = self.jobs.teller(f"work {name}", say)
        self.start(
            f"work {name}",
            lambda: services.contact(server, state, password, identity, tell),
            done,
            self._failing(name, password),
        )
        self._draw()

    def _failing(self, name: str, password: str | None = None) -> Callable[[HomewrightError], None]:
        def failed(error: HomewrightError) -> None:
            if error.code in ("password-needed", "sudo-password-needed"):
                self._put(name, Standing("password", "waits for a password"))
            elif error.code in ("password-refused", "sudo-password-refused", "sign-in"):
                field = self.query_one("#field-password", Field)
                if password and field.value == password:
                    field.value = ""  # what is typed next is not meant to come behind it
                self._put(name, Standing("password", error.what, error=error))
            else:
                self._put(name, Standing("failed", error.what, error=error))

        return failed

    @property
    def _state(self) -> StateFolder:
        sitting = self.home.sitting
        assert sitting is not None
        return sitting.state

    # What is shown

    def _draw(self) -> None:
        rows = []
        looks = {"done": "done", "failed": "failed", "refused": "failed", "scan": "running", "work": "running"}
        for name, standing in self._standing.items():
            server = self._servers[name]
            kind = "failed" if standing.at == "password" and standing.error else looks.get(standing.at, "warning")
            seen = look(kind)
            state = f"{seen.mark(self.ascii)} {beside_its_name(standing.text, server)}"
            rows.append(Row(name, (name, f"{server.address}:{server.port}", (state, seen.tone))))
        self.query_one("#contacts", Table).set_rows(rows)
        done = len(self._names("done"))
        self.retitle(f"{done} of {len(rows)} reached")
        self._detail()
        self.refresh_bindings()

    @on(Table.Highlighted)
    def _detail(self) -> None:
        name = self.query_one("#contacts", Table).cursor_key
        standing = self._standing.get(name)
        if standing is None:
            return
        box = self.query_one("#contact", Static)
        box.border_title = name
        box.update(self._words(name, standing))
        self.refresh_bindings()

    def _practice(self) -> str:
        """Where the password of practice servers is to be had: it was made on this machine and told to nobody."""
        from homewright.lab import SITE_NAME

        if self.home.site_name != SITE_NAME:
            return ""
        return f"the practice servers' password, in another terminal: {sys.argv[0]} lab status --password"

    def _refused(self, error: HomewrightError) -> Content:
        """A refused sign-in: what can be done here comes before what its console is needed for."""
        here = ["another user: esc, then enter on the server", *filter(None, [self._practice()])]
        return parts_of(HomewrightError(error.what, error.why, [*error.do[:1], *here, *error.do[1:]]))

    def _words(self, name: str, standing: Standing) -> Content:
        if standing.offer is not None and standing.at == "compare":
            return Content.assemble(
                f"{name} shows this host key ({standing.offer.key_type}):\n  ",
                (standing.offer.fingerprint, "bold"),
                "\nOn its own console (screen and keyboard), this prints its fingerprint:\n  ",
                (self.home.services.console_command(standing.offer.key_type), "bold"),
                "\n\nCompare the two:  ",
                ("y", "bold $keys"),
                " they are the same    ",
                ("x", "bold $keys"),
                " they are not\n",
                ("Nothing has been sent to it yet.", "$quiet"),
            )
        if standing.error is not None:
            return self._refused(standing.error) if standing.at == "password" else parts_of(standing.error)
        server = self._servers[name]
        practice = f"\n\n{hint[0].upper()}{hint[1:]}" if (hint := self._practice()) else ""
        words = {
            "scan": f"{name} is asked for its host key. Nobody signs in for that.",
            "work": f"{name}: {standing.text}",
            "done": f"{name}: its host key is trusted, Homewright's own key opens it, and sudo works.",
            "password": f"{name} does not know Homewright's key yet. Type the password of {server.user} below, once, "
            f"or name a key file. It goes only to servers whose host key you have compared.{practice}",
            "refused": f"{name} shows a host key that is not its own, as you said. Nothing was sent to it. "
            f"Either another machine answers at {server.address}, or its key was made anew: find out on its console. "
            "r looks again.",
        }
        return Content(words.get(standing.at, standing.text))

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not super().check_action(action, parameters):
            return False
        if action in ("same", "other"):
            return self._at_cursor() == "compare"
        if action == "again":
            return self._at_cursor() in ("failed", "refused", "password")
        if action == "sign_in":
            return bool(self._names("password", "failed"))
        return True

    def _at_cursor(self) -> str:
        for table in self.query(Table):
            standing = self._standing.get(table.cursor_key)
            return standing.at if standing else ""
        return ""

    def action_same(self) -> None:
        name = self.query_one("#contacts", Table).cursor_key
        offer = self._standing[name].offer
        if offer is None:
            return
        try:
            self.home.services.accept(self._servers[name], self._state, offer)
        except HomewrightError as error:
            self.problem(error)
            return
        self._work(name)
        self._lead()

    def action_other(self) -> None:
        name = self.query_one("#contacts", Table).cursor_key
        self._put(name, replace(self._standing[name], at="refused", text="not its host key; nothing was sent"))
        self._lead()

    def action_again(self) -> None:
        name = self.query_one("#contacts", Table).cursor_key
        self._scan(name)
        self._draw()

    @on(Input.Submitted)
    def action_sign_in(self) -> None:
        """Sign in everywhere where a password is waited for."""
        password = self.query_one("#field-password", Field).value
        identity = self.query_one("#field-identity", Field)
        waiting = self._names("password", "failed")
        if identity.insist():
            identity.control_widget.focus()
            return
        if not password and not identity.value:
            self.query_one("#field-password", Field).control_widget.focus()
            self.say("Type the password first, or name a key file.", "failed")
            return
        if not waiting:
            self.say("No server waits for a password.", "warning")
            return
        self.say("")
        for name in waiting:
            self._work(name, password or None, identity.value)

    def action_done(self) -> None:
        """Back to the servers; or to the first that still wants something."""
        left = self._names("compare", "password", "failed", "refused", "scan", "work")
        if not left:
            self.app.pop_screen()
            return
        table = self.query_one("#contacts", Table)
        table.move_to(left[0])
        table.focus()
        text = beside_its_name(self._standing[left[0]].text, self._servers[left[0]])
        self.say(f"{left[0]}: {text}", "failed")

    def action_back(self) -> None:
        self.app.pop_screen()


def _file_reason(value: str) -> str:
    return "" if not value or Path(value).expanduser().is_file() else "there is no such file"
