"""What the engine takes for itself: a step run by it, against the same file run by the bare runner, in pairs.

Bare is the runner's process alone, as the engine starts it, without fence, captures, proof, journal and viewers: what
ansible-runner itself costs over ansible-playbook is `playbook`'s figure. The step does what steps do, it waits for
servers: twenty times for a second, on three at once. Goals: at most 5 % of the run's wall time, and 80 MiB.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).resolve().parent)]

from driving import Practice  # noqa: E402 - the tests drive runners as the engine does; they are no package
from flood import peak  # noqa: E402 - a script beside this one
from lxd import homewright  # noqa: E402 - as above
from playbook import practice_site  # noqa: E402 - as above
from practice_lab import COMMAND  # noqa: E402 - the tests' own

from homewright.engine import lock  # noqa: E402 - after the path
from homewright.engine.events import Kind  # noqa: E402 - as above
from homewright.engine.journal import Reader  # noqa: E402 - as above
from homewright.site.paths import StateFolder  # noqa: E402 - as above

ROUNDS = 3
WAITS = 20
GOAL_SHARE, GOAL_MIB = 0.05, 80
PLAYBOOK = "- name: Waits\n  hosts: servers\n  gather_facts: false\n  tasks:\n" + "".join(
    f"    - name: Wait {number}\n      ansible.builtin.command: sleep 1\n      changed_when: false\n"
    for number in range(WAITS)
)
DEPLOY = f"""
from pyinfra.operations import server

for number in range({WAITS}):
    server.shell(name=f"Wait {{number}}", commands=["sleep 1"])
"""
PROOF = """
from homewright.engine.runners.host import proved


def verify(host):
    return proved("as wanted")
"""
BACK = "def rollback(host):\n    pass\n"


def catalogue(folder: Path) -> dict[str, Path]:
    """A stage for each kind of runner; the file of each kind's step."""
    found = {}
    for stage, kind, name, text in (
        ("90", "ansible", "10_wait.yaml", PLAYBOOK),
        ("91", "pyinfra", "10_wait.py", DEPLOY),
    ):
        place = folder / f"{stage}_{kind}"
        place.mkdir(parents=True)
        step = (
            f"{{id: {stage}/10, title: Waits, runner: {kind}, run: {name}, verify: 18_wait.py, rollback: 19_wait.py}}"
        )
        (place / "stage.yaml").write_text(f'id: "{stage}"\ntitle: {kind}\nrequires: []\nsteps:\n  - {step}\n')
        (place / name).write_text(text)
        (place / "18_wait.py").write_text(PROOF)
        (place / "19_wait.py").write_text(BACK)
        found[kind] = place / name
    return found


def by_engine(site: Path, state: StateFolder, stages: Path, stage: str) -> tuple[float, int]:
    """Wall time from the run's start to its end as the journal has them, and the most memory that the engine held."""
    words = ["--site", str(site), "--state", str(state.root), "--stages", str(stages)]
    command = [*COMMAND, *words, "apply", "--only", stage, "--yes", "--plain"]
    held = 0
    working = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while working.poll() is None:
        holder = lock.holder(state)
        held = max(held, peak(holder.pid) if holder is not None else 0)
        time.sleep(0.2)
    if working.returncode:
        raise RuntimeError(f"stage {stage} failed")
    reader = Reader(state)
    run = reader.run().id
    ends = reader.since_start(run, (Kind.RUN_STARTED, Kind.RUN_FINISHED))
    began = next(event for event in reader.events(run) if event.kind == Kind.RUN_STARTED)
    return ends[-1].ts - began.ts, held


def bare(practice: Practice, kind: str, file: Path) -> Callable[[], None]:
    """The runner alone, on servers that are held for it."""

    def run() -> None:
        outcome = practice.drive(kind, file)
        if set(outcome.states.values()) != {"succeeded"}:
            raise RuntimeError(f"{kind} failed: {outcome.reasons}")

    return run


def main() -> int:
    load = os.getloadavg()[0]
    whole: dict[str, list[float]] = {"ansible": [], "pyinfra": []}
    alone: dict[str, list[float]] = {"ansible": [], "pyinfra": []}
    held = 0
    with tempfile.TemporaryDirectory(prefix="homewright-bench-") as name, practice_site() as (site, state):
        folder, root = Path(name), StateFolder(state)
        files = catalogue(folder / "stages")
        for _ in range(ROUNDS):
            for stage, kind in (("90", "ansible"), ("91", "pyinfra")):
                seconds, most = by_engine(site, root, folder / "stages", stage)
                whole[kind].append(seconds)
                held = max(held, most)
                practice = Practice.of(site, state, folder)
                practice.hold()
                began = time.monotonic()
                bare(practice, kind, files[kind])()
                alone[kind].append(time.monotonic() - began)
                practice.give_back()
        for stage in ("90", "91"):
            homewright(site, state, "--stages", str(folder / "stages"), "rollback", stage, "--yes", "--plain")
    print(f"a step of {WAITS} s on {len(practice.site.servers)} servers, at a load of {load:.1f} before")
    for kind in whole:
        run, step = statistics.median(whole[kind]), statistics.median(alone[kind])
        share = 1 - step / run
        verdict = "met" if share <= GOAL_SHARE else "missed"
        print(f"{kind:8} {run:5.1f} s by the engine, {step:5.1f} s bare: {share:.1%}, goal {GOAL_SHARE:.0%}: {verdict}")
    most_mib = held / (1 << 20)
    print(f"the engine held {most_mib:.0f} MiB, goal {GOAL_MIB} MiB: {'met' if most_mib <= GOAL_MIB else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
