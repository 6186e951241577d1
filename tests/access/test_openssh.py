"""ssh(1) itself says what our options make of it."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
from pathlib import Path

import pytest

from homewright.access import openssh
from homewright.access.endpoint import Endpoint


def endpoint(folder: Path) -> Endpoint:
    return Endpoint("s1", "192.0.2.7", 2222, "lab", folder / "id_ed25519", folder / "known_hosts")


def effective(arguments: list[str]) -> dict[str, str]:
    """What `ssh -G` would do, lower-case names."""
    printed = subprocess.run(["ssh", "-G", *arguments], check=True, capture_output=True, text=True).stdout
    return dict(line.partition(" ")[::2] for line in printed.splitlines())


STRICT = {
    "stricthostkeychecking": "true",
    "globalknownhostsfile": "/dev/null",
    "updatehostkeys": "false",
    "identitiesonly": "yes",
    "identityagent": "none",
    "batchmode": "yes",
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "no",
    "forwardagent": "no",
    "checkhostip": "no",
}


@pytest.mark.parametrize("name", ["state", "a state folder", "100%h"])
def test_the_options_force_strictness(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    seen = effective(openssh.command(endpoint(folder))[1:])
    assert {key: seen[key] for key in STRICT} == STRICT
    assert seen["identityfile"].strip('"').replace("%%", "%") == str(folder / "id_ed25519")
    assert seen["userknownhostsfile"].strip('"').replace("%%", "%") == str(folder / "known_hosts")
    assert (seen["user"], seen["port"], seen["hostname"]) == ("lab", "2222", "192.0.2.7")


def test_a_users_own_configuration_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loose = tmp_path / "loose"
    loose.write_text("Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  ForwardAgent yes\n")
    # `-F none` of ours comes later than any -F before it: a wrapper that names a file is still overruled
    seen = effective(["-F", str(loose), *openssh.command(endpoint(tmp_path))[1:]])
    assert {key: seen[key] for key in STRICT} == STRICT


def test_the_generated_configuration_says_the_same(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(openssh.config_text(endpoint(tmp_path)))
    for name in ("s1", "192.0.2.7"):
        seen = effective(["-F", str(config), name])
        assert {key: seen[key] for key in STRICT} == STRICT
        assert (seen["user"], seen["port"], seen["hostname"]) == ("lab", "2222", "192.0.2.7")


def test_ansible_gets_the_same_options_as_one_line(tmp_path: Path) -> None:
    line = openssh.ansible_ssh_common_args(endpoint(tmp_path / "a folder"))
    words = subprocess.run(["sh", "-c", f'printf "%s\\0" {line}'], check=True, capture_output=True, text=True).stdout
    assert words.split("\0")[:-1] == openssh.options(endpoint(tmp_path / "a folder"))


def test_the_way_through_a_server_is_as_strict(tmp_path: Path) -> None:
    """The ssh in between is one of our own: what ssh(1) would run for %h and %p has all options too."""
    folder = tmp_path / "100% a folder"
    behind = dataclasses.replace(endpoint(folder), name="n1", address="10.100.0.2", port=22, through=endpoint(folder))
    seen = effective(openssh.command(behind)[1:])
    assert seen["hostname"] == "10.100.0.2"
    words = shlex.split(seen["proxycommand"].replace("%%", "%"))
    assert words[-4:] == ["-W", "[%h]:%p", "--", "192.0.2.7"]
    between = effective([*words[1:-4], "192.0.2.7"])
    assert {key: between[key] for key in STRICT} == STRICT
    assert (between["user"], between["port"]) == ("lab", "2222")
    assert "proxycommand" not in effective(openssh.command(endpoint(folder))[1:])
