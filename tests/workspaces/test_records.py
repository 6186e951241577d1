"""The intent record on a node: claims, ports, owners."""

from __future__ import annotations

import fcntl
import grp
import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from homewright.workspaces import naming
from homewright.workspaces.nodeside import records, serve, steps
from homewright.workspaces.nodeside.records import Refused, free_port


@pytest.mark.parametrize(
    ("first", "given", "listening", "port"),
    [
        (8500, set(), set(), 8500),
        (8500, {8500}, set(), 8501),
        (8500, {8501}, {8500}, 8502),
        (8500, {8500, 8502}, {}, 8501),
        (65535, set(), set(), 65535),
        (8500, set(range(8500, 8600)), {8600: (0, "1")}, 8601),
    ],
)
def test_the_lowest_free_port_is_given(first: int, given: Any, listening: Any, port: int) -> None:
    assert free_port(first, given, listening) == port


def test_no_port_left_says_so() -> None:
    with pytest.raises(Refused) as refused:
        free_port(65534, {65534}, {65535})
    assert refused.value.answer["do"]


def request(user: str, name: str = "default", **more: Any) -> dict[str, Any]:
    slug = naming.slug(user, name)
    return {
        "key": {"user": user, "name": name, "node": "s2"}, "slug": slug, "template": "node", "preset": "small",
        "first_port": 8500, "unit": naming.unit(slug), "system_user": naming.system_user(slug),
        "data_root": "/srv/homewright/data", "at": 1000.0, "who": "root@here", **more,
    }  # fmt: skip


def test_a_claim_is_written_once_and_found_again(tmp_path: Path) -> None:
    root = tmp_path / "workspaces"
    record, new = records.claim(request("alice"), (), root)
    assert new
    assert (record.port, record.generation, record.history) == (8500, 1, ((1000.0, "root@here", "created"),))
    again, new = records.claim(request("alice"), {8500}, root)
    assert not new
    assert again == record
    other, _ = records.claim(request("bob@corp.com", "train"), {8501}, root)
    assert other.port == 8502
    file = root / "alice" / "workspace.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert {found.slug for found in records.everything(root)[0]} == {"alice", other.slug}


def test_another_true_user_under_the_same_slug_is_refused(tmp_path: Path) -> None:
    records.claim(request("alice"), (), tmp_path)
    foreign = request("alice") | {"key": {"user": "Alice", "name": "default", "node": "s2"}}
    for act in (
        lambda: records.claim(foreign, (), tmp_path),
        lambda: records.require("alice", foreign["key"], None, tmp_path),
    ):
        with pytest.raises(Refused) as refused:
            act()
        assert refused.value.answer["code"] == "not-ours"


def test_one_that_was_made_again_is_another_one(tmp_path: Path) -> None:
    record, _ = records.claim(request("alice"), (), tmp_path)
    key = {"user": "alice", "name": "default"}
    assert records.require("alice", key, record.uid, tmp_path) == record
    with pytest.raises(Refused) as refused:
        records.require("alice", key, "another uid", tmp_path)
    assert refused.value.answer["code"] == "changed-meanwhile"
    with pytest.raises(Refused) as refused:
        records.require("bob", {"user": "bob", "name": "default"}, None, tmp_path)
    assert refused.value.answer["code"] == "instance-not-found"


def test_the_history_keeps_the_last_changes(tmp_path: Path) -> None:
    record, _ = records.claim(request("alice"), (), tmp_path)
    for at in range(30):
        record = records.save(record.said(float(at), "root@here", "start"), tmp_path)
    assert len(record.history) == records.HISTORY
    assert record.history[-1] == (29.0, "root@here", "start")
    assert record.generation == 31
    assert records.load("alice", tmp_path) == record


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 2}', '{"version": 1}', '{"version": 1, "new": 1}'])
def test_a_record_that_cannot_be_read_hides_nobody_else(tmp_path: Path, text: str) -> None:
    records.claim(request("alice"), (), tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "workspace.json").write_text(text)
    found, unreadable = records.everything(tmp_path)
    assert [record.slug for record in found] == ["alice"]
    assert set(unreadable) == {"broken"}


def test_many_claims_at_once_get_ports_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(12) as pool:  # a lock belongs to an open file, so threads compete for it as processes do
        list(pool.map(lambda number: records.claim(request(f"user{number}"), (), tmp_path), range(12)))
    found, _ = records.everything(tmp_path)
    assert sorted(record.port for record in found) == list(range(8500, 8512))


def test_a_full_disk_leaves_the_old_record_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, _ = records.claim(request("alice"), (), tmp_path)
    before = (tmp_path / "alice" / "workspace.json").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(records.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        records.save(record.said(1.0, "root@here", "start"), tmp_path)
    assert (tmp_path / "alice" / "workspace.json").read_bytes() == before
    assert [file.name for file in (tmp_path / "alice").iterdir()] == ["workspace.json"]
    assert json.loads(before)["user"] == "alice"


def test_a_lock_whose_file_is_removed_still_keeps_two_apart(tmp_path: Path) -> None:
    inside: list[str] = []
    together: list[list[str]] = []

    def hold(number: int) -> None:
        with records.locked("alice", tmp_path):
            inside.append(str(number))
            together.append(list(inside))
            threading.Event().wait(0.002)
            inside.remove(str(number))
            records.unlock_for_ever("alice", tmp_path)

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(hold, range(60)))
    assert max(map(len, together)) == 1
    assert not list(tmp_path.glob(".*.lock"))


def test_a_lock_whose_file_goes_as_it_is_looked_at_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the last act of the one who held it, between any two of our calls."""
    taken, looks = fcntl.flock, iter((True, False))

    def flock(descriptor: int, how: int) -> None:
        taken(descriptor, how)
        if next(looks):
            records.unlock_for_ever("alice", tmp_path)

    monkeypatch.setattr(records.fcntl, "flock", flock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with records.locked("alice", tmp_path):
        assert [file.name for file in tmp_path.glob(".*.lock")] == [".alice.lock"]
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "a lock is left behind"


def test_a_lock_that_was_waited_for_in_vain_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise InterruptedError

    monkeypatch.setattr(records.fcntl, "flock", flock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(InterruptedError), records.locked("alice", tmp_path):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_a_cut_off_write_left_does_not_keep_a_record_from_going(tmp_path: Path) -> None:
    records.claim(request("alice"), (), tmp_path)
    (tmp_path / "alice" / ".workspace.json.abcd").write_text("half")
    records.remove("alice", tmp_path)
    assert not (tmp_path / "alice").exists()


def test_a_shared_folder_gets_its_name_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, _ = records.claim(request("alice", data_root=str(tmp_path / "data")), (), tmp_path / "records")
    group = grp.getgrgid(os.getgid()).gr_name
    job = steps.Job(record, group, ("projects",), {}, "")

    def power_loss(*_: object) -> None:
        raise OSError("power loss")

    with monkeypatch.context() as patch:
        patch.setattr(os, "chown", power_loss)
        with pytest.raises(OSError, match="power loss"):
            steps.shared_folders(job)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    steps.shared_folders(job)
    assert stat.S_IMODE((tmp_path / "data" / "projects").stat().st_mode) == 0o2775


@pytest.mark.parametrize(("groups", "option"), [("997 998 ", "--groups=997,998"), ("", "--clear-groups")])
def test_the_proof_runs_with_the_groups_that_the_workspace_has(groups: str, option: str) -> None:
    assert serve.groups_option({"Groups": groups}) == option
