"""Where a workspace is opened: by its name where this machine finds it, by the node's address everywhere else."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder
from homewright.workspaces import names_here
from homewright.workspaces.manager import Manager
from homewright.workspaces.names_here import NamesHere
from homewright.workspaces.observation import NodeReport, Observation

NODE = "10.0.0.7"


@pytest.mark.parametrize(
    ("found", "leads"),
    [
        ({NODE}, True),
        (set(), False),
        # A provider's DNS server that answers every name with an address of its own, or with several.
        ({"203.0.113.9"}, False),
        ({NODE, "203.0.113.9"}, False),
    ],
)
def test_a_name_leads_to_an_address_where_it_is_all_that_is_found(found: set[str], leads: bool) -> None:
    assert NamesHere(lambda _: frozenset(found)).lead_to("code-x.s2.home.internal", NODE) is leads


def test_an_answer_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [100.0], []
    monkeypatch.setattr("homewright.workspaces.names_here.time.monotonic", lambda: now[0])

    def resolve(name: str) -> frozenset[str]:
        asked.append(name)
        return frozenset({NODE})

    names = NamesHere(resolve)
    for _ in range(5):
        assert names.lead_to("a.home.internal", NODE)
    assert names.lead_to("b.home.internal", NODE)
    assert asked == ["a.home.internal", "b.home.internal"]
    now[0] += names_here.KEPT_S + 1
    assert names.lead_to("a.home.internal", NODE)
    assert asked[2:] == ["a.home.internal"]


def test_nobody_waits_twice_for_a_resolver_that_is_silent() -> None:
    """The first one waits for the limit; the others, of other names too, for nothing. What comes late counts then."""
    late = threading.Event()

    def resolve(_: str) -> frozenset[str]:
        late.wait(10)
        return frozenset({NODE})

    names = NamesHere(resolve, limit_s=0.05)
    assert not names.lead_to("a.home.internal", NODE)
    names._limit_s = 600.0
    assert not names.lead_to("a.home.internal", NODE)
    assert not names.lead_to("b.home.internal", NODE)
    late.set()
    assert names._asked["a.home.internal"].answered.wait(60)
    assert names.lead_to("a.home.internal", NODE)


@pytest.mark.parametrize(
    ("zone", "found", "address", "by_name"),
    [
        (None, True, "https://10.0.0.7:8500/", ""),
        ("home.internal", True, "https://code-ann.s2.home.internal:8500/", "https://code-ann.s2.home.internal:8500/"),
        ("home.internal", False, "https://10.0.0.7:8500/", "https://code-ann.s2.home.internal:8500/"),
    ],
)
def test_a_workspace_is_opened_by_what_is_found_here(
    zone: str | None, found: bool, address: str, by_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_up(name: str) -> frozenset[str]:
        assert name.endswith(".s2.home.internal")
        return frozenset({NODE} if found else ())

    servers = (Server(name="s1", address="10.0.0.6", user="ann"), Server(name="s2", address=NODE, user="ann"))
    record = {
        "uid": "u", "generation": 1, "user": "ann", "name": "default", "node": "s2", "slug": "ann", "port": 8500,
        "template": "node", "preset": "small", "unit": "x.service", "system_user": "hw-ann", "data_root": "/srv/x",
        "created_at": 0.0,
    }  # fmt: skip
    report = NodeReport.model_validate(
        {"now": 0, "monotonic": 0, "architecture": "x86_64", "workspaces": [{"record": record}]}
    )
    with Manager(Site(name="attic", servers=servers, zone=zone), StateFolder(tmp_path / "state")) as manager:
        manager._names = NamesHere(looked_up)
        seen: Observation = report.workspaces[0]
        workspace = manager._workspace(servers[1], seen, report)
    assert (workspace.address, workspace.by_name) == (address, by_name)
