"""The site's own known_hosts: what is trusted for whom, kept so that ssh(1) reads it too."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from homewright.access import known_hosts
from homewright.access.known_hosts import HostKey
from homewright.errors import StateError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "known_hosts"


def make_key(folder: Path, kind: str = "ed25519") -> HostKey:
    path = folder / f"key-{len(list(folder.iterdir()))}"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True, stdin=subprocess.DEVNULL)
    key = HostKey.from_line(path.with_name(f"{path.name}.pub").read_text())
    assert key is not None
    return key


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path: Path, kind: str) -> None:
    key = make_key(tmp_path, kind)
    (tmp_path / "public").write_text(key.public)
    printed = subprocess.run(["ssh-keygen", "-lf", tmp_path / "public"], check=True, capture_output=True, text=True)
    assert key.fingerprint in printed.stdout


@pytest.mark.parametrize(
    ("port", "name"), [(22, "192.0.2.7"), (2222, "[192.0.2.7]:2222")], ids=["standard port", "another port"]
)
def test_ssh_keygen_finds_what_was_recorded(file: Path, tmp_path: Path, port: int, name: str) -> None:
    key = make_key(tmp_path)
    known_hosts.record(file, "192.0.2.7", port, [key])
    found = subprocess.run(["ssh-keygen", "-F", name, "-f", file], capture_output=True, text=True)
    assert key.public in found.stdout
    assert known_hosts.lookup(file, "192.0.2.7", port) == (key,)
    assert known_hosts.lookup(file, "192.0.2.7", 22 if port != 22 else 2222) == ()


def test_a_new_record_replaces_the_old_and_leaves_the_others(file: Path, tmp_path: Path) -> None:
    old, new, other = (make_key(tmp_path) for _ in range(3))
    known_hosts.record(file, "192.0.2.7", 22, [old])
    known_hosts.record(file, "192.0.2.70", 22, [other])
    known_hosts.record(file, "192.0.2.7", 22, [new])
    assert known_hosts.lookup(file, "192.0.2.7", 22) == (new,)
    assert known_hosts.lookup(file, "192.0.2.70", 22) == (other,)
    known_hosts.forget(file, "192.0.2.7", 22)
    assert known_hosts.lookup(file, "192.0.2.7", 22) == ()
    assert known_hosts.lookup(file, "192.0.2.70", 22) == (other,)


def test_the_file_is_private(file: Path, tmp_path: Path) -> None:
    known_hosts.record(file, "192.0.2.7", 22, [make_key(tmp_path)])
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_many_servers_at_once_lose_none(file: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path)
    addresses = [f"192.0.2.{number}" for number in range(1, 21)]
    threads = [threading.Thread(target=known_hosts.record, args=(file, address, 22, [key])) for address in addresses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(known_hosts.lookup(file, address, 22) == (key,) for address in addresses)


def test_lines_that_are_no_plain_keys_are_not_believed(file: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path)
    file.parent.mkdir()
    file.write_text(
        f"# 192.0.2.7 {key.public}\n@cert-authority 192.0.2.7 {key.public}\n192.0.2.7 ssh-ed25519 not-base64\n"
        f"192.0.2.7 ssh-rsa {key.public.split()[1]}\n\n192.0.2.8,192.0.2.9 {key.public} a comment\n"
    )
    assert known_hosts.lookup(file, "192.0.2.7", 22) == ()
    assert known_hosts.lookup(file, "192.0.2.9", 22) == (key,)


def test_a_state_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(StateError) as caught:
        known_hosts.record(tmp_path / "state" / "known_hosts", "192.0.2.7", 22, [key])
    assert str(tmp_path / "state") in caught.value.what
