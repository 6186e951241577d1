"""A playbook of 20 tasks on three practice servers: our ansible runner against plain ansible-playbook, in one run.

The tasks have nothing left to do, so that what is measured is the way there. Goals: at most 0.35 of plain
ansible-playbook's time where Mitogen fits, at most 1.4 over plain SSH (ansible-runner alone costs up to 1.35).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from driving import Practice  # noqa: E402 - the tests drive runners as the engine does; they are no package
from practice_lab import own_lab  # noqa: E402 - as above

from homewright.access import openssh  # noqa: E402 - as above
from homewright.access.endpoint import Endpoint  # noqa: E402 - as above

ROUNDS = 3
TASKS = 20
GOALS = {"with Mitogen": 0.35, "over plain SSH": 1.4}


def playbook(folder: Path) -> Path:
    """Twenty copies of small files."""
    tasks = "".join(
        f"    - name: File {number}\n      ansible.builtin.copy:\n"
        f"        content: 'number {number}'\n        dest: /tmp/homewright-bench-{number}\n        mode: '0644'\n"
        for number in range(TASKS)
    )
    file = folder / "10_bench.yaml"
    file.write_text(f"- name: Benchmark\n  hosts: servers\n  gather_facts: false\n  tasks:\n{tasks}")
    return file


def inventory(practice: Practice, folder: Path) -> Path:
    """The servers for any Ansible: the key and the host keys are the site's, all else as it comes."""
    lines = []
    for server in practice.site.servers:
        endpoint = Endpoint.of(server, practice.state)
        common = shlex.quote(openssh.ansible_ssh_common_args(endpoint))
        lines.append(
            f"{server.name} ansible_host={server.address} ansible_port={server.port} ansible_user={server.user} "
            f"ansible_ssh_common_args={common} ansible_python_interpreter=/usr/bin/python3"
        )
    made = folder / "hosts.ini"
    made.write_text("[servers]\n" + "\n".join(lines) + "\n")
    return made


def plain(practice: Practice, file: Path, folder: Path) -> Callable[[], None]:
    """ansible-playbook with its own settings, but for the key and the host keys."""
    control = folder / "cp"
    control.mkdir()
    settings = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    settings["ANSIBLE_SSH_CONTROL_PATH_DIR"] = str(control)
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory(practice, folder)), str(file)]

    def run() -> None:
        subprocess.run(command, env=settings, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        for master in control.iterdir():
            subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={master}", "x"], capture_output=True)

    return run


def ours(practice: Practice, file: Path, *, accelerate: bool) -> Callable[[], None]:
    """The ansible runner as the engine starts it."""

    def run() -> None:
        outcome = practice.drive("ansible", file, accelerate=accelerate)
        if set(outcome.states.values()) != {"succeeded"}:
            raise RuntimeError(f"the playbook failed: {outcome.reasons}")

    return run


@contextlib.contextmanager
def practice_site() -> Iterator[tuple[Path, Path]]:
    """Site file and state folder of trusted practice servers: three of the benchmarks' own.

    Or those that HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name.
    """
    site, state = os.environ.get("HOMEWRIGHT_TEST_SITE"), os.environ.get("HOMEWRIGHT_TEST_STATE")
    if site and state:
        yield Path(site), Path(state)
        return
    with own_lab("bench") as lab:
        for words in (("lab", "up", "--servers", "3", "--yes"), ("trust", "--all", "--practice")):
            done = lab.run(*words)
            if done.returncode:
                raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        yield lab.site_file, lab.state.root


@contextlib.contextmanager
def practice_servers(folder: Path) -> Iterator[Practice]:
    """The same, held for the benchmark."""
    with practice_site() as (site, state):
        practice = Practice.of(site, state, folder)
        practice.hold()
        yield practice
        practice.give_back()


def main() -> int:
    """Measures in pairs and prints medians and ratios."""
    with tempfile.TemporaryDirectory(prefix="homewright-bench-") as name, practice_servers(Path(name)) as practice:
        folder = Path(name)
        file = playbook(folder)
        runs = {
            "plain": plain(practice, file, folder),
            "with Mitogen": ours(practice, file, accelerate=True),
            "over plain SSH": ours(practice, file, accelerate=False),
        }
        runs["plain"]()  # the files are there from now on
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                begin = time.monotonic()
                run()
                seconds[name].append(time.monotonic() - begin)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    count = len(practice.site.servers)
    print(f"ansible-playbook, {TASKS} tasks, {count} servers: {medians['plain']:.1f} s (median of {ROUNDS})")
    for name, goal in GOALS.items():
        ratio = medians[name] / medians["plain"]
        verdict = "met" if ratio <= goal else "missed"
        print(f"our ansible runner {name}: {medians[name]:.1f} s, ratio {ratio:.2f}, goal {goal:.2f}: {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
