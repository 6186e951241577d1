"""Receipts: what a step changed on a server, with what takes it back. Pure.

A receipt is not what a runner claims: the things that a step declares (`changes` in stage.yaml) are looked at on the
server before its first effect and after its last one (`runners.looking`). So it is there after a power cut in the
middle of the step too, and it is the same for Ansible, pyinfra and Python. It has digests and names, never contents;
what a roll-back needs of those is in the step's capture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from homewright.engine.journal.records import ReceiptRow

Seen = Mapping[str, Mapping[str, str]]
KINDS = ("file", "package", "account", "unit")
LENIENT = ("package",)
"""Kinds that a roll-back may leave as they are: a package stays where something else needs it by now."""
_DIGEST = re.compile(r"sha256 ([0-9a-f]{8})[0-9a-f]{56}")


@dataclass(frozen=True)
class Change:
    """One thing that a step changed on one server."""

    kind: str
    """file (or folder), package, account, unit."""
    name: str
    before: str
    """What it was; empty where there was nothing."""
    after: str

    @property
    def what(self) -> str:
        """made, changed or removed."""
        return "made" if not self.before else "changed" if self.after else "removed"

    @property
    def inverse(self) -> str:
        """What taking it back means, in words."""
        if not self.before:
            return {"package": "remove the package", "account": "remove the account", "unit": "remove the unit"}.get(
                self.kind, "remove it"
            )
        return "put it back as it was"


@dataclass(frozen=True)
class Receipt:
    """What one step did on one server. Times are Unix seconds."""

    step: str
    host: str
    run: str
    changes: tuple[Change, ...]
    whole: bool
    """False where the step was cut off or has failed before what it left could be looked at."""
    taken: float
    done: float | None
    back: float | None

    @property
    def title(self) -> str:
        """What it amounts to, in a few words."""
        if self.back is not None:
            return "taken back"
        if not self.whole:
            return "begun; what it changed is not known yet"
        return ", ".join(_counts(self.changes)) or "nothing changed"


def receipt(row: ReceiptRow) -> Receipt:
    """A row of the journal as what it says."""
    after = row.after
    changes = tuple(differences(row.before, after)) if after is not None else ()
    return Receipt(row.step, row.host, row.run, changes, after is not None, row.taken, row.done, row.back)


def differences(before: Seen, after: Seen) -> Iterator[Change]:
    """What is another one, by kind and name."""
    for kind in KINDS:
        was, now = before.get(kind, {}), after.get(kind, {})
        for name in sorted({*was, *now}):
            if was.get(name, "") != now.get(name, ""):
                yield Change(kind, name, was.get(name, ""), now.get(name, ""))


def mixed(row: ReceiptRow, after: Seen) -> frozenset[str]:
    """Names of things that another run of the step found changed: what others did in between cannot be told apart."""
    again = differences(row.after, after) if row.after is not None else ()
    return frozenset((*row.mixed, *(change.name for change in again)))


def astray(row: ReceiptRow, until_now: Seen | None, now: Seen) -> tuple[list[Change], list[Change]]:
    """What a roll-back did not bring back: what it ought to have, and what others had changed since.

    `until_now` was seen just before the roll-back, `now` after it. A change's `before` is what should be there.
    """
    faults: list[Change] = []
    shared: list[Change] = []
    if row.after is None:
        return faults, list(_unlike(row.before, now, differences(row.before, now)))
    for change in _unlike(row.before, now, differences(row.before, row.after)):
        ours = until_now is not None and until_now.get(change.kind, {}).get(change.name, "") == row.after.get(
            change.kind, {}
        ).get(change.name, "")
        plain = ours and change.name not in row.mixed and change.kind not in LENIENT
        (faults if plain else shared).append(change)
    return faults, shared


def _unlike(before: Seen, now: Seen, changed: Iterable[Change]) -> Iterator[Change]:
    """Of the things that were changed those that are not as before now."""
    for change in changed:
        current = now.get(change.kind, {}).get(change.name, "")
        if current != change.before:
            yield Change(change.kind, change.name, change.before, current)


def short(text: str) -> str:
    """What was seen, its digest cut: eight digits are enough to compare by eye."""
    return _DIGEST.sub(r"sha256 \1…", text)


def lines(one: Receipt) -> Iterator[str]:
    """A receipt in words, a change a line."""
    for change in one.changes:
        yield f"{change.what}: {change.name}" + (f" ({change.kind})" if change.kind != "file" else "")
        if change.before:
            yield f"  before: {short(change.before)}"
        if change.after:
            yield f"  after: {short(change.after)}"
        yield f"  inverse: {change.inverse}"


def to_be_taken_back(found: Iterable[Receipt], step: str) -> Iterator[str]:
    """What taking one step back will bring back: a line for each thing, with the servers that have it."""
    where: dict[str, list[str]] = {}
    for one in found:
        if one.step != step or one.back is not None:
            continue
        if not one.whole:
            where.setdefault("what it changed is not known: it was cut off or has failed", []).append(one.host)
        for change in one.changes:
            where.setdefault(f"{change.name}: {change.inverse}", []).append(one.host)
    for text, hosts in where.items():
        yield f"{text} ({', '.join(hosts)})"


def _counts(changes: Iterable[Change]) -> Iterator[str]:
    kinds = [change.kind for change in changes]
    for kind in KINDS:
        if number := kinds.count(kind):
            yield f"{number} {kind}" if number == 1 else f"{number} {kind}s"
