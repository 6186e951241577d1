"""What the verbs that start or watch a run share: finding it, following it by the journal, and how it ended."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli.in_control import InControl
from homewright.cli.output import Output
from homewright.engine import launch
from homewright.engine.client import Presence
from homewright.engine.events import Event, Kind, Level
from homewright.engine.follow import follow
from homewright.engine.journal import Reader
from homewright.engine.lines import attention, render
from homewright.engine.states import State
from homewright.errors import HomewrightError, addressed
from homewright.site.paths import StateFolder, site_file

if TYPE_CHECKING:
    from homewright.site.models import Site

DETACHED = 130
"""Exit code of a watcher that was ended by ctrl-C; the run goes on."""
_SGR = re.compile(r"\x1b\[[0-9;:]*m")


def add_watch_arguments(parser: argparse.ArgumentParser) -> None:
    """How a run is shown."""
    parser.add_argument("--jsonl", action="store_true", help="every event as a line of JSON")
    said = "be in control of the run while you watch: ask whoever has it, and answer here who asks you"
    parser.add_argument("--take", action="store_true", help=said)


def add_start_arguments(parser: argparse.ArgumentParser) -> None:
    """How a run is started."""
    add_watch_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--detach", action="store_true", help="start it and come back at once")


def add_take_argument(parser: argparse.ArgumentParser) -> None:
    """What to do where somebody else is in control of the run."""
    said = "ask whoever is in control of the run for it; without an answer it passes after half a minute"
    parser.add_argument("--take", action="store_true", help=said)


def place(args: argparse.Namespace) -> tuple[Path, Site, StateFolder]:
    """The site file in force, the site and its state folder. Raises SiteError."""
    from homewright.site import files

    file = site_file(args.site)
    site = files.load(file)
    state = StateFolder.of(site.name, args.state, file)
    state.require_own()
    return file, site, state


def stages(args: argparse.Namespace) -> list[Path]:
    """The further catalogues that were named."""
    return [Path(folder).expanduser().absolute() for folder in args.stages or ()]


def command(verb: str) -> str:
    """A command for the same site, to print."""
    return addressed(f"homewright {verb}")


def start(
    args: argparse.Namespace,
    output: Output,
    action: str,
    *,
    file: Path,
    state: StateFolder,
    only: str | None = None,
    start_at: str | None = None,
    plan_digest: str | None = None,
    ask_first: bool = False,
    servers: Sequence[str] = (),
    new_machines: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
) -> int:
    """Start a run and watch it to its end, unless it is to be left alone; the exit code."""
    further: Sequence[Path] = stages(args)
    try:
        run = launch.start(
            file,
            state,
            action=action,
            only=only,
            start_at=start_at,
            plan_digest=plan_digest,
            stages=further,
            ask_first=ask_first,
            ask=somebody(args),
            servers=servers,
            new_machines=new_machines,
            given=given,
        )
    except KeyboardInterrupt:
        output.progress(f"\nThe run may have started all the same. See: {command('status')}")
        return DETACHED
    if args.detach:
        output.line(f"Run {run} has started. Watch it: {command('attach')}")
        output.document({"version": 1, "id": run})
        return 0
    return watch(args, output, state, run)


def somebody(args: argparse.Namespace) -> bool:
    """Whether a person is at the terminal and may be asked; `--yes` has answered everything beforehand."""
    return sys.stdin.isatty() and not args.yes


def watch(args: argparse.Namespace, output: Output, state: StateFolder, run: str, after: int = 0) -> int:
    """Print a run's events until it has ended. ctrl-C leaves it alone and says how to come back."""
    reader = Reader(state)
    code: int | None = None
    began = time.time()
    coloured = sys.stdout.isatty()
    ring = coloured and not args.jsonl and not output.json and rings(args)
    presence = Presence(state, "attach", wants=args.take)
    presence.start()
    control = InControl(presence, state, run, output) if args.take else None
    if control is not None:
        control.start()
    try:
        for event in follow(reader, run, after):
            if event.kind == Kind.RUN_STARTED:
                code = None  # another engine has gone on since the last end
            if event.kind == Kind.RUN_FINISHED:
                code = int(event.data.get("exit_code", 1))
            show(event, output, jsonl=args.jsonl, coloured=coloured)
            if ring and event.ts >= began:
                attract(event)
    except KeyboardInterrupt:
        output.progress(f"\nThe run goes on without you. Watch it again: {command('attach')}")
        output.progress(f"To end it: {command('cancel')}")
        return DETACHED
    finally:
        if control is not None:
            control.stop()
        presence.stop()
    record = reader.run(run)
    if code is None:
        code = exit_code(reader, run, record.state)
    if not reader.kept(run):
        output.progress(f"Its events are not kept any more, only its states: {command(f'status --run {run}')}")
    if record.state is State.INTERRUPTED and not args.jsonl:
        output.progress(f"The engine ended in the middle of the run. Go on with it: {command('resume')}")
    if output.json and not args.jsonl:
        from homewright.engine.documents import run_document

        output.document(run_document(record, reader.steps(run), reader.last_seq(run), reader.viewers(record)))
    return code


def rings(args: argparse.Namespace) -> bool:
    """Whether the site's answers want the terminal's bell."""
    from homewright.site import files

    try:
        return files.load(site_file(args.site)).notify.bell
    except HomewrightError:
        return True


def attract(event: Event) -> None:
    """Ring, and put it into the terminal's title, when a step has failed or the run has ended."""
    failed = event.kind == Kind.STEP_FINISHED and event.level == Level.ERROR
    if failed or event.kind == Kind.RUN_FINISHED:
        word = f"{event.step} failed" if failed else f"run {event.data.get('state', 'ended')}"
        sys.stdout.write(attention(f"homewright: {word}", os.environ.get("TERM", "")))
        sys.stdout.flush()


def exit_code(reader: Reader, run: str, state: State) -> int:
    """The exit code that a run that has ended stands for."""
    last = reader.events(run, max(0, reader.last_seq(run) - 1), 1)
    if last and last[0].kind == Kind.RUN_FINISHED:
        return int(last[0].data.get("exit_code", 1))
    return {State.SUCCEEDED: 0, State.ROLLED_BACK: 0, State.CANCELLED: 4}.get(state, 1)


def show(event: Event, output: Output, *, jsonl: bool, coloured: bool) -> None:
    """Print one event."""
    if jsonl:
        print(event.as_json(), flush=True)
        return
    text = render(event)
    if text is not None:
        output.line(text if coloured else _SGR.sub("", text))
