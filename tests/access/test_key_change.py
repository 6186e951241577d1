"""The site's key changes on a real server: wherever it is cut off, one of the two keys opens it, and the end is one."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homewright.access import engine_key, key_change
from homewright.access.connection import CommandFailed, Connection, KeyRefused, private_key
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


def test_who_is_gone_is_owed_nothing(key: Path) -> None:
    key_change.gone(key, ["s1"])
    assert key_change.owed(key) == ()
    key_change.begin(key, ["s1", "s2", "s1-node"], "x")
    key_change.gone(key, ["s1", "s1-node", "s9"])
    assert (key_change.owed(key), len(key_change.olds(key))) == (("s2",), 1)
    key_change.gone(key, ["s2"])
    assert (key_change.owed(key), key_change.olds(key)) == ((), ())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"owed": 3}'])
def test_a_damaged_record_is_said_with_what_mends_it(tmp_path: Path, text: str) -> None:
    key = tmp_path / "a state" / "id_ed25519"
    engine_key.ensure(key, "x")
    key.with_name(key_change.RECORD).write_text(text)
    with pytest.raises(StateError, match="cannot be read") as told:
        key_change.owed(key)
    subprocess.run(shlex.split(told.value.do[0]), check=True)
    assert key_change.owed(key) == ()


def test_who_was_away_during_several_changes_is_still_opened(key: Path) -> None:
    """Each key is kept until nobody is owed the change, and then all of them go."""
    made = [key.read_bytes()]
    for hosts in (["s1", "s3"], ["s1", "s3"], ["s3"]):
        key_change.begin(key, hosts, "x")
        made.append(key.read_bytes())
        key_change.done(key, "s1")
    *older, newest = made
    assert key.read_bytes() == newest and key_change.owed(key) == ("s3",)
    assert [file.read_bytes() for file in key_change.olds(key)] == older[::-1]
    assert {file.stat().st_mode & 0o777 for file in key_change.olds(key)} == {0o600}
    key_change.done(key, "s3")
    assert {file.name for file in key.parent.iterdir() if not file.name.startswith(".")} == {
        key.name,
        f"{key.name}.pub",
    }


@pytest.mark.parametrize("files", [0, 1, 2])
def test_cut_off_at_the_end_no_old_key_stays_with_nobody_owed(
    key: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    key_change.begin(key, ["s1"], "x")
    key_change.begin(key, ["s1"], "x")
    unlink = Path.unlink
    left = iter(range(files))

    def cut(path: Path, missing_ok: bool = False) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as cutting, pytest.raises(KeyboardInterrupt):
        cutting.setattr(Path, "unlink", cut)
        key_change.done(key, "s1")
    assert key_change.owed(key) == ("s1",)
    key_change.done(key, "s1")
    assert (key_change.owed(key), key_change.olds(key)) == ((), ())


class Door:
    """An account by what its authorized_keys lets in, as `Connection._enter` meets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *lets_in: str) -> None:
        self.lets_in = set(lets_in)
        self.meanwhile: Callable[[], None] = lambda: None
        """Done once, when a key was refused."""
        monkeypatch.setattr(Connection, "_enter", self.enter)

    def enter(self, endpoint: Endpoint, file: Path, timeout: float) -> Any:
        private_key(file)  # which says that it is not there any more
        if engine_key.public(file) not in self.lets_in:
            act, self.meanwhile = self.meanwhile, lambda: None
            act()
            raise KeyRefused("refused")
        return self

    def run(self, script: str) -> None:
        kind, blob = script.split("plain=")[1].split("'")[1].split()
        (self.lets_in.discard if "have()" not in script else self.lets_in.add)(f"{kind} {blob}")

    def close(self) -> None:
        pass

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("age", [0, 1, 2])
def test_whichever_old_key_a_server_knows_it_knows_only_the_new_one_then(
    key: Path, monkeypatch: pytest.MonkeyPatch, age: int
) -> None:
    for _ in range(3):
        key_change.begin(key, ["s1"], "x")
    olds = list(key_change.publics(key).values())
    door = Door(monkeypatch, *olds[age:])
    Connection.open(Endpoint("s1", "192.0.2.7", 22, "ann", key, key.with_name("known_hosts")))
    assert door.lets_in == {engine_key.public(key)}
    assert (key_change.owed(key), key_change.olds(key)) == ((), ())


@pytest.mark.parametrize("others", [[], ["s2"]])
def test_who_is_refused_while_another_connection_finishes_the_change_comes_in_all_the_same(
    key: Path, monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    key_change.begin(key, ["s1", *others], "x")
    door = Door(monkeypatch, engine_key.public(key_change.before(key)))
    way = Endpoint("s1", "192.0.2.7", 22, "ann", key, key.with_name("known_hosts"))
    door.meanwhile = lambda: Connection.open(way).close()
    Connection.open(way)
    assert door.lets_in == {engine_key.public(key)}


def test_a_server_that_has_another_name_by_then_is_known_by_where_it_answers(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where two have changed names: only the one that was there is struck off."""
    places = {"s1": key_change.place("192.0.2.1", 22), "s2": key_change.place("192.0.2.2", 22)}
    key_change.begin(key, places, "x", places)
    for name, address, left in (("attic", "192.0.2.2", ("s1",)), ("s2", "192.0.2.1", ())):
        door = Door(monkeypatch, engine_key.public(key_change.before(key)))
        Connection.open(Endpoint(name, address, 22, "ann", key, key.with_name("known_hosts")))
        assert door.lets_in == {engine_key.public(key)}
        assert key_change.owed(key) == left
    assert key_change.olds(key) == ()


def test_a_server_that_answers_elsewhere_by_then_is_known_by_its_name(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_change.begin(key, ["s1"], "x", {"s1": key_change.place("192.0.2.1", 22)})
    Door(monkeypatch, engine_key.public(key_change.before(key)))
    Connection.open(Endpoint("s1", "192.0.2.9", 22, "ann", key, key.with_name("known_hosts")))
    assert key_change.owed(key) == ()


def test_a_server_that_no_key_opens_is_said(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_change.begin(key, ["s1"], "x")
    Door(monkeypatch)
    with pytest.raises(KeyRefused):
        Connection.open(Endpoint("s1", "192.0.2.7", 22, "ann", key, key.with_name("known_hosts")))
    assert key_change.owed(key) == ("s1",)


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
