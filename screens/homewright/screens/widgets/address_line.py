"""All address ranges on one line, in the order of their addresses; where two meet it is crossed out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import pairwise

from rich.cells import cell_len
from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

LEAST = 3
"""Cells of the shortest piece."""
SHORT = {"balancers": "LB", "services": "svc", "overlay": "ovl"}
"""Names where the piece has no room for the whole."""
GAP = "…"
"""Addresses between two ranges, however many."""


@dataclass(frozen=True)
class Piece:
    """A stretch of addresses that the same ranges hold. Addresses count from 0.0.0.0, both ends included."""

    names: tuple[str, ...]
    first: int
    last: int
    clash: bool

    @property
    def label(self) -> str:
        return "+".join(self.names)

    @property
    def weight(self) -> float:
        """How long it is drawn: its number of bits, since a /16 is 256 times a /24 and both must be seen."""
        return math.log2(self.last - self.first + 1) + 2


def pieces(ranges: Sequence[tuple[str, str]]) -> tuple[Piece, ...]:
    """The stretches of these ranges (name and CIDR), in order. The load balancers' part of the LAN is no clash."""
    nets = [(name, IPv4Network(cidr)) for name, cidr in ranges if cidr]
    bounds = sorted({edge for _, net in nets for edge in (int(net[0]), int(net[-1]) + 1)})
    lan = next((net for name, net in nets if name == "LAN"), None)
    found: list[Piece] = []
    for first, after in pairwise(bounds):
        names = [name for name, net in nets if int(net[0]) <= first and after - 1 <= int(net[-1])]
        part = next((net for name, net in nets if name == "balancers"), None)
        if "balancers" in names and "LAN" in names and lan and part and part.subnet_of(lan):
            names.remove("LAN")
        if names:
            found.append(Piece(tuple(names), first, after - 1, len(names) > 1))
    return tuple(found)


def widths(found: Sequence[Piece], room: int, labels: Sequence[int] = ()) -> list[int]:
    """Cells of each piece, the gaps between them taken off; in all as many as there are.

    `labels` are cells that each piece needs for what is written beneath it: it gets them where there is room for all.
    """
    if not found:
        return []
    gaps = sum(1 for left, right in pairwise(found) if right.first > left.last + 1)
    least = [max(LEAST, label) for label in labels] or [LEAST] * len(found)
    if sum(least) > room - gaps:
        least = [LEAST] * len(found)
    left = max(room - gaps - sum(least), 0)
    total = sum(piece.weight for piece in found)
    given = [part + int(left * piece.weight / total) for part, piece in zip(least, found, strict=True)]
    for at in range(left + sum(least) - sum(given)):
        given[at % len(given)] += 1
    return given


class AddressLine(Widget):
    """Two lines: the ranges with their names, and beneath them where each begins."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ranges: tuple[tuple[str, str], ...] = ()

    def show(self, ranges: Sequence[tuple[str, str]]) -> None:
        """Show these ranges, each a name and a CIDR."""
        self.ranges = tuple(ranges)
        self.refresh()

    def render(self) -> RenderResult:
        found = pieces(self.ranges)
        if not found:
            return Content.styled("No range is known yet.", "$quiet")
        line, beneath = Content(), ""
        cidrs = {int(IPv4Network(cidr)[0]): cidr for _, cidr in reversed(self.ranges) if cidr}
        starts = [cidrs.get(piece.first, "") for piece in found]
        sizes = widths(found, self.size.width, [len(start) for start in starts])
        before: Piece | None = None
        for number, (piece, width, start) in enumerate(zip(found, sizes, starts, strict=True)):
            if before is not None and piece.first > before.last + 1:
                line += Content.styled(GAP, "$quiet")
            style = "bold $text-error" if piece.clash else ("$text-primary", "$text-success")[number % 2]
            place = line.cell_length
            line += Content.styled(_drawn(piece, width), style)
            if start and place >= cell_len(beneath):
                beneath = beneath.ljust(place) + start + " "
            before = piece
        return Content("\n").join([line, Content.styled(beneath[: self.size.width], "$quiet")])


def _drawn(piece: Piece, width: int) -> str:
    """A dimension line with the name in it; crosses where ranges meet."""
    name = piece.label if cell_len(piece.label) + 2 <= width else SHORT.get(piece.label, piece.label)
    label = f" {name} " if cell_len(name) + 4 <= width else name if cell_len(name) + 2 <= width else ""
    if piece.clash:
        return f"✗{label}✗".center(width, "✗")[:width]
    return f"├{label.center(width - 2, '─')}┤"
