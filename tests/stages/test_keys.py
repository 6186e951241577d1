"""The key of an account between servers, where a power cut left only a part of it. The shell is this machine's."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.stages import peer_keys as keys


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server whose commands run here, with the account's folder in a folder of the test's."""
    me = getpass.getuser()
    group = subprocess.run(["id", "-gn"], capture_output=True, text=True, check=True).stdout.strip()
    if group != me:
        pytest.skip("the test's user has no group of its own, as the account has")
    folder = tmp_path / "ssh"
    for name, value in {
        "ACCOUNT": me,
        "OWNER": f"{me}:{group}",
        "FOLDER": str(folder),
        "KEY": str(folder / "id_ed25519"),
        "_AS_ACCOUNT": "",
    }.items():
        monkeypatch.setattr(keys, name, value)

    def run(command: str | Sequence[str], check: bool = True) -> Any:
        words = ["sh", "-c", command] if isinstance(command, str) else list(command)
        done = subprocess.run(words, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return SimpleNamespace(exit_code=done.returncode, stdout=done.stdout)

    def stat(path: str) -> str | None:
        return run(["stat", "-c", "%a %U:%G", path], check=False).stdout.strip() or None

    return SimpleNamespace(name="s1", run=run, stat=stat)


def test_a_key_is_made_once(host: Any) -> None:
    assert keys.make_key(host) is True
    first = Path(keys.KEY).read_bytes()
    assert keys.make_key(host) is False
    Path(keys.KEY).chmod(0o644)
    assert keys.make_key(host) is True
    assert Path(keys.KEY).read_bytes() == first
    assert host.stat(keys.KEY) == f"600 {keys.OWNER}"


@pytest.mark.parametrize("left", [0, 40])
def test_half_a_key_is_made_anew(host: Any, left: int) -> None:
    keys.make_key(host)
    key = Path(keys.KEY)
    key.write_bytes(key.read_bytes()[:left])
    assert keys.make_key(host) is True
    assert host.run(["ssh-keygen", "-y", "-f", keys.KEY]).stdout.startswith("ssh-ed25519 ")
