"""`homewright discover` without a server: recorded machines, and hosts that do not answer."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from homewright.cli import main
from homewright.discovery.facts import FactsDocument


def test_recorded_machines_are_read_without_a_site(machines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "--from", str(machines), "--json"]) == 0
    document = FactsDocument.model_validate_json(capsys.readouterr().out)
    assert "thinkpad-p52-hybrid-quadro-p1000" in {facts.host for facts in document.hosts}
    assert main(["discover", "--from", str(machines), "ryzen-x670-two-identical-rtx4090"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("NVIDIA GeForce RTX 4090") == 2
    assert "IOMMU group 17" in printed


def test_hosts_that_do_not_answer_are_in_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.yaml").write_text(
        "version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, port: 1, user: lab}\n"
    )
    options = ["--site", str(tmp_path / "site.yaml"), "--state", str(tmp_path / "state")]
    code = main([*options, "discover", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["hosts"] == []
    assert [(failure["host"], failure["code"]) for failure in document["failures"]] == [("s1", "no-first-contact")]
    assert document["failures"][0]["do"][0].endswith("trust --all")
    assert code == 5


def test_a_folder_without_machines_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "--from", str(tmp_path)]) == 2
    assert "no recorded machine" in capsys.readouterr().err


def test_a_machine_that_was_not_recorded_is_an_error(machines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "--from", str(machines), "nobody"]) == 2
    assert "ryzen-x670-two-identical-rtx4090" in capsys.readouterr().err


def test_the_folder_that_is_saved_into_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(
        "version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, port: 1, user: lab}\n"
    )
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    options = ["--site", str(tmp_path / "site.yaml"), "--state", str(tmp_path / "state")]
    assert main([*options, "discover", "--save", str(shared)]) == 5
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    (tmp_path / "file").write_text("")
    assert main([*options, "discover", "--save", str(tmp_path / "file")]) == 1
