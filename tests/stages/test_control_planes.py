"""Control planes come and go: none is made beside one that may be there, and the last one does not go by itself.

Servers are stand-ins that tell what they have; what a step does to one is written down, in its order.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.errors import Unreachable
from homewright.planning.cluster import ClusterPlan, planned
from homewright.site.models import Site
from homewright.stages.cluster import documents, etcd, forming, renewing, resetting

OURS, OTHER = b"ca", b"another ca"


@dataclass
class Node:
    """A server: `plane`, `worker`, `half`, `absent`, or `off`."""

    name: str
    state: str
    site: Site
    secrets_file: Path
    done: list[str]
    ca: bytes = OURS
    peers: tuple[Node, ...] = ()
    error: Exception | None = None
    told: list[str] = field(default_factory=list)

    @contextmanager
    def task(self, name: str) -> Any:
        yield SimpleNamespace(changed=False)

    def say(self, text: str) -> None:
        self.told.append(text)

    def exists(self, path: str) -> bool:
        assert path == forming.SERVES
        self._require()
        return self.state == "plane"

    def read(self, path: str) -> bytes | None:
        self._require()
        return self.ca if path == "/etc/kubernetes/pki/ca.crt" else None

    def write(self, path: str, data: bytes) -> None:
        self.done.append(f"{self.name} {data.decode().strip()}")

    def remove(self, path: str) -> bool:
        return False

    def _require(self) -> None:
        if self.state == "off":
            raise Unreachable(f"{self.name} cannot be reached.")


Make = Callable[..., tuple[list[Any], ClusterPlan, list[str]]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Servers of a site by their states, as `s1=plane s2=off`, in the site's order; and what is done to them."""
    done: list[str] = []

    def state(node: Node) -> str:
        node._require()
        return {"plane": "formed", "worker": "formed"}.get(node.state, node.state)

    api = SimpleNamespace(
        config=SimpleNamespace(ca_pem=OURS),
        find=lambda path: {"metadata": {}},
        delete=lambda path: done.append(f"delete {path.rpartition('/')[2]}"),
    )
    monkeypatch.setattr(forming, "state", state)
    monkeypatch.setattr(forming, "connect", lambda node: nullcontext(api))
    monkeypatch.setattr(forming, "_bootstrap", lambda api: "token.secret")
    monkeypatch.setattr(forming, "_certificates", lambda giver, plan, api: nullcontext("key"))
    monkeypatch.setattr(forming, "_end", lambda api, name: None)
    monkeypatch.setattr(forming, "_ready", lambda node: "")
    monkeypatch.setattr(forming, "ca_hash", lambda pem: "sha256:0")
    monkeypatch.setattr(forming, "_kubeadm", lambda node, verb, *rest: None)
    monkeypatch.setattr(forming, "empty", lambda node: done.append(f"{node.name} emptied"))
    monkeypatch.setattr(forming, "_forget", lambda node: None)
    monkeypatch.setattr(forming.kubeconfig, "read", lambda text: None)
    monkeypatch.setattr(documents, "joining", lambda *rest: "")
    monkeypatch.setattr(documents, "initial", lambda *rest: "")
    monkeypatch.setattr(etcd, "snapshot", lambda node: done.append(f"{node.name} saved"))
    monkeypatch.setattr(etcd, "remove", lambda node, name: done.append(f"{node.name} lets {name} go"))
    monkeypatch.setattr(resetting, "reset", lambda node: done.append(f"{node.name} reset"))
    monkeypatch.setattr(resetting, "hollow", lambda node: None)

    def made(states: str, *, shared: bool = True) -> tuple[list[Any], ClusterPlan, list[str]]:
        told = dict(one.split("=") for one in states.split())
        servers = [{"name": name, "address": f"192.168.1.1{name[1]}", "user": "ann"} for name in told]
        answers: dict[str, Any] = {"platform": {"cluster": "kubeadm", "nodes": "servers"}}
        answers |= {"cluster": {"address": "192.168.1.9"}} if shared else {}
        site = Site.model_validate({"name": "attic", "servers": servers, **answers})
        nodes = [Node(name, state, site, tmp_path / "secrets.json", done) for name, state in told.items()]
        for node in nodes:
            node.peers = tuple(one for one in nodes if one is not node)
        return nodes, planned(site, {}), done

    return made


def test_certificates_that_have_ended_are_renewed_on_all_before_one_is_waited_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, plan, done = make("s1=plane s2=plane s3=plane s4=worker s5=absent")
    monkeypatch.setattr(forming, "plan_of", lambda node: plan)
    monkeypatch.setattr(renewing, "revive", lambda node: done.append(f"{node.name} revived"))
    monkeypatch.setattr(forming, "initialise", lambda node, plan: done.append(f"{node.name} waited for"))
    monkeypatch.setattr(forming, "join", lambda node, plan: None)
    monkeypatch.setattr(forming, "as_planned", lambda node, plan: None)
    forming.form(nodes)
    assert sorted(done[:3]) == ["s1 revived", "s2 revived", "s3 revived"] and done[3:] == ["s1 waited for"]
