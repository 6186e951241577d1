"""A table that updates in place: the cursor stays on its row, only visible rows are drawn, columns share the width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from homewright.screens.widgets.cells import TONES, Cell, fit, split


@dataclass(frozen=True)
class Column:
    """One column: a fixed width in cells, or 0 to share what is left with the others that say 0."""

    label: str = ""
    width: int = 0
    right: bool = False


@dataclass(frozen=True)
class Row:
    """One row. A heading cannot be chosen and its first cell takes the whole line."""

    key: str
    cells: tuple[Cell, ...]
    heading: bool = False

    @cached_property
    def _text(self) -> str:
        """All its cells in lower case: 10,000 rows are looked through at every key of a filter."""
        return "\n".join(split(cell)[0] for cell in self.cells).lower()

    def matches(self, needle: str) -> bool:
        """Whether any cell contains the text, without regard to case."""
        return needle in self._text


class Table(ScrollView, can_focus=True):
    """Rows with a cursor. Column labels, where there are any, stay at the top."""

    COMPONENT_CLASSES = {f"tone--{tone}" for tone in TONES} | {"table--cursor", "table--cursor-blurred", "table--head"}
    BINDINGS = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "end(-1)", show=False),
        Binding("end", "end(1)", show=False),
    ]

    @dataclass
    class Highlighted(Message):
        """The cursor came to a row: `by_hand`, or because the rows changed or a program put it there."""

        table: Table
        key: str
        by_hand: bool = False

        @property
        def control(self) -> Table:
            return self.table

    @dataclass
    class Chosen(Message):
        """Enter, or a click on the row under the cursor."""

        table: Table
        key: str

        @property
        def control(self) -> Table:
            return self.table

    def __init__(
        self, columns: Sequence[Column], rows: Iterable[Row] = (), *, id: str | None = None, empty: str = ""
    ) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.empty = empty
        self._all: list[Row] = list(rows)
        self._rows: list[Row] = list(self._all)
        self._cursor = -1
        self._needle = ""
        self._tones: dict[tuple[str, Style | None], Style] = {}
        self._move_to(0, 1)

    # What is shown

    @property
    def rows(self) -> Sequence[Row]:
        """The rows that the filter lets through."""
        return self._rows

    @property
    def cursor_key(self) -> str:
        """Key of the row under the cursor; empty where there is none."""
        return self._rows[self._cursor].key if 0 <= self._cursor < len(self._rows) else ""

    @property
    def needle(self) -> str:
        """The filter."""
        return self._needle

    def set_rows(self, rows: Iterable[Row]) -> None:
        """Show these rows; the cursor stays on its row, or where it was when its row is gone."""
        wanted = list(rows)
        if wanted != self._all or self._cursor < 0:  # who looks five times a second brings the same ones nearly always
            self._all = wanted
            self._sift()

    def set_needle(self, needle: str) -> None:
        """Show only rows that contain this text."""
        self._needle = needle.lower()
        self._sift()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show other columns (a wider terminal has room for more)."""
        wanted = tuple(columns)
        if wanted != self.columns:
            self.columns = wanted
            self._resize()

    def move_to(self, key: str) -> bool:
        """Put the cursor on this row; False where there is none of that key."""
        for index, row in enumerate(self._rows):
            if row.key == key and not row.heading:
                self._set_cursor(index, by_hand=False)
                return True
        return False

    def _sift(self) -> None:
        before_key, before = self.cursor_key, self._cursor
        self._rows = [row for row in self._all if not self._needle or row.heading or row.matches(self._needle)]
        index = next((i for i, row in enumerate(self._rows) if row.key == before_key and not row.heading), None)
        if index is None:
            self._move_to(min(max(before, 0), max(len(self._rows) - 1, 0)), 1)
        else:
            self._cursor = index
        self._resize()
        if self.cursor_key != before_key:
            self._tell()

    def _resize(self) -> None:
        self.virtual_size = Size(0, len(self._rows) + self._head)
        self.refresh()

    @property
    def _head(self) -> int:
        return 1 if any(column.label for column in self.columns) else 0

    # The cursor

    def _move_to(self, index: int, step: int) -> bool:
        """Put the cursor on the row at or after (before) the index that can be chosen."""
        for way in (step, -step):
            at = index
            while 0 <= at < len(self._rows):
                if not self._rows[at].heading:
                    self._cursor = at
                    return True
                at += way
        self._cursor = -1
        return False

    def _set_cursor(self, index: int, by_hand: bool = True) -> None:
        if index == self._cursor:
            return
        self._cursor = index
        self.reveal()
        self.refresh()
        self._tell(by_hand)

    def _tell(self, by_hand: bool = False) -> None:
        if self.is_mounted:
            self._place_terminal_cursor()
            self.post_message(self.Highlighted(self, self.cursor_key, by_hand))

    def reveal(self) -> None:
        """Scroll so that the cursor's row is seen, with the headings above it."""
        if not self.size.height:
            return
        above = self._cursor
        while above > 0 and self._rows[above - 1].heading:
            above -= 1
        top, height = self.scroll_offset.y, self.size.height - self._head
        if above < top:
            self.scroll_to(y=above, animate=False, immediate=True, force=True)
        elif self._cursor >= top + height:
            # By force: the scrollbar of rows that have just come is not there yet, and without it nothing scrolls.
            self.scroll_to(y=self._cursor - height + 1, animate=False, immediate=True, force=True)

    def _place_terminal_cursor(self) -> None:
        """Screen readers follow the terminal's own cursor."""
        if self.has_focus and self._cursor >= 0:
            line = self._cursor - self.scroll_offset.y + self._head
            self.app.cursor_position = self.content_region.offset + Offset(0, line)

    def action_move(self, by: int) -> None:
        at = self._cursor + by
        while 0 <= at < len(self._rows) and self._rows[at].heading:
            at += by
        if 0 <= at < len(self._rows):
            self._set_cursor(at)
        elif by < 0:
            self.scroll_to(y=0, animate=False)

    def action_page(self, by: int) -> None:
        height = max(self.size.height - self._head - 1, 1)
        target = min(max(self._cursor + by * height, 0), max(len(self._rows) - 1, 0))
        self._jump(target, by)

    def action_end(self, way: int) -> None:
        self._jump(0 if way < 0 else len(self._rows) - 1, -way)

    def _jump(self, target: int, step: int) -> None:
        before = self.cursor_key
        if self._move_to(target, step):
            self.reveal()
            self.refresh()
            if self.cursor_key != before:
                self._tell(by_hand=True)

    def key_enter(self) -> None:
        """Enter opens, where the page says nothing else about it."""
        self.action_choose()

    def action_choose(self) -> None:
        if self.cursor_key:
            self.post_message(self.Chosen(self, self.cursor_key))

    def on_focus(self) -> None:
        self._place_terminal_cursor()
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_resize(self) -> None:
        self._resize()
        self.reveal()

    def on_click(self, event: events.Click) -> None:
        index = event.y + self.scroll_offset.y - self._head
        if 0 <= index < len(self._rows) and not self._rows[index].heading and event.y >= self._head:
            if index == self._cursor:
                self.action_choose()
            else:
                self._set_cursor(index)

    # Drawing

    def widths(self, total: int) -> list[int]:
        """Width of each column, the gutter and one space between columns taken off."""
        fixed = sum(column.width for column in self.columns)
        flexible = sum(1 for column in self.columns if not column.width)
        room = max(total - 2 - fixed - (len(self.columns) - 1), 0)
        share, rest = divmod(room, flexible) if flexible else (0, 0)
        widths: list[int] = []
        for column in self.columns:
            if column.width:
                widths.append(column.width)
            else:
                widths.append(share + (1 if rest > 0 else 0))
                rest -= 1
        return widths

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if self._head and y == 0:
            return self._line([(column.label, "head") for column in self.columns], "  ", None, width)
        index = y + self.scroll_offset.y - self._head
        if not self._rows and y == self._head:
            return Strip([Segment(fit(f"  {self.empty}", width), self._style("muted"))], width)
        if not 0 <= index < len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[index]
        if row.heading:
            text, tone = split(row.cells[0])
            return Strip([Segment(fit(text, width), self._style(tone))], width)
        here = index == self._cursor
        under = self.get_component_rich_style(
            "table--cursor" if self.has_focus else "table--cursor-blurred", partial=True
        )
        return self._line(row.cells, "▸ " if here else "  ", under if here else None, width)

    def _line(self, cells: Sequence[Cell], gutter: str, under: Style | None, width: int) -> Strip:
        segments = [Segment(gutter, self._style("plain", under))]
        used = 2
        for number, (cell, cell_width) in enumerate(zip(cells, self.widths(width), strict=False)):
            text, tone = split(cell)
            gap = "" if number == 0 else " "
            right = self.columns[number].right
            segments.append(Segment(gap + fit(text, cell_width, right), self._style(tone, under)))
            used += cell_width + len(gap)
        segments.append(Segment(" " * max(width - used, 0), self._style("plain", under)))
        return Strip(segments).crop(0, width)

    def render_lines(self, crop: Region) -> list[Strip]:
        self._tones.clear()  # what stands behind us may have another colour by now
        return super().render_lines(crop)

    def _style(self, tone: str, under: Style | None = None) -> Style:
        """Made once a frame for each tone: Textual puts `rich_style` together of all that stands behind us, and a
        matrix has 300 cells.
        """
        if (tone, under) not in self._tones:
            # quiet letters would be hard to read on the cursor's ground
            shown = "plain" if under and tone == "muted" else tone
            name = "table--head" if shown == "head" else f"tone--{shown}"
            style = self.rich_style + self.get_component_rich_style(name, partial=True)
            self._tones[tone, under] = style + under if under else style
        return self._tones[tone, under]

    def region_of_cursor(self) -> Region:
        """Where the cursor's row is, in cells of this widget."""
        return Region(0, self._cursor - self.scroll_offset.y + self._head, self.size.width, 1)
