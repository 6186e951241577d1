"""Amounts as Kubernetes writes them: 250m, 2Gi, 1e3, 12345n. Pure."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal

_AMOUNT = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")
_SUFFIXES = {
    "": Decimal(1), "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal(1000),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", 2)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}  # fmt: skip


def amount(text: str) -> Decimal:
    """The number that it stands for. Raises ValueError."""
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no amount")
    number, exponent, suffix = found.groups()
    return Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]


def total(texts: list[str]) -> Decimal:
    """What they are together."""
    return sum((amount(text) for text in texts), Decimal(0))


def written(value: Decimal, like: str = "") -> str:
    """An amount as the API server writes it: in units of 1024 where it was given so, else plain or in thousandths."""
    if value != value.to_integral_value():
        return f"{(value * 1000).to_integral_value(ROUND_HALF_UP)}m"
    if like.endswith("i"):
        for power, letter in reversed(list(enumerate("KMGTPE", 1))):
            if value and value % (1024**power) == 0:
                return f"{value // 1024**power}{letter}i"
    return str(value.to_integral_value())
