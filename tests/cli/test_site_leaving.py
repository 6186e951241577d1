"""Servers and instances leave by commands: what would be lost has to be named, and nothing happens without that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from homewright.access import engine_key, key_change
from homewright.cluster.kubeconfig import SECRET
from homewright.engine.journal.writer import Writer
from homewright.engine.states import Action, State
from homewright.site import files
from homewright.site.models import Leaving
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets

Run = Callable[..., "CompletedProcess[str]"]
SERVERS = ("--server", "s1=ann@10.0.0.1", "--server", "s2=ann@10.0.0.2", "--server", "s3=ann@10.0.0.3")


@pytest.fixture
def site(homewright: Run, tmp_path: Path) -> Path:
    """A site of three servers, on which step 20/30 was carried out."""
    assert homewright("site", "new", "attic", "--here", *SERVERS).returncode == 0
    state = tmp_path / "state"
    writer = Writer(StateFolder(state).create(), "r1")
    writer.change(writer.add_run(action=Action.RUN, state=State.SUCCEEDED, created=0.0))
    for host in ("", "s1", "s2", "s3"):
        row = {"stage": "20", "title": "Instances", "runner": "python", "position": 0, "state": State.SUCCEEDED}
        writer.change(writer.add_step("20/30", host, **row))
    writer.close()
    return tmp_path / "here" / "site.yaml"


def test_a_server_leaves_once_it_is_said_what_becomes_of_its_instances(homewright: Run, site: Path) -> None:
    state = ("--state", str(site.parent.parent / "state"))
    for words, said in (
        (("s3",), "What becomes of s3-node on s3?"),
        (("s3", "--move", "s3-node"), "INSTANCE=SERVER"),
        (("s3", "--move", "s3-node=s3"), "cannot go to s3"),
    ):
        refused = homewright("site", "remove-server", *words, *state)
        assert refused.returncode == 2 and said in refused.stderr, refused
    assert files.load(site).leaving == ()
    left = homewright("site", "remove-server", "s3", "--move", "s3-node=s1", *state, "--json")
    assert json.loads(left.stdout)["leaving"] is True
    found = files.load(site)
    assert [one.name for one in found.leaving] == ["s3"] and found.instances.nodes is not None
    assert {one.name: one.host for one in found.instances.nodes}["s3-node"] == "s1"
    again = homewright("site", "remove-server", "s3", *state)
    assert again.returncode == 2 and "rollback --server s3" in again.stderr
    for words, said in ((("s2",), "does not leave"), (("s9",), "does not leave")):
        assert said in homewright("rollback", "--server", *words, "--yes", *state).stderr


def test_the_only_control_plane_leaves_only_after_the_cluster(homewright: Run, site: Path) -> None:
    folder = StateFolder(site.parent.parent / "state")
    state = ("--state", str(folder.root))
    for answer in (("platform.cluster", "kubeadm"), ("platform.nodes", "servers")):
        assert homewright("site", "set", *answer).returncode == 0
    Secrets(folder.secrets).set(SECRET, "of the cluster that is there")
    refused = homewright("site", "remove-server", "s1", *state)
    assert refused.returncode == 2 and "s1 has the cluster's only control plane" in refused.stderr
    assert files.load(site).leaving == ()
    assert homewright("site", "remove-server", "s3", *state).returncode == 0
    Secrets(folder.secrets).delete(SECRET)
    assert homewright("site", "remove-server", "s1", *state).returncode == 0


def test_an_instance_that_is_the_only_control_plane_moves_or_stays(homewright: Run, site: Path) -> None:
    folder = StateFolder(site.parent.parent / "state")
    state = ("--state", str(folder.root))
    assert homewright("site", "set", "platform.cluster", "kubeadm").returncode == 0
    Secrets(folder.secrets).set(SECRET, "of the cluster that is there")
    refused = homewright("site", "remove-instance", "s1-node", "--take-away", "s1-node", *state)
    assert refused.returncode == 2 and "s1-node is the cluster's only control plane" in refused.stderr
    assert files.load(site).instances.gone == ()
    away = homewright("site", "remove-server", "s1", "--take-away", "s1-node", *state)
    assert away.returncode == 2 and "s1 has the cluster's only control plane, s1-node" in away.stderr
    assert homewright("site", "remove-instance", "s2-node", "--take-away", "s2-node", *state).returncode == 0
    assert homewright("site", "remove-server", "s1", "--move", "s1-node=s3", *state).returncode == 0


def test_a_server_that_dies_while_it_leaves_is_lost(homewright: Run, site: Path) -> None:
    state = ("--state", str(site.parent.parent / "state"))
    refused = homewright("site", "remove-server", "s3", "--lost", *state)
    assert refused.returncode == 2 and "site remove-server s3 --lost --move s3-node=s1" in refused.stderr
    assert homewright("site", "remove-server", "s3", "--move", "s3-node=s1", *state).returncode == 0
    again = homewright("site", "remove-server", "s3", *state)
    assert again.returncode == 2 and "site remove-server s3 --lost" in again.stderr
    before = files.load(site)
    lost = homewright("site", "remove-server", "s3", "--lost", *state)
    assert lost.returncode == 0 and "forgets it by force" in lost.stdout and " apply" in lost.stdout, lost
    found = files.load(site)
    assert [(one.name, one.lost) for one in found.leaving] == [("s3", True)]
    assert found.instances == before.instances, "what becomes of its instances was said before"
    done = homewright("site", "remove-server", "s3", "--lost", *state)
    assert done.returncode == 2 and " apply" in done.stderr and "rollback" not in done.stderr


def test_an_instance_is_taken_away_by_its_name_alone(homewright: Run, site: Path) -> None:
    state = ("--state", str(site.parent.parent / "state"))
    for words in ((), ("--take-away", "s2-node")):
        refused = homewright("site", "remove-instance", "s1-node", *words, *state)
        assert refused.returncode == 2 and "s1-node would be lost" in refused.stderr
    assert files.load(site).instances.gone == ()
    assert homewright("site", "remove-instance", "s1-node", "--take-away", "s1-node", *state).returncode == 0
    assert files.load(site).instances.gone == ("s1-node",)
    resized = homewright("site", "set", "instances.nodes.s2-node.cpu", "8", *state)
    assert resized.returncode == 0 and "instances.nodes.s2-node.cpu: 8" in resized.stdout


@pytest.mark.parametrize("record", ["whole", "damaged"])
def test_a_server_that_just_leaves_keeps_no_old_key_here(homewright: Run, tmp_path: Path, record: str) -> None:
    assert homewright("site", "new", "attic", "--here", *SERVERS).returncode == 0
    site, state = tmp_path / "here" / "site.yaml", StateFolder(tmp_path / "state").create()
    engine_key.ensure(state.key, "x")
    key_change.begin(state.key, ["s2", "s3"], "x")
    Writer(state, "r1").close()
    leaving = Leaving.model_validate(files.load(site).server("s3").model_dump())
    files.update(site, {"servers": files.load(site).servers[:2], "leaving": (leaving,)})
    if record == "damaged":
        state.key.with_name(key_change.RECORD).write_text("")
    for name in ("s3", "s2"):
        left = homewright("site", "remove-server", name, "--state", str(state.root))
        assert left.returncode == 0, left
    assert [one.name for one in files.load(site).servers] == ["s1"]
    if record == "whole":
        assert (key_change.owed(state.key), key_change.olds(state.key)) == ((), ())
