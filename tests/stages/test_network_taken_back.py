"""flannel goes with the whole cluster alone: a node that leaves takes nothing from those that stay."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.catalogue import shipped

FILE = shipped() / "40_thinkube/core/cluster/39_network.py"


@pytest.mark.parametrize(("leaving", "ends"), [(["s3"], False), (["s1", "s2"], True), (["s1", "s2", "s3"], True)])
def test_a_node_that_leaves_takes_nothing_from_the_others(
    monkeypatch: pytest.MonkeyPatch, leaving: list[str], ends: bool
) -> None:
    spec = importlib.util.spec_from_file_location("network_taken_back", FILE)
    assert spec is not None and spec.loader is not None
    step: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(step)
    done: list[str] = []

    class Deleted(Exception):
        pass

    def connect(host: Any) -> Any:
        raise Deleted

    def together(hosts: list[Any], function: Any) -> None:
        done.append(function.__name__)

    nodes = [SimpleNamespace(name=name) for name in ("s1", "s2")]
    plan = SimpleNamespace(nodes=nodes, planes=nodes[:1])
    monkeypatch.setattr(step.forming, "plan_of", lambda host: plan)
    monkeypatch.setattr(step.forming, "connect", connect)
    monkeypatch.setattr(step, "together", together)
    task = SimpleNamespace(__enter__=None)

    class Host(SimpleNamespace):
        def task(self, name: str) -> Any:
            return self

        def __enter__(self) -> Any:
            return task

        def __exit__(self, *_: object) -> None:
            return None

    hosts = [Host(name=name) for name in leaving]
    if ends:
        with pytest.raises(Deleted):
            step.rollback_all(hosts)
    else:
        step.rollback_all(hosts)
        assert done[-2:] == ["empty", "_without_files"], "pods leave while the node has its network"
