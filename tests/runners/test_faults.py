"""Every runner against real servers: wrong keys, closed ports, moved fences, cancels, kills."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driving import CONTROLLER, Outcome, Practice

from homewright.engine.events import Event, Kind
from homewright.engine.runners.guard import MARK, Guard

pytestmark = pytest.mark.lab

KINDS = ("python", "pyinfra", "ansible")
PLAIN = pytest.param("plain ansible", marks=pytest.mark.long)
"""The fallback where Mitogen does not fit; its slower cases belong to the campaigns."""
ONE = ["ansible", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("python", "pyinfra"))]
"""For faults that the runners' shared frame answers: tried with one of them, with all by the campaigns."""
MARKED = "HOMEWRIGHT_RUNNER"
"""What the engine marks everything with that a runner starts here."""


def step(folder: Path, kind: str, command: str, times: int = 1) -> Path:
    """A step that runs a command as root, so many times, each as a task of its own."""
    names = [f"task {number}" for number in range(times)]
    if kind == "python":
        text = "def run(host):\n" + "".join(
            f"    with host.task({name!r}) as task:\n        host.run({command!r}, timeout=None)\n"
            "        task.changed = True\n"
            for name in names
        )
    elif kind == "pyinfra":
        text = "from pyinfra.operations import server\n" + "".join(
            f"server.shell(name={name!r}, commands=[{command!r}], _sudo=True)\n" for name in names
        )
    else:
        text = "- hosts: servers\n  gather_facts: false\n  become: true\n  tasks:\n" + "".join(
            f"    - name: {name}\n      ansible.builtin.shell:\n        cmd: {json.dumps(command)}\n" for name in names
        )
    file = folder / ("10_step.yaml" if kind == "ansible" else "10_step.py")
    file.write_text(text)
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_a_command_fails_on_one_host(practice: Practice, tmp_path: Path, kind: str) -> None:
    victim, *others = practice.names
    file = step(tmp_path, kind, f'[ "$(hostname)" != {victim} ] || {{ echo broken thing >&2; exit 3; }}')
    outcome = practice.drive(kind, file)
    assert outcome.states == {victim: "failed"} | dict.fromkeys(others, "succeeded")
    assert "broken thing" in outcome.reasons[victim]
    assert "broken thing" in outcome.lines(victim)
    assert {outcome.changed[name] for name in others} == {1}
    assert outcome.exit_code == 0


@pytest.mark.parametrize("kind", ONE)
def test_a_host_that_is_down_does_not_stop_the_others(practice: Practice, tmp_path: Path, kind: str) -> None:
    victim, *others = practice.names
    outcome = practice.drive(kind, step(tmp_path, kind, "true"), places={victim: {"port": 1}})
    assert outcome.states == {victim: "unreachable"} | dict.fromkeys(others, "succeeded")
    assert outcome.reasons[victim]


@pytest.mark.parametrize("kind", [*KINDS, PLAIN])
def test_a_changed_host_key_is_refused(practice: Practice, tmp_path: Path, kind: str) -> None:
    """The key that is trusted is another than the server's: nothing is run there, by no tool."""
    victim, other = practice.site.servers[:2]
    stranger = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(stranger)], check=True)
    lines = practice.state.known_hosts.read_text().splitlines()
    kept = [line for line in lines if line.split()[0] != victim.address]
    assert len(kept) < len(lines)
    known = tmp_path / "known_hosts"
    known.write_text("\n".join([*kept, f"{victim.address} {stranger.with_suffix('.pub').read_text()}"]))
    more = {"accelerate": False} if kind == "plain ansible" else {}
    kind = kind.split()[-1]
    practice.on(victim.name, "rm -f /tmp/touched")
    file = step(tmp_path, kind, "touch /tmp/touched")
    outcome = practice.drive(kind, file, hosts=[victim.name, other.name], known_hosts=str(known), **more)
    assert outcome.states == {victim.name: "unreachable", other.name: "succeeded"}
    assert practice.on(victim.name, "ls /tmp/touched 2>/dev/null", check=False) == ""
    assert known.read_text().count(victim.address) == 1


@pytest.mark.parametrize("kind", [*KINDS, "plain ansible"])
def test_what_a_step_starts_is_marked_inside_sudo_too(practice: Practice, tmp_path: Path, kind: str) -> None:
    name = practice.names[0]
    more = {"accelerate": False} if kind == "plain ansible" else {}
    kind = kind.split()[-1]
    file = step(tmp_path, kind, f'[ "$(id -u)" = 0 ] && [ "${MARK}" = {practice.fence} ]')
    assert practice.drive(kind, file, hosts=[name], **more).states == {name: "succeeded"}


@pytest.mark.parametrize("kind", [*KINDS, PLAIN])
def test_commands_are_refused_once_another_run_has_the_server(practice: Practice, tmp_path: Path, kind: str) -> None:
    victim, other = practice.names[:2]
    more = {"accelerate": False} if kind == "plain ansible" else {}
    kind = kind.split()[-1]
    practice.on(victim, "rm -f /tmp/touched")
    file = step(tmp_path, kind, "touch /tmp/touched")
    fence = "/var/lib/homewright/fence.json"
    practice.on(victim, f'cp {fence} {fence}.kept; sed -i \'s/"fence": [0-9]*/"fence": 999999/\' {fence}')
    try:
        outcome = practice.drive(kind, file, hosts=[victim, other], **more)
    finally:
        practice.on(victim, f"mv {fence}.kept {fence}")
    assert outcome.states[victim] in ("failed", "unreachable")
    assert outcome.states[other] == "succeeded"
    assert practice.on(victim, "ls /tmp/touched 2>/dev/null", check=False) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_cancel_lets_the_task_end_and_begins_no_other(practice: Practice, tmp_path: Path, kind: str) -> None:
    name = practice.names[0]
    practice.on(name, "rm -f /tmp/count")
    file = step(tmp_path, kind, "echo begin >>/tmp/count; sleep 1; echo end >>/tmp/count", times=8)

    def cancel(event: Event, process: subprocess.Popen[bytes]) -> None:
        if event.kind == Kind.TASK_STARTED and event.text == "task 1":
            process.send_signal(signal.SIGTERM)

    outcome = practice.drive(kind, file, hosts=[name], on_event=cancel)
    assert outcome.states == {name: "cancelled"}
    count = practice.on(name, "cat /tmp/count").split()
    assert count.count("begin") == count.count("end") < 8


@pytest.mark.parametrize("kind", [*KINDS, PLAIN])
def test_killed_it_leaves_nothing_here_and_what_is_left_there_is_swept(
    practice: Practice, tmp_path: Path, kind: str
) -> None:
    """kill -9 of the runner in the middle of a command: its children end by themselves, ssh, forks and playbook too.

    The command on the server may go on; the next run's fence ends it.
    """
    name = practice.names[0]
    more = {"accelerate": False} if kind == "plain ansible" else {}
    kind = kind.split()[-1]
    file = step(tmp_path, kind, "sleep 4242")
    with marked(f"test-{os.getpid()}-{time.monotonic_ns()}") as mark:
        process, reader = practice.start(kind, practice.request(file, hosts=[name], **more))
        try:
            wait_for(lambda: "sleep 4242" in practice.on(name, "pgrep -af '^sleep 4242'", check=False), "it runs there")
            assert found(mark)
            process.kill()
            process.wait()
            wait_for(lambda: not found(mark), "nothing of it is left here")
        finally:
            process.kill()
            os.close(reader)
    practice.hold()
    practice.on(name, Guard(CONTROLLER, practice.fence).sweep(patience_s=2))
    assert practice.on(name, "pgrep -f '^sleep 4242'", check=False) == ""


@pytest.mark.parametrize("kind", ONE)
def test_no_secret_of_ours_reaches_a_process_or_a_file(practice: Practice, tmp_path: Path, kind: str) -> None:
    """A token in our environment: it is in no child's environment or arguments, and in no file of the step."""
    canary = "canary-7d1f"
    seen: list[str] = []

    def sample(_event: Event, process: subprocess.Popen[bytes]) -> None:
        for pid in found(mark):
            with contextlib.suppress(OSError):
                seen.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace"))
                if pid != process.pid:  # the runner's own is the engine's doing, which gives it next to nothing
                    seen.append(Path(f"/proc/{pid}/environ").read_text(errors="replace"))

    os.environ["SOME_TOKEN"] = canary
    try:
        with marked(f"secrets-{time.monotonic_ns()}") as mark:
            outcome: Outcome = practice.drive(kind, step(tmp_path, kind, "true", times=3), on_event=sample)
    finally:
        del os.environ["SOME_TOKEN"]
    assert len(seen) > 2
    assert set(outcome.states.values()) == {"succeeded"}
    assert not [text for text in seen if canary in text]
    for file in practice.work.rglob("*"):
        assert not file.is_file() or canary not in file.read_text(errors="replace"), file


@contextlib.contextmanager
def marked(mark: str) -> Iterator[str]:
    os.environ[MARKED] = mark
    try:
        yield mark
    finally:
        del os.environ[MARKED]


def found(mark: str) -> list[int]:
    result = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"{MARKED}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    result.append(int(entry.name))
    return result


def wait_for(condition: Callable[[], bool], what: str, limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"within {limit_s:g} s: {what}"
        time.sleep(0.05)
