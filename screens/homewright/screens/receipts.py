"""Receipts in a box: what a step changed on each server, and what takes it back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from homewright.screens.widgets.labelled import Line

if TYPE_CHECKING:
    from homewright.engine.receipts import Receipt
    from homewright.screens.page import Page

MOST_NAMED = 4
"""Things that a question about taking something back names, each of which may take two lines at 80 columns."""


def receipt_lines(found: Sequence[Receipt]) -> tuple[Line, ...]:
    """Receipts in words, server by server."""
    from homewright.engine.receipts import short

    if not found:
        return (Line("", "No receipt yet: it changes nothing, or has not run.", "quiet", whole=True),)
    lines: list[Line] = []
    for one in found:
        lines += [Line("", ""), Line("", f"{one.step} on {one.host} · {one.title}", "bold", whole=True)]
        for change in one.changes if one.back is None else ():
            kind = "" if change.kind == "file" else f" ({change.kind})"
            lines.append(Line(change.what, f"{change.name}{kind}"))
            if change.before:
                lines.append(Line("  before", short(change.before), "quiet"))
            if change.after:
                lines.append(Line("  after", short(change.after), "quiet"))
            lines.append(Line("  inverse", change.inverse, "quiet"))
    return tuple(lines[1:])


def to_be_asked(found: Sequence[Receipt], steps: Iterable[str]) -> list[str]:
    """What a question about taking steps back says of their receipts: the last step first."""
    from homewright.engine.receipts import to_be_taken_back

    told = [line for step in reversed(list(steps)) for line in to_be_taken_back(found, step)]
    if not told:
        return ["No receipt says what it changed."]
    more = len(told) - MOST_NAMED
    named = [f"  {line}" for line in told[:MOST_NAMED]]
    return [*named, f"  … and {more} more: homewright receipts"] if more > 0 else named


def show_receipts(page: Page, step: str | None, title: str) -> None:
    """Open the box over a page, of one step or of all."""
    from homewright.screens.text_box import TextBox

    sitting, services = page.home.sitting, page.home.services
    if sitting is None:
        return

    def known(found: list[Receipt]) -> None:
        page.app.push_screen(TextBox(f"receipts · {title}", receipt_lines(found)))

    page.start("receipts", lambda: services.receipts(sitting.state, step), known)
