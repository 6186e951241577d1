"""A stage of the shipped catalogue on practice servers: its steps carried out, proved, taken back and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from driving import Outcome, Practice
from server_listing import CHANGEABLE, files_command, listing

from homewright.catalogue import Catalogue, Step
from homewright.engine.calling import captures, runner_kind
from homewright.engine.remedies import match
from homewright.engine.states import Action


@dataclass
class StageOnServers:
    """A stage on all practice servers."""

    practice: Practice
    catalogue: Catalogue
    captures: dict[str, dict[str, Any]] = field(default_factory=dict)
    listings: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    """The servers before each step."""

    def step(self, name: str) -> Step:
        return self.catalogue.step(name)

    def carry_out(self, name: str, action: Action, **more: Any) -> Outcome:
        step = self.step(name)
        part = {Action.RUN: "run", Action.ROLLBACK: "rollback"}.get(action, "verify")
        captures = self.captures.get(name) if action is not Action.CAPTURE else None
        file = self.catalogue.file(step, part)
        kind = runner_kind(step, action)
        if kind == "python":
            return self.practice.drive_forked(file, action, captures=captures, **more)
        return self.practice.drive(kind, file, action, captures=captures, **more)

    def begin(self, *names: str) -> None:
        """Carry out steps on servers that know nothing of them, with what they were before kept."""
        for name in names:
            self.listings[name] = self.listing()
            assert captures(self.catalogue.file(self.step(name), "verify")), "the engine asks for what is recorded"
            self.captures[name] = self.carry_out(name, Action.CAPTURE).captures
            outcome = self.run(name)
            assert all(outcome.changed.values()), outcome.changed
            self.assert_proved(name)

    def run(self, name: str, **more: Any) -> Outcome:
        outcome = self.carry_out(name, Action.RUN, **more)
        assert set(outcome.states.values()) == {"succeeded"}, outcome.reasons
        return outcome

    def verdicts(self, name: str, **more: Any) -> dict[str, tuple[str, str]]:
        return self.carry_out(name, Action.VERIFY, **more).verdicts

    def assert_proved(self, name: str, *hosts: str) -> None:
        wanted = hosts or self.practice.names
        verdicts = self.verdicts(name, hosts=wanted)
        assert {verdict for verdict, _ in verdicts.values()} == {"proved"}, verdicts
        assert sorted(verdicts) == sorted(wanted)

    def assert_refused(self, name: str, why: str, hosts: Sequence[str], **more: Any) -> None:
        """The step fails there with this reason, and changes nothing."""
        outcome = self.carry_out(name, Action.RUN, hosts=list(hosts), **more)
        assert set(outcome.states.values()) == {"failed"}, outcome.states
        assert set(outcome.changed.values()) == {0}
        reasons = list(outcome.reasons.values())
        assert all(why in reason for reason in reasons), reasons
        assert match(self.step(name).remedies, reasons) is not None, "what to do about it is told"

    def assert_taken_back(self, name: str) -> None:
        """Taken back, its servers are as they were before it, and there is nothing more to take back."""
        outcome = self.carry_out(name, Action.ROLLBACK)
        assert set(outcome.states.values()) == {"succeeded"}, outcome.reasons
        for server, lines in self.listing().items():
            left = sorted(lines ^ self.listings[name][server])[:20]
            assert left == [], f"{name} on {server}: {left}"
        assert {verdict for verdict, _ in self.verdicts(name).values()} == {"broken"}
        assert set(self.carry_out(name, Action.ROLLBACK).changed.values()) == {0}

    def listing(self, hashed: str = CHANGEABLE) -> dict[str, set[str]]:
        """The servers' files, with the contents of those in the folders `hashed`."""
        return listing(self.practice.on, self.practice.names, files_command(hashed))


def seldom(*case: Any) -> Any:
    """One of several of its step that the proof sees in the same way: tried by the campaigns."""
    return pytest.param(*case, marks=pytest.mark.long)
