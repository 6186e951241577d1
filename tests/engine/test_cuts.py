"""The power is cut after commits of a real run, and what is left on the servers is what an uninterrupted run leaves.

And everything taken back: whole servers are listed before a run and after `rollback --all`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server_listing import unlike

from .bench import Bench
from .cut_table import CutTable
from .cutting import Cutting

pytestmark = pytest.mark.lab

LEFT: tuple[str, ...] = ()
"""What may differ once everything was taken back, beside what `server_listing` leaves out with its reasons: nothing."""
MADE_ANEW = ("/.ssh/id_ed25519", "/.ssh/id_ed25519.pub", "/.ssh/authorized_keys")
"""Files whose contents are random: the keys between the servers. Their names, modes, owners and sizes are compared."""
CUTS = (
    "events run-started",
    "events step-started 00/10",
    "states capture 00/10 s2",
    "states row 00/10 s1 succeeded",
    "events step-finished 00/10",
    "states step-started 00/20",
    "events verify 00/20 s3",
    "states step-finished 00/20",
    "events host-finished 00/30 s3",
    "states row 00/30 s2 succeeded",
    "states capture 00/40 s1",
    "events run-finished",
)
"""A dozen, at least one of every kind of record, in the order of the run: each engine gets further than the one before.

All of them, in runs of a dozen and in a run for each, are a campaign (`test_cut_off_at_every_boundary`).
"""


@dataclass
class Finished:
    """What an uninterrupted run made of the servers, and what is left of it once all is taken back."""

    cutting: Cutting
    boundaries: list[str]
    files: dict[str, set[str]]
    system: dict[str, set[str]]
    before: tuple[dict[str, set[str]], dict[str, set[str]]]
    after: tuple[dict[str, set[str]], dict[str, set[str]]]


def contents_aside(lines: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the digests of what is random."""
    return {
        server: {line for line in found if line[:1] == "-" or not line.endswith(MADE_ANEW)}
        for server, found in lines.items()
    }


@pytest.fixture(scope="module")
def finished(trusted_lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("cuts")
    bench = Bench(trusted_lab, folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        cutting = Cutting(bench, folder, monkeypatch)
        take_back(bench)  # other tests use the same servers
        before = cutting.files(), cutting.system()
        boundaries = cutting.whole(only="00")
        files, system = cutting.files(), cutting.system()
        take_back(bench, what="--all")  # stages that were never there too: they leave everything alone
        after = cutting.files(), cutting.system()
        yield Finished(cutting, boundaries, files, system, before, after)


def take_back(bench: Bench, *options: str, what: str = "00") -> None:
    back = bench.lab.run("rollback", what, "--yes", *options)
    assert back.returncode == 0, back.stdout + back.stderr


def test_everything_taken_back_the_servers_are_as_before(finished: Finished) -> None:
    assert unlike(finished.before[0], finished.files, LEFT), "the run has changed nothing"
    assert unlike(finished.before[0], finished.after[0], LEFT) == []
    assert unlike(finished.before[1], finished.after[1], LEFT) == []


def assert_the_same(finished: Finished) -> None:
    """What is on the servers is what the uninterrupted run left."""
    assert unlike(contents_aside(finished.files), contents_aside(finished.cutting.files())) == []
    assert unlike(finished.system, finished.cutting.system()) == []


def test_cut_off_again_and_again_a_run_ends_the_same(finished: Finished) -> None:
    assert [cut for cut in CUTS if cut not in finished.boundaries] == [], finished.boundaries
    finished.cutting.cut_and_resume(*CUTS, only="00")
    assert_the_same(finished)
    take_back(finished.cutting.bench)
    assert unlike(finished.before[0], finished.cutting.files(), LEFT) == []


@pytest.mark.long
@pytest.mark.parametrize("together", [12, 1])
def test_cut_off_at_every_boundary(finished: Finished, together: int) -> None:
    """A dozen cuts in a run, also where only an engine that goes on comes by; and a run of its own for each boundary.

    Every run starts on servers that know nothing of it and is compared at its end, taken back and compared again; only
    then its cuts are proved. The campaign goes on from the table that it keeps, and ends by its own limit.
    """
    cutting = finished.cutting
    table = CutTable(together)
    take_back(cutting.bench)  # what another test has left
    while not table.is_late:
        new = cutting.cut_at_new_ones(table.proved, together, only="00")
        assert_the_same(finished)
        take_back(cutting.bench)
        assert unlike(finished.before[0], cutting.files(), LEFT) == []
        if not new:
            assert [boundary for boundary in finished.boundaries if boundary not in table.proved] == []
            return
        table.add(new)
    left = [boundary for boundary in finished.boundaries if boundary not in table.proved]
    assert left == [], (
        f"not proved within the limit; the table has what is, and the next run goes on from it: {len(left)}"
    )


# the pauses are the place of the cut: the engine is ended at a line before anything that follows it has begun
ONCE = """
import time

def run(host):
    host.say("before")
    time.sleep(0.3)
    host.run("test -e /tmp/homewright-once/done || mkdir /tmp/homewright-once")  # fails on half of it
    host.say("half")
    time.sleep(0.3)
    host.run("cd /tmp/homewright-once; test -e done || { echo >done; echo >>/tmp/homewright-made; }")
    host.say("after")
    time.sleep(0.3)
"""
RECOVER = """
def recover(host):
    host.run("test -e /tmp/homewright-once/done || rm -rf /tmp/homewright-once")
"""
DONE = """
from homewright.engine.runners.host import broken, proved

def verify(host):
    return proved("whole") if host.exists("/tmp/homewright-once/done") else broken("not there")
"""
INSIDE = ("line before", "line half", "line after", "events host-finished 90/10 s1", "states step-started 90/10")


@pytest.mark.parametrize(
    "cut", [INSIDE[1], *(pytest.param(cut, marks=pytest.mark.long) for cut in INSIDE if "half" not in cut)]
)
def test_cut_off_inside_a_step_that_is_not_repeatable(
    trusted_lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    bench = Bench(trusted_lab, tmp_path)
    bench.tiny.step(1, ONCE, DONE, recover="17_do.py")
    (bench.tiny.folder / "17_do.py").write_text(RECOVER)
    cutting = Cutting(bench, tmp_path, monkeypatch, [bench.tiny.root])
    try:
        cutting.cut_and_resume(cut, only="90")
        for host in bench.hosts:
            assert bench.on(host, "cat /tmp/homewright-made | wc -l").strip() == "1", "made once, whatever was cut off"
        recovered = list((bench.state.run(cutting.run) / "steps").glob("*-recover"))
        assert len(recovered) == 1, "what was cut off was inspected first"
    finally:
        for host in bench.hosts:
            bench.on(host, "rm -rf /tmp/homewright-once /tmp/homewright-made")
