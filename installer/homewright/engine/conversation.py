"""What one runner says about its hosts: states and proofs are kept whatever happens, lines as far as they fit."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from homewright.engine.events import Event, Kind, Level
from homewright.engine.journal.writer import Writer
from homewright.engine.receipts import Seen
from homewright.engine.runner_process import Ending
from homewright.engine.states import Action, State, Verdict

REMEMBERED = 400
"""Lines of a step that are looked through for a remedy."""
_ENGINES_OWN = (Kind.RUN_STARTED, Kind.RUN_FINISHED, Kind.STEP_STARTED, Kind.STEP_FINISHED, Kind.CONTROL)
_LOUD = (Action.RUN, Action.ROLLBACK, Action.RECOVER)
"""Actions whose hosts' beginnings and ends are told; of a proof only its verdict is."""


@dataclass(frozen=True)
class HostEnd:
    """How a step's action ended on one host."""

    state: State
    changed: int = 0
    reason: str = ""
    code: str = ""
    """`unreachable`, `busy`, or empty for any other failure."""
    do: tuple[str, ...] = ()
    """What to do about it, where the error itself said so."""


class Conversation:
    """Takes the events of one runner process."""

    def __init__(self, writer: Writer, step: str, action: Action, hosts: Iterable[str]) -> None:
        self._writer = writer
        self._step = step
        self._action = action
        self._hosts = tuple(hosts)
        self.ends: dict[str, HostEnd] = {}
        self.verdicts: dict[str, tuple[Verdict, str]] = {}
        self.idle: set[str] = set()
        """Hosts where the step has nothing to do, so that its proof holds with and without it."""
        self.captures: dict[str, dict[str, Any]] = {}
        self.looks: dict[str, Seen] = {}
        """What was seen for the step's receipt."""
        self._tasks: dict[str, tuple[str, bool]] = {}
        """The last task of each host (of all where there is no name), and whether it has ended."""
        self.recent: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        """Host and text of the last lines."""

    def take(self, event: Event) -> None:
        """One event from the runner. Raises StateError where the journal cannot take it."""
        event = replace(event, step=self._step, run="", seq=0)
        known = event.host in self._hosts
        match event.kind:
            case Kind.HOST_FINISHED:
                if known and event.host not in self.ends:
                    end = self.ends[event.host] = _end(event)
                    if self._action in _LOUD or end.state is not State.SUCCEEDED:
                        self._writer.transition(event)
            case Kind.VERIFY:
                if known and event.data.get("verdict") in list(Verdict):
                    self.verdicts[event.host] = (Verdict(event.data["verdict"]), event.text)
                    if event.data.get("idle") is True:
                        self.idle.add(event.host)
                    self._writer.transition(event)
            case Kind.CAPTURE:
                captured = event.data.get("captured")
                if known and isinstance(captured, dict):
                    self.captures[event.host] = captured
            case Kind.LOOK:
                seen = event.data.get("seen")
                if known and isinstance(seen, dict):
                    self.looks[event.host] = seen
            case Kind.TASK_STARTED | Kind.TASK_FINISHED:
                self._tasks[event.host] = (event.text, event.kind == Kind.TASK_FINISHED)
                self._line(event)
            case Kind.HOST_STARTED:
                if self._action in _LOUD:
                    self._line(event)
            case kind if kind in _ENGINES_OWN:
                self._line(replace(event, kind=Kind.LINE, level=Level.WARNING))
            case _:
                self._line(event)

    def close(self, ending: Ending) -> None:
        """The process has ended: hosts that it said nothing of have failed."""
        for host in self._hosts:
            if host not in self.ends:
                state = State.CANCELLED if ending.cancelled else State.FAILED
                self.ends[host] = HostEnd(
                    state, reason=self._why(host, ending) or self._silence(host, ending.exit_code)
                )
            elif ending.reason and self.ends[host].state is not State.SUCCEEDED:
                state = State.CANCELLED if ending.cancelled else State.FAILED
                self.ends[host] = replace(self.ends[host], state=state, reason=self._why(host, ending))

    def _why(self, host: str, ending: Ending) -> str:
        """Why the engine ended the runner, and where it was then."""
        if not ending.cancelled:
            return ending.reason
        task, over = self._tasks.get(host) or self._tasks.get("") or ("", True)
        where = f" {'after' if over or not ending.forced else 'in the middle of'}: {task}" if task else ""
        if ending.forced:
            return f"It was cancelled, came to no safe point in time, and was ended by force{where}"
        return f"It was cancelled, and stopped at a safe point{where}"

    def lines(self, hosts: Sequence[str]) -> list[str]:
        """The remembered lines of these hosts and of no host in particular."""
        return [text for host, text in self.recent if host in hosts or not host]

    def _line(self, event: Event) -> None:
        self.recent.append((event.host, event.text))
        self._writer.line(event)

    def _silence(self, host: str, exit_code: int) -> str:
        how = f"was killed by {_signal_name(-exit_code)}" if exit_code < 0 else f"ended with exit code {exit_code}"
        last = [text for text in self.lines([host]) if text.strip()][-1:]
        return f"The runner {how} without saying how {host} ended." + (f" It last said: {last[0]}" if last else "")


def _end(event: Event) -> HostEnd:
    said = str(event.data.get("state"))
    reason = str(event.data.get("reason") or event.text or "")
    try:
        changed = max(0, int(event.data.get("changed") or 0))
    except (TypeError, ValueError):
        changed = 0
    if said == State.SUCCEEDED:
        return HostEnd(State.SUCCEEDED, changed)
    if said == "unreachable":
        return HostEnd(State.FAILED, changed, reason or "It could not be reached.", "unreachable")
    return HostEnd(State.FAILED, changed, reason or "The step failed.")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
