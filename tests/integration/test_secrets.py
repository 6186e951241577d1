"""`make try` line by line, and that no secret of it is in argv, environment, journal, artifacts or logs anywhere."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from integration.sampling import ProcessSampler, forms
from practice_lab import MAKE_TRY, Lab

from homewright.site import files

pytestmark = pytest.mark.lab

HOLDERS = ("secrets.json", "id_ed25519", "ca.key", "lab.json")
"""Files whose job is to hold secrets; all of them must be 0600."""
SERVER_FOLDERS = "/etc/homewright /var/log /var/lib/homewright /tmp /var/tmp /home /srv /root"


def key_lines(pem: str) -> list[str]:
    """The lines of a private key that are the key's own (the first is the same for all keys of its kind)."""
    return [line for line in pem.splitlines() if line and not line.startswith("-----")][1:-1]


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


def test_make_try_ends_with_a_workspace_and_no_secret_leaks(lab: Lab) -> None:
    lab.before_first_contact()  # other tests may have been there, and then the password would not be used at all
    user = pwd.getpwuid(os.geteuid()).pw_name
    with ProcessSampler() as sampler:
        environment = {**lab.make_environment, "YES": "1"}
        tried = subprocess.run(
            MAKE_TRY, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
        )
        assert tried.returncode == 0, tried.stdout + tried.stderr
        shown = lab.run("workspace", "show", user, "--password", "--json")
        shown.check_returncode()
    assert sampler.rounds > 20
    address = tried.stdout.splitlines()[-1]
    authority = ssl.create_default_context(cafile=str(lab.state.authority / "ca.crt"))
    with urllib.request.urlopen(f"{address.rstrip('/')}/healthz", context=authority, timeout=30) as answer:
        assert "status" in json.load(answer), "what make try printed last is the workspace's address"
    assert_names_lead_everywhere(lab, json.loads(shown_workspace(lab, user))["workspace"])
    password = json.loads(shown.stdout)["password"]
    state: Path = lab.state.root
    secrets = [lab.password, password]
    for file in ("id_ed25519", "ca/ca.key"):
        lines = key_lines((state / file).read_text())
        assert lines, file
        secrets += lines
    needles = [form for secret in secrets for form in forms(secret)]

    in_processes = [content for content in sampler.seen if any(needle in content for needle in needles)]
    assert in_processes == []

    for root in lab.folders:
        for file in root.rglob("*"):
            if not file.is_file() or file.is_symlink() or "lxd" in file.relative_to(root).parts:
                continue
            if file.name in HOLDERS:
                assert file.stat().st_mode & 0o777 == 0o600, file
                continue
            content = file.read_bytes()
            assert not [needle for needle in needles if needle in content], file

    for server in lab.servers:
        look = f"grep -rlF -f $n {SERVER_FOLDERS} 2>/dev/null; journalctl --no-pager -q | grep -cF -f $n || true"
        patterns = b"\n".join(needles) + b"\n"
        found = lab.on(server, f"n=/run/needles; umask 077; cat > $n; ({look}); rm $n", patterns)
        assert found.split() == ["0"], (server, found)
    lab.remove_workspaces()
