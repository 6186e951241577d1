"""Which steps may begin now, and how long the rest will take: steps side by side, as far as they may be. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from homewright.planning import PlanStep


@dataclass(frozen=True)
class Turn:
    """A step as the order sees it."""

    id: str
    after: frozenset[str]
    """Steps of the run whose end must be known before: whether it may run at all depends on how they ended."""
    hosts: frozenset[str]
    shares: bool = False
    """It may be on a server together with others that say so too."""
    alone: bool = False
    """Nothing else is at work meanwhile: it reboots servers, or could cut them off."""


def working(requires: Mapping[str, Iterable[str]], idle: Container[str]) -> dict[str, tuple[str, ...]]:
    """What each step requires of those that work: an idle one stands for what it requires itself.

    So a failure goes past steps that have nothing to do here to those that depend on it by way of them.
    """
    found: dict[str, tuple[str, ...]] = {}

    def of(step: str) -> tuple[str, ...]:
        if step not in found:
            wanted = (one for other in requires[step] for one in (of(other) if passes(other) else (other,)))
            found[step] = tuple(dict.fromkeys(wanted))
        return found[step]

    def passes(step: str) -> bool:
        return step in idle and step in requires

    return {step: of(step) for step in requires}


def turns(steps: Sequence[PlanStep], sharing: Iterable[str], *, back: bool, proofs: bool) -> tuple[Turn, ...]:
    """The turns of a run in its order: each step after what it requires, on the way `back` after what requires it.

    Mere `proofs` change nothing, so they need no order and no server to themselves.
    """
    ids = {step.id for step in steps}
    shared = set(sharing)
    after: dict[str, frozenset[str]] = {}
    for step in steps:
        others = {other.id for other in steps if step.id in other.requires} if back else set(step.requires)
        after[step.id] = frozenset(others & ids)
    return tuple(
        Turn(step.id, frozenset(), frozenset(step.hosts), shares=True)
        if proofs
        else Turn(
            step.id, after[step.id], frozenset(step.hosts), step.id in shared, alone=step.reboots or step.may_lock_out
        )
        for step in steps
    )


def beginnings(waiting: Sequence[Turn], running: Sequence[Turn], most: int) -> list[Turn]:
    """Those of the waiting that may begin beside the running ones, `most` in all.

    Who comes first in the order goes first: a step that waits for its servers is not overtaken on them, and one that
    waits to be alone not at all.
    """
    undecided = {turn.id for turn in (*waiting, *running)}
    going = list(running)
    kept: list[Turn] = []
    begun: list[Turn] = []
    for turn in waiting:
        if len(going) >= most or any(other.alone for other in going):
            break
        if turn.after & undecided:
            continue
        if turn.alone:
            if not going:
                begun.append(turn)
            break
        if any(_clash(turn, other) for other in (*going, *kept)):
            kept.append(turn)
            continue
        begun.append(turn)
        going.append(turn)
    return begun


def left_s(waiting: Sequence[Turn], running: Mapping[Turn, float], seconds: Mapping[str, float], most: int) -> float:
    """How many seconds the rest takes: each waiting step as long as expected, each running one what it still needs."""
    rest = list(waiting)
    ends = dict(running)
    now = 0.0
    while rest or ends:
        for turn in beginnings(rest, list(ends), most):
            rest.remove(turn)
            ends[turn] = now + seconds[turn.id]
        if not ends:
            break  # what is left waits for itself; a catalogue refuses that
        first = min(ends, key=lambda turn: ends[turn])
        now = max(now, ends.pop(first))
    return now


def _clash(one: Turn, other: Turn) -> bool:
    return bool(one.hosts & other.hosts) and not (one.shares and other.shares)
