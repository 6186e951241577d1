"""Stages 00 to 30 on three practice servers: `homewright apply` against the same numbered files carried out by hand.

By hand is: one file after the other, each by its own tool in a process of its own, nothing proved and nothing recorded.
A playbook is given to plain ansible-playbook with the inventory that `homewright site inventory` prints, a pyinfra file
to pyinfra for all servers; a Python file is carried out on one server after the other, or on all where it acts so.
What is captured for a rollback is given to both. The servers are a lab of the benchmark's own, thrown away afterwards,
and between the two everything is taken back. Packages and images come from the same caches. Goal: half the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "benchmarks"))

from driving import CONTROLLER, Practice  # noqa: E402 - the tests drive runners as the engine does; they are no package
from lxd import COMMAND, homewright, timed  # noqa: E402 - as above
from practice_lab import own_lab  # noqa: E402 - as above

from homewright.access.connection import Connection  # noqa: E402 - as above
from homewright.access.endpoint import Endpoint  # noqa: E402 - as above
from homewright.engine.fence import ask  # noqa: E402 - as above
from homewright.engine.journal import Reader  # noqa: E402 - as above
from homewright.engine.runners.request import HostRequest, StepRequest  # noqa: E402 - as above
from homewright.engine.states import State  # noqa: E402 - as above
from homewright.site.paths import StateFolder  # noqa: E402 - as above

GOAL = 0.5
LIMIT_S = 1800


def requests(state: StateFolder) -> list[StepRequest]:
    """What the last run of this site asked of its runners, in its order: every step that it carried out."""
    run = Reader(state).run()
    if run.state is not State.SUCCEEDED:
        raise RuntimeError("the run did not succeed")
    folders = sorted((state.run(run.id) / "steps").glob("*-run"))
    return [StepRequest.model_validate_json((folder / "request.json").read_bytes()) for folder in folders]


class ByHand:
    """The files of these requests, carried out without an engine."""

    def __init__(self, practice: Practice, site_file: Path, folder: Path) -> None:
        self.practice = practice
        self.folder = folder
        self.inventory = folder / "inventory.yaml"
        self.instances: dict[str, Endpoint] = {}
        state = str(practice.state.root)
        told = subprocess.run(
            [*COMMAND, "--site", str(site_file), "--state", state, "site", "inventory"], capture_output=True, check=True
        )
        self.inventory.write_bytes(told.stdout)

    def carry_out(self, asked: list[StepRequest]) -> None:
        """All of them; raises RuntimeError where one fails."""
        try:
            for request in asked:
                timed(f"  by hand: {request.step} {request.file.name}", lambda request=request: self._step(request))
        finally:
            for endpoint in self.instances.values():
                self._fence(endpoint, released=True)

    def _step(self, request: StepRequest) -> None:
        if request.file.suffix == ".yaml":
            program = str(Path(sys.executable).parent / "ansible-playbook")
            environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
            words = [program, "-i", str(self.inventory), str(request.file)]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
            if done.returncode:
                raise RuntimeError(f"{request.step}: {done.stdout[-1500:]}{done.stderr[-500:]}")
            return
        text = request.file.read_text()
        kind = "pyinfra" if "from pyinfra" in text else "python"
        together = kind == "pyinfra" or "def run_all(" in text
        for hosts in [request.hosts] if together else [(host,) for host in request.hosts]:
            self._run(kind, request, hosts)

    def _run(self, kind: str, request: StepRequest, hosts: tuple[HostRequest, ...]) -> None:
        self._hold(request, hosts)
        work = Path(tempfile.mkdtemp(dir=self.folder))
        ours = {"hosts": hosts, "work": work, "fence": self.practice.fence, "controller": CONTROLLER, "parent": None}
        file = work / "request.json"
        file.write_text(request.model_copy(update=ours).model_dump_json())
        process, reader = self.practice.start(kind, file)
        with os.fdopen(reader, encoding="utf-8") as lines:
            told = [json.loads(line) for line in lines]
        process.wait(LIMIT_S)
        ends = {one["host"]: one["data"] for one in told if one["kind"] == "host-finished"}
        if {end["state"] for end in ends.values()} != {"succeeded"}:
            raise RuntimeError(f"{request.step}: {ends}")

    def _hold(self, request: StepRequest, hosts: tuple[HostRequest, ...]) -> None:
        """An instance was made a moment ago, so nobody holds it; the servers are held all the time."""
        for host in hosts:
            if host.name not in self.practice.names:
                self.instances[host.name] = request.endpoint(host)
                self._fence(self.instances[host.name], released=False)

    def _fence(self, endpoint: Endpoint, released: bool) -> None:
        record = {"controller": CONTROLLER, "fence": self.practice.fence, "run": "by hand", "released": released}
        with Connection.open(endpoint) as connection:
            ask(connection, record | {"retired": []})


def rounds(site: Path, state: Path, folder: Path) -> Iterator[float]:
    """Seconds of ours, then of those by hand."""
    yield timed("homewright apply", lambda: homewright(site, state, "apply", "--yes", "--plain"))
    practice = Practice.of(site, state, folder)
    asked = requests(practice.state)
    homewright(site, state, "rollback", "--all", "--yes", "--plain")
    practice.hold()
    by_hand = ByHand(practice, site, folder)
    yield timed("by hand", lambda: by_hand.carry_out(asked))


def main() -> int:
    """One round of each. Prints seconds and the ratio."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="homewright-bench-") as folder, own_lab("stages") as lab:
        for words in (("lab", "up", "--servers", "3", "--yes"), ("trust", "--all", "--practice")):
            done = lab.run(*words)
            if done.returncode:
                raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        ours, by_hand = rounds(lab.site_file, lab.state.root, Path(folder))
    verdict = "met" if ours / by_hand <= GOAL else "missed"
    print(f"stages 00 to 30: {ours:.0f} s, by hand {by_hand:.0f} s: {ours / by_hand:.2f}, goal {GOAL}: {verdict}")
    print(f"the whole benchmark took {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
