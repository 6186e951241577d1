"""The rows of receipts, written: what a step found, what it left, and that it was taken back.

Each function gives a change for `Writer.change` or `Writer.transition`. What is given was cleaned of secrets before.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping

Seen = Mapping[str, Mapping[str, str]]
Change = Callable[[sqlite3.Connection], object]


def found(run: str, step: str, host: str, before: Seen) -> Change:
    """What was there before the step. Never overwritten by a later run, unless the step was taken back meanwhile."""
    query = """
        INSERT INTO receipts (step, host, run, taken, before) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (step, host) DO UPDATE SET run = excluded.run, taken = excluded.taken, before = excluded.before,
            done = NULL, after = '', mixed = '[]', back = NULL WHERE back IS NOT NULL
    """
    values = (step, host, run, time.time(), _text(before))
    return lambda connection: connection.execute(query, values)


def left(step: str, host: str, after: Seen, mixed: Iterable[str]) -> Change:
    """What the step left."""
    values = (_text(after), json.dumps(sorted(mixed), ensure_ascii=False), time.time(), step, host)
    query = "UPDATE receipts SET after = ?, mixed = ?, done = ? WHERE step = ? AND host = ?"
    return lambda connection: connection.execute(query, values)


def taken_back(step: str, host: str) -> Change:
    """The step was taken back there: the receipt stays to be read, and the next run of the step begins a new one."""
    values = (time.time(), step, host)
    return lambda connection: connection.execute("UPDATE receipts SET back = ? WHERE step = ? AND host = ?", values)


def _text(seen: Seen) -> str:
    return json.dumps(seen, ensure_ascii=False, separators=(",", ":"))
