"""A bar of what a server keeps, what its instances take and what is left: three fills, told apart without colour."""

from __future__ import annotations

KEPT, TAKEN, FREE, OVER = "▒", "█", "░", "✗"
PLAIN = {KEPT: "r", TAKEN: "#", FREE: ".", OVER: "x"}
"""What stands for them on a terminal without such glyphs; the usual replacements would make two of them the same."""


def bar(kept: float, taken: float, total: float | None, width: int, ascii: bool = False) -> str:
    """The bar of one quantity, with its numbers: `▒▒███░░░ 12/16`; a dash where the total is not known.

    What is asked for beyond the total is shown by crosses at the end.
    """
    if total is None:
        return f"{_number(kept + taken)}/?"
    words = f" {_number(kept + taken)}/{_number(total)}"
    cells = max(width - len(words), 0)
    if total <= 0 or kept + taken > total:
        drawn = TAKEN * max(cells - 2, 0) + OVER * min(cells, 2)
    else:
        first = _cells(kept, total, cells)
        second = min(_cells(taken, total, cells), cells - first)
        drawn = KEPT * first + TAKEN * second + FREE * (cells - first - second)
    return ("".join(PLAIN[cell] for cell in drawn) if ascii else drawn) + words


def legend(ascii: bool = False) -> str:
    """What the fills mean."""
    kept, taken, free = (PLAIN[cell] if ascii else cell for cell in (KEPT, TAKEN, FREE))
    return f"{kept} kept by the server   {taken} instances   {free} free"


def _cells(part: float, total: float, cells: int) -> int:
    """At least one cell for what is there at all."""
    return max(round(cells * part / total), 1 if part > 0 else 0)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
