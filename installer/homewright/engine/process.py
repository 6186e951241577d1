"""The life of an engine: takes the site, freezes what it runs on, carries the plan out, records the end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.access.sudo import remove_sudoers
from homewright.catalogue import load, shipped
from homewright.engine import control, departure, launch, leftovers, lost, resting
from homewright.engine.boot import prospect
from homewright.engine.context import Context, SecretsWatch
from homewright.engine.events import Event, Kind, Level
from homewright.engine.fence import Fences
from homewright.engine.journal import Reader
from homewright.engine.journal.writer import Writer
from homewright.engine.lock import EngineLock
from homewright.engine.notices import Notices
from homewright.engine.rehearsed import RehearsedFences
from homewright.engine.schedule import RunEnd, Schedule
from homewright.engine.states import Action, State
from homewright.errors import Busy, HomewrightError, PlanMismatch
from homewright.planning import Plan, plan
from homewright.planning import kept as kept_plans
from homewright.planning.known import known_facts
from homewright.site import files
from homewright.site.paths import StateFolder, write_atomically
from homewright.site.rehearsed import Rehearsed
from homewright.site.secrets import Secrets

KEPT_RUNS = 30
"""Runs whose events are kept; older ones keep their states only."""
KEPT_BYTES = 1 << 30
"""Bytes of lines that runs before this one may have together; a million lines take about 200 MB."""
LEFT_LIMIT_S = 15.0
HOLD_S = 60.0
"""How long a held run waits for the first viewer: whoever asked for it is on the way."""
LEFT_S = 3.0
"""And how long after the last one has left: time for a screen to come again."""


class Engine:
    """One engine for one run."""

    def __init__(self, site_file: Path, state: StateFolder, run: str, *, at_boot: bool = False) -> None:
        self.at_boot = at_boot
        """Nobody has asked for it: this machine was off. Then the servers may be on their way up as well."""
        self.site_file = site_file
        self.state = state
        self.run = run
        self.request = launch.RunRequest.read(state.run(run))
        self.action = launch.ACTIONS[self.request.action]
        self._made = (time.time(), time.monotonic())
        self.held = False
        """What was done is proved, and nothing else happens before somebody says so."""
        self.before = (State.PENDING, "")
        """How the run stood when this engine went on with it, and why."""
        self._frozen: tuple[bytes, Plan]
        """The answers as they were read, and the plan that was made of them."""

    def live(self) -> int:
        """Holds the site until the run has ended; the exit code of the command. Raises what keeps it from starting."""
        lock = EngineLock.take(self.state, self.run)
        try:
            writer = Writer(self.state, self.run)
            try:
                context, schedule = self._prepare(writer)
                return asyncio.run(self._conduct(context, schedule, lock))
            finally:
                writer.close()
        finally:
            lock.release()

    def _prepare(self, writer: Writer) -> tuple[Context, Schedule]:
        """Everything that may refuse the run comes before its row; then the run is in the journal."""
        folder = self.state.run(self.run)
        self._prove_empty()
        SecretsWatch(self.state, writer)
        files.load(self.site_file)  # for its errors; what counts is the copy that is made of it now
        data = self.site_file.read_bytes()
        site = files.parse(data, str(self.site_file))
        places = departure.places(self.state, self.request.servers, self.run)
        if self.request.servers:
            site = site.with_back(self.request.servers)
        goes_on = self.request.attempt > 1
        kept = folder / "catalogue"
        if goes_on and self.action is not Action.VERIFY:
            catalogue = load(sorted(kept.iterdir(), key=lambda root: int(root.name)))
        else:
            shutil.rmtree(kept, ignore_errors=True)  # of a look that was cut off: it need not have come to the disk
            found = load([shipped(), *map(Path, self.request.stages)])
            catalogue = found.copy(kept, lasting=self.action is not Action.VERIFY)
        facts = known_facts(site, self.state)
        told = {name: found.model_dump(mode="json") for name, found in facts.items()}
        write_atomically(folder / "facts.json", json.dumps(told).encode())
        history = Reader(self.state).history()
        only, start_at = self.request.only, self.request.start_at
        secrets = Secrets(self.state.secrets).names()
        also: tuple[str, ...] = ()
        if only is not None and self.action is Action.ROLLBACK:
            also = resting.stages(site, self.state, catalogue, only, self.run)
        if self.action is Action.ROLLBACK and not self.request.servers and not goes_on:
            every = [stage.id for stage in catalogue.stages]
            departure.refuse_to_strand(site, self.state, catalogue, [only, *also] if only is not None else every)
        back = Reader(self.state).applied(self.run) if self.action is Action.ROLLBACK else None
        planned = plan(
            site, catalogue, facts, history, only=only, start_at=start_at, also=also, secrets=secrets, back=back,
            places=places,
        )  # fmt: skip
        if self.action is Action.RUN:
            departure.refuse(kept_plans.applied(self.state), planned, Reader(self.state))
        if not goes_on and self.request.plan_digest not in (None, planned.digest):
            raise PlanMismatch(
                "The plan that was approved no longer fits.",
                kept_plans.since_approval(self.state, self.request.plan_digest, planned)
                or "The site, the catalogue or a server is another one since.",
                ["look at the new plan: homewright plan", "then apply that"],
            )
        controller = _controller(writer)
        context = Context(
            self.run,
            site,
            self.state,
            catalogue,
            facts,
            writer,
            controller,
            (RehearsedFences if Rehearsed.of(self.state) else Fences)(
                site, self.state, writer, controller, facts, brief=self.action is Action.VERIFY
            ),
        )
        context.attempt = self.request.attempt
        context.given = self.request.given
        if goes_on:
            before = [path.name.partition("-")[0] for path in (folder / "steps").glob("*-*")]
            context.calls = max((int(number) for number in before if number.isdecimal()), default=0)
        context.fences.new_machines = frozenset(self.request.new_machines)
        schedule = Schedule(context, planned, self.action, self.request)
        if goes_on:
            self._hold(context, writer)
        self._frozen = data, planned
        if not self.held:
            self._keep_answers()
        self._record(writer, planned, catalogue.digest)
        schedule.record()
        if not self.held:
            self._keep_plan()
        data_of = {"action": self.action, "digest": planned.digest, "attempt": self.request.attempt}
        event = Event(Kind.RUN_STARTED, self._beginning(planned), data=data_of)
        begun = {"finished": None, "reason": ""} if goes_on else {"started": self._now()}
        writer.transition(event, writer.set_run(state=State.RUNNING, **begun))
        return context, schedule

    def _hold(self, context: Context, writer: Writer) -> None:
        """Do nothing but prove what was done until somebody says that it may go on, where that was asked for."""
        row = writer.query("SELECT state, reason FROM runs WHERE id = ?", self.run)[0]
        was = State(row[0])
        self.before = (was if was.final else State.INTERRUPTED, str(row[1]))
        self.held = self.request.hold
        writer.change(writer.set_meta("held", self.run if self.held else ""))
        if self.held:
            context.going.clear()
        else:
            writer.change(writer.set_meta("paused", ""))

    async def _mind_the_held(self, context: Context, desk: control.Desk) -> None:
        """A run that waits for a word is given up when nobody is there to say it."""
        seen = time.monotonic()
        while self.held:
            await asyncio.sleep(0.5)
            if desk.now.all:
                seen = time.monotonic()
            elif time.monotonic() - seen > (LEFT_S if desk.looked else HOLD_S):
                context.stop.set()
                return

    def _keep_answers(self) -> None:
        """What this run is carried out with, for the next resume to compare an edit with. A held run does not yet."""
        data, _ = self._frozen
        write_atomically(self.state.run(self.run) / "site.yaml", data)

    def _keep_plan(self) -> None:
        """What the servers are made to be, for `homewright plan` to compare an edit with."""
        _, planned = self._frozen
        if self.action is Action.RUN:
            kept_plans.apply(self.state, planned)
        elif self.action is Action.ROLLBACK and not self.request.servers:
            kept_plans.roll_back(self.state, frozenset(stage.id for stage in planned.stages if not stage.skipped))

    def _prove_empty(self) -> None:
        """Nothing of an earlier engine may still be at work. Raises Busy where something cannot be ended."""
        left = leftovers.end(leftovers.site_mark(self.state), ask_s=2.0, limit_s=LEFT_LIMIT_S)
        if left:
            raise Busy(
                "Processes of an earlier run are still at work.",
                f"They could not be ended: {leftovers.described(left)}.",
                ["look at them: ps -fp " + ",".join(map(str, left)), "end them, then try again"],
            )

    def _record(self, writer: Writer, planned: Plan, catalogue_digest: str) -> None:
        interrupted = State.INTERRUPTED
        reason = "The engine ended in the middle."

        def tidy(connection: sqlite3.Connection) -> None:
            for table in ("steps", "runs"):
                connection.execute(
                    f"UPDATE {table} SET state = ?, reason = ?, finished = ? WHERE state = 'running'",
                    (interrupted, reason, time.time()),
                )

        ours = {"state": State.PENDING, "pid": os.getpid(), "host": socket.gethostname(), "plan_digest": planned.digest}
        if self.request.attempt > 1:
            row = writer.set_run(**ours, attempt=self.request.attempt)
        else:
            row = writer.add_run(
                **ours,
                action=self.action,
                created=time.time(),
                catalogue_digest=catalogue_digest,
                only=self.request.only or "",
                start_at=self.request.start_at or "",
            )
        writer.change(tidy, row)
        self._rotate(writer)

    def _rotate(self, writer: Writer) -> None:
        folders = [path for path in self.state.runs.iterdir() if path.is_dir()]
        recorded = [str(run) for (run,) in writer.query("SELECT id FROM runs ORDER BY rowid")]
        sizes = {path.name: _lines_size(path) for path in folders}
        for old in superfluous(folders, self.run, recorded, sizes):
            shutil.rmtree(old, ignore_errors=True)

    def _beginning(self, planned: Plan) -> str:
        word = {Action.RUN: "apply", Action.VERIFY: "verify", Action.ROLLBACK: "rollback"}[self.action]
        steps, servers = len(planned.steps()), len(planned.hosts)
        begins = "Rehearsal, nothing is done for real. " if Rehearsed.of(self.state) else ""
        what = f"{word} {_count(steps, 'step')} on {_count(servers, 'server')}"
        again = " goes on, and first proves what was done" if self.request.attempt > 1 else ""
        return f"{begins}Run {self.run}{again}: {what} of the site {planned.site}."

    async def _conduct(self, context: Context, schedule: Schedule, lock: EngineLock) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGHUP, signal.SIGINT):
            # Handlers and not SIG_IGN: children inherit what is ignored, and a playbook must end with its terminal.
            loop.add_signal_handler(number, lambda: None)

        def shut_down() -> None:
            context.interrupted = True
            context.stop.set()

        loop.add_signal_handler(signal.SIGTERM, shut_down)
        began = time.monotonic()

        desk = control.Desk(context.writer, functools.partial(self._obey, context))
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(control.serving(self.state, desk))
            except OSError as error:
                said = f"The control socket could not be made ({error.strerror}): this run cannot be cancelled."
                context.writer.transition(Event(Kind.LINE, said, level=Level.WARNING))
            write_atomically(self.state.run(self.run) / "ready", b"")
            minding = asyncio.create_task(self._mind_the_held(context, desk))
            stack.callback(minding.cancel)
            notices = Notices(context.site.notify.command, context.site.name, self.action, context.writer)
            watching = asyncio.create_task(notices.watch())
            stack.callback(watching.cancel)
            try:
                if self.at_boot:
                    await lost.silent(context, [server.name for server in context.site.servers])
                if self.request.servers:  # what stays has a word in it: the cluster lets a member go
                    await context.fences.hold(server.name for server in context.site.servers)
                end = await schedule.carry_out()
                departure.conclude(context, self.site_file, self.action, end.state, self._frozen[1])
                if self.held:  # nothing but proofs: the run stands as it stood
                    state, reason = self.before
                    end = dataclasses.replace(end, state=state, reason=reason)
            except HomewrightError as error:
                end = RunEnd(State.FAILED, 0, f"{error.what} {error.why}".strip(), error.exit_code)
                self._abandon(context.writer, end.reason)
            except Exception as error:  # a fault of ours; the log of the engine has the traceback
                end = RunEnd(State.FAILED, 0, f"The engine failed: {type(error).__name__}: {error}", 1)
                self._abandon(context.writer, end.reason)
                desk.close()
                self._finish(context.writer, end, time.monotonic() - began, lock)
                await self._tell_end(notices, watching, end)
                raise
            await self._leave_hosts(context, end)
            desk.close()
            self._finish(context.writer, end, time.monotonic() - began, lock)
            await self._tell_end(notices, watching, end)
        return end.exit_code

    def _obey(self, context: Context, identity: str, command: str, by: str) -> int:
        """Carry a viewer's command out; the seq of its acknowledgement, which is on the disk then."""
        said = f"{command} was asked for by {by}"
        event = Event(Kind.CONTROL, said, data={"id": identity, "command": command, "by": by})
        # Recorded at once: a step that is at work may take long, and the power fail before the pause has come.
        paused = {"pause": self.run, "continue": ""}
        rows = [context.writer.set_meta("paused", paused[command])] if command in paused else []
        context.writer.let_lapse(False)  # proofs are asked again, people are not
        seq = context.writer.transition(event, *rows)
        match command:
            case "pause":
                context.going.clear()
            case "continue":
                if self.held:
                    self._keep_answers()
                    self._keep_plan()
                self.held = False
                context.writer.change(context.writer.set_meta("held", ""))
                context.going.set()
            case _:
                context.stop.set()
        return seq

    async def _tell_end(self, notices: Notices, watching: asyncio.Task[None], end: RunEnd) -> None:
        """Only now: what is told of has happened, also where the power fails in the middle of telling it."""
        watching.cancel()
        if not self.held:  # it was looked at, and stands as it stood
            with contextlib.suppress(HomewrightError):
                await notices.ended(end.state, end.reason, end.changed, end.exit_code)

    async def _leave_hosts(self, context: Context, end: RunEnd) -> None:
        with contextlib.suppress(HomewrightError):
            left = await context.fences.release()
            if left:
                said = f"{', '.join(left)} could not be given back; the next run of this site takes them over."
                context.writer.transition(Event(Kind.LINE, said, level=Level.WARNING))
        goes_on = self.held or end.state is State.INTERRUPTED  # without sudo it could not
        if self.action is Action.RUN and not goes_on and not context.site.sudo.keep and not Rehearsed.of(self.state):
            names = [server.name for server in context.site.servers]
            told = await asyncio.gather(*(asyncio.to_thread(_without_sudoers, context, name) for name in names))
            for name, text in zip(names, told, strict=True):
                if text:
                    context.writer.line(Event(Kind.LINE, text, host=name))

    def _abandon(self, writer: Writer, reason: str) -> None:
        """Steps that were running when the engine had to give up have failed."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE steps SET state = 'failed', reason = ?, finished = ? WHERE run = ? AND state = 'running'",
                (reason, time.time(), self.run),
            )

        with contextlib.suppress(HomewrightError):
            writer.change(change)

    def _now(self) -> float:
        """Unix seconds by a clock that nobody sets while this engine lives, so that how long the run took is right."""
        made, then = self._made
        return made + time.monotonic() - then

    def _finish(self, writer: Writer, end: RunEnd, seconds: float, lock: EngineLock) -> None:
        reason = end.reason
        if writer.full and not reason:
            reason = "The disk that holds the state folder is full; lines were lost."
        event = Event(
            Kind.RUN_FINISHED,
            _ending(self.action, dataclasses.replace(end, reason=reason), seconds),
            level=Level.INFO if end.exit_code == 0 else Level.ERROR,
            data={"state": end.state, "changed": end.changed, "exit_code": end.exit_code, "reason": reason},
        )
        values = {"state": end.state, "changed": end.changed, "finished": self._now(), "reason": reason}
        if end.exit_code == 0:
            values |= {"percent": 100.0, "left_s": 0.0}
        lock.finishing()
        writer.transition(event, writer.set_run(**values), writer.set_meta("held", ""))
        if end.state is not State.INTERRUPTED:
            with contextlib.suppress(HomewrightError):
                prospect.over(self.state)


def _lines_size(folder: Path) -> int:
    """Bytes of a run's lines."""
    return sum(file.stat().st_size for file in folder.glob("events.db*"))


def superfluous(folders: Iterable[Path], run: str, recorded: Sequence[str], sizes: Mapping[str, int]) -> list[Path]:
    """The folders of all but the latest runs, in the order in which runs were recorded: clocks are set back.

    The latest are `KEPT_RUNS`, and of them as many as have no more than `KEPT_BYTES` of lines. Never this run's own;
    and last one that the journal does not know, which another start may be about to fill.
    """
    places = {name: place for place, name in enumerate(recorded)}
    others = sorted(
        (path for path in folders if path.name != run), key=lambda path: (places.get(path.name, len(places)), path.name)
    )
    count = max(0, len(others) + 1 - KEPT_RUNS)
    while count < len(others) and sum(sizes.get(path.name, 0) for path in others[count:]) > KEPT_BYTES:
        count += 1
    return others[:count]


def refuse(state: StateFolder, run: str, error: HomewrightError) -> None:
    """Tell whoever started this engine why it does not run."""
    write_atomically(state.run(run) / "refused.json", json.dumps(error.as_json()).encode())


def _controller(writer: Writer) -> str:
    """Who we are on the servers: made once with the journal."""
    known = writer.query("SELECT value FROM meta WHERE key = 'controller'")
    if known:
        return str(known[0][0])
    made = secrets.token_hex(8)
    writer.change(writer.set_meta("controller", made))
    return made


def _without_sudoers(context: Context, host: str) -> str:
    try:
        with Connection.open(Endpoint.of(context.site.server(host), context.state)) as connection:
            return "its sudoers file was taken away" if remove_sudoers(connection) else ""
    except HomewrightError as error:
        return f"its sudoers file could not be taken away: {error.what}"


def _ending(action: Action, end: RunEnd, seconds: float) -> str:
    took = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    made = _count(end.changed, "change") if end.changed else "nothing changed"
    match end.state:
        case State.SUCCEEDED if action is Action.VERIFY:
            return f"Everything is proved. It took {took}."
        case State.SUCCEEDED:
            return f"Done: {made}. It took {took}."
        case State.ROLLED_BACK:
            return f"Taken back: {made}. It took {took}."
        case _:
            why = f" {end.reason}." if end.reason and not end.reason.endswith(".") else f" {end.reason}".rstrip()
            return (
                f"The run is {end.state}:{why} It took {took}." if why else f"The run is {end.state}. It took {took}."
            )


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
