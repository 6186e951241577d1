"""The journal: everything that runs did, and the only interface from the engine to viewers.

States live in the site's `journal.db`, the events of one run in that run's `events.db` (rotation is unlink). Both are
SQLite in WAL mode with `synchronous=FULL`. One process writes (`Writer`, in the engine, under its lock); viewers read
(`Reader`) with short read-only transactions. Nothing here imports pydantic: the screens start with it.
"""

from homewright.engine.journal.reader import Reader
from homewright.engine.journal.records import ReceiptRow, RunRecord, StepRecord

__all__ = ["Reader", "ReceiptRow", "RunRecord", "StepRecord"]
