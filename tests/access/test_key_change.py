"""The site's key changes on a real server: wherever it is cut off, one of the two keys opens it, and the end is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from homewright.access import engine_key, key_change
from homewright.access.connection import CommandFailed, Connection, KeyRefused
from homewright.access.endpoint import Endpoint
from homewright.errors import StateError
from homewright.site.paths import StateFolder

from .conftest import Account


def keys(key: Path) -> tuple[str, str]:
    """The old one and the new one, as lines of authorized_keys begin."""
    return engine_key.public(key_change.before(key)), engine_key.public(key)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "id_ed25519"
    engine_key.ensure(file, "x")
    return file


def test_both_keys_are_kept_until_no_host_is_owed_the_change(key: Path) -> None:
    first = key.read_bytes()
    key_change.begin(key, ["s2", "s1", "s1"], "homewright@x")
    assert key_change.before(key).read_bytes() == first != key.read_bytes()
    assert (key.stat().st_mode | key_change.before(key).stat().st_mode) & 0o777 == 0o600
    assert key.with_name("id_ed25519.pub").read_text().split()[:2] == engine_key.public(key).split()
    assert key_change.owed(key) == ("s1", "s2")
    key_change.done(key, "s1")
    key_change.done(key, "s1")
    assert (key_change.owed(key), key_change.before(key).exists()) == (("s2",), True)
    key_change.done(key, "s2")
    assert (key_change.owed(key), key_change.before(key).exists()) == ((), False)
    assert not key.with_name(key_change.RECORD).exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"owed": 3}'])
def test_a_damaged_record_is_said(key: Path, text: str) -> None:
    key.with_name(key_change.RECORD).write_text(text)
    with pytest.raises(StateError, match="cannot be read"):
        key_change.owed(key)


LINES: dict[str, Callable[[str, str], list[str]]] = {
    "nothing was done there": lambda old, new: [old],
    "cut off when the new key was in": lambda old, new: [old, new],
    "cut off when the old key was out": lambda old, new: [new],
}


@pytest.mark.lab
@pytest.mark.parametrize("standing", LINES)
def test_the_next_connection_finishes_the_change(
    endpoint: Endpoint, account: Account, known: StateFolder, standing: str
) -> None:
    key = known.key
    key_change.begin(key, [endpoint.name, "another"], "homewright@x")
    old, new = keys(key)
    theirs = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJpT3oNZ8Qk6a1aQ3p9Vt7w1C5v0Xl2m8n4b6d7f9g0h ann@laptop"
    file = f"{account.home}/.ssh/authorized_keys"
    lines = "".join(f"{line} homewright@x\\n" for line in LINES[standing](old, new))
    account.practice.sh(f"printf '{theirs}\\n{lines}' >{file}", check=True)
    with Connection.open(endpoint) as connection:
        assert connection.run("id -un").stdout.strip() == account.user
    found = account.practice.sh(f"cat {file}").splitlines()
    assert found[0] == theirs
    assert [" ".join(line.split()[:2]) for line in found[1:]] == [new]
    assert key_change.owed(key) == ("another",)
    with Connection.open(endpoint):
        pass
    with pytest.raises(KeyRefused):
        Connection._enter(endpoint, key_change.before(key), 10)


@pytest.mark.lab
def test_where_the_new_key_cannot_be_put_the_old_one_stays(
    endpoint: Endpoint, account: Account, known: StateFolder
) -> None:
    key_change.begin(known.key, [endpoint.name], "homewright@x")
    old, _ = keys(known.key)
    folder = f"{account.home}/.ssh"
    account.practice.sh(f"chattr +i {folder} || mount --bind -o ro {folder} {folder}", check=True)
    try:
        with pytest.raises(CommandFailed):
            Connection.open(endpoint)
    finally:
        account.practice.sh(f"chattr -i {folder}; umount {folder}")
    assert old in account.practice.sh(f"cat {folder}/authorized_keys")
    assert json.loads(known.key.with_name(key_change.RECORD).read_bytes())["owed"] == [endpoint.name]
    with Connection.open(endpoint) as connection:
        assert connection.run("true").exit_code == 0
    assert key_change.owed(known.key) == ()
