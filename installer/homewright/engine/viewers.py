"""Who looks at a run, and which one of them is in control of it. Pure: what happens in, the record and the words out.

One viewer at a time is in control. Another one asks for it: who has it hands it over or keeps it, and who says nothing
for `ANSWER_S` gives it away, because nobody is known to sit there. A viewer whose process ends gives it back at once.
While nobody is in control, everybody's commands are taken.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

ANSWER_S = 30.0
"""Seconds that whoever is in control has for an answer: time to read the question and to press a key."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who looks at a run."""

    id: str
    user: str
    pid: int
    """The viewer's process on the engine's machine."""
    tty: str = ""
    """Its terminal, such as pts/3; empty where it has none."""
    origin: str = ""
    """The address that the login came from; empty on the machine itself."""
    face: str = "command"
    """What it looks with: screens, attach, or a single command."""
    since: float = 0.0
    """Unix seconds."""

    def described(self) -> str:
        """`ann at pts/3 (process 4711, from 192.168.1.20)`."""
        at = f" at {self.tty}" if self.tty else ""
        origin = f", from {self.origin}" if self.origin else ""
        return f"{self.user}{at} (process {self.pid}{origin})"


@dataclass(frozen=True, slots=True)
class Viewers:
    """Everybody who looks at a run, and who is in control: what the journal keeps for the viewers themselves."""

    run: str
    all: tuple[Viewer, ...] = ()
    holder: str = ""
    """Id of the viewer in control; empty while nobody is."""
    asking: str = ""
    """Id of the one that asks for it."""
    until: float = 0.0
    """When the question counts as answered with yes; Unix seconds."""

    def of(self, id: str) -> Viewer | None:
        """The viewer of this id; None where there is none (any more)."""
        return next((viewer for viewer in self.all if viewer.id == id), None)

    @property
    def in_control(self) -> Viewer | None:
        return self.of(self.holder)

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Viewers:
        """Raises ValueError, TypeError or KeyError on anything else; fields of a newer version are left out."""
        record = json.loads(text)
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        members = Viewer.__dataclass_fields__
        viewers = ({name: one[name] for name in members if name in one} for one in record["all"])
        return cls(**{**known, "all": tuple(Viewer(**one) for one in viewers)})


@dataclass(frozen=True, slots=True)
class Said:
    """Something that happened among the viewers, for the journal. `what` is one of the words of `WORDS`."""

    what: str
    who: Viewer
    text: str


WORDS = ("came", "left", "asked", "granted", "refused", "passed", "took", "gave")
QUIET = ("came", "left")
"""Of no interest to whoever reads the log."""

Outcome = tuple[Viewers, tuple[Said, ...]]


def came(now: Viewers, viewer: Viewer, *, wants: bool) -> Outcome:
    """Somebody looks at the run, and takes control where that is wanted and nobody has it."""
    after = replace(now, all=(*now.all, viewer))
    said = Said("came", viewer, f"{viewer.described()} looks at the run")
    if not wants or after.in_control is not None:
        return after, (said,)
    taken, more = _given(after, viewer, "took", f"{viewer.described()} is in control")
    return taken, (said, *more)


def left(now: Viewers, id: str) -> Outcome:
    """A viewer's process has ended, or it looks away. Who asks gets what it had."""
    viewer = now.of(id)
    if viewer is None:
        return now, ()
    after = replace(now, all=tuple(one for one in now.all if one.id != id))
    said = (Said("left", viewer, f"{viewer.described()} looks away"),)
    if after.asking == id:
        after = replace(after, asking="", until=0.0)
    if now.holder != id:
        return after, said
    after = replace(after, holder="")
    next_one = after.of(after.asking)
    if next_one is None:
        text = f"{viewer.described()} has left: nobody is in control"
        return after, (*said, Said("gave", viewer, text))
    text = f"{viewer.described()} has left: {next_one.described()} is in control"
    passed, more = _given(after, next_one, "passed", text)
    return passed, (*said, *more)


def asked(now: Viewers, id: str, at: float) -> Outcome:
    """A viewer asks for control: given at once where nobody has it, else the question goes to who has.

    Nothing happens while another one's question is open.
    """
    viewer = now.of(id)
    if viewer is None or now.holder == id:
        return now, ()
    holder = now.in_control
    if holder is None:
        return _given(now, viewer, "took", f"{viewer.described()} is in control")
    if now.of(now.asking) is not None:
        return now, ()  # one question at a time: the other one's passes first
    until = at + ANSWER_S
    text = f"{viewer.described()} asks {holder.described()} for control; it passes in {ANSWER_S:.0f} s"
    return replace(now, asking=id, until=until), (Said("asked", viewer, text),)


def answered(now: Viewers, id: str, *, yes: bool) -> Outcome:
    """Who is in control hands it over, or keeps it. From anybody else it means nothing."""
    holder, viewer = now.in_control, now.of(now.asking)
    if holder is None or holder.id != id or viewer is None:
        return now, ()
    if yes:
        return _given(now, viewer, "granted", f"{holder.described()} hands control over to {viewer.described()}")
    text = f"{holder.described()} keeps control; {viewer.described()} had asked for it"
    return replace(now, asking="", until=0.0), (Said("refused", viewer, text),)


def given_back(now: Viewers, id: str) -> Outcome:
    """Who is in control wants it no longer, and goes on looking."""
    holder = now.in_control
    if holder is None or holder.id != id:
        return now, ()
    waiting = now.of(now.asking)
    if waiting is not None:
        return answered(now, id, yes=True)
    return replace(now, holder=""), (Said("gave", holder, f"{holder.described()} gives control back"),)


def lapsed(now: Viewers, at: float) -> Outcome:
    """A question that nobody has answered in time counts as granted."""
    holder, viewer = now.in_control, now.of(now.asking)
    if viewer is None or at < now.until:
        return now, ()
    whom = f"{holder.described()} has not answered" if holder else "nobody was in control"
    return _given(now, viewer, "passed", f"{whom}: {viewer.described()} is in control")


def hindrance(now: Viewers, id: str) -> str:
    """Why a command of this viewer is not taken: somebody else is in control. Empty where it is."""
    holder = now.in_control
    if holder is None or holder.id == id:
        return ""
    return f"{holder.described()} is in control of this run."


def _given(now: Viewers, viewer: Viewer, what: str, text: str) -> Outcome:
    # Whoever else had asked asks again: what they were told of has just become another's.
    return replace(now, holder=viewer.id, asking="", until=0.0), (Said(what, viewer, text),)
