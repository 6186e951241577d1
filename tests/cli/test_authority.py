"""`homewright authority`: told, saved, and compared with what a browser would show."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from homewright.cli import main

SITE = "version: 1\nname: attic\n"


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    return ["--site", str(file), "--state", str(tmp_path / "state"), "authority"]


def test_its_fingerprint_is_the_one_that_openssl_prints(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "homewright-ca.crt"
    assert main([*arguments, "--save", str(copy), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["site"], found["saved"]) == ("attic", str(copy))
    assert Path(found["file"]).read_bytes() == copy.read_bytes()
    said = subprocess.run(found["compare"].split(), cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert found["fingerprint"] == "SHA256:" + said.strip().partition("=")[2]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "sudo update-ca-certificates" in told and "Firefox:" in told
    assert all(len(line) <= 120 for line in told.splitlines())
    assert found["fingerprint"].split(":")[-1] in told


def test_a_copy_never_takes_another_files_place(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    assert main([*arguments, "--save", str(other)]) == 2
    assert other.read_text() == "mine" and "stays as it is" in capsys.readouterr().err
    assert main([*arguments, "--save", str(tmp_path)]) == 2
