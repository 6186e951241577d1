"""What of Kubernetes is on a node, and that no step but the upgrade changes it there."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from folder_server import FolderServer

from homewright.cluster import kubeconfig
from homewright.engine.states import Verdict
from homewright.site.models import Site
from homewright.stages.cluster import forming, look, nodes, versions
from homewright.stages.cluster.look import FORMED, Refused, Seen
from homewright.stages.cluster.versions import Standing

OLD, NEW = "1.35.4", "1.36.3"
STEPS = Path(forming.__file__).parents[1] / "40_thinkube/core/cluster"


SAID = f"""formed
kept {OLD}
part kube-apiserver {NEW}
part kube-controller-manager {OLD}
part kube-scheduler
runs /usr/local/lib/homewright/cluster/0123
linked /usr/local/lib/homewright/cluster/4567

kubeadm v{NEW}
kubelet v{OLD}
kubectl
"""


def test_what_a_node_says_is_read() -> None:
    has = versions.parse("s1", SAID)
    assert has == Standing(
        "s1", True, OLD, {"kubeadm": NEW, "kubelet": OLD, "kubectl": ""},
        {"kube-apiserver": NEW, "kube-controller-manager": OLD, "kube-scheduler": ""}, True,
    )  # fmt: skip
    assert has.known == {OLD, NEW} and has.version == OLD
    assert versions.due(has, NEW) == (
        f"kube-controller-manager {OLD}, kube-scheduler without a word, kubelet {OLD}, kubectl without a word, "
        "a kubelet that was not started anew"
    )
    assert versions.cluster([has, Standing("s2", True)]) == NEW
    assert versions.parse("s2", "") == Standing("s2", programs={"kubeadm": "", "kubelet": "", "kubectl": ""}), (
        "one that is in no cluster says nothing"
    )
    assert not versions.parse("s2", "formed\nlinked /a\n").is_stale, "a kubelet that does not run is not an old one"


def has(kept: str = "", formed: bool = True, **programs: str) -> Standing:
    return Standing("s1", formed, kept, programs)


ALL = {"kubeadm": OLD, "kubelet": OLD, "kubectl": OLD}


@pytest.mark.parametrize(
    ("node", "running", "version", "names"),
    [
        (has(formed=False), "", NEW, versions.PROGRAMS),
        (has(formed=False), OLD, OLD, versions.PROGRAMS),
        (has(OLD, **ALL), OLD, OLD, ()),  # the upgrade's business
        (has("", **ALL), OLD, OLD, ()),  # made before nodes kept their version
        (has(OLD, **{**ALL, "kubeadm": NEW}), NEW, OLD, ()),  # an upgrade of it was cut off
        (has(OLD, **{**ALL, "kubelet": ""}), OLD, OLD, ("kubelet",)),
        (has(OLD, **{**ALL, "kubectl": "1.30.0"}), OLD, OLD, ("kubectl",)),
        (has(NEW, **ALL), NEW, NEW, versions.PROGRAMS),  # somebody has put old ones there
        (has("", kubeadm="", kubelet="", kubectl=""), OLD, OLD, versions.PROGRAMS),
    ],
)
def test_what_a_server_is_prepared_with(node: Standing, running: str, version: str, names: tuple[str, ...]) -> None:
    assert versions.wanted(node, running, NEW) == (version, names)


NEWEST = "198.18.7.1:5000/registry.k8s.io/kube-apiserver"


def test_a_server_is_looked_at(tmp_path: Path) -> None:
    server = FolderServer(tmp_path)
    here: Any = server
    assert versions.look(here) == versions.parse("s1", ""), "one that is in no cluster"
    server.at(FORMED, "init\n")
    server.at(versions.VERSION, f"{OLD}\n")
    server.at("/etc/kubernetes/manifests/kube-apiserver.yaml", f"  - name: a\n    image: {NEWEST}:v{NEW}\n")
    server.at("/etc/kubernetes/manifests/kube-scheduler.yaml", "    image: lan/kube-scheduler@sha256:12\n")
    for name, said in (
        ("kubeadm", f"v{NEW}"),
        ("kubelet", f"Kubernetes v{OLD}"),
        ("kubectl", f"Client Version: v{OLD}"),
    ):
        server.at(f"/usr/local/bin/{name}", f"#!/bin/sh\necho '{said}'\n").chmod(0o755)
    server.tools({"systemctl": "#!/bin/sh\necho 0\n"})
    found = versions.look(here)
    assert found == Standing(
        "s1", True, OLD, {"kubeadm": NEW, "kubelet": OLD, "kubectl": OLD},
        {"kube-apiserver": NEW, "kube-scheduler": ""}, False,
    )  # fmt: skip
    (tmp_path / "proc/77").mkdir(parents=True)
    (tmp_path / "proc/77/exe").symlink_to(tmp_path / "usr/local/lib/homewright/cluster/0123")
    server.tools({"systemctl": "#!/bin/sh\necho 77\n"})
    assert versions.look(here, programs=False).is_stale
    (tmp_path / "proc/77/exe").unlink()
    (tmp_path / "proc/77/exe").symlink_to(tmp_path / "usr/local/bin/kubelet")
    assert not versions.look(here, programs=False).is_stale


SITE = Site.model_validate(
    {
        "name": "attic",
        "servers": [{"name": f"s{n}", "address": f"192.168.1.1{n}", "user": "ann"} for n in (1, 2, 3)],
        "platform": {"cluster": "kubeadm", "nodes": "servers"},
    }
)
WHOLE = "containerd v2.4.2\nanswers\nunits enabled enabled\nforward 1\nowner attic/1\n"


@pytest.mark.parametrize(
    ("said", "joins", "words"),
    [
        (f"kubeadm v{NEW}\nkubelet v{NEW}\n", False, f"Kubernetes v{NEW}."),
        (f"kubeadm v{NEW}\nkubelet v{NEW}\nkept {NEW}\nformed\n", True, f"Kubernetes v{NEW}."),
        (f"kubeadm v{OLD}\nkubelet v{OLD}\nkept {OLD}\nformed\n", True, f"Kubernetes v{OLD}."),
        (f"kubeadm v{OLD}\nkubelet v{OLD}\nkept {OLD}\n", True, f"Kubernetes v{OLD}."),  # it is to join an older one
        (f"kubeadm v{NEW}\nkubelet v{OLD}\nkept {OLD}\nformed\n", True, f"Kubernetes v{OLD}."),  # cut off
        (f"kubeadm v{OLD}\nkubelet v{OLD}\nkept {OLD}\n", False, f"kubeadm on s1 is v{OLD}, not v{NEW}"),
        (f"kubeadm v{OLD}\nkubelet v{OLD}\nkept {NEW}\nformed\n", True, f"kubeadm on s1 is v{OLD}, not v{NEW}"),
        (f"kubeadm v{OLD}\nkept {OLD}\nformed\n", True, f"kubelet on s1 is missing, not v{OLD} or v{NEW}"),
        (f"kubeadm v1.30.0\nkubelet v{OLD}\nkept {OLD}\nformed\n", True, "kubeadm on s1 is v1.30.0, not v1.35.4 or"),
        (f"kubeadm v{NEW}\nkubelet v{OLD}\nkept {OLD}\n", True, f"kubeadm on s1 is v{NEW}, not v{OLD}"),
    ],
)
def test_a_nodes_programs_are_what_it_was_prepared_with(
    monkeypatch: pytest.MonkeyPatch, said: str, joins: bool, words: str
) -> None:
    monkeypatch.setattr(nodes, "files", lambda host: {})
    monkeypatch.setattr(nodes, "shares", lambda host: False)
    monkeypatch.setattr(forming, "owner", lambda host: "attic/1")
    kept = {kubeconfig.SECRET: "a kubeconfig"} if joins else {}
    host = SimpleNamespace(
        name="s1", site=SITE, secrets=kept, run=lambda ask: SimpleNamespace(stdout=WHOLE + said), capture={},
        through=None,
    )  # fmt: skip
    proof = runpy.run_path(str(STEPS / "18_nodes.py"))["verify"](host)
    assert words in proof.reason
    assert proof.verdict is (Verdict.BROKEN if "not v" in words else Verdict.PROVED)


@pytest.mark.parametrize(
    ("has", "verdict"), [("524288", Verdict.PROVED), ("65536", Verdict.BROKEN), ("", Verdict.BROKEN)]
)
def test_the_limits_of_a_virtual_machines_kernel_are_in_effect(
    monkeypatch: pytest.MonkeyPatch, has: str, verdict: Verdict
) -> None:
    monkeypatch.setattr(nodes, "files", lambda host: {})
    monkeypatch.setattr(nodes, "shares", lambda host: False)
    monkeypatch.setattr(nodes, "limits", lambda host: {"fs.aio-max-nr": 524288})
    monkeypatch.setattr(forming, "owner", lambda host: "attic/1")
    asked: list[str] = []
    said = WHOLE + f"kubeadm v{NEW}\nkubelet v{NEW}\nkept {NEW}\nfs.aio-max-nr {has}\n"

    def run(ask: str) -> SimpleNamespace:
        asked.append(ask)
        return SimpleNamespace(stdout=said)

    host = SimpleNamespace(name="s1", site=SITE, secrets={}, run=run, capture={})
    proof = runpy.run_path(str(STEPS / "18_nodes.py"))["verify"](host)
    assert proof.verdict is verdict, proof.reason
    assert verdict is Verdict.PROVED or f"fs.aio-max-nr on s1 is {has or 'not known'}, not 524288" in proof.reason
    assert 'echo "fs.aio-max-nr $(cat /proc/sys/fs/aio-max-nr)"' in asked[0]


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, tuple[str, list[str]]]]:
    """Step 10 on servers that stand like this; what each was prepared with: the version, and the programs asked for."""

    def prepared(planned: str, *there: Standing) -> dict[str, tuple[str, list[str]]]:
        done: dict[str, tuple[str, list[str]]] = {}
        site = SITE.model_copy(update={"cluster": SITE.cluster.model_copy(update={"version": planned})})
        hosts = [
            SimpleNamespace(
                name=server.name, site=site, facts={}, error=None, peers=(), capture={}, say=lambda text: None,
                secrets_file=tmp_path / "secrets.json", run=lambda *_, **__: SimpleNamespace(exit_code=0),
            )
            for server in site.servers
        ]  # fmt: skip
        monkeypatch.setattr(look, "look", lambda host: Seen(architecture="x86_64", owner=forming.owner(host)))
        monkeypatch.setattr(versions, "standing", lambda hosts, plan: {one.name: one for one in there})
        monkeypatch.setattr(nodes, "checksums", lambda host, machine, wanted: wanted)

        def install(host: Any, wanted: dict[str, str], version: str, owner: str) -> None:
            assert wanted.pop("containerd")
            assert set(wanted.values()) <= {version}
            done[host.name] = (version, list(wanted))

        monkeypatch.setattr(nodes, "install", install)
        run_all = runpy.run_path(str(STEPS / "10_nodes.py"))["run_all"]
        run_all(hosts)
        assert [host.error for host in hosts] == [None, None, None]
        return done

    return prepared


def node(name: str, version: str, *, plane: bool = False) -> Standing:
    parts = dict.fromkeys(versions.PARTS, version) if plane else {}
    return Standing(name, True, version, dict.fromkeys(versions.PROGRAMS, version), parts)


EVERY = list(versions.PROGRAMS)


def test_step_10_replaces_nothing_of_a_node_and_prepares_others_for_the_cluster_that_runs(
    prepare: Callable[..., dict[str, tuple[str, list[str]]]],
) -> None:
    assert prepare(NEW) == dict.fromkeys(("s1", "s2", "s3"), (NEW, EVERY)), "no cluster yet"
    same = prepare(NEW, node("s1", NEW, plane=True), node("s2", NEW))
    assert same == dict.fromkeys(("s1", "s2", "s3"), (NEW, EVERY))
    newer = prepare(NEW, node("s1", OLD, plane=True), node("s2", OLD))
    assert newer == {"s1": (OLD, []), "s2": (OLD, []), "s3": (OLD, EVERY)}
    half = prepare(NEW, node("s1", NEW, plane=True), node("s2", OLD))
    assert half == {"s1": (NEW, EVERY), "s2": (OLD, []), "s3": (NEW, EVERY)}


@pytest.mark.parametrize(("planned", "said"), [(NEW, "one minor version at a time"), ("1.34.3", "no way back")])
def test_step_10_changes_nothing_where_the_cluster_does_not_go_there(
    prepare: Callable[..., dict[str, tuple[str, list[str]]]], planned: str, said: str
) -> None:
    with pytest.raises(Refused) as caught:
        prepare(planned, node("s1", "1.34.4", plane=True), node("s2", "1.34.4"))
    assert said in caught.value.why and "Nothing was changed" in caught.value.why
