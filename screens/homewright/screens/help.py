"""Help for the screen behind it: what it is for, what each field means, which keys work."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.screens.page import Box, TooSmall


def flowing(text: str) -> str:
    """The text with its paragraphs in one line each, for the box to wrap; lists and tables stay as they are."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(part if "  " in part else " ".join(part.split("\n")) for part in paragraphs)


class HelpBox(Box[None]):
    """The page's own text, then its keys."""

    BINDINGS = [Binding("f1,question_mark,enter,q", "close", show=False)]

    def __init__(self, title: str, text: str, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._keys = keys

    def compose(self) -> ComposeResult:
        keys = [Content.assemble((f"  {key:<12}", "bold $keys"), label) for key, label in self._keys]
        with Vertical(classes="box") as box:
            box.border_title = f"help · {self._title}"
            with VerticalScroll():
                yield Static(flowing(self._text), markup=False)
                yield Static(Content("\n").join([Content.styled("\nKeys that work now", "bold"), *keys]))
            yield Static(
                Content.assemble(("esc ", "bold"), "back    ", ("up down ", "bold"), "scroll"), classes="buttons"
            )
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
