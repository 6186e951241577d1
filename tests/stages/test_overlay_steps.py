"""Stage 30, step 10, with an account of ZeroTier's and servers that are played."""

from __future__ import annotations

import runpy
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright import stages
from homewright.planning import groups, networks
from homewright.site.models import Site
from homewright.stages import overlay_effect as overlay
from homewright.stages.zerotier import OverlayError

NETWORK = "8056c2e21c000001"
OTHER = "8056c2e21c000002"
SITE = Site.model_validate(
    {
        "name": "home",
        "servers": [{"name": f"s{n}", "address": f"192.168.1.1{n}", "user": "lab"} for n in (1, 2)],
        "network": {"overlay": {"kind": "zerotier", "network_id": NETWORK}},
    }
)
WANTED = {"s1": "10.147.17.10", "s2": "10.147.17.11"}
NODES = {"s1": "1111111111", "s2": "2222222222"}


class Account:
    """What Central has, and what was changed there."""

    def __init__(self, members: Mapping[str, Sequence[str]]) -> None:
        self.known = [{"nodeId": NODES[name], "config": {"ipAssignments": list(has)}} for name, has in members.items()]
        self.changed: list[str] = []

    def network(self, network: str) -> dict[str, Any]:
        return {"config": {"routes": [{"target": "10.147.17.0/24"}]}}

    def members(self, network: str) -> list[dict[str, Any]]:
        return self.known

    def set_member(self, network: str, node: str, values: Mapping[str, Any]) -> None:
        self.changed.append(node)

    def remove_member(self, network: str, node: str) -> None:
        self.changed.append(f"{network} {node}")

    def set_network(self, network: str, config: Mapping[str, Any]) -> None:
        self.changed.append(network)


def server(name: str, capture: Mapping[str, Any], site: Site = SITE) -> Any:
    return SimpleNamespace(
        name=name, site=site, facts={}, error=None, capture=capture,
        task=lambda name: nullcontext(SimpleNamespace(changed=False)),
    )  # fmt: skip


def act(name: str, hosts: Sequence[Any]) -> None:
    file, verb = ("10_overlay.py", "run_all") if name == "run" else ("19_overlay.py", "rollback_all")
    runpy.run_path(str(Path(stages.__path__[0]) / "30_networking" / file))[verb](hosts)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    def with_account(account: Account) -> Account:
        monkeypatch.setattr(overlay, "central", lambda host: account)
        monkeypatch.setattr(overlay, "addresses", lambda host: WANTED)
        monkeypatch.setattr(overlay, "node", lambda host: NODES[host.name])
        monkeypatch.setattr(overlay, "install", lambda host: account.changed.append(f"install {host.name}"))
        monkeypatch.setattr(overlay, "join", lambda host, *rest: None)
        net = SimpleNamespace(network=lambda name: IPv4Network("10.147.17.0/24"))
        monkeypatch.setattr(networks, "propose", lambda *rest: net)
        monkeypatch.setattr(groups, "members", lambda *rest: ["s1"])
        return account

    return with_account


def test_one_server_of_several_is_let_in_beside_the_others(play: Any) -> None:
    account = play(Account({"s1": ["10.147.17.10"]}))
    act("run", [server("s2", {"networks": []})])
    assert account.changed == ["install s2", NODES["s2"]], "the other has its address already, and keeps it"


@pytest.mark.parametrize(
    ("before", "has", "refused"),
    [
        ([NETWORK], ["10.147.17.99"], True),
        ([NETWORK], ["10.147.17.10", "10.147.17.99"], True),
        ([NETWORK], ["10.147.17.10"], False),
        ([NETWORK], [], False),
        ([OTHER], ["10.147.17.99"], False),  # ours from an earlier run: it goes where the site says by now
    ],
)
def test_a_server_that_was_there_before_keeps_its_address(
    play: Any, before: list[str], has: list[str], refused: bool
) -> None:
    account = play(Account({"s1": has}))
    if not refused:
        act("run", [server("s1", {"networks": before})])
        assert account.changed == ["install s1", NODES["s1"]]
        return
    with pytest.raises(OverlayError, match=r"s1 is in the ZeroTier network 8056c2e21c000001 already, with 10\.147"):
        act("run", [server("s1", {"networks": before})])
    assert account.changed == [], "nothing was changed, neither there nor on a server"


WITHOUT = {"kind": "none"}


@pytest.mark.parametrize(
    ("overlay_now", "capture", "left"),
    [
        ({"kind": "zerotier", "network_id": NETWORK}, {"networks": []}, [NETWORK]),
        ({"kind": "none", "network_id": NETWORK}, {"networks": []}, [NETWORK]),
        (WITHOUT, {"networks": [], "network": NETWORK}, [NETWORK]),  # the answer was taken away since
        ({"kind": "zerotier", "network_id": OTHER}, {"networks": [], "network": NETWORK}, [OTHER, NETWORK]),
        (WITHOUT, {"networks": [NETWORK], "network": NETWORK}, []),  # it was in there before us
        (WITHOUT, {}, []),
    ],
)
def test_every_network_that_a_server_was_brought_into_is_left(
    play: Any, monkeypatch: pytest.MonkeyPatch, overlay_now: dict[str, str], capture: dict[str, Any], left: list[str]
) -> None:
    account = play(Account({}))
    commands: list[list[str]] = []
    monkeypatch.setattr(overlay, "status", lambda host, network: ("OK", []))
    monkeypatch.setattr(overlay.packages, "installed", lambda host: [overlay.PACKAGE])
    site = Site.model_validate({**SITE.model_dump(), "network": {"overlay": overlay_now}})
    host = server("s1", capture and {"packages": [overlay.PACKAGE], **capture}, site)
    host.run = commands.append
    act("back", [host])
    assert commands == [["zerotier-cli", "leave", network] for network in left]
    assert account.changed == [f"{network} {NODES['s1']}" for network in left]
