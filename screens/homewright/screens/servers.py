"""Servers: which they are, whether they are reached, and first contact with each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from homewright.screens.glyphs import look
from homewright.screens.page import Box, Page, TooSmall
from homewright.screens.widgets.cells import Cell
from homewright.screens.widgets.field import Field, Rule, first_wrong
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.engine.departure import Departing
    from homewright.screens.services import Reach, ServerAnswer
    from homewright.screens.services_planning import Known
    from homewright.site.models import Server, Site


class Servers(Page):
    """A table of servers; each must be reached before the wizard goes on."""

    CSS_PATH = ["widgets/frame.tcss", "servers.tcss"]
    WHERE = "Servers"
    STEP = 1
    HELP = """
The servers of the site, the control plane first. Every server needs a fixed address and an account that
can use sudo. Homewright signs in with a key of its own, which first contact installs.

Name      what the server is called, here and on every other server (servers.name)
Address   its fixed IPv4 address (servers.address)
User      the account that Homewright signs in as (servers.user)
Port      the port of its SSH server, usually 22 (servers.port)
Host key  its fingerprint, if you know it already (servers.host_key); else it is shown and you compare it

D takes a server out of the site. Where something was put on it already, it is asked what becomes of its
instances: Plan and Deploy drain it, then R takes back what is on it. It stays in the list until then; D
again says that it is lost on its way.

State     reached: signed in by key, and sudo works without a password
          no first contact yet: press c
          anything else says why, and what to do is in the box beneath
"""
    BINDINGS = [
        Binding("c", "contact", "contact"),
        Binding("C", "contact_all", "contact all"),
        Binding("a", "add", "add"),
        Binding("enter", "edit", "edit", key_display="enter"),
        Binding("i", "import", "import"),
        Binding("D", "remove", "remove"),
        Binding("R", "take_back", "take back"),
        Binding("r", "recheck", "recheck"),
        Binding("ctrl+n", "next", "next", key_display="ctrl+n"),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._site: Site | None = None
        self._reach: dict[str, Reach] = {}
        self._departing: dict[str, Departing] = {}
        """Those that leave it."""
        self._without: list[str] = []
        """Servers that do not answer, of which that was said when `next` was pressed last."""
        self._going = False
        """`next` was pressed while servers were being tried: go on once they have answered."""
        self._away = False
        """First contact lies over this page: what it changed is looked at when it is closed."""

    def body(self) -> ComposeResult:
        columns = [Column("name", 14), Column("address", 21), Column("user", 12), Column("state")]
        yield Table(columns, id="servers", empty="No servers yet. Press a to add one.")
        with VerticalScroll(id="detail", classes="frame", can_focus=False):
            yield Static(id="detail-text")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#detail").border_title = "what to do"
        self._load()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self._away:
            self._away = False
            self._load()

    def _load(self) -> None:
        sitting = self.home.sitting
        assert sitting is not None
        self.start("load", lambda: self.home.services.load(sitting.file), self._loaded)

    def _loaded(self, site: Site) -> None:
        self._site = site
        known = self._departing  # kept until they are looked at anew: the cursor stays where it is
        self._departing = {one.name: replace(known[one.name], server=one) for one in site.leaving if one.name in known}
        sitting = self.home.sitting
        if site.leaving and sitting is not None:
            self.start("departing", lambda: self.home.services.departing(site, sitting.state), self._departs)
        self._draw()
        self.action_recheck()

    def _departs(self, found: Sequence[Departing]) -> None:
        self._departing = {one.server.name: one for one in found}
        self._draw()

    def action_recheck(self) -> None:
        """Try every server again, each in its own thread."""
        site, sitting = self._site, self.home.sitting
        if site is None or sitting is None:
            return
        services = self.home.services
        for server in site.servers:
            name = server.name
            self._reach.pop(name, None)

            def reached(reach: Reach, name: str = name) -> None:
                self._reach[name] = reach
                self._draw()
                if self._going and self.is_current and all(server.name in self._reach for server in site.servers):
                    self.action_next()

            self.start(f"reach {name}", partial(services.reach, server, sitting.state), reached)
        self._draw()

    def _draw(self) -> None:
        site = self._site
        if site is None:
            return
        rows = []
        for server in site.servers:
            address = server.address if server.port == 22 else f"{server.address}:{server.port}"
            rows.append(Row(server.name, (server.name, address, server.user, self._state(server))))
        if self._departing:
            from homewright.screens.leaving import state_of

            for name, one in self._departing.items():
                cells = (name, one.server.address, one.server.user, state_of(one, self.ascii))
                rows.append(Row(name, tuple(cell if isinstance(cell, tuple) else (cell, "muted") for cell in cells)))
        self.query_one(Table).set_rows(rows)
        count = sum(1 for reach in self._reach.values() if reach.ok)
        self.retitle(f"{count} of {len(site.servers)} reached" if rows else "")
        self._detail()
        self.refresh_bindings()

    def _state(self, server: Server) -> Cell:
        reach = self._reach.get(server.name)
        if reach is None:
            seen = look("running")
            return f"{seen.mark(self.ascii)} trying …", seen.tone
        seen = look("done" if reach.ok else "pending" if reach.new else "failed")
        return f"{seen.mark(self.ascii)} {beside_its_name(reach.text, server)}", seen.tone

    @on(Table.Highlighted)
    def _detail(self) -> None:
        site = self._site
        if site is None:
            return
        name = self.query_one(Table).cursor_key
        reach = self._reach.get(name)
        if name in self._departing:
            from homewright.screens.leaving import told

            text = Content(told(self._departing[name]))
        elif not site.servers:
            text = Content(
                "Add the first server: press a. It becomes the control plane; add the others after it.\n"
                "i takes servers from your ~/.ssh/config, or from an Ansible inventory."
            )
        elif reach is None:
            text = Content(f"{name} is being tried: its host key, Homewright's key, and sudo. That takes some seconds.")
        elif reach.error is not None:
            steps = [Content(f"{number}. {step}") for number, step in enumerate(reach.error.do, 1)]
            again = "Then c makes first contact." if reach.new else "Then r tries again."
            text = Content("\n").join(
                [Content(f"{reach.error.what} {reach.error.why}".strip()), *steps, Content(again)]
            )
        elif reach.new:
            every = "" if len(site.servers) == 1 else ", or C for every server that is not reached yet"
            text = Content(
                f"First contact with {name}: press c{every}. Its host key is shown for you to compare before any "
                "password is sent; then Homewright's own key is installed and sudo is proved."
            )
        else:
            others = [server.name for server in site.servers if not self._ok(server.name)]
            text = Content(
                f"{name} is reached. Still to do: {', '.join(others)}. C makes first contact with all of them."
                if others
                else "Every server is reached. Go on to the hardware: ctrl+n."
            )
        self.query_one("#detail-text", Static).update(text)
        self.refresh_bindings()

    def _ok(self, name: str) -> bool:
        reach = self._reach.get(name)
        return reach is not None and reach.ok

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        one = self._departing.get(self.query_one(Table).cursor_key) if self._departing else None
        if action == "take_back" and (one is None or one.server.lost or not one.begun):
            return False
        if action in ("edit", "contact") and one is not None:
            return False
        if action in ("edit", "remove", "contact", "contact_all", "recheck") and one is None:
            return bool(self._site and self._site.servers) and bool(super().check_action(action, parameters))
        return super().check_action(action, parameters)

    # Verbs

    @on(Table.Chosen)
    def action_edit(self) -> None:
        site = self._site
        name = self.query_one(Table).cursor_key
        if site is None or not name or name in self._departing:
            return
        old = site.server(name)

        def done(answer: ServerAnswer | None) -> None:
            if answer is not None:
                self._put([answer if server.name == name else server for server in site.servers], answer.name)

        from homewright.screens.services import answer_of

        self.app.push_screen(ServerBox(site, answer_of(old)), done)

    def action_add(self) -> None:
        site = self._site
        if site is None:
            return

        def done(answer: ServerAnswer | None) -> None:
            if answer is not None:
                self._put([*site.servers, answer], answer.name)

        self.app.push_screen(ServerBox(site, None), done)

    def action_import(self) -> None:
        from homewright.screens.importing import ImportBox

        site = self._site
        if site is None:
            return

        def done(answers: list[ServerAnswer] | None) -> None:
            if answers:
                self._put([*site.servers, *answers], answers[0].name)

        taken = {text for server in site.servers for text in (server.name, server.address)}
        self.app.push_screen(ImportBox(taken), done)

    def action_remove(self) -> None:
        site, sitting = self._site, self.home.sitting
        name = self.query_one(Table).cursor_key
        if site is None or sitting is None or not name:
            return
        services = self.home.services
        if name in self._departing:
            from homewright.screens.leaving import ask_to_give_up

            ask_to_give_up(self, site, self._departing[name], self._loaded)
            return

        def look() -> tuple[Known, Sequence[str] | None]:
            known = services.answers(sitting.file, sitting.state)
            return known, services.instances_on(known, sitting.state, name)

        def looked(found: tuple[Known, Sequence[str] | None]) -> None:
            known, instances = found
            if instances is None:
                self._ask_to_remove(site, name)
            else:
                self._ask_to_leave(known, name, instances)

        self.start("look", look, looked)

    def action_take_back(self) -> None:
        """Take back all that was put on the server under the cursor, which leaves the site."""
        from homewright.screens.leaving import ask_to_take_back

        ask_to_take_back(self, self._departing[self.query_one(Table).cursor_key])

    def _ask_to_leave(self, known: Known, name: str, instances: Sequence[str]) -> None:
        """Something was put on it: it is drained, and taken back, or it is lost."""
        from homewright.screens.leaving import Departure, LeaveBox

        sitting, services = self.home.sitting, self.home.services
        assert sitting is not None

        def saved(site: Site) -> None:
            self.say("Saved in site.yaml. Plan says what is done, before anything is.", "ok")
            self._loaded(site)

        def done(how: Departure | None) -> None:
            if how is not None:
                self.start("leave", lambda: services.let_leave(sitting.file, known, name, how), saved)

        others = [server.name for server in known.site.servers if server.name != name]
        self.app.push_screen(LeaveBox(known.site.server(name), instances, others), done)

    def _ask_to_remove(self, site: Site, name: str) -> None:
        from homewright.screens.ask import AskBox

        def answer(yes: bool | None) -> None:
            if yes:
                self._put([server for server in site.servers if server.name != name], "", gone=name)

        lines = [f"{name} leaves site.yaml. Nothing is changed on the server itself."]
        self.app.push_screen(AskBox(f"remove {name}?", lines, "remove", typed=name), answer)

    def _put(self, servers: Sequence[object], cursor: str, gone: str = "") -> None:
        sitting = self.home.sitting
        assert sitting is not None
        services = self.home.services
        seen = self._site

        def saved(site: Site) -> None:
            self.say("Saved in site.yaml.", "ok")
            self._loaded(site)
            self.query_one(Table).move_to(cursor)

        def save() -> Site:
            site = services.put_servers(sitting.file, servers, seen)
            if gone:
                services.owes_no_key(sitting.state, gone)
            return site

        self.start("save", save, saved)

    def action_contact(self) -> None:
        name = self.query_one(Table).cursor_key
        if name:
            self._contact([name])

    def action_contact_all(self) -> None:
        if self._site is not None:
            names = [server.name for server in self._site.servers if not self._ok(server.name)]
            self._contact(names or [server.name for server in self._site.servers])

    def _contact(self, names: Sequence[str]) -> None:
        from homewright.screens.contact import Contact

        assert self._site is not None
        self._away = True
        self.app.push_screen(Contact([self._site.server(name) for name in names]))

    def action_next(self) -> None:
        """Go on to the hardware, or to the first thing that is missing.

        A server that was contacted before and does not answer now holds nobody up: pressed again, it goes on without.
        """
        site = self._site
        if site is None:
            return
        self._going = False
        table = self.query_one(Table)
        table.focus()
        if not site.servers:
            self.say("Add a server first: a.", "failed")
            return
        missing = [server.name for server in site.servers if not self._ok(server.name)]
        tried = {name: self._reach.get(name) for name in missing}
        first = next((name for name, reach in tried.items() if reach is None or reach.new), next(iter(missing), ""))
        reach = tried.get(first)
        if not missing or (missing == self._without and not (reach is None or reach.new)):
            self.onward()
            return
        self._without = []
        table.move_to(first)
        if reach is None:
            self._going = True
            self.say(f"{first} is still being tried; this goes on by itself.")
        elif reach.new:
            self.say(f"{first}: no first contact yet. Press c, or C for all.", "failed")
        elif len(missing) < len(site.servers):
            self._without = missing
            self.say(f"{reach.text.rstrip('.')}: ctrl+n once more goes on without {', '.join(missing)}.", "failed")
        else:
            self.say(f"{first}: {beside_its_name(reach.text, site.server(first))}", "failed")

    def action_back(self) -> None:
        self.backward()


def beside_its_name(text: str, server: Server) -> str:
    """What is said of a server where its name stands before it: it is not said again."""
    both = f"{server.name} ({server.address})"
    for begin in (f"{both} ", f"{server.name} "):
        if text.startswith(begin):
            return text.removeprefix(begin)
    return text.replace(f" of {both}", "").replace(f"sudo on {server.name} ", "sudo ")


class ServerBox(Box["ServerAnswer"]):
    """The answers about one server."""

    BINDINGS = [Binding("ctrl+s", "save", show=False)]

    def __init__(self, site: Site, old: ServerAnswer | None) -> None:
        super().__init__()
        self._site = site
        self._old = old

    def compose(self) -> ComposeResult:
        old = self._old
        last = self._site.servers[-1] if self._site.servers else None
        user = old.user if old else last.user if last else ""
        with Vertical(classes="box") as box:
            box.border_title = f"server {old.name}" if old else "another server"
            yield Field("name", "Name", value=old.name if old else "", rule=self._name_reason, hint="Such as attic-1")
            yield Field(
                "address",
                "Address",
                value=old.address if old else "",
                rule=self._address_reason,
                hint="Its fixed IPv4 address",
            )
            hint = "An account that can use sudo"
            yield Field("user", "User", value=user, rule=self._rule("user"), hint=hint)
            yield Field("port", "SSH port", value=str(old.port) if old else "22", rule=self._rule("port"))
            yield Field(
                "host_key",
                "Host key",
                value=(old.host_key or "") if old else "",
                rule=self._rule("host_key", empty_is_fine=True),
                hint="SHA256:… if you know it; else it is shown later",
            )
            yield Static(
                Content.assemble(
                    ("enter ", "bold"), "next field    ", ("ctrl+s ", "bold"), "save    ", ("esc ", "bold"), "back"
                ),
                classes="buttons",
            )
        yield TooSmall()

    def on_mount(self) -> None:
        self.query(Input).first().focus()

    def _rule(self, field: str, empty_is_fine: bool = False) -> Rule:
        def rule(value: str) -> str:
            if not value:
                return "" if empty_is_fine else "this is needed"
            return self.home.services.reason("server", field, value)

        return rule

    def _name_reason(self, value: str) -> str:
        if value in [server.name for server in self._site.servers if not self._old or server.name != self._old.name]:
            return f"there is already a server called {value}"
        return self._rule("name")(value)

    def _address_reason(self, value: str) -> str:
        for server in self._site.servers:
            if server.address == value and (not self._old or server.name != self._old.name):
                return f"{server.name} has this address already"
        return self._rule("address")(value)

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        fields = list(self.query(Field))
        at = next((i for i, field in enumerate(fields) if field.control_widget is message.input), 0)
        if at + 1 < len(fields):
            fields[at].insist()
            fields[at + 1].control_widget.focus()
        else:
            self.action_save()

    def action_save(self) -> None:
        from homewright.screens.services import ServerAnswer

        fields = {field.field: field for field in self.query(Field)}
        if first_wrong(list(fields.values())) is not None:
            return
        self.dismiss(
            ServerAnswer(
                name=fields["name"].value,
                address=fields["address"].value,
                user=fields["user"].value,
                port=int(fields["port"].value),
                host_key=fields["host_key"].value or None,
            )
        )
