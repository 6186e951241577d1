"""Lines of a label and words; words that wrap stay beside their label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.widgets import Static

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


class Labelled(Static):
    """Shows `Line`s, wrapped at its own width. What came from elsewhere is cleaned of control characters."""

    LABEL = 10
    """Cells of a label."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.lines: tuple[Line, ...] = ()
        self._shown: tuple[tuple[Line, ...], int] = ((), 0)

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Show these lines from now on."""
        self.lines = tuple(lines)
        self._fill()

    @property
    def plain(self) -> str:
        """All of it as text, to search in."""
        return "\n".join(f"{line.label} {line.text}" for line in self.lines)

    def on_resize(self, event: events.Resize) -> None:
        self._fill()

    def _fill(self) -> None:
        width = self.content_size.width
        if self._shown != (self.lines, width):
            self._shown = (self.lines, width)
            self.update(Content("\n").join(wrapped(self.lines, width or 60, self.LABEL)))


def wrapped(lines: Sequence[Line], width: int, label_width: int) -> list[Content]:
    """The lines as they are drawn; a label that comes twice running is shown once."""
    drawn: list[Content] = []
    before = ""
    for line in lines:
        style = STYLES.get(line.tone, "")
        text = Content.styled(clean(line.text), style) if style else Content(clean(line.text))
        if line.whole:
            drawn += text.wrap(width)
        else:
            label = "" if line.label == before else line.label
            for part in text.wrap(max(width - label_width - 1, 10)) or [Content()]:
                drawn.append(Content.assemble((f"{label:<{label_width}} ", "$quiet"), part))
                label = ""
        before = line.label
    return drawn
