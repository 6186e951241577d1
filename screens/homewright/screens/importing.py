"""Import: servers from the user's own ~/.ssh/config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from homewright.screens.page import TooSmall, WorkingBox
from homewright.screens.widgets.table import Column, Row, Table

if TYPE_CHECKING:
    from homewright.screens.services import ServerAnswer


@dataclass(frozen=True)
class Candidate:
    """A host of the user's SSH configuration; `reason` says why it cannot be taken, and is empty where it can."""

    server: ServerAnswer
    reason: str = ""


class ImportBox(WorkingBox["list[ServerAnswer]"]):
    """The hosts found; space marks, enter takes the marked ones (else the one under the cursor)."""

    BINDINGS = [
        Binding("space", "mark", show=False),
        Binding("enter", "take", show=False),
    ]

    def __init__(self, taken: set[str], file: Path | None = None) -> None:
        super().__init__()
        self._taken = taken
        self._file = file or Path.home() / ".ssh" / "config"
        self._found: dict[str, Candidate] = {}
        self._marked: set[str] = set()

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "import servers"
            title = Static(f"Hosts in {_short(self._file)}:\n", markup=False)
            title.styles.text_wrap, title.styles.text_overflow = "nowrap", "ellipsis"  # the list keeps its room
            yield title
            yield Table(
                [Column(width=3), Column("name", 12), Column("address", 15), Column("user", 8), Column("")],
                empty="looking …",
            )
            yield Static(
                Content.assemble(
                    ("space ", "bold"), "mark    ", ("enter ", "bold"), "take them    ", ("esc ", "bold"), "back"
                ),
                classes="buttons",
            )
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(Table).focus()
        services = self.home.services
        self.jobs.start("hosts", lambda: services.ssh_hosts(self._file, self._taken), self._read, self.home.unexpected)

    def _read(self, found: list[Candidate]) -> None:
        self._found = {one.server.name: one for one in found}
        self.query_one(Table).empty = "none that could be a server"
        self._draw()

    def _draw(self) -> None:
        rows = []
        for name, one in self._found.items():
            mark = "[x]" if name in self._marked else "[ ]" if not one.reason else ""
            tone = "muted" if one.reason else "plain"
            cells = (
                (mark, tone),
                (name, tone),
                (one.server.address, tone),
                (one.server.user, tone),
                (one.reason, tone),
            )
            rows.append(Row(name, cells))
        self.query_one(Table).set_rows(rows)

    def action_mark(self) -> None:
        key = self.query_one(Table).cursor_key
        if key in self._found and not self._found[key].reason:
            self._marked ^= {key}
            self._draw()
            self.query_one(Table).action_move(1)

    @on(Table.Chosen)
    def action_take(self) -> None:
        key = self.query_one(Table).cursor_key
        marked = [one.server for name, one in self._found.items() if name in self._marked]
        if not marked and key in self._found and not self._found[key].reason:
            marked = [self._found[key].server]
        if marked:
            self.dismiss(marked)


def _short(file: Path) -> str:
    """The path as people write it: from their home where it lies there."""
    return f"~/{file.relative_to(Path.home())}" if file.is_relative_to(Path.home()) else str(file)
