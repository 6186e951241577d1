"""Which parts of a screen have to be painted again, of which widgets, and in how few bytes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.control import Control
from rich.segment import Segment
from textual._compositor import ChopsUpdate, Compositor, CompositorMap, LayoutUpdate, ReflowResult
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget


class Pen:
    """Writes cells with their styles. What a style asks for is told the terminal when it changes, not for each cell."""

    def __init__(self, console: Console) -> None:
        self._colours = console._color_system or ColorSystem.TRUECOLOR
        self._style = ""
        self._said: list[str] = []

    def move(self, x: int, y: int) -> None:
        self._said.append(Control.move_to(x, y).segment.text)

    def write(self, cells: Iterable[Segment]) -> None:
        for text, style, _ in cells:
            if style is not None and style._link:
                self._set("")
                self._said.append(style.render(text, color_system=self._colours))
            elif text:
                self._set("" if style is None else Strip.render_ansi(style, self._colours))
                self._said.append(text)

    def _set(self, style: str) -> None:
        if style != self._style:
            reset = "0" if self._style else ""
            self._said.append(f"\x1b[{';'.join(part for part in (reset, style) if part)}m")
            self._style = style

    def text(self) -> str:
        """All that was written; the terminal is left without a style."""
        self._set("")
        return "".join(self._said)


class Parts(ChopsUpdate):
    """Parts of rows. The toolkit's own begins where a widget does, so that a log line brings its frame along."""

    def render_segments(self, console: Console) -> str:
        pen = Pen(console)
        for y, first, end in self.spans:
            for until, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=True):
                if strip is not None and x < end and until > first:
                    at, cells = _between(first, end, x, strip)
                    pen.move(at, y)
                    pen.write(cells)
        return pen.text()


class Whole(LayoutUpdate):
    """All rows."""

    def render_segments(self, console: Console) -> str:
        pen = Pen(console)
        for y, strips in enumerate(self.strips, self.region.y):
            pen.move(self.region.x, y)
            for strip in strips:
                pen.write(strip)
        return pen.text()


def _between(first: int, end: int, x: int, strip: Strip) -> tuple[int, list[Segment]]:
    """A strip at x without its segments before a column and from another one on, and where it begins then. None is cut
    in two: it may be in the middle of a wide character."""
    cells = []
    begins = x
    for segment in strip:
        if x >= end:
            break
        x += cell_len(segment.text)
        if x > first:
            cells.append(segment)
        else:
            begins = x
    return begins, cells


class Painting(Compositor):
    """The toolkit's own, that knows what the terminal shows.

    Textual 8.2.8 paints what is elsewhere than in its map of the last layout. But that map is not what was painted:
    scrolling paints by another one, and whoever asks for the place of a widget after that has it made anew, with what
    was hidden or shown meanwhile already in it. A field that was hidden then left the form half painted: rows that had
    moved stood where they were, and what was typed appeared beside them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._painted: CompositorMap = {}
        self._torn = False
        """Something may have been painted by a map that no layout has made."""

    def clear(self) -> None:
        super().clear()
        self._painted = {}

    @property
    def full_map(self) -> CompositorMap:
        before = self._full_map
        found = super().full_map
        if found is not before and _places(found) != _places(self._painted):
            self._torn = True
        return found

    def reflow(self, parent: Widget, size: Size) -> ReflowResult:
        result = super().reflow(parent, size)
        changed = _places(self._full_map).items() ^ _places(self._painted).items()
        self._dirty_regions.update([size.region] if self._torn else [seen for _, (_, seen) in changed])
        self._painted, self._torn = self._full_map, False
        return result

    def render_full_update(self, simplify: bool = False) -> LayoutUpdate:
        found = super().render_full_update(simplify)
        return Whole(found.strips, found.region)

    def render_partial_update(self) -> ChopsUpdate | None:
        """What has changed. The toolkit renders every widget in those rows, also those that are covered, so that a log
        line costs as much as the eight containers that it lies in."""
        screen = self.size.region
        regions = [seen for region in self._dirty_regions if (seen := region.intersection(screen))]
        self._dirty_regions.clear()
        spans = list(self._regions_to_spans(regions))
        if not spans:
            return None
        chops = self._chops_of(spans)
        return Parts(chops, spans, [cuts[1:] for cuts in self.cuts])

    def _chops_of(self, spans: Iterable[tuple[int, int, int]]) -> list[dict[int, Strip | None]]:
        """The widgets' strips, row by row and by the column where each begins; None where nothing is to be painted."""
        chops: list[dict[int, Strip | None]] = [dict.fromkeys(cuts[:-1]) for cuts in self.cuts]
        missing: dict[int, dict[int, int]] = {}
        for y, first, end in spans:
            row = missing.setdefault(y, {})
            row.update((x, until) for x, until in pairwise(self.cuts[y]) if x < end and until > first)
        for widget, (region, clip) in self.visible_widgets.items():  # from front to back
            seen = region.intersection(clip)
            rows = [y for y in seen.line_range if any(seen.x <= x < seen.right for x in missing.get(y, ()))]
            if not rows:
                continue
            top = rows[0]
            strips = widget.render_lines(Region(seen.x - region.x, top - region.y, seen.width, rows[-1] + 1 - top))
            for y in rows:
                for x, until in list(missing[y].items()):
                    if seen.x <= x < seen.right:
                        chops[y][x] = strips[y - top].crop(x - seen.x, until - seen.x)
                        del missing[y][x]
                if not missing[y]:
                    del missing[y]
            if not missing:
                break
        return chops

    def reflow_visible(self, parent: Widget, size: Size) -> set[Widget]:
        if self._visible_map is None:
            self._torn = False  # the toolkit paints everything then
        exposed = super().reflow_visible(parent, size)
        self._painted = self._visible_map or {}
        return exposed


def _places(found: CompositorMap) -> dict[Widget, tuple[Region, Region]]:
    """Where each widget is, and what is seen of it; none that is scrolled away."""
    return {
        widget: (place.region, seen)
        for widget, place in found.items()
        if (seen := place.clip.intersection(place.region))
    }
