"""How a run looks: its stages as a tree, its hosts, its progress. Pure: records in, rows and words out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homewright.engine.events import Event, Kind
from homewright.engine.journal import RunRecord, StepRecord
from homewright.engine.states import Action, State
from homewright.screens.glyphs import look
from homewright.screens.page import span_text
from homewright.screens.widgets.cells import split
from homewright.screens.widgets.table import Row

_ORDER = (State.FAILED, State.RUNNING, State.INTERRUPTED, State.CANCELLED)


def stage_state(steps: Sequence[StepRecord]) -> State:
    """The state of a stage, from those of its steps."""
    states = [step.state for step in steps]
    for state in _ORDER:
        if state in states:
            return state
    if all(state in (State.SUCCEEDED, State.SKIPPED, State.ROLLED_BACK) for state in states):
        return next((state for state in states if state is not State.SKIPPED), State.SKIPPED)
    begun = any(state.final and state is not State.SKIPPED for state in states)
    return State.RUNNING if begun else State.PENDING


def whole(steps: Sequence[StepRecord]) -> list[StepRecord]:
    """The steps themselves, without their rows for single hosts."""
    return [step for step in steps if not step.host]


def tree(run: RunRecord, steps: Sequence[StepRecord], titles: Mapping[str, str], now: float, ascii: bool) -> list[Row]:
    """Rows of the stage tree: stages, and the steps of each."""
    rows: list[Row] = []
    for stage in dict.fromkeys(step.stage for step in whole(steps)):
        inside = [step for step in whole(steps) if step.stage == stage]
        state = stage_state(inside)
        seen = look(state)
        title = titles.get(stage, "")
        text = f"{seen.mark(ascii)} {stage} {title}".rstrip()
        rows.append(Row(f"stage {stage}", ((text, seen.tone), (_took(inside, now), "muted"))))
        for step in inside:
            seen = look(step.state)
            hosts = [row.host for row in steps if row.step == step.step and row.host and row.state is State.RUNNING]
            took = " ".join(hosts) if step.state is State.RUNNING and hosts else _took([step], now)
            name = step.step.removeprefix(f"{stage}/")
            rows.append(Row(step.step, ((f" {seen.mark(ascii)} {name} {step.title}", seen.tone), (took, "muted"))))
    return rows


def _took(steps: Sequence[StepRecord], now: float) -> str:
    begun = [step.started for step in steps if step.started is not None]
    if not begun:
        return ""
    ended = [step.finished for step in steps if step.finished is not None]
    running = any(step.state is State.RUNNING for step in steps)
    return span_text((now if running or not ended else max(ended)) - min(begun))


def hosts(steps: Sequence[StepRecord]) -> dict[str, State]:
    """The state of each host: of the step that it is at."""
    found: dict[str, State] = {}
    for step in steps:
        if not step.host:
            continue
        before = found.get(step.host)
        if before is None or (before is not State.FAILED and step.state is not State.PENDING):
            found[step.host] = step.state
    return found


def host_line(steps: Sequence[StepRecord], ascii: bool) -> str:
    """`s1 ✓  s2 ▶`: every host with its state."""
    return "  ".join(f"{name} {look(state).mark(ascii)}" for name, state in sorted(hosts(steps).items()))


def bar(percent: float, width: int) -> tuple[str, str]:
    """A progress bar of this many cells: what is done, and what is left."""
    full = round(width * min(max(percent, 0), 100) / 100)
    return "█" * full, "░" * (width - full)


def aside(rows: Sequence[Row]) -> int:
    """How many cells the times and names at the right of the tree need: enough for the longest, at most eleven."""
    return min(max((len(split(row.cells[1])[0]) for row in rows), default=4), 11) or 4


def counted(steps: Sequence[StepRecord]) -> str:
    """`step 7 of 19`, without those that are skipped."""
    own = [step for step in whole(steps) if step.state is not State.SKIPPED]
    done = sum(1 for step in own if step.state.final)
    running = any(step.state is State.RUNNING for step in own)
    return f"step {min(done + 1, len(own)) if running else done} of {len(own)}" if own else "getting ready"


def summary(run: RunRecord, steps: Sequence[StepRecord], now: float) -> str:
    """What the title line says at the right."""
    begun = run.started or run.created
    elapsed = span_text((run.finished or now) - begun)
    if run.state is State.RUNNING or run.state is State.PENDING:
        if run.reason:  # a run that goes on has one only while it is paused
            return f"paused · {elapsed} · {run.percent:.0f} %"
        left = f" · ~{max(round(run.left_s / 60), 1)} min left" if run.left_s else ""
        return f"{elapsed} · {run.percent:.0f} %{left}"
    return f"{look(run.state).word} · {elapsed}"


def heading(run: RunRecord, steps: Sequence[StepRecord], titles: Mapping[str, str]) -> str:
    """What is being done, in words: `deploying 20 LXD`."""
    doing = {Action.RUN: "deploying", Action.VERIFY: "proving", Action.ROLLBACK: "taking back"}
    did = {Action.RUN: "deployed", Action.VERIFY: "proved", Action.ROLLBACK: "taken back"}
    verb = doing.get(run.action, "running")
    if run.state.final:
        return did.get(run.action, "run") if run.state is State.SUCCEEDED else f"{verb}: {look(run.state).word}"
    now = next((step.stage for step in whole(steps) if step.state is State.RUNNING), "")
    return f"{verb} {now} {titles.get(now, '')}".strip()


def at_work(steps: Sequence[StepRecord]) -> list[str]:
    """The servers that a step is at work on now."""
    return sorted({step.host for step in steps if step.host and step.state is State.RUNNING})


def failed_task(events: Sequence[Event]) -> str:
    """The task that failed, of a step's last events: the one that says so, else the last one that began."""
    for event in reversed(events):
        failed = event.kind == Kind.TASK_FINISHED and event.data.get("result") in ("failed", "unreachable")
        if event.text and (failed or event.kind == Kind.TASK_STARTED):
            return event.text
    return ""


def failed_step(steps: Sequence[StepRecord]) -> StepRecord | None:
    """The first step that failed or was cut off."""
    own = whole(steps)
    for state in (State.FAILED, State.INTERRUPTED, State.CANCELLED):
        for step in own:
            if step.state is state:
                return step
    return None


def failed_hosts(steps: Sequence[StepRecord], step: str) -> list[StepRecord]:
    """The rows of the hosts on which a step did not succeed."""
    bad = (State.FAILED, State.INTERRUPTED, State.CANCELLED)
    return [row for row in steps if row.step == step and row.host and row.state in bad]
