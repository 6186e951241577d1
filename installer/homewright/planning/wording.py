"""How a sentence names several servers, or several things. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def by_what_they_share(said: Mapping[str, str], one: str, several: str) -> str:
    """What is said of each server, those of which the same is said together: `a and b run Debian 12; c runs Alpine`.

    `one` and `several` are the verb.
    """
    alike: dict[str, list[str]] = {}
    for host, what in said.items():
        alike.setdefault(what, []).append(host)
    return "; ".join(f"{listed(hosts)} {one if len(hosts) == 1 else several} {what}" for what, hosts in alike.items())
