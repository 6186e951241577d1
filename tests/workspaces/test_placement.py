"""Where a workspace goes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from homewright.errors import Unreachable, UsageError
from homewright.site.authority import Authority
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets
from homewright.workspaces import placement
from homewright.workspaces.manager import Manager
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.observation import NodeReport
from homewright.workspaces.placement import Place


def site(count: int, zone: str | None = None) -> Site:
    servers = tuple(Server(name=f"s{n}", address=f"10.0.0.{n}", user="lab") for n in range(1, count + 1))
    return Site(name="attic", servers=servers, zone=zone)


def places(**owners: str) -> dict[str, Place]:
    return {
        node: Place(node, tuple(Key(user=user, name=f"n{at}", node=node) for at, user in enumerate(users.split())))
        for node, users in owners.items()
    }


@pytest.mark.parametrize(
    ("owners", "chosen"),
    [
        ({"s2": "", "s3": ""}, "s2"),
        ({"s2": "bob", "s3": ""}, "s3"),
        ({"s2": "bob", "s3": "alice"}, "s3"),
        ({"s2": "bob bob", "s3": "bob"}, "s3"),
        ({"s3": "bob bob"}, "s3"),
        ({"s1": "", "s2": "bob", "s3": "bob"}, "s2"),
    ],
)
def test_the_node_with_the_fewest_workspaces_is_chosen(owners: dict[str, str], chosen: str) -> None:
    assert placement.choose(site(3), "alice", None, places(**owners), {}).node == chosen


def test_the_master_gets_none_unless_it_is_the_only_server() -> None:
    assert placement.allowed(site(3)) == ("s2", "s3")
    assert placement.allowed(site(1)) == ("s1",)
    with pytest.raises(UsageError, match="master"):
        placement.choose(site(3), "alice", "s1", places(s1="", s2=""), {})
    alone = placement.choose(site(1), "alice", None, places(s1=""), {})
    assert alone.node == "s1"
    assert "one server" in placement.warnings(site(1), alone)[0]
    assert placement.warnings(site(3), alone) == ()


def test_a_node_that_does_not_answer_says_why() -> None:
    with pytest.raises(Unreachable) as refused:
        placement.choose(site(3), "alice", "s2", places(s3=""), {"s2": "It is off."})
    assert refused.value.why == "It is off."
    with pytest.raises(Unreachable) as refused:
        placement.choose(site(3), "alice", None, {}, {"s2": "It is off.", "s3": "Port closed."})
    assert "s2: It is off." in refused.value.why
    assert "s3: Port closed." in refused.value.why


def test_an_unknown_server_is_no_node() -> None:
    with pytest.raises(UsageError, match="no server s9"):
        placement.choose(site(3), "alice", "s9", {}, {})
    with pytest.raises(UsageError, match="no servers"):
        placement.choose(Site(name="attic"), "alice", None, {}, {})


@pytest.mark.parametrize(
    ("zone", "by_name", "owners", "until"),
    [
        (None, False, "", ""),
        (None, False, "alice alice", ""),
        (None, False, "alice bob", "this site has a zone"),
        ("home.internal", False, "alice bob", "names of home.internal are found here"),
        ("home.internal", True, "alice bob", ""),
    ],
)
def test_a_second_owner_must_be_accepted_where_a_node_is_opened_by_its_address(
    zone: str | None, by_name: bool, owners: str, until: str
) -> None:
    warning = placement.shared_node(site(3, zone), places(s2=owners)["s2"], "alice", by_name)
    assert bool(warning) is bool(until)
    assert not until or ("bob" in warning and f"Until {until} they share" in warning)


def test_no_second_workspace_is_made_while_the_first_is_out_of_sight(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    Secrets(state.secrets).set("workspace/alice@s3/password", "secret-of-alice")
    with Manager(site(3), state) as manager:
        with pytest.raises(Unreachable, match="alice is on s3, which does not answer"):
            manager.create(Specification(key=Key(user="alice")), lambda line: None)
        with pytest.raises(Unreachable, match="No node for workspaces answers"):
            manager.create(Specification(key=Key(user="bob")), lambda line: None)


def test_commands_that_are_told_to_be_typed_are_quoted(tmp_path: Path) -> None:
    record = {
        "uid": "u", "generation": 1, "user": "ann $(x)", "name": "default", "node": "s2", "slug": "ann-x", "port": 8500,
        "template": "node", "preset": "small", "unit": "x.service", "system_user": "hw-ann-x", "data_root": "/srv/x",
        "created_at": 0.0,
    }  # fmt: skip
    report = {"now": 0, "monotonic": 0, "architecture": "x86_64", "workspaces": [{"record": record}]}

    class Seeing(Manager):
        def _look(self, server: Server, authority: Authority) -> NodeReport:
            return NodeReport.model_validate(report)

    key = Key(user="ann $(x)", node="s2")
    manager = Seeing(site(3), StateFolder(tmp_path / "state"))
    with pytest.raises(UsageError) as started:
        manager.start(key)
    with pytest.raises(UsageError) as asked:
        manager.password(key)
    assert started.value.do == ("homewright workspace create 'ann $(x)/default'",)
    assert asked.value.do[0].endswith("homewright workspace delete 'ann $(x)/default@s2'")


def test_looks_at_the_same_time_share_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(4)
    opened: list[Opened] = []

    class Opened:
        alive = True

        def close(self) -> None:
            self.alive = False

    def connect(*_: object, **__: object) -> Opened:
        together.wait(timeout=10)
        opened.append(Opened())
        return opened[-1]

    monkeypatch.setattr("homewright.workspaces.manager.Connection.open", connect)
    with Manager(site(1), StateFolder(tmp_path / "state")) as manager, ThreadPoolExecutor(4) as pool:
        given = set(pool.map(manager._connected, [site(1).servers[0]] * 4))
        assert len(opened) == 4
        assert [one for one in opened if one.alive] == list(given)
    assert not any(one.alive for one in opened)
