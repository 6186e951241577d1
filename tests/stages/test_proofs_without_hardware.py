"""Proofs of what practice servers lack, GPUs and an overlay: what each says of what somebody has broken.

Servers and LXD are played.
"""

from __future__ import annotations

import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright import stages
from homewright.engine.runners.host import Proof
from homewright.engine.states import Verdict
from homewright.lxd.client import LxdAway
from homewright.site.models import Site
from homewright.stages import gpu_drivers_effect as drivers
from homewright.stages import overlay_effect as overlay
from homewright.stages.lxd import cluster, gpus
from homewright.stages.zerotier import OverlayError

BROKEN, PROVED, UNSURE = Verdict.BROKEN, Verdict.PROVED, Verdict.CANNOT_TELL


def proof(file: str, host: Any) -> Proof:
    found: Proof = runpy.run_path(str(Path(stages.__path__[0]) / file))["verify"](host)
    return found


def test_a_proof_of_the_overlay_sees_each_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    site = Site.model_validate({"name": "home"})
    answers = SimpleNamespace(exit_code=0)
    host = SimpleNamespace(name="s1", site=site, run=lambda *_, **__: answers)

    def addresses(_: Any) -> dict[str, str]:
        if told["no_room"]:
            raise OverlayError("There is no room for the overlay's addresses.", "", [])
        return {"s1": "10.147.17.10", "s2": "10.147.17.11"}

    monkeypatch.setattr(overlay, "network_of", lambda _: "8056c2e21c000001")
    monkeypatch.setattr(overlay, "addresses", addresses)
    monkeypatch.setattr(overlay, "node", lambda _: told["node"])
    monkeypatch.setattr(overlay, "status", lambda *_: (told["state"], told["has"]))
    right = {"node": "1111111111", "state": "OK", "has": ["10.147.17.10/24"], "silent": False, "no_room": False}
    for damage, verdict, why in (
        ({}, PROVED, "1 others answer there"),
        ({"node": ""}, BROKEN, "ZeroTier does not run on s1"),
        ({"state": ""}, BROKEN, "has not joined"),
        ({"state": "ACCESS_DENIED"}, BROKEN, "as ACCESS_DENIED"),
        ({"has": []}, BROKEN, "has no address in the overlay"),
        ({"has": ["10.147.17.77/24"]}, BROKEN, "has 10.147.17.77/24 in the overlay, not 10.147.17.10"),
        ({"no_room": True}, BROKEN, "no room"),
        ({"state": "REQUESTING_CONFIGURATION"}, UNSURE, "to answer"),
        ({"silent": True}, UNSURE, "s2 does not answer s1"),
    ):
        told |= right | damage
        answers.exit_code = 1 if told["silent"] else 0
        said = proof("30_networking/18_overlay.py", host)
        assert (said.verdict, why in said.reason) == (verdict, True), (damage, said)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ({}, ""),
        ({"functions": []}, "no NVIDIA GPU on its PCI bus"),
        ({"listed": [], "said": ""}, "it is not installed"),
        ({"listed": [], "said": "couldn't communicate with the NVIDIA driver"}, "couldn't communicate"),
        ({"listed": ["NVIDIA L4"]}, "has 2 GPUs, and nvidia-smi lists 1"),
        ({"listed": ["NVIDIA L4"] * 3}, "has 2 GPUs, and nvidia-smi lists 3"),
        ({"functions": [], "container": True}, ""),
        ({"functions": [], "container": True, "listed": []}, "lists no GPU"),
    ],
)
def test_a_proof_of_the_driver_sees_each_damage(
    damage: Mapping[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {
        "functions": ["0000:05:00.0", "0000:06:00.0"], "container": False, "listed": ["NVIDIA L4"] * 2, "said": "",
        "system": "debian",
    }  # fmt: skip
    monkeypatch.setattr(drivers, "look", lambda _: drivers.Seen(**(right | damage)))
    said = proof("30_networking/38_gpu_drivers.py", SimpleNamespace(name="s1-node"))
    assert said.verdict is (BROKEN if why else PROVED), said
    assert why in said.reason


class Played:
    """LXD with one instance, as a context of its own."""

    def __init__(self, instance: Mapping[str, Any] | None, cards: str) -> None:
        self._instance, self._cards = instance, cards

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def find(self, _: str) -> Mapping[str, Any] | None:
        return self._instance

    def run(self, _: str, __: Sequence[str]) -> Any:
        return SimpleNamespace(stdout=self._cards)


CARD = {f"{gpus.PREFIX}0000-01-00-0": {"type": "gpu", "pci": "0000:01:00.0"}}
OTHER = {f"{gpus.PREFIX}0000-03-00-0": {"type": "gpu", "pci": "0000:03:00.0"}}


@pytest.mark.parametrize(
    ("damage", "cards", "verdict", "why"),
    [
        ({}, "1\n", PROVED, "1 devices"),
        ({"devices": {**CARD, "share": {"type": "disk"}}}, "1\n", PROVED, ""),  # somebody's own beside ours
        (None, "1\n", BROKEN, "There is no instance s1-node"),
        ({"devices": {}}, "1\n", BROKEN, "not as planned"),
        ({"devices": OTHER}, "1\n", BROKEN, "not as planned"),
        ({"devices": {**CARD, **OTHER}}, "2\n", BROKEN, "not as planned"),
        ({"status": "Stopped"}, "1\n", BROKEN, "is Stopped"),
        ({}, "", BROKEN, "sees 0 display controllers, not 1"),
        ({}, "away", UNSURE, "does not answer"),
    ],
)
def test_a_proof_of_gpu_devices_sees_each_damage(
    damage: Mapping[str, Any] | None, cards: str, verdict: Verdict, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {"devices": CARD, "type": "virtual-machine", "status": "Running"}

    def connect(_: Any) -> Played:
        if cards == "away":
            raise LxdAway("LXD on s1 does not answer.", "No route to host.")
        return Played(None if damage is None else right | damage, cards)

    monkeypatch.setattr(gpus, "wanted", lambda *_: {"s1-node": CARD})
    monkeypatch.setattr(cluster, "instance_plan", lambda *_: None)
    monkeypatch.setattr(cluster, "connected", connect)
    said = proof("20_lxd_setup/48_gpu_devices.py", SimpleNamespace(name="s1", site=None, facts={"s1": None}))
    assert (said.verdict, why in said.reason) == (verdict, True), said
