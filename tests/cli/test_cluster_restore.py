"""`homewright cluster snapshots | save | restore`: told, refused and asked before a run is begun."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from homewright.cli import main, runs
from homewright.cluster import snapshots
from homewright.cluster.snapshots import Silent, Snapshot, SnapshotsDocument

SITE = """\
version: 1
name: attic
servers:
  - {name: s1, address: 192.168.1.11, user: ann}
  - {name: s2, address: 192.168.1.12, user: ann}
platform: {cluster: kubeadm, nodes: servers}
"""
AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
STATE = Snapshot(server="s1", name="20260131T120000Z.db", at=AT, size=4_200_000)
LATER = Snapshot(server="s1", name="20260201T120000Z.db", at=AT + timedelta(days=1), size=20480)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the control planes say when they are asked, and who they were."""
    told: dict[str, Any] = {"snapshots": (LATER, STATE), "silent": ()}

    def look(site: str, planes: Any) -> SnapshotsDocument:
        told["asked"] = [one.name for one in planes]
        return SnapshotsDocument(site=site, snapshots=told["snapshots"], silent=told["silent"])

    monkeypatch.setattr(snapshots, "look", look)
    return told


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Runs that would have been begun."""
    calls: list[dict[str, Any]] = []

    def start(args: Any, output: Any, action: str, **more: Any) -> int:
        calls.append({"action": action, "only": more["only"], "given": more["given"]})
        return 0

    monkeypatch.setattr(runs, "start", start)
    return calls


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    return ["--site", str(file), "--state", str(tmp_path / "state"), "cluster"]


def test_saved_states_are_told_with_what_puts_them_back(
    arguments: list[str], found: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "snapshots"]) == 0
    said = capsys.readouterr().out
    assert "s1/20260131T120000Z.db  2026-01-31 12:00:00 UTC      4.2 MB" in said
    assert "homewright cluster restore s1/20260201T120000Z.db" in said
    assert found["asked"] == ["s1"], "of two servers one is the control plane"
    assert main([*arguments, "snapshots", "--json"]) == 0
    assert SnapshotsDocument.model_validate_json(capsys.readouterr().out).snapshots == (LATER, STATE)


@pytest.mark.parametrize(
    ("silent", "code", "words"),
    [((), 0, "homewright cluster save"), ((Silent(server="s1", why="It is off."),), 5, "s1 could not be asked. It is")],
)
def test_none_and_silence_are_two_things(
    arguments: list[str],
    found: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    silent: tuple[Silent, ...],
    code: int,
    words: str,
) -> None:
    found |= {"snapshots": (), "silent": silent}
    assert main([*arguments, "snapshots"]) == code
    assert words in capsys.readouterr().out


def test_nothing_is_put_back_that_was_not_named_and_agreed_to(
    arguments: list[str], found: dict[str, Any], begun: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "restore"]) == 2
    assert "Which state" in capsys.readouterr().err
    assert main([*arguments, "restore", "20260131T120000Z"]) == 2
    said = capsys.readouterr()
    assert "restore s1/20260131T120000Z.db --yes" in said.err and "as s1 saved it" in said.out
    assert "does not answer: The site has no kubeconfig" in said.out
    found["silent"] = (Silent(server="s2", why="It is off."),)
    assert main([*arguments, "restore", "20260131T120000Z", "--yes"]) == 2
    assert "on every control plane, or on none" in capsys.readouterr().err
    assert begun == []


def test_what_was_agreed_to_is_told_to_a_run(arguments: list[str], found: dict[str, Any], begun: list[Any]) -> None:
    assert main([*arguments, "restore", "s1/20260131T120000Z.db", "--yes"]) == 0
    assert main([*arguments, "restore", "s1/20260131T120000Z.db", "--yes"]) == 0
    first, second = (one["given"]["restore"].split() for one in begun)
    assert first[1:3] == second[1:3] == ["s1", "20260131T120000Z.db"]
    assert first[0] != second[0], "the same state may be put back twice"
    assert abs(int(first[3]) / 1000 - time.time()) < 3600, "its revisions go on from the time"
    assert {(one["action"], one["only"]) for one in begun} == {("apply", "40/core/cluster")}
    assert main([*arguments, "save", "--yes"]) == 0
    assert begun[-1]["given"] == {"save": "now"}


def test_a_cluster_of_somebody_elses_is_left_alone(
    arguments: list[str], begun: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path(arguments[1])
    file.write_text(SITE.replace("cluster: kubeadm", "cluster: existing"))
    for words in (["snapshots"], ["save", "--yes"], ["restore", "x", "--yes"]):
        assert main([*arguments, *words, "--json"] if words == ["snapshots"] else [*arguments, *words]) == 2
        said = capsys.readouterr()
        assert "keeps no saved states of this cluster" in said.err + json.dumps(said.out)
    assert begun == []
