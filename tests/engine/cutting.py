"""Runs whose power fails after chosen commits, on practice servers: cut, resumed, and counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from server_listing import CHANGEABLE, SYSTEM, files_command, listing

from homewright.engine import launch, leftovers, lock
from homewright.engine.states import Action, State

from .bench import Bench
from .conftest import wait_for

ENGINE = Path(__file__).parent / "cut_engine.py"
RUN_LIMIT_S = 1800.0
"""For one engine: half a minute is usual, twenty times that was met where many others used the machine."""


class Cutting:
    """One site whose engines can be cut off. Every engine is one of `cut_engine`'s."""

    def __init__(
        self, bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch, stages: Sequence[Path] = ()
    ) -> None:
        self.bench = bench
        self.stages = tuple(stages)
        self.run = ""
        self.boundaries = folder / "boundaries"
        self._cuts: tuple[str, ...] = ()
        self._engine: subprocess.Popen[bytes] | None = None
        # Whoever asked for the engine loses power as well: it neither waits for it nor tidies up after it.
        monkeypatch.setattr(launch, "_spawn", self._spawn)
        monkeypatch.setattr(launch, "_wait", lambda folder: None)

    def _spawn(self, command: list[str], folder: Path, run: str) -> None:
        assert command[1:3] == ["-m", "homewright.engine"]
        self.run = run
        wrapped = [sys.executable, str(ENGINE), json.dumps(self._cuts), str(self.boundaries), *command[3:]]
        with (folder / "engine.log").open("ab") as log:
            self._engine = subprocess.Popen(
                wrapped, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=launch.environment(os.environ)
            )

    def engine(self, *cuts: str, action: str = "apply", only: str | None = None) -> bool:
        """One engine's life: on the run that was cut off, else on a new one. Whether it was cut."""
        bench = self.bench
        self.boundaries.write_text("")
        self._cuts = cuts
        known = {record.id for record in bench.reader.runs()}
        if self.run and self.run in known:
            launch.resume(bench.lab.site_file, bench.state, self.run)
        else:
            launch.start(bench.lab.site_file, bench.state, action=action, only=only, stages=self.stages)
        assert self._engine is not None
        code = self._engine.wait(timeout=RUN_LIMIT_S)
        mark = leftovers.site_mark(bench.state)
        wait_for(lambda: not leftovers.found(mark), "the end of all runners")
        assert lock.holder(bench.state) is None
        assert code in (0, -9), (bench.state.run(self.run) / "engine.log").read_text()[-4000:]
        return code == -9

    def whole(self, action: str = "apply", only: str | None = None) -> list[str]:
        """A run to its good end without a cut; the boundaries that it had."""
        self.run = ""
        assert not self.engine(action=action, only=only)
        good = State.ROLLED_BACK if action == "rollback" else State.SUCCEEDED
        assert self.bench.reader.run(self.run).state is good
        return self.met()

    def met(self) -> list[str]:
        """The boundaries of the last engine, in order."""
        return self.boundaries.read_text().splitlines()

    def proved(self) -> set[tuple[str, str]]:
        """Steps and servers that are recorded as done and proved."""
        if self.run not in {record.id for record in self.bench.reader.runs()}:
            return set()
        steps = self.bench.reader.steps(self.run)
        return {(row.step, row.host) for row in steps if row.host and row.state is State.SUCCEEDED}

    def done(self) -> Counter[tuple[str, str]]:
        """How often each step was begun on each server, by what was asked of its runners."""
        counted: Counter[tuple[str, str]] = Counter()
        for file in (self.bench.state.run(self.run) / "steps").glob(f"*-{Action.RUN}/request.json"):
            asked = json.loads(file.read_text())
            counted.update((asked["step"], host["name"]) for host in asked["hosts"])
        return counted

    def cut_and_resume(self, *cuts: str, only: str | None = None) -> None:
        """One run, cut off at each of these boundaries in turn, then left alone to its good end."""
        self._begin()
        for cut in cuts:
            assert self._next(cut, only=only), f"no {cut} in {self.met()}"
        assert not self._next(only=only)
        self._ended_well()

    def cut_among(self, *cuts: str, only: str | None = None) -> list[str]:
        """One run, each of whose engines is cut off at the first of these that none before it was cut off at.

        Where they were: what an engine has done before its cut, the next one may not come by any more.
        """
        self._begin()
        made: list[str] = []
        while self._next(*(cut for cut in cuts if cut not in made), only=only):
            made.append(self.met()[-1])
        self._ended_well()
        return made

    def cut_at_new_ones(self, made: Collection[str], most: int, only: str | None = None) -> list[str]:
        """One run, each of whose engines is cut off at the first boundary that none before it was cut off at.

        Neither in this run nor, as `made` says, in others. After `most` cuts, or where an engine meets no new boundary,
        it is left alone to its good end. Where the cuts were. What a cut leaves undone for ever is no boundary of that
        run: after one at the last row of a step no engine ends that step again.
        """
        self._begin()
        new: list[str] = []
        while len(new) < most and self._next(f"but {json.dumps([*made, *new])}", only=only):
            new.append(self.met()[-1])
        if len(new) == most:
            assert not self._next(only=only)
        self._ended_well()
        return new

    def _begin(self) -> None:
        self.run = ""
        self._proved: set[tuple[str, str]] = set()
        self._before: Counter[tuple[str, str]] = Counter()

    def _next(self, *cuts: str, only: str | None) -> bool:
        """One engine more. What was recorded as proved when the last one was cut off is not begun again by it."""
        was_cut = self.engine(*cuts, only=only)
        done = self.done()
        again = {key for key in self._proved if done[key] != self._before[key]}
        assert not again, f"recorded as proved, and done again up to {self.met()[-1:]}: {again}"
        self._proved, self._before = self.proved(), done
        return was_cut

    def _ended_well(self) -> None:
        """Nothing was skipped, and no event is missing or there twice."""
        assert self.bench.reader.run(self.run).state is State.SUCCEEDED
        assert {row.state for row in self.bench.reader.steps(self.run)} <= {State.SUCCEEDED, State.SKIPPED}
        events = self.bench.events(self.run)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))

    def files(self) -> dict[str, set[str]]:
        """All that lies on the servers, contents included where stages write."""
        return listing(self._on, self.bench.hosts, files_command(CHANGEABLE))

    def system(self) -> dict[str, set[str]]:
        """Accounts, units, interfaces, addresses, routes and nft's rules of the servers."""
        return listing(self._on, self.bench.hosts, SYSTEM)

    def _on(self, host: str, command: str) -> str:
        return self.bench.on(host, command)
