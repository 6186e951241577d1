"""`homewright plan`: its parts, what is different since, and plans that do not fit any more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homewright.cli import main
from homewright.cli.plan import require_same, require_same_machines
from homewright.discovery.facts import HostFacts
from homewright.errors import PlanMismatch
from homewright.planning import Plan, kept
from homewright.site import files
from homewright.site.models import Site
from homewright.site.paths import StateFolder

from .composed import NVIDIA, card, gpu, host, hosts, site
from .test_difference import of


class Place:
    """A site file and its state folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "site.yaml"
        self.state = StateFolder(folder / "state").create()
        self._capsys = capsys

    def keep(self, given: Site, known: dict[str, HostFacts]) -> None:
        files.save(self.file, given, replace=True)
        self.state.facts.mkdir(exist_ok=True)
        for name, one in known.items():
            (self.state.facts / f"{name}.json").write_text(one.model_dump_json())

    def plan(self, *words: str, code: int = 0) -> str:
        assert main(["--site", str(self.file), "--state", str(self.state.root), "plan", *words]) == code
        said = self._capsys.readouterr()
        return said.out if code == 0 else said.err

    def document(self, *words: str) -> Any:
        return json.loads(self.plan(*words, "--json"))


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    found = Place(tmp_path, capsys)
    known = hosts(2) | {"s1": host(gpus=[gpu()], pci=card(), kernel={"cmdline": ("quiet",)})}
    found.keep(site(2, gpus=[{"host": "s1", "address": NVIDIA, "use": "passthrough"}]), known)
    return found


def test_the_plan_in_words(place: Place) -> None:
    text = place.plan()
    assert "Changes on s1:" in text and "Changes on s2:" in text and "file /home/ann/.venv/ (00/40)" in text
    assert "10/10 Bridge on s1, s2, about 12 seconds, could lock you out" in text
    assert "10/30 Restart on s1, about 4 minutes, reboots" in text and "Will be rebooted: s1." in text
    assert text.count("file /etc/default/grub.d/90-homewright.cfg (10/20)") == 1
    assert "package python3-venv, where it is missing (00/40)" in text
    assert "range of pods: 10.1.0.0/16. The pods' usual range" in text
    assert "Does not fit" not in text and "what was applied last" not in text


@pytest.mark.parametrize(
    ("part", "words", "key"),
    [
        ("network", ["pods: 10.1.0.0/16 (proposed)", "bridge on s1: eno1", "service addresses: 65,534"], "ranges"),
        (
            "gpus",
            ["passed through to an instance s1-node", "kernel arguments now: quiet", "then s1 restarts", "iommu=pt"],
            "previews",
        ),
        ("instances", ["s2-node on s2: worker", "two servers cannot form a quorum", "keeps 4 CPU"], "nodes"),
        ("platform", ["cluster: microk8s (proposed)", "optional not wanted Ollama", "left out: GitHub"], "costs"),
    ],
)
def test_each_part_in_words_and_as_a_document(place: Place, part: str, words: list[str], key: str) -> None:
    text = place.plan(part)
    assert all(word in text for word in words), text
    document = place.document(part)
    assert document["version"] == 1 and document[key]


def test_an_answer_that_does_not_fit_is_told_with_the_command(place: Place) -> None:
    place.keep(site(1, network={"pods": "192.168.0.0/16"}), {})
    (place.state.facts / "s1.json").unlink()
    assert "The hardware of s1 is not known yet" in place.plan("gpus")
    place.keep(site(1, network={"pods": "192.168.0.0/16"}), hosts(1))
    text = place.plan("network")
    assert "is not known yet" not in text
    assert "Does not fit: network.pods: 192.168.0.0/16 overlaps the LAN" in text
    assert "unset network.pods" in text


def test_what_an_edit_changes_since_it_was_applied(place: Place) -> None:
    assert "There is nothing to compare with" in place.plan("--compare", code=2)
    now = place.document()
    kept.apply(place.state, Plan.model_validate(now))
    assert "Nothing is different from what was applied last" in place.plan()
    place.keep(site(2, host_venv={"folder": "/opt/venv"}), {})
    text = place.plan()
    assert f"Different from what was applied last ({place.state.root}/plans/applied.json)" in text
    assert (
        "What 00/40 put there stays on s1, s2: /home/ann/.venv/" in text
        and "Answer host_venv.folder: new, /opt/venv" in text
    )
    found = place.document("--compare")
    assert {one["what"] for one in found["answers"]} >= {"host_venv.folder"}
    assert found["old_state"]


def test_compared_with_a_saved_plan(place: Place, tmp_path: Path) -> None:
    place.plan("--save", str(tmp_path / "plan.json"))
    assert "Nothing is different" in place.plan("--compare", str(tmp_path / "plan.json"))
    place.keep(site(2), hosts(2))
    text = place.plan("--compare", str(tmp_path / "plan.json"))
    assert "s1 has other GPUs: 0000:01:00.0 nvidia → none." in text


def test_what_differs_is_said_where_a_plan_is_refused() -> None:
    with pytest.raises(PlanMismatch) as caught:
        require_same(of(2), of(2, zone="a.b"))
    assert "Answer zone: new, a.b." in caught.value.why
    with pytest.raises(PlanMismatch, match="no longer fits"):
        require_same(of(2), of(3))
    require_same(of(2), of(2))


def test_what_a_plan_did_not_know_may_be_learned_and_another_machine_may_not() -> None:
    require_same_machines(of(2, known={}), of(2))
    require_same_machines(of(2, known={"s1": host()}), of(2))
    with pytest.raises(PlanMismatch) as caught:
        require_same_machines(of(2, known={"s1": host(system={"machine_id": "x"})}), of(2))
    assert "s1 is another machine" in caught.value.why
    with pytest.raises(PlanMismatch):
        require_same_machines(of(2), of(2, known=hosts(2) | {"s2": host("s2", cpu=2)}))


def test_what_changed_since_an_approval(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    before, after = of(2), of(2, zone="a.b")
    assert kept.since_approval(state, before.digest, after) == ""
    kept.approve(state, before)
    assert "Answer zone" in kept.since_approval(state, before.digest, after)
    assert kept.since_approval(state, "another", after) == ""
