"""A pane of log lines: only visible rows are fetched; when scrolled up, nothing slides."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from rich.console import RenderableType
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.strip import Strip

from homewright.screens.loglines import Batch, Line, LogLines
from homewright.screens.widgets.cells import TONES, fit

_SGR = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b[@-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


_EIGHTHS = 8
"""The thumb of a scroll bar begins and ends at eighths of a cell."""


class SteadyBar(ScrollBar):
    """A scroll bar that is painted anew when it looks another way, not with every line that comes."""

    window_virtual_size = Reactive(100, repaint=False)
    window_size = Reactive(0, repaint=False)
    position = Reactive(0.0, repaint=False)
    _painted: tuple[int, int] | None = None

    def render(self) -> RenderableType:
        self._painted = self._thumb()
        return super().render()

    def watch_window_virtual_size(self) -> None:
        self._moved()

    def watch_window_size(self) -> None:
        self._moved()

    def watch_position(self) -> None:
        self._moved()

    def _moved(self) -> None:
        self.call_later(self._compare)  # once all three are said: in between it seems to leave the end

    def _compare(self) -> None:
        if self._thumb() != self._painted:
            self.refresh()

    def _thumb(self) -> tuple[int, int]:
        """Where the toolkit lets the thumb begin, and how long it is."""
        height, window, lines = self.size.height, self.window_size, self.window_virtual_size
        if not height or not window or window >= lines:
            return 0, 0
        thumb = max(1.0, window / (lines / height))
        begins = (height - thumb) * (self.position / (lines - window))
        return int(begins * _EIGHTHS), math.ceil(thumb * _EIGHTHS)


class LogPane(ScrollView, can_focus=True):
    """Lines by absolute number. Following is explicit: it goes on only while `follow` is true."""

    COMPONENT_CLASSES = {f"tone--{tone}" for tone in TONES} | {"log--found"}
    BINDINGS = [
        Binding("up", "by(-1)", show=False),
        Binding("down", "by(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "top", show=False),
        Binding("end", "bottom", show=False),
        Binding("left", "aside(-8)", show=False),
        Binding("right", "aside(8)", show=False),
    ]

    @dataclass
    class ScrolledAway(Message):
        """The operator scrolled up, so the pane no longer follows."""

        pane: LogPane

    virtual_size = Reactive(Size(0, 0), layout=False, repaint=False)
    """How many lines there are. Nothing else on the screen moves with it, so nothing else is laid out or painted anew
    when lines come: five times a second that would be twice the terminal's share, and most of the time."""

    def __init__(self, *, id: str | None = None, empty: str = "") -> None:
        super().__init__(id=id)
        self.lines: LogLines | None = None
        self.follow = True
        self.empty = empty
        self.found = ""
        self._shift = 0
        self._width = 0
        self._tones: dict[str, Style] = {}

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        if self._vertical_scrollbar is None:
            self._vertical_scrollbar = bar = SteadyBar(name="vertical", thickness=self.scrollbar_size_vertical)
            bar.display = False
            self.app._start_widget(self, bar)
        return self._vertical_scrollbar

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = new_value
        if round(old_value) != round(new_value):
            self._repaint()

    def _repaint(self) -> None:
        """The lines again; the frame and the scroll bar stay as they are."""
        self.refresh(self.scrollable_content_region.size.region)

    def show(self, lines: LogLines, empty: str = "") -> None:
        """Show other lines."""
        self.lines = lines
        self.empty = empty
        self._shift = 0
        self._grow()
        self.scroll_to(y=0, animate=False, immediate=True)

    def add(self, batch: Batch) -> None:
        """Take in new lines; the view stays where it is unless it follows."""
        if self.lines is None or batch.view != self.lines.view or batch.after <= self.lines.after:
            return
        self.lines.add(batch)
        self._grow(afresh=False)

    def set_follow(self, follow: bool) -> None:
        """Keep the newest line in view, or stop doing so."""
        self.follow = follow
        if follow:
            self._grow()

    def _grow(self, *, afresh: bool = True) -> None:
        before, count = self.virtual_size.height, len(self.lines) if self.lines is not None else 0
        self.virtual_size = Size(0, count)
        if self.show_vertical_scrollbar != (count > self.size.height):
            self.refresh(layout=True)  # the scroll bar comes or goes, and takes its column
            self.call_after_refresh(self._place_bar)
        elif self.show_vertical_scrollbar:
            self.vertical_scrollbar.window_virtual_size = count
        self._to_end()
        if afresh or before < self.top + self.size.height:
            self._repaint()

    def _to_end(self) -> None:
        if self.follow and self.lines is not None:
            # by force: the scroll bar may be about to come, with the next layout
            self.scroll_to(y=max(len(self.lines) - self.size.height, 0), animate=False, immediate=True, force=True)

    def _place_bar(self) -> None:
        """A scroll bar that has just come stands at the top, whatever was scrolled before."""
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = self.scroll_y

    def on_resize(self) -> None:
        self._grow()

    # Scrolling by hand ends following; coming back to the end does not begin it again: that is a key of its own.

    def _go(self, y: float) -> None:
        if self.follow and y < self.scroll_offset.y:
            self.follow = False
            self.post_message(self.ScrolledAway(self))
        self.scroll_to(y=y, animate=False, immediate=True)
        self._repaint()

    def action_by(self, amount: int) -> None:
        self._go(self.scroll_offset.y + amount)

    def action_page(self, way: int) -> None:
        self._go(self.scroll_offset.y + way * max(self.size.height - 1, 1))

    def action_top(self) -> None:
        self._go(0)

    def action_bottom(self) -> None:
        self._go(self.max_scroll_y)

    def action_aside(self, by: int) -> None:
        self._shift = max(self._shift + by, 0)
        self.refresh()

    def on_mouse_scroll_up(self) -> None:
        if self.follow:
            self.follow = False
            self.post_message(self.ScrolledAway(self))

    def jump(self, number: int) -> None:
        """Bring a line into the middle of the view."""
        self._go(max(number - self.size.height // 2, 0))

    @property
    def top(self) -> int:
        """Number of the first line in view."""
        return int(self.scroll_offset.y)

    def render_lines(self, crop: Region) -> list[Strip]:
        self._tones.clear()  # they are the theme's and the focus's; made once for all lines, not for each
        self._width = self.scrollable_content_region.width
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        width = self._width
        number = y + self.scroll_offset.y
        if self.lines is None or not len(self.lines):
            text = self.empty if y == 0 else ""
            return Strip([Segment(fit(text, width), self._tone("muted"))], width)
        if number >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        line = self.lines.line(number)
        # What comes from the journal is clean but for colours; those would not survive being cut to the pane.
        text = clean(line.text)
        tone = self._tone(tone_of(line))
        if self.found and (at := text.lower().find(self.found.lower())) >= 0:
            end = at + len(self.found)
            found = tone + self.get_component_rich_style("log--found", partial=True)
            strip = Strip([Segment(text[:at], tone), Segment(text[at:end], found), Segment(text[end:], tone)])
            return strip.crop(self._shift, self._shift + width).extend_cell_length(width, tone)
        shifted = text[self._shift :]
        return Strip([Segment(fit(shifted, width), tone)], width)

    def _tone(self, tone: str) -> Style:
        if tone not in self._tones:
            self._tones[tone] = self.rich_style + self.get_component_rich_style(f"tone--{tone}", partial=True)
        return self._tones[tone]


def clean(text: str) -> str:
    """Text from elsewhere without escape sequences and control characters, tabs as spaces."""
    return _CONTROL.sub("", _SGR.sub("", text).expandtabs(4))


_WORDS = (
    ("failed", re.compile(r"\b(fatal|failed|unreachable|broken)\b[:!]")),
    ("warning", re.compile(r"\bchanged:")),
    ("ok", re.compile(r"\b(proved)\b")),
    ("strong", re.compile(r"\btask: ")),
)


def tone_of(line: Line) -> str:
    """The tone of a line: its level, else what it says of itself."""
    if line.level == "error":
        return "failed"
    if line.level == "warning":
        return "warning"
    if line.level == "debug":
        return "muted"
    head = line.text[:60]
    return next((tone for tone, pattern in _WORDS if pattern.search(head)), "plain")
