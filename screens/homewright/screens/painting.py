"""Which parts of a screen have to be painted again after its layout has changed."""

from __future__ import annotations

from textual._compositor import Compositor, CompositorMap, ReflowResult
from textual.geometry import Region, Size
from textual.widget import Widget


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
