"""`make try` line by line, and that no secret of it is in argv, environment, journal, artifacts or logs anywhere."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import ssl
import subprocess
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import pytest
from integration.leaks import assert_nowhere
from integration.sampling import ProcessSampler
from practice_lab import MAKE_TRY, Lab

from homewright.site import files

pytestmark = pytest.mark.lab


def shown_workspace(lab: Lab, user: str) -> str:
    shown = lab.run("workspace", "show", user, "--json")
    shown.check_returncode()
    return shown.stdout


def assert_names_lead_everywhere(lab: Lab, workspace: dict[str, Any]) -> None:
    """Every server and every instance finds the workspace by its name, and each other one by its own."""
    site = files.load(lab.site_file)
    zone, node = str(site.zone), site.server(workspace["node"])
    wanted = {str(urlsplit(workspace["by_name"]).hostname): node.address}
    wanted |= {f"{one.name}.{zone}": one.address for one in site.servers}
    names = [*wanted, *(f"{one.name}-node.{zone}" for one in site.servers)]
    look = "; ".join(f"echo {name} $(getent ahostsv4 {name} | cut -d' ' -f1 | sort -u)" for name in names)
    said = {
        lab.on(server, f"{inside} sh -c {shlex.quote(look)}")
        for server in lab.servers
        for inside in ("", f"lxc exec {server}-node --")
    }
    assert len(said) == 1, said
    found = dict(line.split(" ") for line in said.pop().splitlines())
    assert {name: found[name] for name in wanted} == wanted
    assert all(found[name] for name in names)


@pytest.mark.parametrize(
    "anew",
    [pytest.param(True, marks=pytest.mark.long, id="from nothing"), pytest.param(False, id="on servers as they are")],
)
def test_make_try_ends_with_a_workspace_and_no_secret_leaks(lab: Lab, anew: bool) -> None:
    """By password each time. What the wizard has just done there (tests/screens/test_tmux.py) is proved once more."""
    if anew or not lab.state.root.exists():
        lab.before_first_contact()
    else:
        lab.forget_first_contact()
    user = pwd.getpwuid(os.geteuid()).pw_name
    with ProcessSampler() as sampler:
        environment = {**lab.make_environment, "YES": "1"}
        tried = subprocess.run(
            MAKE_TRY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
        )
        assert tried.returncode == 0, tried.stdout + tried.stderr
        shown = lab.run("workspace", "show", user, "--password", "--json")
        shown.check_returncode()
    address = tried.stdout.splitlines()[-1]
    authority = ssl.create_default_context(cafile=str(lab.state.authority / "ca.crt"))
    with urllib.request.urlopen(f"{address.rstrip('/')}/healthz", context=authority, timeout=30) as answer:
        assert "status" in json.load(answer), "what make try printed last is the workspace's address"
    assert_names_lead_everywhere(lab, json.loads(shown_workspace(lab, user))["workspace"])
    assert_nowhere(lab, sampler, json.loads(shown.stdout)["password"])
    lab.remove_workspaces()
