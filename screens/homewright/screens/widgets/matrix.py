"""A table with a cursor on one cell: rows down, servers across; more servers than fit are reached sideways."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Offset
from textual.strip import Strip

from homewright.screens.widgets.cells import Cell, fit, split
from homewright.screens.widgets.table import Column, Row, Table

CELL = 12
"""Cells of a column: the longest state and its glyph, in ASCII too."""
LABEL = (24, 44)
"""The least and the most cells of a row's label."""
HEAD = 2
"""Lines at the top that stay: the servers, and how each stands."""


@dataclass(frozen=True)
class MatrixRow:
    """One row; a `wide` one has a single cell across all columns."""

    key: str
    label: str
    heading: bool = False
    wide: bool = False


class Matrix(Table):
    """Cells are asked for when they are drawn, so that a change costs what is seen of it."""

    BINDINGS = [
        Binding("left", "aside(-1)", show=False),
        Binding("right", "aside(1)", show=False),
    ]

    def __init__(self, cell: Callable[[str, str], Cell], under: Callable[[str], Cell], *, id: str, empty: str) -> None:
        super().__init__([Column()], id=id, empty=empty)
        self._cell = cell
        self._under = under
        self._across: tuple[str, ...] = ()
        self._wide: frozenset[str] = frozenset()
        self._at = 0
        self._first = 0

    @property
    def across(self) -> tuple[str, ...]:
        """The columns."""
        return self._across

    @property
    def column(self) -> str:
        """The column under the cursor; empty on a row with one cell for all."""
        if self.cursor_key in self._wide or not self._across:
            return ""
        return self._across[self._at]

    def set_matrix(self, rows: Iterable[MatrixRow], across: Sequence[str]) -> None:
        """Show these rows and columns; the cursor stays on its cell where that is still there."""
        rows = tuple(rows)
        before = self._across[self._at] if self._across else ""
        self._across = tuple(across)
        self._at = self._across.index(before) if before in self._across else 0
        self._wide = frozenset(row.key for row in rows if row.wide)
        self.set_rows(Row(row.key, ((row.label, "strong" if row.heading else "plain"),), row.heading) for row in rows)

    def go_to(self, key: str, column: str) -> None:
        """Put the cursor on a cell."""
        if column in self._across:
            self._at = self._across.index(column)
        if not self.move_to(key) or self.cursor_key == key:
            self.reveal()
            self._tell()
        self.refresh()

    def action_aside(self, by: int) -> None:
        at = min(max(self._at + by, 0), max(len(self._across) - 1, 0))
        if at != self._at and self.cursor_key not in self._wide:
            self._at, first = at, self._first
            self._room(self.scrollable_content_region.width)
            self.refresh(*([self.region_of_cursor()] if self._first == first else []))  # else the columns move
            self._tell(by_hand=True)

    def key_enter(self) -> None:
        """The page binds enter itself: both together would open a box and give it the same key."""

    def on_click(self, event: events.Click) -> None:
        label, count = self._room(self.scrollable_content_region.width)
        aside = (event.x - 2 - label) // (CELL + 1)
        if 0 <= aside < count and self._first + aside < len(self._across) and event.y >= self._head:
            self._at = self._first + aside
            self.refresh()

    # Drawing

    @property
    def _head(self) -> int:
        return HEAD

    def _room(self, width: int) -> tuple[int, int]:
        """Cells of the label, and how many columns fit beside it."""
        count = max(min(len(self._across), (width - 2 - LABEL[0]) // (CELL + 1)), 1)
        if self._at < self._first:
            self._first = self._at
        self._first = max(self._first, self._at - count + 1)
        self._first = max(min(self._first, len(self._across) - count), 0)
        return min(width - 2 - count * (CELL + 1), LABEL[1]), count

    def _place_terminal_cursor(self) -> None:
        if self.has_focus and self._cursor >= 0:
            label, _ = self._room(self.scrollable_content_region.width)
            aside = 0 if self.cursor_key in self._wide else (self._at - self._first) * (CELL + 1)
            line = self._cursor - self.scroll_offset.y + self._head
            self.app.cursor_position = self.content_region.offset + Offset(3 + label + aside, line)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        label, count = self._room(width)
        seen = self._across[self._first : self._first + count]
        if y < self._head:
            more = f"{self._first + 1}–{self._first + count} of {len(self._across)} servers, ‹ ›"
            left = (more if count < len(self._across) else "") if y == 0 else ""
            cells = [(name, "head") if y == 0 else self._under(name) for name in seen]
            return self._strip((left, "muted"), cells, label, "  ", None, -1, width)
        index = y + self.scroll_offset.y - self._head
        if not 0 <= index < len(self._rows) or self._rows[index].heading:
            return super().render_line(y)
        row = self._rows[index]
        here = index == self._cursor
        under = self.get_component_rich_style("table--cursor-blurred", partial=True) if here else None
        gutter = "▸ " if here else "  "
        if row.key in self._wide:
            cells = [self._cell(row.key, "")]
            return self._strip(row.cells[0], cells, label, gutter, under, 0 if here else -1, width, wide=True)
        cells = [self._cell(row.key, name) for name in seen]
        return self._strip(row.cells[0], cells, label, gutter, under, self._at - self._first if here else -1, width)

    def _strip(
        self,
        first: Cell,
        cells: Sequence[Cell],
        label: int,
        gutter: str,
        under: Style | None,
        here: int,
        width: int,
        wide: bool = False,
    ) -> Strip:
        """One line: what the row is, then its cells; the one under the cursor stands in brackets."""
        text, tone = split(first)
        segments = [Segment(gutter + fit(text, label), self._style(tone, under))]
        cursor = self.get_component_rich_style(
            "table--cursor" if self.has_focus else "table--cursor-blurred", partial=True
        )
        for number, cell in enumerate(cells):
            text, tone = split(cell)
            on = number == here
            room = max(width - 2 - label - 2, CELL) if wide else CELL
            if on:
                shown = fit(text, min(cell_len(text), room))
                # Its colour would be hard to read on the cursor's ground; glyph and word say the same.
                segments.append(Segment(f"[{shown}]", self._style("strong", cursor)))
                segments.append(Segment(" " * (room - cell_len(shown) - 1), self._style("plain", under)))
            else:
                segments.append(Segment(" " + fit(text, room), self._style(tone, under)))
        used = sum(cell_len(segment.text) for segment in segments)
        segments.append(Segment(" " * max(width - used, 0), self._style("plain", under)))
        return Strip(segments).crop(0, width)
