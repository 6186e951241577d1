"""What Ansible is given, and what is made of its events: pure functions, tables of cases."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from homewright.engine.events import Event, Kind
from homewright.engine.lines import describe
from homewright.engine.runners.ansible import remove_stale
from homewright.engine.runners.ansible_events import Translator, reason_of, shown_output
from homewright.engine.runners.ansible_files import accelerated, environment, inventory
from homewright.engine.runners.protocol import Ledger
from homewright.engine.runners.request import StepRequest


@pytest.fixture
def request_(tmp_path: Path) -> StepRequest:
    return StepRequest.model_validate(
        {
            "run": "r",
            "step": "00/40",
            "action": "run",
            "file": "/x.yaml",
            "hosts": [
                {
                    "name": "one",
                    "address": "10.0.0.1",
                    "port": 22,
                    "user": "me",
                    "groups": ["servers", "gpu_hosts"],
                    "capture": {"text": "{{ 1 + 1 }}"},
                }
            ],
            "site": {
                "name": "s",
                "environment": {"A": "{{ lookup('pipe', 'id') }}", "B": 'quote " and \\ and: #'},
                "servers": [
                    {"name": "one", "address": "10.0.0.1", "user": "me", "port": 22},
                    {"name": "two", "address": "10.0.0.2", "user": "you", "port": 2222},
                ],
            },
            "key_file": "/a b/key",
            "known_hosts": "/a b/known",
            "secrets_file": "/a b/secrets",
            "work": str(tmp_path),
            "fence": 4,
            "controller": "us",
        }
    )


def parsed(text: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.constructor.add_constructor("!unsafe", lambda loader, node: ("unsafe", node.value))
    return yaml.load(text)


def test_inventory_has_all_servers_and_the_hosts_groups(request_: StepRequest) -> None:
    everything = parsed(inventory(request_, mitogen=True))["all"]
    assert sorted(everything["hosts"]) == ["one", "two"]
    assert everything["hosts"]["two"]["ansible_port"] == 2222
    assert everything["children"]["servers"]["hosts"] == {"one": {}, "two": {}}
    assert everything["children"]["gpu_hosts"]["hosts"] == {"one": {}}


def test_answers_are_never_templates(request_: StepRequest) -> None:
    everything = parsed(inventory(request_, mitogen=True))["all"]
    assert everything["vars"]["site"]["environment"] == {
        "A": ("unsafe", "{{ lookup('pipe', 'id') }}"),
        "B": 'quote " and \\ and: #',
    }
    assert everything["hosts"]["one"]["capture"]["text"] == ("unsafe", "{{ 1 + 1 }}")


@pytest.mark.parametrize("mitogen", [True, False])
def test_connections_are_strict_and_leave_no_master(request_: StepRequest, mitogen: bool) -> None:
    arguments = parsed(inventory(request_, mitogen=mitogen))["all"]["hosts"]["one"]["ansible_ssh_args"]
    for option in ("StrictHostKeyChecking=yes", 'UserKnownHostsFile="/a b/known"', "ControlMaster=no", "-F none"):
        assert option in arguments


def test_nothing_of_our_environment_but_places_goes_along(request_: StepRequest, tmp_path: Path) -> None:
    outer = {"PATH": "/bin", "HOME": "/h", "TOKEN": "canary", "SSH_AUTH_SOCK": "/agent", "ANSIBLE_CONFIG": "/evil"}
    given = environment(request_, outer, tmp_path, None)
    assert "canary" not in str(given)
    assert "SSH_AUTH_SOCK" not in given
    assert given["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")
    assert given["ANSIBLE_HOST_KEY_CHECKING"] == "True"
    assert "ANSIBLE_STRATEGY" not in given
    assert environment(request_, outer, tmp_path, Path("/m"))["ANSIBLE_STRATEGY"] == "mitogen_linear"


def test_mitogen_has_time_for_all_that_the_others_have_a_limit_each_for(request_: StepRequest, tmp_path: Path) -> None:
    """Its limit is one for connection, sign-in and a Python that answers; one that is off is told by ssh's own."""
    plain, quick = (environment(request_, {}, tmp_path, strategy) for strategy in (None, Path("/m")))
    assert int(quick["ANSIBLE_TIMEOUT"]) == 3 * int(plain["ANSIBLE_TIMEOUT"])
    arguments = parsed(inventory(request_, mitogen=True))["all"]["hosts"]["one"]["ansible_ssh_args"]
    assert f"ConnectTimeout={plain['ANSIBLE_TIMEOUT']}" in arguments


@pytest.mark.parametrize(
    ("version", "fits"), [("2.15.9", False), ("2.16.0", True), ("2.19.14", True), ("2.20.0", False), ("2.9.1", False)]
)
def test_mitogen_only_where_it_was_tried(version: str, fits: bool) -> None:
    assert accelerated(version) is fits


def told(*events: Mapping[str, Any], cancelled: bool = False, exit_code: int = 0, proves: bool = False) -> list[Event]:
    reader, writer = os.pipe()
    translator = Translator(Ledger(writer, "00/40"), ["one", "two"], proves=proves)
    for event in events:
        translator.take(event)
    translator.exit_code = exit_code
    translator.finish(cancelled=cancelled)
    os.close(writer)
    with os.fdopen(reader, "rb") as lines:
        return [Event.from_json(line) for line in lines]


def result(kind: str, host: str = "one", task: str = "T", **res: Any) -> dict[str, Any]:
    return {"event": f"runner_on_{kind}", "event_data": {"host": host, "task": task, "res": res}}


GATHERED = {
    "event": "runner_on_ok",
    "event_data": {"host": "one", "task": "Gathering Facts", "task_action": "ansible.builtin.gather_facts", "res": {}},
}
STATS = {"event": "playbook_on_stats", "event_data": {}}


def ends(events: list[Event]) -> dict[str, tuple[str, int, str]]:
    finished = [event for event in events if event.kind == Kind.HOST_FINISHED]
    return {event.host: (event.data["state"], event.data["changed"], event.data["reason"]) for event in finished}


def test_changes_are_counted_and_failures_have_reasons() -> None:
    events = told(
        result("ok", changed=True),
        result("ok", changed=False),
        result("failed", "two", msg="no", stderr="a\nb\nc\nd"),
        STATS,
        exit_code=2,
    )
    assert ends(events) == {"one": ("succeeded", 1, ""), "two": ("failed", 0, "T: no: b c d")}


def test_unreachable_is_its_own_state() -> None:
    assert ends(told(result("unreachable", msg="gone"), STATS, exit_code=4))["one"] == ("unreachable", 0, "T: gone")


def test_hidden_output_stays_hidden() -> None:
    events = told(result("failed", censored="hidden", stdout="secret", msg="secret"), STATS, exit_code=2)
    assert "secret" not in str(events)
    assert ends(events)["one"][2] == "T: its output is hidden (no_log)"


def test_a_play_that_never_began_names_file_and_line() -> None:
    error = {"event": "error", "stdout": "\x1b[0;31m[ERROR]: bad thing\nOrigin: /a/b/10_x.yaml:7:3\n\n7 x\x1b[0m"}
    assert set(ends(told(error, exit_code=4)).values()) == {("failed", 0, "10_x.yaml, line 7: bad thing")}


def test_cancelled_hosts_are_told_as_such() -> None:
    assert ends(told(result("ok"), STATS, cancelled=True))["one"][0] == "cancelled"


def test_a_retry_is_told() -> None:
    retry = {"event": "runner_retry", "event_data": {"host": "one", "task": "T", "res": {"attempts": 2, "msg": "busy"}}}
    (event,) = (event for event in told(retry, STATS) if event.kind == Kind.RETRY)
    assert (event.text, event.data["attempt"]) == ("T: busy", 3)
    assert describe(event) == "one: T: busy; trying again (attempt 3)"


def test_a_failure_that_the_playbook_rescued_is_none() -> None:
    stats = {"event": "playbook_on_stats", "event_data": {"failures": {"two": 1}, "dark": {}, "rescued": {"one": 1}}}
    events = told(result("failed", msg="no"), result("ok", changed=True), result("failed", "two"), stats, exit_code=2)
    assert ends(events) == {"one": ("succeeded", 1, ""), "two": ("failed", 0, "T: it gave no reason")}


@pytest.mark.parametrize(
    ("before", "first", "again"),
    [
        ([], result("failed", msg="Error executing command.", rc=11), ["one"]),
        ([], result("unreachable", msg="EOF on stream; last 100 lines received:\nKilled"), ["one"]),
        ([], result("failed", msg="non-zero return code", stderr="disk full"), []),
        ([], result("unreachable", msg="EOF on stream; homewright: another run holds this server now"), []),
        ([], result("unreachable", msg="EOF on stream; ssh: connect to host x port 1: Connection refused"), []),
        ([], result("ok"), []),
        ([result("ok", task="before")], result("failed", msg="Error executing command.", rc=11), []),
    ],
)
def test_only_what_mitogen_could_not_begin_is_tried_by_plain_ssh(
    before: list[dict[str, Any]], first: dict[str, Any], again: list[str]
) -> None:
    with Path(os.devnull).open("wb") as nowhere:
        translator = Translator(Ledger(nowhere.fileno(), "00/40"), ["one", "two"])
        for event in (*before, first, STATS):
            translator.take(event)
        assert translator.never_began() == again


@pytest.mark.parametrize(
    ("events", "verdict", "words"),
    [
        ([result("ok"), result("ok"), STATS], "proved", "All 2 tasks of the playbook ended well."),
        ([result("ok"), result("failed", msg="no answer"), STATS], "broken", "T: no answer"),
        ([result("ok", changed=True), STATS], "broken", "is a proof and changed one (1 tasks)"),
        ([STATS], "cannot-tell", "has no task for one"),
        ([GATHERED, result("skipped"), STATS], "cannot-tell", "No task of the playbook looked at one"),
        ([GATHERED, result("ok"), result("skipped"), STATS], "proved", "All 1 tasks"),
        ([], "cannot-tell", "ansible-playbook said nothing"),
    ],
)
def test_a_playbook_that_proves_says_so_of_every_host(events: list[dict[str, Any]], verdict: str, words: str) -> None:
    said = told(*events, proves=True)
    found = {event.host: event for event in said if event.kind == Kind.VERIFY}
    assert (found["one"].data["verdict"], words in found["one"].text) == (verdict, True), found["one"].text
    assert ends(said)["one"] == ("succeeded", 0, "")


def test_a_playbook_that_proves_does_not_reach_every_host() -> None:
    said = told(result("unreachable", msg="away"), STATS, proves=True)
    assert [event for event in said if event.kind == Kind.VERIFY and event.host == "one"] == []
    assert ends(said)["one"] == ("unreachable", 0, "T: away")


BOOM = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={})
module.fail_json(msg="Error executing command.", rc=12, exception=OSError(12, "Cannot allocate memory", "/bin/sh"))
"""
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - boom:
      register: said
      ignore_errors: true
    - debug:
        msg: "it was {{ said.exception }}"
"""


@pytest.mark.programs
def test_a_failed_module_says_what_was_raised(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "boom.py").write_text(BOOM)
    (tmp_path / "play.yaml").write_text(PLAY)
    words = ["-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    given = {"HOMEWRIGHT_CANCEL_FILE": str(tmp_path / "cancel"), "ANSIBLE_LIBRARY": str(tmp_path / "library")}
    done = subprocess.run(
        [sys.executable, "-m", "homewright.engine.runners.playbook", *words, str(tmp_path / "play.yaml")],
        env={**os.environ, **given, "ANSIBLE_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "it was Task failed: Module failed: Error executing command: [Errno 12] Cannot allocate memory: '/bin/sh'"
        in done.stdout
    )


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ({}, "it gave no reason"),
        ({"msg": "m"}, "m"),
        ({"results": [{"failed": False, "msg": "x"}, {"failed": True, "msg": "y"}]}, "y"),
        ({"msg": "m", "exception": "Traceback\n  line\nOSError: 28"}, "m: OSError: 28"),
        ({"msg": "m.", "exception": "Task failed: Module failed: m: [Errno 28] full"}, "m: [Errno 28] full"),
        ({"msg": "m.", "exception": "(traceback unavailable)"}, "m."),
        ({"msg": "m", "stderr": "why", "exception": "m"}, "m: why"),
        (
            {"msg": "Task failed: EOF; last lines:\ngone", "exception": "Task failed: EOF; last lines:\ngone"},
            "EOF; last lines:\ngone",
        ),
    ],
)
def test_reasons(output: dict[str, Any], reason: str) -> None:
    assert reason_of(output) == reason


def test_a_long_output_is_shortened_in_the_middle() -> None:
    lines = shown_output({"stdout": "\n".join(map(str, range(1000)))})
    assert len(lines) <= 61
    assert lines[0] == "0"
    assert lines[-1] == "999"


def test_root_needs_no_sudo(request_: StepRequest) -> None:
    as_root = request_.model_copy(update={"hosts": (request_.hosts[0].model_copy(update={"user": "root"}),)})
    hosts = parsed(inventory(as_root, mitogen=True))["all"]["hosts"]
    assert hosts["one"]["ansible_become"] is False
    assert "ansible_become" not in hosts["two"]


def test_what_a_killed_runner_left_in_tmp_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    names = [f"homewright-ansible-{gone.pid}-a", f"homewright-ansible-{os.getpid()}-b", "homewright-ansible-else", "x"]
    for name in names:
        (tmp_path / name).mkdir()
    remove_stale()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])
