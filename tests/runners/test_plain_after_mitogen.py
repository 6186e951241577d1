"""A play that Mitogen could not begin goes on over plain SSH. An ssh of the test's runs its command on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from driving import CONTROLLER, Outcome, Practice

from homewright.engine.events import Event, Kind
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

pytestmark = pytest.mark.programs

RUNNER = """
import sys
from homewright.engine.runners import guard
guard.FENCE_FILE = sys.argv.pop(1)
from homewright.engine.runners.ansible import work
from homewright.engine.runners.protocol import run
sys.exit(run(work))
"""
SSH = """#!/bin/sh
case " $* " in *" -M "*) exit 1 ;; esac
while [ "$1" != 127.0.0.1 ]; do shift; done
shift
[ $# -eq 1 ] || [ ! -e {broken} ] || {{ echo "no process for you" >&2; exit 254; }}
exec sh -c "$*"
"""
"""Mitogen gives it its command as several words, Ansible as one."""
PLAY = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: only task
      ansible.builtin.shell:
        cmd: echo {mark} >>{file}
"""


@pytest.fixture
def practice(tmp_path: Path) -> Practice:
    site = Site(name="here", servers=(Server(name="one", address="127.0.0.1", user="root", port=1),))
    return Practice(site, StateFolder(tmp_path / "state").create(), tmp_path, fence=7)


@pytest.mark.parametrize("broken", [False, True])
def test_what_mitogen_could_not_begin(
    practice: Practice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    fence = tmp_path / "fence.json"
    fence.write_text(json.dumps({"controller": CONTROLLER, "fence": 7}))
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(SSH.format(broken=tmp_path / "broken"))
    ssh.chmod(0o755)
    if broken:
        (tmp_path / "broken").touch()
    monkeypatch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")
    play = tmp_path / "10_play.yaml"
    play.write_text(PLAY.format(mark="done", file=tmp_path / "effect"))
    outcome = Outcome()
    events = tmp_path / "events"
    with events.open("wb") as stream:
        command = [sys.executable, "-c", RUNNER, str(fence), str(practice.request(play))]
        subprocess.run(["sh", "-c", 'exec 3>&1 >/dev/null; exec "$@"', "-", *command], stdout=stream, check=True)
    outcome.events = [Event.from_json(line) for line in events.read_bytes().splitlines()]
    assert outcome.states == {"one": "succeeded"}, outcome.events
    assert outcome.changed == {"one": 1}
    assert (tmp_path / "effect").read_text() == "done\n"
    retries = [event for event in outcome.events if event.kind == Kind.RETRY]
    assert [event.host for event in retries] == (["one"] if broken else [])
    assert all("plain SSH" in event.text and "no process for you" in event.text for event in retries)
