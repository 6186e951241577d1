"""Help for the screen behind it: what it is for, what each field means, which keys work."""

from __future__ import annotations

import re
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from homewright.screens.page import Box, TooSmall
from homewright.screens.widgets.labelled import Labelled, Line

_TERM = re.compile(r"(\S+(?: \S+)*) {2,}(\S.*)")
"""A line of a list: its term, and what it means."""


def paragraphs(text: str) -> list[str | list[Line]]:
    """The paragraphs of a help text, each in one line for the box to wrap; of a list, its terms and their words."""
    found: list[str | list[Line]] = []
    for part in text.strip().split("\n\n"):
        lines = part.split("\n")
        found.append(_terms(lines) if _TERM.fullmatch(lines[0]) else " ".join(lines))
    return found


def _terms(lines: Sequence[str]) -> list[Line]:
    """A list: terms, and their words in a column of their own. A line that begins with blanks goes on from above."""
    first = _TERM.fullmatch(lines[0])
    column = first.start(2) if first else 0
    terms: list[Line] = []
    for line in lines:
        match = _TERM.fullmatch(line)
        if line.startswith(" ") and terms:
            terms[-1] = Line(terms[-1].label, f"{terms[-1].text} {line.strip()}")
        elif match is not None:
            terms.append(Line(match[1], match[2]))
        else:
            terms.append(Line(line[:column].rstrip(), line[column:]))
    return terms


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
                for part in paragraphs(self._text):
                    if isinstance(part, str):
                        yield Static(f"{part}\n", markup=False)
                    else:
                        yield Labelled(part, label=max(len(line.label) for line in part) + 1, classes="terms")
                yield Static(Content("\n").join([Content.styled("Keys that work now", "bold"), *keys]))
            yield Static(
                Content.assemble(("esc ", "bold"), "back    ", ("up down ", "bold"), "scroll"), classes="buttons"
            )
        yield TooSmall()

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()
