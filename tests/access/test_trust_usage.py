"""`homewright trust` where the command line itself is wrong, or a person is needed and none is there."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from homewright.access.sign_in import PasswordNeeded
from homewright.cli import first_contact, main

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
        (["s1", "--fingerprint", "SHA256:x"], "no host key"),
        (["s1", "--fingerprint", " "], "no host key"),
        (["s1", "--fingerprint", ""], "no host key"),
        (["s1", "--all"], "every server"),
        (["s1", "--identity", "/nowhere/id"], "There is no key /nowhere/id"),
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


def test_what_could_not_be_taken_away_is_told_as_json(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*options, "trust", "s1", "--remove", "--json"]) == 5
    told = capsys.readouterr()
    (host,) = json.loads(told.out)["hosts"]
    assert (host["host"], host["trusted"], host["error"]["code"]) == ("s1", True, "unreachable")
    assert told.err == ""


def test_the_end_of_input_at_a_password_is_no_defect(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(question: str) -> str:
        raise EOFError

    def wants_a_password(*_: object, **__: object) -> None:
        raise PasswordNeeded("s1 does not know Homewright's key yet.")

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", nothing)
    monkeypatch.setattr(first_contact, "_settle_host_key", lambda *_: None)
    monkeypatch.setattr("homewright.access.trust.first_contact", wants_a_password)
    assert main([*options, "trust", "s1"]) == 4
    assert "No password was given" in capsys.readouterr().err
