"""What a failure looks like: the task, the servers, why, what to do, and the last lines of the log."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from homewright.engine.journal import Reader, RunRecord, StepRecord
from homewright.engine.lines import render
from homewright.engine.states import State
from homewright.errors import HomewrightError, addressed
from homewright.screens import progress

LAST_LINES = 20
LAST_TASK = 200
"""Events in which the task that failed is looked for."""


def words(reader: Reader, run: RunRecord, steps: Sequence[StepRecord], step: StepRecord | None) -> Content:
    """How a run failed at a step, or ended otherwise than well."""
    if step is None:
        return Content(f"The run is {run.state}. {run.reason}".strip())
    rows = progress.failed_hosts(steps, step.step)
    host = rows[0].host if rows else None
    where = f" on {', '.join(row.host for row in rows)}" if rows else ""
    word = "failed" if step.state is State.FAILED else str(step.state)
    parts = [Content.styled(f"✗ {step.step} {step.title} {word}{where}.", "bold $text-error")]
    task = _task(reader, run, step, host)
    parts += [Content(f"  task: {task}")] if task else []
    reasons = dict.fromkeys(f"{row.host}: {row.reason}" for row in rows if row.reason)
    parts += [Content(f"  {reason}") for reason in reasons]
    if step.reason and not reasons:
        parts.append(Content(f"  {step.reason}"))
    why = step.say or next((row.say for row in rows if row.say), "")
    do = step.do or next((row.do for row in rows if row.do), ())
    if why:
        parts.append(Content.assemble(("Why   ", "bold"), why))
    if do:
        parts.append(Content.styled("What to do", "bold"))
        parts += [Content(f"  {number}. {addressed(line)}") for number, line in enumerate(do, 1)]
    again = "Then r tries again (what was done is proved, not done again); e edits an answer first, k skips the step."
    parts.append(Content.styled(again if run.state.final else "What can go on without it goes on.", "$quiet"))
    lines = _last_lines(reader, run, step, host)
    if lines:
        parts.append(Content.styled("The last lines", "bold"))
        parts += [Content(f"  {line}") for line in lines]
    return Content("\n").join(parts)


def _task(reader: Reader, run: RunRecord, step: StepRecord, host: str | None) -> str:
    """What was being done when it failed; empty where the runner did not say."""
    try:
        return progress.failed_task(reader.last_events(run.id, LAST_TASK, step=step.step, host=host))
    except HomewrightError:
        return ""


def _last_lines(reader: Reader, run: RunRecord, step: StepRecord, host: str | None) -> list[str]:
    try:
        events = reader.last_events(run.id, LAST_LINES, step=step.step, host=host)
    except HomewrightError:
        return []
    return [line for event in events for line in (render(event) or "").split("\n") if line][-LAST_LINES:]
