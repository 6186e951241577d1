"""GPUs given to an instance and taken away again: by an LXD that keeps what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from homewright.lxd.client import Lxd
from homewright.stages.lxd import gpus

CARD = {f"{gpus.PREFIX}0000-01-00-0": {"type": "gpu", "gputype": "physical", "pci": "0000:01:00.0"}}
SECOND = {f"{gpus.PREFIX}0000-03-00-0": {"type": "gpu", "gputype": "physical", "pci": "0000:03:00.0"}}
THEIRS = {"share": {"type": "disk", "source": "/srv", "path": "/mnt"}, "gpu0": {"type": "gpu"}}


class Keeping(Lxd):
    """One instance, as LXD keeps it."""

    def __init__(self, kind: str, status: str) -> None:
        self.instance: dict[str, Any] = {
            "type": kind, "status": status, "devices": dict(THEIRS), "config": {"limits.cpu": "2"}, "architecture": "x",
            "description": "", "ephemeral": False, "profiles": ["homewright"],
        }  # fmt: skip
        self.asked: list[str] = []

    def get(self, path: str, **_: Any) -> Any:
        return self.instance

    def put(self, path: str, body: Mapping[str, Any], **_: Any) -> Any:
        assert self.instance["type"] == "container" or self.instance["status"] == "Stopped"
        assert set(body) == {"architecture", "description", "ephemeral", "profiles", "config", "devices"}
        self.instance |= body
        self.asked.append("put")

    def set_state(self, instance: str, action: str, **_: Any) -> None:
        self.instance["status"] = "Running" if action == "start" else "Stopped"
        self.asked.append(action)


@pytest.mark.parametrize(
    ("kind", "status", "asked"),
    [
        ("virtual-machine", "Running", ["stop", "put", "start"]),
        ("virtual-machine", "Stopped", ["put"]),
        ("container", "Running", ["put"]),
    ],
)
def test_gpus_are_given_once_and_taken_away_again(kind: str, status: str, asked: list[str]) -> None:
    lxd = Keeping(kind, status)
    for devices in (CARD, {**CARD, **SECOND}, SECOND, {}):
        assert gpus.give(lxd, "n1", devices, lambda _: None)
        assert lxd.instance["devices"] == {**THEIRS, **devices}, "somebody's own devices stay"
        assert lxd.instance["status"] == status and lxd.instance["config"] == {"limits.cpu": "2"}
        assert lxd.asked == asked
        lxd.asked.clear()
        assert not gpus.give(lxd, "n1", devices, lambda _: None), "a second run changes nothing"
        assert lxd.asked == []
