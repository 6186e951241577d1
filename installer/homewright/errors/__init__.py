"""Errors that an operator reads: what happened, why, and what to do about it.

Every error that Homewright raises on purpose is a `HomewrightError`. The screens show its three parts, the
command line prints them on standard error and `--json` carries them; anything else that reaches the top is a
bug of ours and is reported as one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

_CONTROLS = re.compile(r"\x1b(?!\[[0-9;:]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """Text as a terminal may show it: others have a hand in it, so no control sequence but colours is left."""
    return _CONTROLS.sub("", text)


VERBS_OF_A_SITE = (
    "site", "authority", "trust", "discover", "check", "plan", "apply", "verify", "rollback", "receipts", "status",
    "attach", "cancel", "pause", "continue", "resume", "retry", "skip", "cluster", "workspace", "mirror",
    "support-bundle",
)  # fmt: skip
_OF_A_SITE = re.compile(rf"\bhomewright(?= (?:{'|'.join(VERBS_OF_A_SITE)})\b)|(?<=: )homewright$")
"""A command about a site, in a text; practice servers, schemas and completions are of none."""

_given: tuple[str, ...] = ()


def speak_of(
    site: str | None = None,
    state: str | None = None,
    stages: Sequence[str] | None = None,
    rehearse: str | None = None,
) -> None:
    """From now on, commands that this process names are about this site: the options that the user gave for it."""
    global _given
    words = [*(("--site", site) if site else ()), *(("--state", state) if state else ())]
    words += ["--rehearse", rehearse] if rehearse else []
    _given = (*words, *(word for folder in stages or () for word in ("--stages", folder)))


def addressed(text: str, site: str | None = None) -> str:
    """The text with its commands as they have to be typed: with the options that say which site is meant.

    A `site` takes the place of the one that was given; an empty one is none.
    """
    named = () if not site else ("--site", site)
    pairs = zip(_given[::2], _given[1::2], strict=True)
    given = _given if site is None else (*named, *(word for pair in pairs if pair[0] != "--site" for word in pair))
    if not given:
        return text
    return _OF_A_SITE.sub(lambda _: f"homewright {shlex.join(given)}", text)


class HomewrightError(Exception):
    """What happened (one sentence), why (one sentence or empty), and what to do (steps in order)."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, why: str = "", do: Sequence[str] | str = ()) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self._do: tuple[str, ...] = (do,) if isinstance(do, str) else tuple(do)

    @property
    def do(self) -> tuple[str, ...]:
        """The steps, their commands for the site that this process was started for."""
        return tuple(addressed(step) for step in self._do)

    def as_json(self) -> dict[str, Any]:
        """The wire shape: ``{"error": {"code", "what", "why", "do": [...]}}``."""
        return {"error": {"code": self.code, "what": self.what, "why": self.why, "do": list(self.do)}}

    def as_text(self) -> str:
        """The error as the line-by-line face prints it."""
        lines = [f"error: {self.what}"]
        if self.why:
            lines.append(f"  why: {self.why}")
        lines += [f"  do:  {step}" for step in self.do]
        return visible("\n".join(lines))


class UsageError(HomewrightError):
    """The command line, or a request, cannot be understood."""

    code = "usage"
    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file. Lines and columns count from 1; 0 where the value is in no file yet."""

    file: str
    line: int
    column: int
    field: str
    """Dotted, such as `servers.s1.address`; empty where it is about the whole file."""
    reason: str
    remedy: str

    def where(self) -> str:
        """File, line and field, as far as they are known."""
        place = f"{self.file}, line {self.line}, column {self.column}" if self.line else self.file
        return f"{place}: {self.field}" if self.field else place


class SiteError(HomewrightError):
    """The site's answers are missing, unreadable or wrong; `problems` has one entry for each wrong answer."""

    code = "site"
    exit_code = 2
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> SiteError:
        """The error that names these problems (at least one)."""
        first = problems[0]
        if len(problems) == 1:
            error = cls(f"{first.where()} is wrong.", f"{first.reason}.", [first.remedy])
        else:
            error = cls(
                f"{len(problems)} answers in {first.file} are wrong.",
                "\n       ".join(f"{problem.where()}: {problem.reason}." for problem in problems),
                list(dict.fromkeys(problem.remedy for problem in problems)),
            )
        error.problems = tuple(problems)
        return error

    def as_json(self) -> dict[str, Any]:
        document = super().as_json()
        if self.problems:
            document["error"]["problems"] = [asdict(problem) for problem in self.problems]
        return document


class NoSuchSite(SiteError):
    """The site that was named is not there; `file` is where it would be, unless it was named by a word."""

    def __init__(self, what: str, why: str, do: Sequence[str], file: str = "") -> None:
        super().__init__(what, why, do)
        self.file = file

    @property
    def do(self) -> tuple[str, ...]:
        """The steps make or choose a site: they keep every option but the word that names a site which is none."""
        return tuple(addressed(step, site=self.file) for step in self._do)


class CatalogueError(HomewrightError):
    """A stage definition is wrong."""

    code = "catalogue"
    exit_code = 2


class PlanMismatch(HomewrightError):
    """The plan that was approved no longer fits the site, the catalogue or the facts."""

    code = "plan-mismatch"
    exit_code = 2


class Busy(HomewrightError):
    """Another engine, or another controller, holds the site or a server."""

    code = "busy"
    exit_code = 3


class Cancelled(HomewrightError):
    """The operator cancelled."""

    code = "cancelled"
    exit_code = 4


class Unreachable(HomewrightError):
    """A host or a cluster cannot be reached or does not let us in."""

    code = "unreachable"
    exit_code = 5


class HostKeyError(Unreachable):
    """A host's key is not known yet, or is another than the one that was trusted."""

    code = "host-key"


class StateError(HomewrightError):
    """The state folder cannot be used: read-only, full, not ours, or on a network file system."""

    code = "state"


class LabError(HomewrightError):
    """The practice servers cannot be made, reached or removed."""

    code = "lab"
