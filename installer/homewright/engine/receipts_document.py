"""What `receipts --json` prints: what every step changed on each server, in a versioned shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from homewright.engine.receipts import Receipt


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChangeDocument(Document):
    """One thing that a step changed. States are texts with modes, owners and digests, never contents."""

    kind: Literal["file", "package", "account", "unit"]
    """A folder is a file as well."""
    name: str
    what: Literal["made", "changed", "removed"]
    before: str
    """Empty where there was nothing."""
    after: str
    inverse: str
    """What taking it back means."""


class ReceiptDocument(Document):
    """What one step did on one server. Times are Unix seconds."""

    step: str
    host: str
    run: str
    """The run that found what was there before."""
    whole: bool
    """False where the step was cut off or has failed before what it left could be looked at."""
    taken: float
    """When it was looked at before the step."""
    done: float | None
    """When it was looked at after it."""
    back: float | None
    """When it was taken back."""
    changes: tuple[ChangeDocument, ...]


class ReceiptsDocument(Document):
    """All receipts that were asked for."""

    version: Literal[1] = 1
    site: str
    receipts: tuple[ReceiptDocument, ...]


def receipts_document(site: str, found: Sequence[Receipt]) -> ReceiptsDocument:
    """The document of these receipts."""
    return ReceiptsDocument(site=site, receipts=tuple(_receipt(one) for one in found))


def _receipt(one: Receipt) -> ReceiptDocument:
    changes = tuple(
        ChangeDocument.model_validate(
            {
                "kind": change.kind,
                "name": change.name,
                "what": change.what,
                "before": change.before,
                "after": change.after,
                "inverse": change.inverse,
            }
        )
        for change in one.changes
    )
    return ReceiptDocument(
        step=one.step,
        host=one.host,
        run=one.run,
        whole=one.whole,
        taken=one.taken,
        done=one.done,
        back=one.back,
        changes=changes,
    )
