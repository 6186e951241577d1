"""Which of the site's servers is the machine that the engine itself runs on."""

from __future__ import annotations

from pathlib import Path

from homewright.engine.journal.writer import Writer

MACHINE_ID = Path("/etc/machine-id")


def is_ours(writer: Writer, host: str) -> bool:
    """Whether this server's machine-id, as its fence recorded it, is that of the machine that we run on."""
    try:
        here = MACHINE_ID.read_text().strip()
    except OSError:
        return False
    rows = writer.query("SELECT machine FROM machines WHERE host = ?", host)
    return bool(here) and bool(rows) and str(rows[0][0]) == here
