"""Numbers as commands print them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"^\s*([0-9]{1,18}(?:[.,][0-9]{1,18})?)\s*([KMGTPE]?)(i?)B?\s*$", re.IGNORECASE)
_DIGITS = 18
"""Of the largest number that means anything: 2**60 bytes have 19."""

_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def size(text: str) -> int | None:
    """Bytes of 916G, 58.2G, 3,8Gi, 1007K, 0B; None where it is no size. A unit without `i` is a power of 1024 too."""
    found = _SIZE.match(text)
    if not found:
        return None
    unit: int = 1024 ** _POWERS[found.group(2).upper()]
    return round(float(found.group(1).replace(",", ".")) * unit)


def whole(text: str) -> int | None:
    """A whole number; None for anything else, such as N/A, ERR!, - and what no machine can have."""
    text = text.strip()
    return int(text) if len(text) <= _DIGITS and text.isascii() and text.isdigit() else None


def pairs(text: str) -> dict[str, str]:
    """The first value of each `Key: value` line."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found
