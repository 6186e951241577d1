"""What every runner does whatever its step does: tried without any server, by steps that never connect."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from driving import Outcome, Practice

from homewright.engine.events import Event, Kind
from homewright.engine.runners.protocol import MAX_TEXT, cut
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

pytestmark = pytest.mark.programs

SITE = Site(
    name="nowhere",
    servers=(
        Server(name="one", address="127.0.0.1", user="nobody", port=1),
        Server(name="two", address="127.0.0.2", user="nobody", port=1),
    ),
)


@pytest.fixture
def nowhere(tmp_path: Path) -> Practice:
    """A site whose servers nobody answers for."""
    return Practice(SITE, StateFolder(tmp_path).create(), tmp_path, fence=1)


@pytest.fixture
def step(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "10_step.py"
        file.write_text(text)
        return file

    return write


def test_stray_output_becomes_lines_and_long_ones_are_cut(nowhere: Practice, step: Callable[[str], Path]) -> None:
    file = step(
        "import os, subprocess\n"
        "def run(host):\n"
        "    print('from Python')\n"
        "    os.write(2, b'from a library\\n')\n"
        "    subprocess.run(['sh', '-c', 'echo from a child'])\n"
        "    host.say('x' * 200_000)\n"
        "    print('y' * 200_000)\n"
        "    print('without an end', end='')\n"
    )
    outcome = nowhere.drive("python", file, hosts=["one"])
    lines = outcome.lines()
    assert {"from Python", "from a library", "from a child", "without an end"} <= set(lines)
    assert max(len(line) for line in lines) < MAX_TEXT + 50
    assert f"[{200_000 - MAX_TEXT} more characters]" in next(line for line in lines if line.startswith("x"))
    assert outcome.states == {"one": "succeeded"}
    assert outcome.exit_code == 0


def test_cut_says_how_much_is_missing() -> None:
    assert cut("a" * MAX_TEXT) == "a" * MAX_TEXT
    assert cut("a" * (MAX_TEXT + 1)).endswith("… [1 more characters]")


def test_one_hosts_failure_does_not_stop_the_others(nowhere: Practice, step: Callable[[str], Path]) -> None:
    file = step("def run(host):\n    if host.name == 'one':\n        raise ValueError('no good')\n")
    outcome = nowhere.drive("python", file)
    assert outcome.states == {"one": "failed", "two": "succeeded"}
    assert outcome.reasons["one"] == "10_step.py, line 3: ValueError: no good"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def run(host)\n    pass\n", "10_step.py, line 1: expected ':'"),
        ("def walk(host):\n    pass\n", "10_step.py has no function run."),
        (
            "import nothing_of_this_name\n",
            "10_step.py, line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
    ],
)
def test_a_wrong_file_fails_every_host_by_file_and_line(
    nowhere: Practice, step: Callable[[str], Path], text: str, reason: str
) -> None:
    outcome = nowhere.drive("python", step(text))
    assert outcome.reasons == {"one": reason, "two": reason}


def test_pyinfra_file_with_a_syntax_error_is_told_by_line(nowhere: Practice, step: Callable[[str], Path]) -> None:
    outcome = nowhere.drive("pyinfra", step("x = 1\nif x\n"))
    assert set(outcome.states.values()) == {"failed"}
    assert outcome.reasons["one"] == "10_step.py, line 2: expected ':'"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("- hosts: servers\n  tasks:\n    - name: a\n     command: b\n", "line 4"),
        ("- hosts: servers\n  gather_facts: false\n  tasks:\n    - no_such_module: {}\n", "line 4"),
    ],
)
def test_playbook_with_a_mistake_is_told_by_file_and_line(
    nowhere: Practice, tmp_path: Path, text: str, where: str
) -> None:
    file = tmp_path / "10_play.yaml"
    file.write_text(text)
    outcome = nowhere.drive("ansible", file)
    assert set(outcome.states.values()) == {"failed"}
    assert outcome.reasons["one"].startswith(f"10_play.yaml, {where}: ")


def test_a_proof_that_cannot_reach_its_host_cannot_tell(nowhere: Practice, step: Callable[[str], Path]) -> None:
    ssh_key(nowhere)
    outcome = nowhere.drive("python", step("def verify(host):\n    host.run('true')\n"), "verify")
    assert {verdict for verdict, _ in outcome.verdicts.values()} == {"cannot-tell"}
    assert outcome.states == {"one": "unreachable", "two": "unreachable"}


def test_a_proof_with_a_mistake_cannot_tell_either(nowhere: Practice, step: Callable[[str], Path]) -> None:
    outcome = nowhere.drive("python", step("def verify(host):\n    return True\n"), "verify", hosts=["one"])
    verdict, reason = outcome.verdicts["one"]
    assert verdict == "cannot-tell"
    assert "not a Proof" in reason


def test_a_request_that_cannot_be_read_ends_with_2(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text('{"version": 99}')
    process, reader = Practice(SITE, StateFolder(tmp_path), tmp_path).start("python", request)
    os.close(reader)
    assert process.wait(timeout=20) == 2


def test_a_runner_dies_with_its_engine(nowhere: Practice, step: Callable[[str], Path], tmp_path: Path) -> None:
    """The engine's stand-in is killed outright; its runner waits for ever, and is gone all the same."""
    note = tmp_path / "pid"
    wait = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    request = nowhere.request(step(f"def run(host):\n    {wait}\n"), hosts=["one"])
    script = (
        "import os, subprocess, sys, time\n"
        "reader, writer = os.pipe()\n"
        "child = subprocess.Popen([sys.executable, '-m', 'homewright.engine.child', str(writer), str(os.getpid()),"
        f" 'homewright.engine.runners.python', {str(request)!r}], pass_fds=(writer,), start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    engine = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    runner = int(engine.stdout.readline())
    wait_for(lambda: note.exists() and note.read_text() != "", "the step began")
    engine.kill()
    engine.wait()
    engine.stdout.close()
    wait_for(lambda: not alive(runner), "the runner is gone")


def test_cancel_is_heeded_between_tasks(nowhere: Practice, step: Callable[[str], Path]) -> None:
    file = step(
        "import time\n"
        "def run(host):\n"
        "    for number in range(100):\n"
        "        with host.task(f'task {number}'):\n"
        "            time.sleep(0.2)\n"
    )

    def cancel(event: Event, process: subprocess.Popen[bytes]) -> None:
        if event.kind == Kind.TASK_STARTED and event.text == "task 2":
            process.send_signal(signal.SIGTERM)

    outcome = nowhere.drive("python", file, hosts=["one"], on_event=cancel)
    assert outcome.states == {"one": "cancelled"}
    begun, ended = outcome.of(Kind.TASK_STARTED), outcome.of(Kind.TASK_FINISHED)
    assert len(begun) == len(ended) < 10
    assert {event.data["result"] for event in ended} == {"ok"}


def test_changes_are_counted_by_tasks(nowhere: Practice, step: Callable[[str], Path]) -> None:
    file = step(
        "def run(host):\n"
        "    with host.task('a') as task:\n        task.changed = True\n"
        "    with host.task('b'):\n        pass\n"
    )
    outcome: Outcome = nowhere.drive("python", file, hosts=["one"])
    assert outcome.changed == {"one": 1}
    assert [event.data["result"] for event in outcome.of(Kind.TASK_FINISHED)] == ["changed", "ok"]


def test_every_event_is_one_json_line_for_its_step(nowhere: Practice, step: Callable[[str], Path]) -> None:
    outcome = nowhere.drive("python", step("def run(host):\n    host.say('a\\nb\\u2028c\\udcff')\n"), hosts=["one"])
    assert {event.step for event in outcome.events} == {"00/00"}
    for event in outcome.events:
        assert "\n" not in json.dumps(event.text, ensure_ascii=False)
    assert "a" in outcome.lines("one")


def ssh_key(practice: Practice) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(practice.state.key)], check=True)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_for(condition: Callable[[], bool], what: str, limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"within {limit_s:g} s: {what}"
        time.sleep(0.02)
