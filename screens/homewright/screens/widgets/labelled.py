"""Lines of a label and words; words that wrap stay beside their label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.app import RenderResult
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from homewright.screens.widgets.log_pane import clean

STYLES = {
    "failed": "$text-error",
    "warning": "$text-warning",
    "ok": "$text-success",
    "quiet": "$quiet",
    "bold": "bold",
}


@dataclass(frozen=True)
class Line:
    """A label, which may be empty, and the words beside it. `whole` words begin beneath the labels."""

    label: str
    text: str
    tone: str = "plain"
    whole: bool = False


class Labelled(Widget):
    """Shows `Line`s, wrapped at its own width. What came from elsewhere is cleaned of control characters."""

    DEFAULT_CSS = "Labelled { height: auto; }"

    def __init__(
        self, lines: Sequence[Line] = (), *, label: int = 10, id: str | None = None, classes: str | None = None
    ) -> None:
        """`label`: cells of a label."""
        super().__init__(id=id, classes=classes)
        self._label = label
        self.lines: tuple[Line, ...] = tuple(lines)
        self._drawn: tuple[tuple[Line, ...], int, list[Content]] = ((), 0, [])

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Show these lines from now on."""
        if tuple(lines) == self.lines:
            return
        width = self.content_size.width
        before = len(self._at(width)) if width else -1
        self.lines = tuple(lines)
        # A screen is laid out anew in the time of three frames, and most texts are as long as the one before.
        self.refresh(layout=not width or len(self._at(width)) != before)

    @property
    def plain(self) -> str:
        """All of it as text, to search in."""
        return "\n".join(f"{line.label} {line.text}" for line in self.lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._at(width))

    def render(self) -> RenderResult:
        return Content("\n").join(self._at(self.content_size.width))

    def _at(self, width: int) -> list[Content]:
        """The lines at this width; kept, because height and content ask one after the other."""
        lines, drawn_width, drawn = self._drawn
        if lines is not self.lines or drawn_width != width:
            drawn = wrapped(self.lines, width, self._label)
            self._drawn = (self.lines, width, drawn)
        return drawn


def wrapped(lines: Sequence[Line], width: int, label_width: int) -> list[Content]:
    """The lines as they are drawn; a label that comes twice running is shown once."""
    drawn: list[Content] = []
    before = ""
    for line in lines:
        style = STYLES.get(line.tone, "")
        text = Content.styled(clean(line.text), style) if style else Content(clean(line.text))
        if line.whole:
            drawn += text.wrap(max(width, 10)) or [Content()]
        else:
            label = "" if line.label == before else line.label
            for part in text.wrap(max(width - label_width - 1, 10)) or [Content()]:
                drawn.append(Content.assemble((f"{label:<{label_width}} ", "$quiet"), part))
                label = ""
        before = line.label
    return drawn
