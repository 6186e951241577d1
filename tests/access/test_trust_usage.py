"""`homewright trust` where the command line itself is wrong, or a person is needed and none is there."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from homewright.cli import main

SITE = "version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, port: 1, user: lab}\n"


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    (tmp_path / "site.yaml").write_text(SITE)
    return ["--site", str(tmp_path / "site.yaml"), "--state", str(tmp_path / "state")]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Which server?"),
        (["s9"], "no server s9"),
        (["--all", "--fingerprint", "SHA256:x"], "one server"),
        (["s1", "--password-stdin"], "No password"),
        (["s1", "--practice"], "practice server"),
    ],
)
def test_what_cannot_be_meant_ends_with_2(
    options: list[str], words: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main([*options, "trust", *words]) == 2
    assert says in capsys.readouterr().err


def test_a_server_that_is_down_ends_with_5_and_one_document(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main([*options, "trust", "--all", "--json"]) == 5
    (host,) = json.loads(capsys.readouterr().out)["hosts"]
    assert (host["host"], host["trusted"], host["error"]["code"]) == ("s1", False, "unreachable")
    assert host["error"]["what"]
    assert host["error"]["do"]


def test_a_site_without_servers_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.yaml").write_text("version: 1\nname: attic\n")
    options = ["--site", str(tmp_path / "site.yaml"), "--state", str(tmp_path / "state")]
    assert main([*options, "trust", "--all"]) == 2
    assert "no servers yet" in capsys.readouterr().err
