"""`homewright status`: what is going on, or how it ended. Exits 0 whenever it can answer."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Iterator, Sequence

from homewright.access import key_change
from homewright.cli import at_boot, runs
from homewright.cli.output import Output
from homewright.engine.journal import Reader, RunRecord, StepRecord
from homewright.engine.states import Action, State
from homewright.engine.viewers import Viewers
from homewright.errors import StateError, addressed
from homewright.takeover import reminding

_WORDS = {Action.RUN: "apply", Action.VERIFY: "verify", Action.ROLLBACK: "rollback"}
_LABEL = {State.SUCCEEDED: "done"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", metavar="ID", help="another run than the latest")


def run(args: argparse.Namespace, output: Output) -> int:
    _, site, state = runs.place(args)
    reader = Reader(state)
    record = reader.run(args.run) if args.run else next(iter(reader.runs(1)), None)
    if record is None:
        output.line(f"Nothing was run yet on the site {site.name}. Begin with: {runs.command('plan')}")
    else:
        for line in lines(record, reader.steps(record.id)):
            output.line(line)
        for line in (*present(reader.viewers(record)), *untold(reader, record)):
            output.line(line)
    for line in at_boot.lines(state, record):
        output.line(line)
    export_due = reminding.due(state)
    if export_due:
        output.line(f"{export_due} Make one: {runs.command('site export --encrypt FILE')}")
    owed: tuple[str, ...] = ()
    try:
        owed = key_change.owed(state.key)
    except StateError as error:  # what is going on is told all the same
        output.line(error.as_text())
    if owed:
        output.line(reminding.old_key(owed))
    if output.json:
        from homewright.engine.documents import RunDocument, run_document

        document = (
            RunDocument(id=None)
            if record is None
            else run_document(record, reader.steps(record.id), reader.last_seq(record.id), reader.viewers(record))
        )
        notice = "".join(untold(reader, record)) if record is not None else ""
        document = document.model_copy(update={"notice": notice, "export_due": export_due, "old_key": owed})
        output.document(at_boot.with_document(document, state, record))
    return 0


def lines(record: RunRecord, steps: Sequence[StepRecord]) -> Iterator[str]:
    """A run in words, failures with what they mean and what to do."""
    yield f"Run {record.id}: {_WORDS.get(record.action, record.action)}, {_summary(record)}."
    if record.reason:
        yield f"  why: {record.reason}"
    for step in steps:
        if step.host:
            continue
        took = f", {_clock(step.finished - step.started)}" if step.finished and step.started else ""
        changed = f", {step.changed} changed" if step.changed else ""
        yield f"  {_LABEL.get(step.state, step.state)}: {step.step} {step.title}{changed}{took}"
        if step.reason and step.state is not State.SUCCEEDED:
            yield f"    why: {step.reason}"
        if step.say:
            yield f"    that means: {step.say}"
        yield from (f"    do: {addressed(line)}" for line in step.do)
    if not record.state.final:
        yield f"Watch it: {runs.command('attach')}"
    elif record.state not in (State.SUCCEEDED, State.ROLLED_BACK):
        yield f"Go on with it when that is mended: {runs.command('resume')}"


def untold(reader: Reader, record: RunRecord) -> Iterator[str]:
    """That the site's notification command failed at the end of this run."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = json.loads(reader.meta("notice") or "{}")
        if found["run"] == record.id and record.state.final:
            yield found["said"]


def present(viewers: Viewers | None) -> Iterator[str]:
    """Who looks at the run, and who is in control."""
    if viewers is None:
        return
    for viewer in viewers.all:
        role = (
            ", in control"
            if viewer.id == viewers.holder
            else ", asks for control"
            if viewer.id == viewers.asking
            else ""
        )
        yield f"Looked at by {viewer.described()}{role}"


def _summary(record: RunRecord) -> str:
    if not record.state.final:
        left = f", about {_clock(record.left_s)} left" if record.left_s is not None else ""
        return f"{record.state}, {record.percent:.0f} percent{left}"
    changed = "nothing changed" if not record.changed else f"{record.changed} changed"
    when = f", ended {time.strftime('%Y-%m-%d %H:%M', time.localtime(record.finished))}" if record.finished else ""
    return f"{record.state}, {changed}{when}"


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))  # a clock may have been set back meanwhile
    return f"{whole // 60}:{whole % 60:02d}"
