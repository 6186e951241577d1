"""What a check is, and what it may say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from homewright.checks.ground import HostView, PairView, SiteView
from homewright.checks.models import Category, FixId, Phase, Remedy, Scope
from homewright.site.models import Site


@dataclass(frozen=True)
class Outcome:
    """What a check makes of what it sees."""

    verdict: Literal["passed", "wrong", "warning", "unknown", "pending"]
    """`wrong` is as bad as the profile says; `warning` never blocks."""
    measured: str
    threshold: str
    reason: str
    remedy: Remedy | None = None


@dataclass(frozen=True)
class Check:
    """One line of the specification."""

    id: str
    """Category and name: `host.memory`. It never changes: accepted warnings and scripts name it."""
    title: str
    category: Category
    scope: Scope
    reads: tuple[str, ...]
    """What it looks at: sections of the facts (`cpu`, `nics`), of the site (`site.gpus`), of the measurements
    (`measured.pairs`)."""
    link: str
    """Public documentation of the thing."""
    host: Callable[[HostView], Outcome | None] | None = None
    """The function of a check of scope host; None as outcome where it does not apply to that server."""
    pair: Callable[[PairView], Outcome | None] | None = None
    site: Callable[[SiteView], Outcome | None] | None = None
    applies: Callable[[Site, str], bool] | None = None
    """Whether the site's answers make it matter for a server, whatever that server is; None where it always does."""
    phase: Phase = "always"
    depends: tuple[str, ...] = ()
    """Checks whose repair can change this one's outcome: on the same server, the same way, or anywhere for the site."""
    debian_link: str = ""
    """What there is of it for a server that runs Debian, where `link` is about Ubuntu."""


def passed(measured: str, threshold: str, reason: str) -> Outcome:
    return Outcome("passed", measured, threshold, reason)


def wrong(measured: str, threshold: str, reason: str, remedy: Remedy) -> Outcome:
    """It does not hold; the profile says how bad that is."""
    return Outcome("wrong", measured, threshold, reason, remedy)


def warning(measured: str, threshold: str, reason: str, remedy: Remedy) -> Outcome:
    """It would be better otherwise, and goes as it is."""
    return Outcome("warning", measured, threshold, reason, remedy)


def unknown(threshold: str, reason: str, remedy: Remedy | None = None) -> Outcome:
    return Outcome("unknown", "", threshold, reason, remedy or LOOK_AGAIN)


def pending(measured: str, threshold: str, reason: str) -> Outcome:
    """Its time has not come: a step of the deployment sees to it."""
    return Outcome("pending", measured, threshold, reason)


def remedy(say: str, *do: str, fix: FixId | None = None, changes: tuple[str, ...] = ()) -> Remedy:
    return Remedy(say=say, do=do, fix=fix, changes=changes)


LOOK_AGAIN = remedy("See to it that the server can be asked, then look again.", "homewright check")
