"""Cells: short texts with a tone, and how they are cut and padded to a width."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

TONES = ("plain", "ok", "running", "muted", "failed", "warning", "accent", "strong")

Cell = str | tuple[str, str]
"""A text, or a text with one of `TONES`."""


def split(cell: Cell) -> tuple[str, str]:
    """Text and tone."""
    return (cell, "plain") if isinstance(cell, str) else cell


def fit(text: str, width: int, right: bool = False) -> str:
    """Exactly `width` cells: padded, or cut with an ellipsis so that a cut is seen."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 1 else set_cell_size(text, width)
    return " " * (width - length) + text if right else text + " " * (width - length)
