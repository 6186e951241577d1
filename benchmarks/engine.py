"""What the engine takes for itself: a step by `homewright apply`, against the bare tool with the same file, in pairs.

Bare is `ansible_runner.run` with the engine's acceleration, and pyinfra's own command: no fence, no captures, no proof,
no journal, no viewers, from the start of the process to its end. Ours is the whole command, the engine's start and its
last record included. ansible-runner as it comes, over plain SSH, is measured once beside them. The step does what steps
do, it waits for servers: twenty tasks of two seconds, on three at once. Goals: at most 5 % of the bare tool's wall time
on top of it, and 80 MiB.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).resolve().parent)]

from driving import Practice  # noqa: E402 - the tests drive runners as the engine does; they are no package
from flood import peak  # noqa: E402 - a script beside this one
from lxd import homewright  # noqa: E402 - as above
from playbook import inventory, practice_site  # noqa: E402 - as above
from practice_lab import COMMAND  # noqa: E402 - the tests' own

from homewright.engine import lock  # noqa: E402 - after the path
from homewright.site.paths import StateFolder  # noqa: E402 - as above

ROUNDS = 3
TASKS, WAIT_S = 20, 2
GOAL_SHARE, GOAL_MIB = 0.05, 80
STAGES = {"ansible": "90", "pyinfra": "91"}
MADE = "/tmp/homewright-bench-waited"
WAITS = [f"sleep {WAIT_S}"] * (TASKS - 1) + [f"sleep {WAIT_S}; touch {MADE}"]
PLAYBOOK = "- name: Waits\n  hosts: servers\n  gather_facts: false\n  tasks:\n" + "".join(
    f"    - name: Wait {number}\n      ansible.builtin.shell: {wait}\n      changed_when: false\n"
    for number, wait in enumerate(WAITS)
)
DEPLOY = f"""
from pyinfra.operations import server

for number, wait in enumerate({WAITS!r}):
    server.shell(name=f"Wait {{number}}", commands=[wait])
"""
PROOF = f"""
from homewright.engine.runners.host import broken, proved


def verify(host):
    return proved("it has waited") if host.exists("{MADE}") else broken("it has not waited")
"""
BACK = f"""
def rollback(host):
    host.remove("{MADE}")
"""
BARE_ANSIBLE = """
import sys

import ansible_runner

folder, playbook, hosts = sys.argv[1:]
done = ansible_runner.run(private_data_dir=folder, playbook=playbook, inventory=hosts)
sys.exit(done.rc)
"""


def catalogue(folder: Path) -> dict[str, Path]:
    """A stage for each kind of runner; the file of each kind's step."""
    found = {}
    for kind, name, text in (("ansible", "10_wait.yaml", PLAYBOOK), ("pyinfra", "10_wait.py", DEPLOY)):
        stage = STAGES[kind]
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


def by_engine(site: Path, state: StateFolder, stages: Path, stage: str) -> int:
    """The stage by the real command; the most memory that its engine held, in bytes."""
    words = ["--site", str(site), "--state", str(state.root), "--stages", str(stages)]
    command = [*COMMAND, *words, "apply", "--only", stage, "--yes", "--plain"]
    held = 0
    working = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while True:
        try:
            working.wait(timeout=0.2)
            break
        except subprocess.TimeoutExpired:
            holder = lock.holder(state)
            held = max(held, peak(holder.pid) if holder is not None else 0)
    if working.returncode:
        raise RuntimeError(f"stage {stage} failed")
    return held


def bare_ansible(hosts: Path, file: Path, *, accelerate: bool) -> None:
    """ansible-runner in a process of its own, with Mitogen's strategy or as it comes."""
    found = importlib.util.find_spec("ansible_mitogen")
    if found is None or found.origin is None:
        raise RuntimeError("there is no Mitogen to compare with")
    strategy = Path(found.origin).parent / "plugins" / "strategy"
    mitogen = {"ANSIBLE_STRATEGY_PLUGINS": str(strategy), "ANSIBLE_STRATEGY": "mitogen_linear"}
    with tempfile.TemporaryDirectory(prefix="homewright-bench-") as folder:
        words = [sys.executable, "-c", BARE_ANSIBLE, folder, str(file), str(hosts)]
        _carry_out(words, Path(folder), mitogen if accelerate else {})


def bare_pyinfra(practice: Practice, file: Path) -> None:
    """pyinfra's own command."""
    ways = [
        (
            server.name,
            {
                "ssh_hostname": server.address,
                "ssh_port": server.port,
                "ssh_user": server.user,
                "ssh_key": str(practice.state.key),
                "ssh_known_hosts_file": str(practice.state.known_hosts),
                "ssh_strict_host_key_checking": "yes",
            },
        )
        for server in practice.site.servers
    ]
    with tempfile.TemporaryDirectory(prefix="homewright-bench-") as folder:
        hosts = Path(folder) / "hosts.py"
        hosts.write_text(f"servers = {ways!r}\n")
        words = [str(Path(sys.executable).parent / "pyinfra"), "--yes", str(hosts), str(file)]
        _carry_out(words, Path(folder), {})


def _carry_out(words: list[str], home: Path, more: Mapping[str, str]) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings = {"PATH": path, "HOME": str(home), "LC_ALL": "C.UTF-8", "ANSIBLE_HOST_KEY_CHECKING": "True"}
    said = home / "said"
    with said.open("wb") as output:  # no pipe: a connection that ssh shares would hold it open for a minute
        done = subprocess.run(
            words, env={**settings, **more}, cwd=home, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {said.read_text()[-1000:]}")


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def main() -> int:
    """Measure in pairs, one after the other, and print medians and what the engine adds."""
    load = os.getloadavg()[0]
    pairs: dict[str, list[tuple[float, float]]] = {kind: [] for kind in STAGES}
    held = 0
    with tempfile.TemporaryDirectory(prefix="homewright-bench-") as name, practice_site() as (site, state):
        folder, root = Path(name), StateFolder(state)
        stages = folder / "stages"
        files = catalogue(stages)
        practice = Practice.of(site, state, folder)
        hosts = inventory(practice, folder)
        bare: dict[str, Callable[[], None]] = {
            "ansible": lambda: bare_ansible(hosts, files["ansible"], accelerate=True),
            "pyinfra": lambda: bare_pyinfra(practice, files["pyinfra"]),
        }
        try:
            for _ in range(ROUNDS):
                for kind, stage in STAGES.items():
                    before, began = os.getloadavg()[0], time.monotonic()
                    held = max(held, by_engine(site, root, stages, stage))
                    ours = time.monotonic() - began
                    pairs[kind].append((ours, seconds(bare[kind])))
                    said = f"{kind:8} {ours:5.1f} s by homewright apply, {pairs[kind][-1][1]:5.1f} s bare"
                    print(f"{said}, at loads of {before:.1f} and {os.getloadavg()[0]:.1f}", flush=True)
            as_it_comes = seconds(lambda: bare_ansible(hosts, files["ansible"], accelerate=False))
        finally:
            for stage in STAGES.values():
                homewright(site, state, "--stages", str(stages), "rollback", stage, "--yes", "--plain")
    print(f"{TASKS} tasks of {WAIT_S} s on {len(practice.site.servers)} servers, at a load of {load:.1f} before")
    for kind, measured in pairs.items():
        ours, tool = (statistics.median(values) for values in zip(*measured, strict=True))
        share = statistics.median(one / other - 1 for one, other in measured)
        verdict = "met" if share <= GOAL_SHARE else "missed"
        print(f"{kind:8} {ours:5.1f} s by homewright apply, {tool:5.1f} s bare: {ours - tool:+.1f} s, "
              f"{share:+.1%} (median of {ROUNDS} pairs), goal {GOAL_SHARE:+.0%}: {verdict}")  # fmt: skip
    print(f"ansible-runner as it comes: {as_it_comes:.1f} s, once")
    most_mib = held / (1 << 20)
    print(f"the engine held {most_mib:.0f} MiB, goal {GOAL_MIB} MiB: {'met' if most_mib <= GOAL_MIB else 'missed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
