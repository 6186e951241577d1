"""Instances that are control planes are taken away one after another, etcd first, and never all or the most of them.

LXD and etcd are stand-ins that know who is a member; what is done to them is written down, in its order.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from homewright.cluster.client import ClusterAway
from homewright.errors import HomewrightError
from homewright.lxd.client import Lxd, LxdError
from homewright.lxd.recorded import Said
from homewright.stages.cluster import etcd, forming
from homewright.stages.cluster.look import Refused
from homewright.stages.lxd import instances, removing
from homewright.stages.lxd.standing import OWNER

OWNED = "home/1"


class Home:
    """LXD with instances by their states, as `n1=plane n2=worker n3=off n4=mute`, and the etcd of its planes.

    One that is `off` is a plane that is stopped; a `mute` one is a virtual machine that shows no files. `n5=stale` is
    no instance any more, and a member of etcd all the same.
    """

    def __init__(self, states: str) -> None:
        self.states = dict(one.split("=") for one in states.split())
        self.members = [name for name, state in self.states.items() if state in ("plane", "off", "stale")]
        self.done: list[str] = []
        self.nodes = {name for name, state in self.states.items() if state != "stale"}
        self.away = False
        self.spares = True

    def get(self, path: str, **_: Any) -> Any:
        assert path == "instances"
        return [
            {"name": name, "location": "s1", "config": {OWNER: OWNED},
             "status": "Running" if state in ("plane", "worker") else "Stopped"}
            for name, state in self.states.items() if state != "stale"
        ]  # fmt: skip

    def read(self, name: str, path: str) -> bytes | None:
        assert path == forming.MEMBER
        if self.states[name] == "mute":
            raise LxdError("It does not run.")
        return None if self.states[name] == "worker" else b"pod"

    def delete(self, path: str, **_: Any) -> bool:
        self.done.append(f"no {path.rpartition('/')[2]}")
        del self.states[path.rpartition("/")[2]]
        return True

    def set_state(self, name: str, action: str, *, force: bool) -> None:
        assert action == "stop" and force

    def run(self, name: str, words: list[str]) -> Said:
        assert self.states[name] == "plane" and words[0] == "timeout" and words[2:4] == ["sh", "-c"]
        command = words[4]
        if "member list" in command:
            alive = sum(self.states.get(one) == "plane" for one in self.members)
            if alive <= len(self.members) // 2:
                return Said(1, "", "context deadline exceeded")
            listed = [{"name": one, "ID": number} for number, one in enumerate(self.members, 10)]
            return Said(0, json.dumps({"members": listed}), "")
        if "member remove" in command:
            if not self.spares:
                return Said(1, "", "etcdserver: unhealthy cluster")
            number = int(command.rpartition("member remove ")[2], 16)
            self.done.append(f"{name} lets {self.members[number - 10]} go")
            del self.members[number - 10]
            return Said(0, "", "")
        assert "snapshot save" in command
        self.done.append(f"{name} saved")
        return Said(0, f"{etcd.SNAPSHOTS}/1.db\n", "")

    # The cluster's API

    def find(self, path: str) -> dict[str, Any] | None:
        if self.away:
            raise ClusterAway("The cluster's API does not answer.", "timed out")
        return {} if path.rpartition("/")[2] in self.nodes else None

    def forget(self, path: str) -> bool:
        self.done.append(f"forget {path.rpartition('/')[2]}")
        return True


def take_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Home, *gone: str) -> list[str]:
    """What is said while these are taken away."""
    api = SimpleNamespace(find=home.find, delete=home.forget)
    monkeypatch.setattr(forming, "connect", lambda host: nullcontext(api))
    monkeypatch.setattr("homewright.stages.cluster.draining.drain", lambda api, name: home.done.append(f"{name} out"))
    monkeypatch.setattr(
        "homewright.stages.cluster.draining.open_again", lambda api, name: home.done.append(f"{name} in")
    )
    monkeypatch.setattr(instances, "all_planned", lambda host: [])
    said: list[str] = []
    site = SimpleNamespace(
        platform=SimpleNamespace(cluster="kubeadm"), instances=SimpleNamespace(gone=gone), name="home"
    )
    host: Any = SimpleNamespace(
        site=site, secrets=SimpleNamespace(get=lambda name: "kubeconfig"), say=said.append, name="s1",
        task=lambda _: nullcontext(SimpleNamespace()), known_hosts=tmp_path / "known", key_file=tmp_path / "key",
    )  # fmt: skip
    removing.take_away(cast(Lxd, home), host, gone, OWNED)
    return said


@pytest.mark.parametrize(
    ("states", "gone", "words"),
    [
        ("n1=plane n2=worker", "n1", "n1 may be all that is left of the cluster"),
        ("n1=plane n2=plane n3=plane n4=worker", "n1 n2 n3", "n1 and n2 and n3 may be all"),
        ("n1=plane n2=off", "n1", "n1 may be all that is left"),
        ("n1=plane n2=worker", "n2 n1", "n1 may be all that is left"),
        ("n1=mute n2=worker", "n1", "n1 may be all that is left"),
        ("n1=plane n2=plane n3=off", "n1", "etcd would lose its majority with n1"),
        ("n1=plane n2=plane n3=plane n4=off n5=off", "n1 n2", "etcd would lose its majority with n1 and n2"),
    ],
)
def test_no_instance_is_touched_where_the_cluster_would_go_with_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, states: str, gone: str, words: str
) -> None:
    for away in (False, True):
        home = Home(states)
        home.away = away
        with pytest.raises(Refused, match=words) as refused:
            take_away(monkeypatch, tmp_path, home, *gone.split())
        assert home.done == [] and refused.value.do


@pytest.mark.parametrize(
    ("states", "gone", "done"),
    [
        ("n1=plane n2=worker", "n2", ["n2 out", "forget n2", "no n2"]),
        ("n1=plane n2=plane", "n1", ["n1 out", "n2 saved", "n2 lets n1 go", "forget n1", "no n1"]),
        ("n1=plane n2=plane n3=plane", "n1 n2",
         ["n1 out", "n3 saved", "n3 lets n1 go", "forget n1", "no n1",
          "n2 out", "n3 saved", "n3 lets n2 go", "forget n2", "no n2"]),
        ("n1=plane n2=plane n3=off", "n3", ["n3 out", "n1 saved", "n1 lets n3 go", "forget n3", "no n3"]),
        ("n1=plane n2=plane n3=stale", "n3 n2",
         ["n1 saved", "n1 lets n3 go", "n2 out", "n1 saved", "n1 lets n2 go", "forget n2", "no n2"]),
        ("n1=off n2=worker", "n2", ["n2 out", "forget n2", "no n2"]),
    ],
)  # fmt: skip
def test_etcd_lets_each_member_go_before_its_instance(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, states: str, gone: str, done: list[str]
) -> None:
    home = Home(states)
    take_away(monkeypatch, tmp_path, home, *gone.split())
    assert home.done == done


def test_etcd_is_told_where_the_api_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = Home("n1=plane n2=plane n3=plane")
    home.away = True
    said = take_away(monkeypatch, tmp_path, home, "n1")
    assert home.done == ["n2 saved", "n2 lets n1 go", "no n1"]
    assert "the cluster is not told that n1 goes: The cluster's API does not answer." in said


def test_a_member_that_etcd_cannot_spare_stays_and_gets_pods_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = Home("n1=plane n2=plane n3=plane")
    home.spares = False
    with pytest.raises(HomewrightError, match="A command failed on n2"):
        take_away(monkeypatch, tmp_path, home, "n1")
    assert home.done == ["n1 out", "n2 saved", "n1 in"] and "n1" in home.states
