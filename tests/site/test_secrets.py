"""Secrets: private, durable, shared by processes, shown by nothing."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from homewright.errors import StateError
from homewright.site.secrets import Secrets, generate_password


def test_what_is_set_is_there_for_everybody_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secrets.json"
    secrets = Secrets(path)
    assert secrets.get("a") is None and secrets.names() == () and not path.exists()
    secrets.set("workspace/ann@s2/password", "näh-§1")
    secrets.set("b", "x")
    assert Secrets(path).get("workspace/ann@s2/password") == "näh-§1"
    assert secrets.names() == ("b", "workspace/ann@s2/password")
    assert set(secrets.values()) == {"näh-§1", "x"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert secrets.delete("b") and not secrets.delete("b")
    assert json.loads(path.read_text())["version"] == 1


def test_nothing_prints_a_value(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.json")
    secrets.set("name", "canary-value")
    assert "canary" not in f"{secrets!r} {secrets} {vars(secrets)}"


@pytest.mark.parametrize(
    "content",
    [
        b"canary",
        b'{"canary',
        b"[]",
        b"{}",
        b'{"version": 2, "secrets": {}}',
        b'{"version": 1, "secrets": {"a": 1}}',
        b"\xff",
    ],
)
def test_a_damaged_file_is_told_and_kept_and_not_quoted(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_bytes(content)
    path.chmod(0o600)
    for act in (lambda: Secrets(path).get("a"), lambda: Secrets(path).set("a", "b")):
        with pytest.raises(StateError) as caught:
            act()
        assert "canary" not in caught.value.as_text()
        assert caught.value.__cause__ is None or "canary" not in repr(caught.value.__cause__)
    assert path.read_bytes() == content


def test_loose_permissions_are_mended_and_said(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    secrets = Secrets(path)
    secrets.set("a", "b")
    assert secrets.mended is None
    path.chmod(0o644)
    assert secrets.get("a") == "b"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secrets.mended is not None and "0644" in secrets.mended


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text('{"version": 1, "secrets": {}}')
    (tmp_path / "secrets.json").symlink_to(tmp_path / "other")
    with pytest.raises(StateError, match="cannot be used"):
        Secrets(tmp_path / "secrets.json").names()


@pytest.mark.programs
def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    code = (
        "import sys; from pathlib import Path; from homewright.site.secrets import Secrets\n"
        "for n in range(10): Secrets(Path(sys.argv[1])).set(f'{sys.argv[2]}{n}', 'x')"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), letter]) for letter in "abc"]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert len(Secrets(path).names()) == 30


def test_ensure_makes_one_and_keeps_it(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.json")
    first = secrets.ensure("a")
    assert secrets.ensure("a") == first == secrets.get("a")


def test_passwords_are_long_distinct_and_plain() -> None:
    made = {generate_password() for _ in range(200)}
    assert len(made) == 200
    assert all(len(password) == 27 and password.replace("-", "").isalnum() for password in made)
    assert not set("".join(made)) & set("0O1lIo")
