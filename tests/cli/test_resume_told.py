"""When `resume --yes` says where the run stands: while its engine comes up, where that leaves alone what is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from engine.catalogues import NOTHING, Tiny

from homewright.catalogue import load
from homewright.cli import main
from homewright.engine import launch
from homewright.engine.journal.writer import Writer
from homewright.engine.launch import RunRequest
from homewright.engine.states import Action, State
from homewright.site.paths import StateFolder, make_folder


def cut_off(tmp_path: Path, action: str) -> list[str]:
    """A run that was cut off: the words that name its site and its state folder."""
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 1}\n")
    state = StateFolder(tmp_path / "state", site).create()
    folder = state.run("r1")
    for made in (state.runs, folder):
        make_folder(made)
    load([Tiny(tmp_path / "tiny").step(1, NOTHING.format(name="run")).root]).copy(folder / "catalogue")
    (folder / "request.json").write_text(json.dumps(asdict(RunRequest(action))))
    writer = Writer(state, "r1")
    kind = {"apply": Action.RUN, "verify": Action.VERIFY}[action]
    writer.change(writer.add_run(action=kind, state=State.INTERRUPTED, created=1.0))
    writer.close()
    return ["--site", str(site), "--state", str(state.root)]


@pytest.mark.parametrize("action", ["apply", "verify"])
@pytest.mark.parametrize("quick", [False, True], ids=["before the engine", "after the engine"])
def test_an_engine_that_comes_up_is_never_in_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], action: str, quick: bool
) -> None:
    where = cut_off(tmp_path, action)
    told: list[bool] = []

    def resume(_: Path, state: StateFolder, run: str, meanwhile: Callable[[], None], **__: Any) -> None:
        told.append("Run r1: " in capsys.readouterr().out)
        if quick:  # as the engine of a verify does
            shutil.rmtree(state.run(run) / "catalogue")
        meanwhile()
        told.append("Run r1: " in capsys.readouterr().out)

    monkeypatch.setattr(launch, "resume", resume)
    assert main([*where, "resume", "--yes", "--detach"]) == 0
    assert told == ([True, False] if action == "verify" else [False, not quick])


def test_a_verify_is_told_whatever_the_power_left_of_its_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = cut_off(tmp_path, "verify")
    shutil.rmtree(tmp_path / "state" / "runs" / "r1" / "catalogue")
    began: list[str] = []
    monkeypatch.setattr(launch, "resume", lambda _, __, run, **___: began.append(run))
    assert main([*where, "resume", "--look"]) == 0
    assert "Run r1: verify, interrupted." in capsys.readouterr().out
    assert main([*where, "resume", "--yes", "--detach"]) == 0
    assert began == ["r1"]
