"""plan, apply, status, attach as scripts use them, on a site whose servers are not there."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.engine import launch, lock
from homewright.engine.documents import RunDocument
from homewright.engine.remains import Remains
from homewright.planning import Plan
from homewright.site.paths import StateFolder

from .conftest import wait_for

pytestmark = pytest.mark.programs

SITE = "version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 1}\n"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    return file


@pytest.fixture
def homewright(site: Path, state: StateFolder) -> Run:
    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "import sys; from homewright.cli import main; sys.exit(main())"]
        return subprocess.run(
            [*command, "--site", str(site), "--state", str(state.root), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )

    return run


def test_a_plan_that_no_longer_fits_is_refused(homewright: Run, site: Path, state: StateFolder, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    planned = homewright("plan", "--only", "00", "--save", str(file), "--json")
    assert planned.returncode == 0, planned.stderr
    document = Plan.model_validate_json(planned.stdout)
    assert document == Plan.model_validate_json(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    other_stages = homewright("apply", "--plan", str(file), "--yes", "--from", "00", "--only", "00")
    assert other_stages.returncode == 2
    site.write_text(SITE + "zone: home.internal\n")
    refused = homewright("apply", "--plan", str(file), "--yes", "--only", "00")
    assert refused.returncode == 2
    assert "no longer fits" in refused.stderr
    assert f" --state {state.root} plan" in refused.stderr
    file.write_text("{}")
    assert "is no plan" in homewright("apply", "--plan", str(file), "--yes").stderr


def test_apply_asks_and_does_nothing_without_an_answer(homewright: Run, state: StateFolder) -> None:
    done = homewright("apply", stdin="y\n")
    assert done.returncode == 2
    assert "There is no terminal to ask on" in done.stderr
    assert f" --state {state.root} apply --yes" in done.stderr
    assert not state.journal.exists()


def test_status_answers_before_during_and_after_a_run(homewright: Run, state: StateFolder) -> None:
    nothing = homewright("status")
    assert nothing.returncode == 0
    assert "Nothing was run yet" in nothing.stdout
    assert RunDocument.model_validate_json(homewright("status", "--json").stdout).id is None
    assert homewright("attach").returncode == 2

    failed = homewright("apply", "--yes", "--only", "00")
    assert failed.returncode in (1, 5)
    assert "Traceback" not in failed.stdout + failed.stderr
    shown = homewright("status")
    assert shown.returncode == 0
    assert "failed: 00/10" in shown.stdout
    document = RunDocument.model_validate_json(homewright("status", "--json").stdout)
    assert document.state == "failed"
    assert [step.id for step in document.steps] == ["00/10", "00/20", "00/30", "00/40"]
    again = homewright("attach", "--jsonl")
    assert again.returncode == failed.returncode
    seqs = [json.loads(line)["seq"] for line in again.stdout.splitlines()]
    assert seqs == list(range(1, document.last_seq + 1))
    assert homewright("cancel").returncode == 2
    wait_for(lambda: lock.holder(state) is None, "the engine's end")
    for file in state.run(str(document.id)).glob("events.db*"):
        file.unlink()
    gone = homewright("attach")
    assert "not kept any more" in gone.stderr
    assert gone.returncode == 1


def test_resume_says_what_remains_and_proves_it_without_doing_anything(homewright: Run, state: StateFolder) -> None:
    applied = homewright("apply", "--yes", "--only", "00")
    assert applied.returncode in (1, 5), applied.stderr
    shown = homewright("resume", "--look")
    assert shown.returncode == 0, shown.stderr
    assert "00/10 Names: failed; looked at and done again" in shown.stdout
    assert "not begun; to do" in shown.stdout
    found = Remains.model_validate_json(homewright("resume", "--look", "--json").stdout)
    assert (found.state, found.held, [step.next for step in found.steps][:2]) == ("failed", False, ["mend", "run"])
    wait_for(lambda: lock.holder(state) is None, "the engine's end")
    proved = homewright("resume", "--prove", "--json")
    assert proved.returncode == 0, proved.stdout  # nothing was done, so no proof has anything against it
    assert Remains.model_validate_json(proved.stdout) == found
    wait_for(lambda: lock.holder(state) is None, "the engine's end")
    assert homewright("resume", "--look", "--prove").returncode == 2


def test_rollback_wants_a_stage_that_there_is(homewright: Run) -> None:
    refused = homewright("rollback", "77", "--yes")
    assert refused.returncode == 2
    assert "no stage 77" in refused.stderr


def test_ctrl_c_while_the_engine_starts_does_not_say_that_nothing_runs(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "start", interrupted)
    args = argparse.Namespace(stages=None, site=None, state=None, detach=False)
    assert runs.start(args, Output(), "apply", file=Path("site.yaml"), state=state) == runs.DETACHED
    assert "may have started" in capsys.readouterr().err
