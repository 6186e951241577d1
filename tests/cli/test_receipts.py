"""`homewright receipts`, and the receipts that a roll-back shows before it asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homewright.cli import main
from homewright.cli.schema import model
from homewright.engine.journal import receipts as rows
from homewright.engine.journal.writer import Writer
from homewright.site.paths import StateFolder

BEFORE = {"file": {"/etc/hosts": "file 644 root:root, 9 bytes, sha256 " + "a" * 64}, "package": {"git": ""}}
AFTER = {"file": {"/etc/hosts": "file 644 root:root, 20 bytes, sha256 " + "b" * 64}, "package": {"git": "1:2.39"}}


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Options of a site with receipts: 00/10 done on both servers, 00/20 cut off on one."""
    site = tmp_path / "site.yaml"
    servers = "".join(f"  - {{name: s{n}, address: 192.0.2.{n}, user: ann}}\n" for n in (1, 2))
    site.write_text(f"version: 1\nname: attic\nservers:\n{servers}")
    writer = Writer(StateFolder(tmp_path / "state").create(), "r1")
    writer.change(*(rows.found("r1", "00/10", host, BEFORE) for host in ("s1", "s2")))
    writer.change(*(rows.left("00/10", host, AFTER, []) for host in ("s1", "s2")))
    writer.change(rows.found("r1", "00/20", "s1", BEFORE))
    writer.close()
    return ["--site", str(site), "--state", str(tmp_path / "state")]


def test_they_are_told_by_step_and_server(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "receipts", "00/10", "--host", "s2"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("00/10 on s2: 1 file, 1 package (")
    assert shown[1:] == [
        "  changed: /etc/hosts",
        "    before: file 644 root:root, 9 bytes, sha256 aaaaaaaa…",
        "    after: file 644 root:root, 20 bytes, sha256 bbbbbbbb…",
        "    inverse: put it back as it was",
        "  made: git (package)",
        "    after: 1:2.39",
        "    inverse: remove the package",
    ]
    assert main([*words, "receipts"]) == 0
    assert "00/20 on s1: begun; what it changed is not known yet" in capsys.readouterr().out


def test_programs_get_whole_digests_in_a_shape_with_a_schema(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "receipts", "--json"]) == 0
    document = model("receipts").model_validate_json(capsys.readouterr().out).model_dump(mode="json")
    assert [(one["step"], one["host"], one["whole"]) for one in document["receipts"]] == [
        ("00/10", "s1", True),
        ("00/10", "s2", True),
        ("00/20", "s1", False),
    ]
    assert document["receipts"][0]["changes"][0]["after"] == AFTER["file"]["/etc/hosts"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [(["99/10"], "There are some of 00/10, 00/20."), (["--host", "s9"], "It has s1, s2.")],
)
def test_what_is_not_there_is_said(
    words: list[str], asked: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "receipts", *asked, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["why"] == why


def test_a_rollback_lists_them_before_it_asks(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "rollback", "00"]) == 2  # there is no terminal to say yes on
    shown = capsys.readouterr().out.splitlines()
    assert "    /etc/hosts: put it back as it was (s1, s2)" in shown
    assert "    git: remove the package (s1, s2)" in shown
    assert "    what it changed is not known: it was cut off or has failed (s1)" in shown


def test_a_rollback_names_what_rests_on_its_stage_and_is_taken_back_first(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = Writer(StateFolder(tmp_path / "state"), "r2")
    step = {"stage": "10", "title": "T", "runner": "python", "position": 1, "state": "succeeded", "started": 1.0}
    writer.change(writer.add_run(action="run", state="succeeded", created=1.0), writer.add_step("10/00", "s1", **step))
    writer.close()
    assert main([*words, "rollback", "00"]) == 2  # there is no terminal to say yes on
    shown = capsys.readouterr().out
    assert shown.index("Stage 10 ") < shown.index("since it rests on") < shown.index("Stage 00 ")
    assert "Stage 20" not in shown


def test_an_instance_has_receipts_too(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = Writer(StateFolder(tmp_path / "state"), "r1")
    writer.change(rows.found("r1", "30/20", "node-1", BEFORE), rows.left("30/20", "node-1", AFTER, []))
    writer.close()
    assert main([*words, "receipts", "--host", "node-1"]) == 0
    assert "30/20 on node-1: 1 file, 1 package" in capsys.readouterr().out
