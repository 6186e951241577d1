"""One action of a step as a runner process: what it is asked, and what it said."""

from __future__ import annotations

import ast
import contextlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from homewright.catalogue.models import Group, Limits, Step
from homewright.engine import leftovers
from homewright.engine.context import Context
from homewright.engine.conversation import Conversation
from homewright.engine.events import Event
from homewright.engine.runner_process import RunnerProcess
from homewright.engine.runners.request import HostRequest, StepRequest, Watched
from homewright.engine.states import Action, State
from homewright.errors import HomewrightError
from homewright.site.paths import make_folder, write_atomically
from homewright.site.rehearsed import Rehearsed

SHUTDOWN_S = 60.0
"""How long a step may take to its safe point where the machine shuts down: systemd waits 90 s before it kills."""


def runner_kind(step: Step, action: Action) -> str:
    """Captures are Python; else the file's suffix decides between the step's runner and the others."""
    if action in (Action.CAPTURE, Action.LOOK):
        return "python"
    parts = {Action.VERIFY: step.verify, Action.ROLLBACK: step.rollback, Action.RECOVER: step.recover or ""}
    if parts.get(action, step.run).endswith((".yaml", ".yml")):
        return "ansible"
    if action in (Action.VERIFY, Action.RECOVER):
        return "python"
    return "pyinfra" if step.runner == "pyinfra" else "python"


def also_called(host: HostRequest, names: Mapping[str, Group]) -> HostRequest:
    """The host, in the groups that its stage calls by other names too."""
    more = tuple(name for name, group in names.items() if group in host.groups)
    return host.model_copy(update={"groups": (*host.groups, *more)}) if more else host


def captures(file: Path) -> bool:
    """Whether a proof's file says what is to be recorded of the state before."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return "capture" in names


def proofs_at_a_time(context: Context, steps: Iterable[str]) -> int:
    """How many of these steps may be proved side by side: all where their proofs share a process."""
    known = [context.catalogue.step(step) for step in steps]
    together = all(runner_kind(step, Action.VERIFY) == "python" for step in known)
    return max(len(known), 1) if together else context.site.runs.side_by_side


def start_ahead(context: Context, steps: Iterable[str]) -> None:
    """Have the process that will prove these steps load what that takes: it is needed soon."""
    known = [context.catalogue.step(step) for step in steps]
    files = [context.catalogue.file(step, "verify") for step in known if runner_kind(step, Action.VERIFY) == "python"]
    if files and not Rehearsed.of(context.state):
        context.proofs.start_ahead(files)


def load_ahead(context: Context) -> None:
    """Have what runners are forked from load what all of them need, while the servers are taken."""
    if not Rehearsed.of(context.state):
        with contextlib.suppress(OSError):  # then each is started by itself, or fails by the same
            context.forks.begin()


async def call(
    context: Context,
    step: Step,
    action: Action,
    hosts: Sequence[str],
    talk: Conversation,
    *,
    captured: Mapping[str, dict[str, Any]],
    watched: Callable[[str], Watched | None] = lambda _: None,
    limits: Limits,
) -> None:
    """One runner process to its end; what it says goes to `talk`.

    Raises StateError where the journal cannot be written.
    """
    context.calls += 1
    number = context.calls
    folder = context.folder / "steps" / f"{number:03d}-{step.id.replace('/', '-')}-{action}"
    work = folder / "work"
    kind = "rehearsed" if Rehearsed.of(context.state) else runner_kind(step, action)
    asked = [context.host_request(host, captured.get(host), watched(host)) for host in hosts]
    together = action is Action.VERIFY and kind == "python" and not any(host.watched for host in asked)
    if not together:
        make_folder(folder)
        make_folder(work)
    names = context.catalogue.stage_of(step.id).groups
    part = {Action.ROLLBACK: "rollback", Action.RECOVER: "recover", Action.RUN: "run"}.get(action, "verify")
    async with context.fences.working():
        request = StepRequest(
            run=context.run,
            step=step.id,
            action=action,
            file=context.catalogue.file(step, part),
            hosts=tuple(also_called(host, names) for host in asked),
            site=context.site.model_dump(mode="json"),
            key_file=context.state.key,
            known_hosts=context.state.known_hosts,
            secrets_file=context.state.secrets,
            work=work,
            fence=context.fences.number,
            controller=context.controller,
            facts_file=context.folder / "facts.json",
            given=dict(context.given),
        )

        def take(event: Event) -> None:
            try:
                talk.take(event)
            except HomewrightError as error:  # the journal cannot be written: nothing more may happen
                context.failure = context.failure or error
                context.stop.set()

        if together:
            ending = await context.proofs.ask(request, folder, number, limits, take)
            talk.close(ending)
            if context.failure is not None:
                raise context.failure
            return
        file = folder / "request.json"
        write_atomically(file, request.model_dump_json().encode())
        process = RunnerProcess(
            module=f"homewright.engine.runners.{kind}",
            request=file,
            step=step.id,
            mark=f"{leftovers.site_mark(context.state)}{context.run}:{number}.",
            limits=limits,
            on_event=take,
            forks=context.forks if kind == "python" else None,
            files=(request.file,),
            patience=lambda: min(limits.stop * 60, SHUTDOWN_S) if context.interrupted else limits.stop * 60,
        )
        ending = await process.run(context.stop)
    talk.close(ending)
    if action in (Action.RUN, Action.ROLLBACK, Action.RECOVER):
        context.fences.unclean |= {host for host, end in talk.ends.items() if end.state is not State.SUCCEEDED}
    shutil.rmtree(work, ignore_errors=True)
    if context.failure is not None:
        raise context.failure
