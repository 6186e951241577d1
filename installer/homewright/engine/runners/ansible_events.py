"""From ansible-runner's events to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from homewright.engine.events import Level
from homewright.engine.runners.guard import REFUSED_TEXT
from homewright.engine.runners.protocol import UNREACHABLE, Emitter
from homewright.engine.states import State, Verdict

ORIGIN = re.compile(r"Origin: (?P<file>.+?):(?P<line>\d+)(:\d+)?$", re.MULTILINE)
RESULTS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_skipped": "skipped",
    "runner_on_unreachable": "unreachable",
}
MITOGENS_OWN = re.compile(
    r"Error executing command\b|EOF on stream|Failed to setup connection|"
    r"mitogen\.\w+\.(StreamError|TimeoutError|CallError)"
)
"""What a first task says where Mitogen, and not the task, went wrong: no connection, or no process for the command."""
SSHS_OWN = re.compile(
    f"{REFUSED_TEXT}|Connection refused|timed out|No route to host|Permission denied|(?i:host key)|REMOTE HOST"
)
"""What plain SSH would meet just the same."""
LOOK_AT_NOTHING = frozenset({"setup", "gather_facts", "include_tasks", "include_role", "include_vars"})
"""Actions that prove nothing of a server, however they end."""
SHOWN_LINES = 60
"""Lines of a failed command's output that are told; a module's traceback can have thousands."""


@dataclass
class HostEnd:
    """What happened on one host so far."""

    changed: int = 0
    state: State | str = State.SUCCEEDED
    reason: str = ""
    tasks: int = 0
    looked: int = 0
    """Tasks that were not skipped and could have said that something is not as it should be."""


class Translator:
    """Takes ansible-runner's events one by one and tells ours."""

    def __init__(self, emitter: Emitter, hosts: Sequence[str], *, proves: bool = False) -> None:
        self.emitter = emitter
        self._proves = proves
        """The playbook is a proof: how it ends on a host is what it says of it."""
        self.hosts = {name: HostEnd() for name in hosts}
        self.errors: list[str] = []
        self.played = False
        self.exit_code: int | None = 0

    def take(self, event: Mapping[str, Any]) -> None:
        kind = str(event.get("event", ""))
        data = event.get("event_data") or {}
        if kind in ("playbook_on_task_start", "playbook_on_handler_task_start"):
            self.emitter.task_started(str(data.get("name") or data.get("task") or ""))
        elif kind in RESULTS:
            self._result(RESULTS[kind], data)
        elif kind == "runner_retry":
            self._retry(data)
        elif kind == "playbook_on_stats":
            self.played = True
            self._forgive(data)
        elif kind in ("error", "warning", "system_warning", "verbose"):
            text = plain(str(event.get("stdout", "")))
            if kind == "error" or text.startswith("[ERROR]"):
                self.errors.append(text)
            if text and kind != "verbose":
                self.emitter.line(text, level=Level.ERROR if kind == "error" else Level.WARNING)
            elif text and not self.played:
                self.errors.append(text)

    def _result(self, result: str, data: Mapping[str, Any]) -> None:
        host = str(data.get("host", ""))
        end = self.hosts.get(host)
        output = data.get("res") or {}
        if end is None or not isinstance(output, Mapping):
            return
        task = str(data.get("task") or "")
        end.tasks += 1
        action = str(data.get("task_action") or "").rsplit(".", 1)[-1]
        end.looked += result != "skipped" and action not in LOOK_AT_NOTHING
        if result == "failed" and data.get("ignore_errors"):
            result = "ok"
        if result == "ok" and output.get("changed"):
            result = "changed"
            end.changed += 1
        if result in ("failed", "unreachable"):
            end.state = UNREACHABLE if result == "unreachable" else State.FAILED
            end.reason = f"{task}: {reason_of(output)}"
            for line in shown_output(output):
                self.emitter.line(line, host=host, level=Level.ERROR)
        self.emitter.task_finished(task, host, result)

    def _forgive(self, stats: Mapping[str, Any]) -> None:
        """A failure that the playbook itself dealt with (`rescue`) is none: Ansible's own count has the last word."""
        if isinstance(stats.get("failures"), Mapping) and isinstance(stats.get("dark"), Mapping):
            for name, end in self.hosts.items():
                if name not in stats["failures"] and name not in stats["dark"]:
                    end.state, end.reason = State.SUCCEEDED, ""

    def _retry(self, data: Mapping[str, Any]) -> None:
        output = data.get("res") or {}
        said = f"{data.get('task', '')}: {reason_of(output)}"
        self.emitter.again(str(data.get("host", "")), said, attempt=int(output.get("attempts") or 1) + 1)

    def never_began(self) -> list[str]:
        """Hosts whose very first task Mitogen could not begin: nothing was done there, and plain SSH may do it."""
        bad = ((name, end) for name, end in self.hosts.items() if end.state != State.SUCCEEDED)
        first = ((name, end.reason) for name, end in bad if end.tasks == 1 and not end.changed)
        return [name for name, why in first if MITOGENS_OWN.search(why) and not SSHS_OWN.search(why)]

    def finish(self, *, cancelled: bool, but: Sequence[str] = ()) -> None:
        """Tell every host's end, `but` of some whose work goes on."""
        for name, end in self.hosts.items():
            if name in but:
                continue
            state, reason = end.state, end.reason
            if state == State.SUCCEEDED and cancelled:
                state, reason = State.CANCELLED, "Cancelled."
            elif state == State.SUCCEEDED and (not self.played or (self.exit_code and not self._somebody_failed())):
                state, reason = State.FAILED, self._why_not_played()
            if self._proves and state in (State.SUCCEEDED, State.FAILED):
                self._tell_verdict(name, end, reason)
                state, reason = State.SUCCEEDED, ""
            self.emitter.finished(name, state, changed=0 if self._proves else end.changed, reason=reason)

    def _tell_verdict(self, name: str, end: HostEnd, reason: str) -> None:
        if not self.played:
            self.emitter.verdict(name, Verdict.CANNOT_TELL, reason)
        elif reason:
            self.emitter.verdict(name, Verdict.BROKEN, reason)
        elif not end.tasks:  # it would prove anything
            self.emitter.verdict(name, Verdict.CANNOT_TELL, f"The playbook has no task for {name}.")
        elif end.changed:
            said = f"The playbook is a proof and changed {name} ({end.changed} tasks), so it was not as it should be."
            self.emitter.verdict(name, Verdict.BROKEN, said)
        elif not end.looked:
            said = f"No task of the playbook looked at {name}: all were skipped, or only gathered facts."
            self.emitter.verdict(name, Verdict.CANNOT_TELL, said)
        else:
            self.emitter.verdict(name, Verdict.PROVED, f"All {end.looked} tasks of the playbook ended well.")

    def _somebody_failed(self) -> bool:
        return any(end.state != State.SUCCEEDED for end in self.hosts.values())

    def _why_not_played(self) -> str:
        text = "\n".join(self.errors).strip()
        origin = ORIGIN.search(text)
        first = next((line for line in text.splitlines() if line.strip()), "ansible-playbook said nothing")
        message = re.sub(r"^\[?ERROR\]?[:!]\s*", "", first).strip()
        if origin:
            file = origin["file"].rsplit("/", 1)[-1]
            return f"{file}, line {origin['line']}: {message}"
        return f"{message} (ansible-playbook ended with {self.exit_code})"


_WRAPPED = re.compile(r"^((Task|Module|Action) failed: )+")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def plain(text: str) -> str:
    return _ESCAPE.sub("", text).strip()


def reason_of(output: Mapping[str, Any]) -> str:
    """Why a task failed, in a line or two."""
    if "censored" in output:
        return "its output is hidden (no_log)"
    items = [item for item in output.get("results") or [] if isinstance(item, Mapping) and item.get("failed")]
    if items:
        return reason_of(items[0])
    message = _WRAPPED.sub("", str(output.get("msg") or "").strip())
    stderr = str(output.get("stderr") or output.get("module_stderr") or "").strip()
    raised = ([line for line in str(output.get("exception") or "").splitlines() if line.strip()] or [""])[-1].strip()
    raised = _WRAPPED.sub("", raised)
    if raised == "(traceback unavailable)" or raised in message:
        raised = ""
    if not stderr and message and raised.startswith(message.rstrip(".")):
        message = ""  # what was raised begins with it
    tail = " ".join(stderr.splitlines()[-3:]) or raised
    return ": ".join(part for part in (message, tail) if part) or "it gave no reason"


def shown_output(output: Mapping[str, Any]) -> list[str]:
    """The lines of a failed task that are worth showing; none of a task with no_log."""
    if "censored" in output:
        return []
    lines: list[str] = []
    for item in [output, *(output.get("results") or [])]:
        if not isinstance(item, Mapping) or "censored" in item:
            continue
        for key in ("stdout", "stderr", "module_stdout", "module_stderr", "msg"):
            lines += str(item.get(key) or "").splitlines()
    if len(lines) > SHOWN_LINES:
        lines = [*lines[:10], f"… {len(lines) - SHOWN_LINES} lines …", *lines[10 - SHOWN_LINES :]]
    return lines
