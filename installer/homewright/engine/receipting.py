"""The receipts of one step while it is carried out: what was seen when, and what that means for the journal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from homewright.catalogue.models import Step
from homewright.engine import receipts
from homewright.engine.context import Context
from homewright.engine.conversation import HostEnd
from homewright.engine.journal import receipts as rows
from homewright.engine.journal.records import ReceiptRow, receipt_row
from homewright.engine.runners.request import Watched
from homewright.engine.states import State
from homewright.planning.changes import placeholders
from homewright.planning.hosts import endpoint

NAMED = 3
"""Things that a failure names; the receipt has them all."""
COLUMNS = ("step", "host", "run", "taken", "before", "done", "after", "mixed", "back")


class Receipting:
    """One step's receipts, on all its servers."""

    def __init__(self, context: Context, step: Step) -> None:
        self._context = context
        self._step = step
        self.until_now: dict[str, receipts.Seen] = {}
        """Seen just before a roll-back, by server."""
        self.now: dict[str, receipts.Seen] = {}
        """Seen together with the proof, by server."""

    def watched(self, host: str) -> Watched | None:
        """What is to be looked at on a server or an instance; None where the step declares nothing."""
        declared, context = self._step.changes, self._context
        user = endpoint(host, context.site, context.facts, context.state).user
        names = placeholders(context.site, host, user)
        watched = Watched(
            files=tuple(path.format_map(names) for path in declared.files),
            packages=declared.packages,
            accounts=declared.accounts,
            units=declared.units,
        )
        return watched or None

    def unseen(self, hosts: Iterable[str]) -> list[str]:
        """Servers that the step was never on, by what is recorded, or was taken back from: they are as before it."""
        rows = self._rows()
        query = (
            "SELECT DISTINCT s.host FROM steps s JOIN runs r ON r.id = s.run WHERE s.step = ? AND r.action = 'run' "
            "AND s.run != ? AND (s.started IS NOT NULL OR s.state NOT IN ('pending', 'skipped'))"
        )
        done = {str(host) for (host,) in self._context.writer.query(query, self._step.id, self._context.run)}
        known = {host for host, row in rows.items() if row.back is None} | (done - rows.keys())
        return [host for host in hosts if host not in known and self.watched(host)]

    def open(self, hosts: Iterable[str]) -> list[str]:
        """Servers with a receipt that is not taken back."""
        known = {host for host, row in self._rows().items() if row.back is None}
        return [host for host in hosts if host in known]

    def found(self, looks: Mapping[str, receipts.Seen]) -> list[rows.Change]:
        """What was there before the step's first effect."""
        return [rows.found(self._context.run, self._step.id, host, self._clean(seen)) for host, seen in looks.items()]

    def left(self, host: str, seen: receipts.Seen, *, changed: bool) -> Iterator[rows.Change]:
        """What is there after it. Where a run of it changed nothing, what it left is what an earlier one left."""
        row = self._rows().get(host)
        if row is not None and (changed or row.after is None):
            after = self._clean(seen)
            yield rows.left(self._step.id, host, after, receipts.mixed(row, after))

    def settled(self, host: str, end: HostEnd) -> Iterator[rows.Change]:
        """What the journal is to say where a server has ended well."""
        if end.state is State.ROLLED_BACK:
            yield rows.taken_back(self._step.id, host)
        elif end.state is State.SUCCEEDED and host in self.now:
            yield from self.left(host, self.now[host], changed=end.changed > 0)

    def left_behind(self, host: str) -> str:
        """Why a roll-back has failed although its proof is content: what it ought to have brought back, and did not."""
        faults, _ = self._astray(host)
        if not faults:
            return ""
        named = "; ".join(
            f"{one.name} is {receipts.short(one.after) or 'not there'}, and was {receipts.short(one.before) or 'not'}"
            for one in faults[:NAMED]
        )
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        return f"It was taken back, and yet not all is as its receipt says: {named}{more}"

    def found_done(self, host: str) -> bool:
        """Whether the step found everything there as it wants it and changed nothing: taken back, it is still so."""
        row = self._rows().get(host)
        if row is None or row.back is not None or row.after is None or row.mixed or host not in self.now:
            return False
        # What a step declares may be only part of what it does; what it reported as changed counts as well.
        query = (
            "SELECT coalesce(sum(s.changed), 0) FROM steps s JOIN runs r ON r.id = s.run WHERE r.action = 'run' "
            "AND s.step = ? AND s.host = ? AND r.rowid >= coalesce((SELECT rowid FROM runs WHERE id = ?), 0)"
        )
        if self._context.writer.query(query, self._step.id, host, row.run)[0][0]:
            return False
        seen = (row.after, self._clean(self.now[host]))
        return not any(change for after in seen for change in receipts.differences(row.before, after))

    def others_hands(self, host: str) -> list[str]:
        """What is not as before because others have changed it since, or need it by now."""
        _, shared = self._astray(host)
        return [
            f"{one.name} is not as it was before the step: it was changed since, or is needed by others"
            for one in shared
        ]

    def _astray(self, host: str) -> tuple[list[receipts.Change], list[receipts.Change]]:
        row = self._rows().get(host)
        if row is None or row.back is not None or host not in self.now:
            return [], []
        return receipts.astray(row, self.until_now.get(host), self._clean(self.now[host]))

    def _rows(self) -> dict[str, ReceiptRow]:
        names = ", ".join(COLUMNS)
        found = self._context.writer.query(f"SELECT {names} FROM receipts WHERE step = ?", self._step.id)
        made = (receipt_row(dict(zip(COLUMNS, values, strict=True))) for values in found)
        return {row.host: row for row in made}

    def _clean(self, seen: receipts.Seen) -> receipts.Seen:
        """Without secrets, as everything that the journal takes; names and digests are all that there should be."""
        cleaned: receipts.Seen = self._context.writer.redactor.data(json.loads(json.dumps(seen)))
        return cleaned
