"""The rehearsal's runner: tells what a step would do, task by task, and touches nothing.

It reads the step's own numbered file for the names of what it does, so that the simulated run shows what a real one
would show; how long each takes is made up. Every line says that it is rehearsed.
"""

from __future__ import annotations

import ast
import re
import sys
import time
from pathlib import Path

from homewright.engine.runners.protocol import Cancel, Emitter, run
from homewright.engine.runners.request import HostRequest, StepRequest
from homewright.engine.states import Action, State, Verdict
from homewright.site.rehearsed import Rehearsed

MOST = 40
"""Tasks that are shown of one file."""
LOOKED = "rehearsed: nothing was looked at"


def tasks(file: Path) -> list[str]:
    """The names of what a numbered file does, in its order; one made of the file's own name where it names nothing.

    Of a playbook the names of its tasks; of Python the `name=` of each operation and the words of each `host.task`, or,
    where it has none of these, the first line of each function that says what it does. A file that cannot be read has
    no names: a rehearsal is no place to judge it.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    named = _of_playbook(text) if file.suffix in (".yaml", ".yml") else _of_python(text)
    return list(dict.fromkeys(named))[:MOST] or [file.stem.partition("_")[2].replace("_", " ") or file.stem]


def work(request: StepRequest, emitter: Emitter, cancel: Cancel) -> None:
    """Tell the step's tasks on every host. A host without a recording is as one that is down.

    An instance is made in the rehearsal itself: there is none that was recorded, so it is as its server is.
    """
    rehearsed = Rehearsed.beside(request.key_file.parent)
    assert rehearsed is not None
    away = {host.name for host in request.hosts if not (rehearsed.bundles / f"{_recorded(host)}.json").exists()}
    hosts = [host for host in request.hosts if host.name not in away]
    there = [host.name for host in hosts]
    for name in sorted(away):
        emitter.finished(name, "unreachable", reason=f"{name} does not answer (rehearsed).")
    for name in there:
        emitter.started(name)
    if request.action is Action.VERIFY:
        _prove(request, emitter, hosts, rehearsed.pace_s)
        return
    if request.action is Action.LOOK:
        for host in hosts:
            _look(host, emitter, after=host.capture is not None)
            emitter.finished(host.name, State.SUCCEEDED)
        return
    changed = 0
    if request.action is not Action.CAPTURE:
        for task in tasks(request.file):
            if cancel.asked:
                for name in there:
                    emitter.finished(name, State.CANCELLED, changed=changed, reason="It was cancelled (rehearsed).")
                return
            emitter.task_started(f"{task} (rehearsed)")
            time.sleep(rehearsed.pace_s)
            changed += 1
            for name in there:
                emitter.task_finished(f"{task} (rehearsed)", name, "changed")
    for host in hosts:
        if request.action is Action.CAPTURE:
            _look(host, emitter, after=False)
            emitter.capture(host.name, {"rehearsed": True})
        emitter.finished(host.name, State.SUCCEEDED, changed=changed)


def _recorded(host: HostRequest) -> str:
    """The name of the machine whose recording says whether this host is there."""
    return host.through.name if host.through is not None else host.name


def _prove(request: StepRequest, emitter: Emitter, hosts: list[HostRequest], pace_s: float) -> None:
    """What was rehearsed is proved, and once it was taken back it is broken."""
    time.sleep(pace_s)
    broken = _taken_back(request)
    for host in hosts:
        _look(host, emitter, after=not broken)
        emitter.verdict(host.name, Verdict.BROKEN if broken else Verdict.PROVED, LOOKED)
        emitter.finished(host.name, State.SUCCEEDED)


def _look(host: HostRequest, emitter: Emitter, *, after: bool) -> None:
    """A receipt of what would change: every thing that the step declares, as if it changed each of them."""
    watched = host.watched
    if watched is None:
        return
    seen = {
        "file": dict.fromkeys(watched.files, "rehearsed, as the step makes it" if after else "rehearsed, as it was")
    }
    for kind, names in (("package", watched.packages), ("account", watched.accounts), ("unit", watched.units)):
        seen[kind] = dict.fromkeys(names, "rehearsed" if after else "")
    emitter.look(host.name, seen)


def _taken_back(request: StepRequest) -> bool:
    """Whether this run takes the step back: the request for that lies beside this one."""
    steps = request.work.parent.parent
    mine = f"-{request.step.replace('/', '-')}-"
    return any(folder.name.endswith(f"{mine}{Action.ROLLBACK}") for folder in steps.iterdir())


def _of_playbook(text: str) -> list[str]:
    found = re.findall(r"^\s{2,}(?:- )?name:\s*(.+?)\s*$", text, re.MULTILINE)
    return [name.strip("\"'") for name in found]


def _of_python(text: str) -> list[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    words = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "name"]
    words += [
        call.args[0]
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "task" and call.args
    ]
    found = [
        (word.lineno, word.value) for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)
    ]
    if not found:
        found = [
            (node.lineno, said.splitlines()[0].rstrip("."))
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and (said := ast.get_docstring(node))
        ]
    return [name for _, name in sorted(found)]


if __name__ == "__main__":
    sys.exit(run(work))
