"""Import: servers from the user's own ~/.ssh/config, or from an Ansible inventory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from homewright.errors import HomewrightError
from homewright.screens.glyphs import look
from homewright.screens.page import TooSmall, WorkingBox
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.access.importing import Found, Host
    from homewright.screens.services import ServerAnswer  # noqa: F401 - named in the class line below

LIKELY = ("inventory.yaml", "inventory.yml", "inventory.ini", "inventory", "hosts.yaml", "hosts.ini", "hosts")
"""What an inventory is mostly called; looked for where Homewright was started."""
EVERY = ""
"""The group that stands for all hosts."""


class ImportBox(WorkingBox["list[ServerAnswer]"]):
    """The hosts found; space marks, enter takes the marked ones (else the one under the cursor)."""

    BINDINGS = [
        Binding("space", "mark", show=False),
        Binding("a", "mark_all", show=False),
        Binding("g", "group", show=False),
        Binding("f", "file", show=False),
        Binding("enter", "take", show=False, priority=True),  # else the page beneath gets it too, once this is closed
    ]

    def __init__(self, taken: set[str], file: Path | None = None) -> None:
        super().__init__()
        self._taken = taken
        self._file = file
        self._found: Found | None = None
        self._marked: set[str] = set()
        self._group = EVERY

    def compose(self) -> ComposeResult:
        with Vertical(classes="box", id="import") as box:
            box.border_title = "import servers"
            title = Static(id="from", markup=False)
            title.styles.text_wrap, title.styles.text_overflow = "nowrap", "ellipsis"  # the list keeps its room
            yield title
            yield Table(
                [Column(width=3), Column("name", 14), Column("address", 16), Column("user", 10), Column("")],
                empty="looking …",
            )
            yield Static(id="about", markup=False)
            keys = (("space ", "mark  "), ("a ", "all  "), ("g ", "group  "), ("f ", "another file  "))
            more = (("enter ", "take them  "), ("esc ", "back"))
            parts = [part for key, label in (*keys, *more) for part in ((key, "bold"), label)]
            yield Static(Content.assemble(*parts), classes="buttons")
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(Table).focus()
        self._look()

    def _look(self) -> None:
        services, file, taken = self.home.services, self._file, self._taken
        self.jobs.start("hosts", lambda: services.hosts_in(file, taken), self._read, self._unreadable)

    def _read(self, found: Found) -> None:
        self._found = found
        self._marked, self._group = set(), EVERY
        self.query_one(Table).empty = "none that could be a server: f names another file"
        self._draw()
        self._told()

    def _unreadable(self, error: HomewrightError) -> None:
        self._found = None
        self.query_one(Table).empty = ""
        self._draw()
        self._about(" ".join([error.what, error.why, *error.do]).replace("  ", " "), "$text-error", "failed")

    @property
    def _shown(self) -> list[Host]:
        hosts = self._found.hosts if self._found else ()
        return [one for one in hosts if self._group in (EVERY, *one.groups)]

    def _host(self) -> Host | None:
        key = self.query_one(Table).cursor_key
        return next((one for one in self._shown if one.name == key), None)

    def _draw(self) -> None:
        rows = []
        for one in self._shown:
            mark = "–" if one.reason else "[x]" if one.name in self._marked else "[ ]"
            tone = "muted" if one.reason else "plain"
            address = one.address if one.port == 22 else f"{one.address}:{one.port}"
            words = one.reason or ("! " if one.note else "") + (", ".join(one.groups) or one.note)
            rows.append(Row(one.name, tuple((text, tone) for text in (mark, one.name, address, one.user, words))))
        self.query_one(Table).set_rows(rows)
        where = _short(self._file) if self._file else "~/.ssh/config"
        group = f", group {self._group}" if self._group else ""
        self.query_one("#from", Static).update(f"Hosts in {where}{group}:")

    @on(Table.Highlighted)
    def _told(self) -> None:
        """All about the host under the cursor; beneath the last one, what was left out of account."""
        one = self._host()
        if one is None:
            said = self._found.said if self._found else ()
            self._about("; ".join(said))
        elif one.reason:
            self._about(f"{one.name} cannot be taken: {one.reason}")
        elif one.note:
            self._about(f"{one.name}: {one.note}", "$text-warning", "warning")
        else:
            self._about("; ".join(self._found.said) if self._found else "")

    def _about(self, text: str, style: str = "", mark: str = "") -> None:
        prefix = f"{look(mark).mark(self.home.terminal.ascii)} " if mark else ""
        self.query_one("#about", Static).update(Content.styled(f"{prefix}{text}", style) if style else Content(text))

    def action_mark(self) -> None:
        one = self._host()
        if one is not None and not one.reason:
            self._marked ^= {one.name}
            self._draw()
            self.query_one(Table).action_move(1)
        elif one is not None:
            self._refuse(one)

    def action_mark_all(self) -> None:
        """Mark every host that is shown and can be taken; once they are, none of them."""
        able = {one.name for one in self._shown if not one.reason}
        self._marked = self._marked - able if able <= self._marked else self._marked | able
        self._draw()

    def action_group(self) -> None:
        """Show the hosts of the next group of the inventory."""
        groups = sorted({name for one in (self._found.hosts if self._found else ()) for name in one.groups})
        if not groups:
            self._about("There are no groups in it.")
            return
        ring = [EVERY, *groups]
        self._group = ring[(ring.index(self._group) + 1) % len(ring)]
        self._draw()

    def action_file(self) -> None:
        """Name another file."""
        from homewright.screens.ask import LineBox

        def there(value: str) -> str:
            if not value:
                return "type where the file is"
            return "" if Path(value).expanduser().is_file() else "there is no such file"

        def named(value: str | None) -> None:
            if value:
                self._file = Path(value).expanduser().absolute()
                self._about("")
                self._look()

        likely = next((name for name in LIKELY if Path(name).is_file()), "")
        hint = "An ssh_config, or an Ansible inventory in INI or YAML"
        self.app.push_screen(
            LineBox("import from a file", "File", value=likely, rule=there, hint=hint, yes="look into it"), named
        )

    def _refuse(self, one: Host) -> None:
        self._about(f"{one.name} cannot be taken: {one.reason}", "$text-error", "failed")

    @on(Table.Chosen)
    def action_take(self) -> None:
        from homewright.screens.services import ServerAnswer

        hosts = [one for one in (self._found.hosts if self._found else ()) if one.name in self._marked]
        one = self._host()
        if not hosts and one is not None:
            if one.reason:
                self._refuse(one)
                return
            hosts = [one]
        if hosts:
            self.dismiss([ServerAnswer(host.name, host.address, host.user, host.port) for host in hosts])


def _short(file: Path) -> str:
    """The path as people write it: from their home where it lies there."""
    return f"~/{file.relative_to(Path.home())}" if file.is_relative_to(Path.home()) else str(file)
