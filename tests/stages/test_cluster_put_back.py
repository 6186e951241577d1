"""etcd put back to a saved state: on every control plane or on none, gone on with after every cut, nothing lost.

The scripts run in folders that are the servers' roots; etcdutl, containerd and systemd only keep files there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cluster_of_paths import ClusterOfPaths
from control_plane_in_folders import COUNTED, CTR, ETCDUTL, LATER, MOVED, SYSTEMCTL
from folder_server import FolderServer

from homewright.access.remote import CommandFailed
from homewright.cluster import kubeconfig
from homewright.engine.runners.host import Host
from homewright.engine.runners.source import loaded
from homewright.errors import Cancelled, HomewrightError, Unreachable
from homewright.planning.cluster import ClusterPlan, planned
from homewright.site.models import Leaving, Site
from homewright.site.secrets import Secrets
from homewright.stages.cluster import documents, etcd, forming, renewing, restoring
from homewright.stages.cluster.restoring import DATA, Asked

pytestmark = pytest.mark.programs

NAME = "20260131T120000Z.db"
OTHER_NAME = "20260201T120000Z.db"
SAVED, OTHER, NOW = "what was saved", "what was saved later", "what is there now"
LEAST = 1_795_000_000_000
WANTED, ANOTHER = Asked("abc123", "s1", NAME, LEAST), Asked("def456", "s1", OTHER_NAME, LEAST)
ADMIN = """apiVersion: v1
kind: Config
contexts: [{name: admin, context: {cluster: attic, user: admin}}]
clusters: [{name: attic, cluster: {server: "https://192.168.1.9:6443"}}]
users: [{name: admin, user: {token: t0ken}}]
"""
KEPT = {"restored", "restore-over", "restore-revision", NAME, OTHER_NAME}
Made = Callable[..., list[Any]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Control planes with these names, each with its etcd, and the first one with a saved state."""
    known = ClusterOfPaths({})
    monkeypatch.setattr(forming, "state", lambda host: "formed")
    monkeypatch.setattr(forming, "ready", lambda host: "")
    monkeypatch.setattr(forming, "connect", lambda host: nullcontext(known))
    monkeypatch.setattr(etcd, "snapshot", lambda host: host.say("saved"))
    monkeypatch.setattr(restoring, "KNOWN_S", 0)

    def made(*names: str) -> list[Any]:
        servers = [{"name": name, "address": f"192.168.1.1{name[1]}", "user": "ann"} for name in names]
        shared = {"cluster": {"address": "192.168.1.9"}} if len(names) > 2 else {}
        platform = {"cluster": "kubeadm", "nodes": "servers"}
        site = Site.model_validate({"name": "attic", "servers": servers, "platform": platform, **shared})
        plan: ClusterPlan = planned(site, {})
        monkeypatch.setattr(forming, "plan_of", lambda host: plan)
        found = [FolderServer(tmp_path / name, site, name) for name in names]
        for host in found:
            host.tools({"systemctl": SYSTEMCTL})
            host.tools({"mv": COUNTED + MOVED, "rm": f'{COUNTED}exec /usr/bin/rm "$@"\n'})
            host.tools({"sync": COUNTED, "sleep": "#!/bin/sh\n"})
            host.at("/etcdutl", ETCDUTL.replace("{root}", str(host.root))).chmod(0o755)
            ctr = host.at(f"{documents.PROGRAMS}/bin/ctr", CTR.replace("{root}", str(host.root)))
            ctr.chmod(0o755)
            for path in (forming.SERVES, forming.MEMBER):
                host.at(path, "spec:\n  containers:\n    image: mirror.lan/etcd:3.6\n")
            host.at(forming.ADMIN, ADMIN)
            host.at(f"{DATA}/member/db", NOW)
            host.at("/revision", "5000")
            host.run("systemctl start kubelet.service")
            known.kept[f"/api/v1/nodes/{host.name}"] = {"metadata": {"name": host.name}}
        found[0].at(f"{etcd.SNAPSHOTS}/{NAME}", SAVED)
        found[0].at(f"{etcd.SNAPSHOTS}/{OTHER_NAME}", OTHER)
        return found

    return made


def text(host: Any, path: str) -> str:
    return (host.read(path) or b"").decode()


def files(host: Any, folder: str) -> set[str]:
    return {path.name for path in (host.root / folder.lstrip("/")).iterdir()}


def is_put_back(host: Any, saved: str = SAVED, before: Sequence[str] = (NOW,)) -> None:
    assert text(host, f"{DATA}/member/db") == saved
    assert text(host, f"{restoring.BEFORE}/db") in before
    assert files(host, DATA) == {".homewright-before", "member"}
    assert files(host, etcd.SNAPSHOTS) | KEPT == KEPT, "and nothing that was only needed meanwhile"
    assert host.exists("/kubelet") and "etcd" in text(host, "/runs").split()
    assert not host.exists("/run/homewright/etcd-image") and not host.exists(restoring.HELD)
    assert not host.exists("/moved-under-etcd"), "etcd's data was moved while etcd ran"


def test_all_control_planes_get_the_same_and_each_its_own_place(make: Made) -> None:
    planes = make("s1", "s2", "s3")
    restoring.restore(planes, WANTED)
    for host in planes:
        is_put_back(host)
        said = text(host, "/asked")
        assert f"--name {host.name} " in said and f"urls https://192.168.1.1{host.name[1]}:2380" in said
        assert "s1=https://192.168.1.11:2380,s2=https://192.168.1.12:2380,s3=https://192.168.1.13:2380" in said
        assert f"--bump-revision {LEAST - 5000} --mark-compacted" in said and f"cluster-token {WANTED.id}" in said
    assert planes[0].told == ["saved"], "even a restore can be taken back"
    before = [text(host, "/kubelets") for host in planes]
    restoring.restore(planes, WANTED)
    assert [text(host, "/kubelets") for host in planes] == before, "what is done is not done again"


@pytest.mark.parametrize(("ago", "bump"), [(LEAST, LEAST), (60_000, 60_000), (0, restoring.BUMP), (-1, restoring.BUMP)])
def test_revisions_go_on_above_all_that_anybody_has_seen(make: Made, ago: int, bump: int) -> None:
    """Whenever it was saved, and also where the clock stood or was ahead."""
    (host,) = make("s1")
    host.at("/revision", str(LEAST - ago))
    restoring.restore([host], WANTED)
    assert f"--bump-revision {bump} " in text(host, "/asked")


@pytest.mark.parametrize("ago", [60_000, -60_000])
@pytest.mark.parametrize("end", ["all the way", "given up"])
def test_a_clock_that_was_ahead_and_is_set_right_brings_no_revision_back(make: Made, ago: int, end: str) -> None:
    planes = make("s1", "s2", "s3")
    ahead = LEAST + 86_400_000
    began = ahead if ago > 0 else ahead - ago + restoring.BUMP
    for host in planes:
        host.at("/revision", str(ahead - ago))
    if end == "given up":
        whole = text(planes[1], "/etcdutl")
        planes[1].at("/etcdutl", "#!/bin/sh\nexit 1\n")
        refused(planes, replace(ANOTHER, least=ahead), "A command failed on s2")
        planes[1].at("/etcdutl", whole)
    else:
        restoring.restore(planes, replace(ANOTHER, least=ahead))
        planes[2].remove(restoring.REVISION)  # as where it was replaced since
    for host in planes:
        host.at("/revision", "5000")  # saved before that
    restoring.restore(planes, WANTED)
    for host in planes:
        assert f"--bump-revision {began + restoring.BUMP - 5000} " in text(host, "/asked")


@pytest.mark.parametrize("then", ["the server begins, and it goes on", "another one is put back"])
def test_a_cut_anywhere_loses_nothing_and_is_gone_on_with(make: Made, then: str) -> None:
    cuts, reached = 0, True
    while reached:
        cuts += 1
        (host,) = make("s1")
        host.at("/count", "0")
        host.at("/cut", str(cuts))
        with suppress(HomewrightError):  # what a script can do without may fail as well
            restoring.restore([host], WANTED)
        reached = int(text(host, "/count")) >= cuts
        places = (f"{DATA}/member", f"{restoring.BEFORE}-{WANTED.id}", restoring.BEFORE)
        assert NOW in [text(host, f"{place}/db") for place in places], f"cut {cuts}"
        host.remove("/cut")
        host.error = None
        if then == "another one is put back":  # by a server that was not off: only we were
            tidied = text(host, f"{restoring.BEFORE}/db") == NOW
            restoring.restore([host], ANOTHER)
            is_put_back(host, OTHER, (SAVED, NOW))
            aside = (restoring.BEFORE, f"{restoring.BEFORE}/.homewright-before-{WANTED.id}")
            assert tidied or NOW in [text(host, f"{place}/db") for place in aside], f"cut {cuts}"
        else:
            host.run("systemctl start kubelet.service")
            whole = text(host, f"{DATA}/member/db") in (NOW, SAVED)
            assert whole or "etcd" not in text(host, "/runs").split(), f"cut {cuts}: etcd begins with nothing"
            restoring.restore([host], WANTED)
            is_put_back(host)
        host.remove("/")
    assert cuts > 15


def test_two_of_three_put_back_are_not_put_back_twice(make: Made) -> None:
    planes = make("s1", "s2", "s3")
    restoring._bring_everywhere(planes[0], planes, WANTED)  # type: ignore[arg-type]  # folders are hosts enough
    plan = forming.plan_of(planes[0])  # type: ignore[arg-type]
    for host in planes:
        restoring._make(host, plan, planes, replace(WANTED, least=LEAST + 7))  # type: ignore[arg-type]
    planes[2].at(restoring.REVISION, f"fed321 {LEAST + 5}\n")  # as where it is made last, and was not yet
    for host in planes[:2]:
        restoring._swap(host, WANTED)  # type: ignore[arg-type]
        assert not host.exists("/kubelet"), "it is stopped for that"
        host.at(f"{DATA}/member/db", "what came since")
    restoring.restore(planes, WANTED)
    assert [text(host, f"{DATA}/member/db") for host in planes] == ["what came since", "what came since", SAVED]
    assert planes[0].told == [], "half of it is no state to save"
    assert all(f"--bump-revision {LEAST + 7 - 5000} " in text(host, "/asked") for host in planes), "on all the same"


def test_one_that_came_up_again_since_it_was_stopped_is_stopped_once_more(
    make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = make("s1", "s2", "s3")
    swap = restoring._swap

    def swapped(host: Any, wanted: Asked) -> None:
        if host is planes[0]:
            host.run("systemctl start kubelet.service")
        swap(host, wanted)

    monkeypatch.setattr(restoring, "_swap", swapped)
    restoring.restore(planes, WANTED)
    for host in planes:
        is_put_back(host)


def cancelled(planes: Sequence[Any], monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Their tasks are those of real hosts; what is given back asks for a cancel."""
    cancel = SimpleNamespace(asked=False)
    said = SimpleNamespace(task_started=lambda *_: None, task_finished=lambda *_: None)
    monkeypatch.setattr(FolderServer, "task", Host.task)
    for host in planes:
        host.cancel, host.emitter = cancel, said
    return cancel


def test_a_cancel_waits_for_what_cannot_be_interrupted(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = make("s1", "s2", "s3")
    cancel, swap = cancelled(planes, monkeypatch), restoring._swap

    def swapped(host: Any, wanted: Asked) -> None:
        cancel.asked = True
        swap(host, wanted)

    monkeypatch.setattr(restoring, "_swap", swapped)
    with pytest.raises(Cancelled):
        restoring.restore(planes, WANTED)
    for host in planes:
        assert text(host, f"{DATA}/member/db") == SAVED and host.exists("/kubelet")
        host.error = None
    cancel.asked = False
    restoring.restore(planes, WANTED)
    for host in planes:
        is_put_back(host)


def test_a_cancel_before_changes_nothing(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = make("s1", "s2", "s3")
    cancel, stop = cancelled(planes, monkeypatch), restoring._stop

    def stopped(host: Any, *, now: bool) -> None:
        if host is planes[2]:
            cancel.asked = True
        stop(host, now=now)

    monkeypatch.setattr(restoring, "_stop", stopped)
    refused(planes, WANTED, "Cancelled")
    # As an attempt leaves them that ended here: one that is cancelled sooner has them run again.
    for host in planes:
        host.run("systemctl stop kubelet.service")
    refused(planes, WANTED, "Cancelled")


def test_a_retry_of_some_servers_goes_on_after_what_is_over(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = make("s1", "s2", "s3", "s4")
    worker = planes[3]
    worker.remove(forming.SERVES)
    worker.remove(forming.MEMBER)
    worker.remove(f"{DATA}/member")
    formed: list[list[str]] = []
    monkeypatch.setattr(forming, "form", lambda hosts: formed.append([host.name for host in hosts]))
    step = loaded(Path(restoring.__file__).parents[1] / "40_thinkube/core/cluster/20_kubeadm.py")
    for host in planes:
        host.given = {restoring.GIVEN: f"{WANTED.id} s1 {NAME} {LEAST}"}
        host.peers = tuple(one for one in planes if one is not host)
    step.run_all(planes)
    step.run_all([worker])
    assert formed == [["s1", "s2", "s3", "s4"], ["s4"]]
    before = [text(host, "/kubelets") for host in planes]
    # A control plane that was replaced since has nothing of it, and one that is off tells nothing.
    planes[1].remove(etcd.SNAPSHOTS)
    with monkeypatch.context() as patched:
        patched.setattr(planes[0], "read", away)
        step.run_all(planes)
    assert [text(host, "/kubelets") for host in planes] == before
    # Somebody who asks for the same state again means another restore.
    assert not restoring.is_over(planes, Asked("fed321", "s1", NAME, LEAST))  # type: ignore[arg-type]


def away(path: str) -> bytes | None:
    raise Unreachable("It cannot be reached.")


def test_one_restore_saves_once(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    (host,) = make("s1")
    whole = text(host, "/etcdutl")
    host.at("/etcdutl", "#!/bin/sh\nexit 1\n")
    for _ in range(3):
        refused([host], WANTED, "A command failed on s1")
    assert host.told == ["saved"], "each further one would push another saved state out"
    host.at("/etcdutl", whole)
    restoring.restore([host], WANTED)
    restoring.restore([host], ANOTHER)
    assert host.told == ["saved", "saved"]
    is_put_back(host, OTHER, (SAVED,))


def test_what_etcd_is_asked_in_vain_is_asked_again(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    (host,) = make("s1")

    def silent(host: Any) -> str:
        raise CommandFailed(host.name, "etcdctl", host.run("exit 3", check=False))

    host.at("/etcdutl", "#!/bin/sh\nexit 1\n")
    with monkeypatch.context() as patched:
        patched.setattr(etcd, "snapshot", silent)
        refused([host], WANTED, "A command failed on s1")
    refused([host], WANTED, "A command failed on s1")
    assert [line[:23] for line in host.told] == ["what is in etcd now is ", "saved"]


def test_copies_of_restores_that_were_given_up_go(make: Made) -> None:
    planes = make("s1", "s2", "s3")
    restoring._bring_everywhere(planes[0], planes, WANTED)  # type: ignore[arg-type]
    planes[1].at(f"{etcd.SNAPSHOTS}/restoring-{WANTED.id}.part", "half of it")
    planes[2].at(f"{DATA}/.homewright-new/member/db", SAVED)
    restoring._bring_everywhere(planes[0], planes, ANOTHER)  # type: ignore[arg-type]
    assert [files(host, etcd.SNAPSHOTS) - KEPT for host in planes] == [{f"restoring-{ANOTHER.id}"}] * 3
    restoring.restore(planes, ANOTHER)
    for host in planes:
        is_put_back(host, OTHER)


def test_certificates_and_kubeconfig_come_before_the_api_is_waited_for(
    make: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = make("s1", "s2", "s3")
    done: list[str] = []

    def renew(host: Any, *, within: timedelta, save: bool) -> bool:
        assert not within and not save and host.exists("/kubelet")
        done.append(host.name)
        host.at(forming.ADMIN, ADMIN.replace("t0ken", "renewed"))
        return True

    def ready(host: Any) -> str:
        assert sorted(done) == ["s1", "s2", "s3"]
        assert "renewed" in (Secrets(host.secrets_file).get(kubeconfig.SECRET) or "")
        return ""

    monkeypatch.setattr(renewing, "renew", renew)
    monkeypatch.setattr(forming, "ready", ready)
    restoring.restore(planes, WANTED)


def test_servers_that_left_since_do_not_come_back_as_nodes(make: Made) -> None:
    (host,) = make("s1")
    with forming.connect(host) as api:
        for name in ("s8", "s9"):
            ours = {forming.MANAGED: "{}"} if name == "s9" else {}
            api.apply(f"/api/v1/nodes/{name}", {"metadata": {"name": name, "annotations": ours}})
        api.apply("/api/v1/nodes/s1", {"metadata": {"name": "s1", "annotations": {forming.MANAGED: "{}"}}})
        leaving = Leaving.model_validate({"name": "s7", "address": "192.168.1.17", "user": "ann"})
        api.apply("/api/v1/nodes/s7", {"metadata": {"name": "s7", "annotations": {forming.MANAGED: "{}"}}})
        host.site = host.site.model_copy(update={"leaving": (leaving,)})
        restoring.restore([host], WANTED)
        assert sorted(api.kept) == [f"/api/v1/nodes/{name}" for name in ("s1", "s7", "s8")]


def test_a_worker_that_is_planned_as_a_control_plane_stands_in_nobodys_way(make: Made) -> None:
    planes = make("s1", "s2", "s3")
    worker = planes[2]
    for path in (forming.SERVES, forming.MEMBER):
        worker.remove(path)
    refused(planes, WANTED, "s3 is planned as a control plane, and not one now")
    worker.remove(f"{DATA}/member")
    restoring.restore(planes, WANTED)
    for host in planes[:2]:
        is_put_back(host)
        assert "s3" not in text(host, "/asked")
    for host in planes[:2]:
        for path in (forming.SERVES, forming.MEMBER, f"{DATA}/member"):
            host.remove(path)
    with pytest.raises(HomewrightError, match="s1 and s2 and s3 are planned as a control plane"):
        restoring.restore(planes, ANOTHER)


def test_what_was_begun_with_nothing_beside_old_and_new_data_is_nobodys(make: Made) -> None:
    (host,) = make("s1")
    restoring._bring_everywhere(host, [host], WANTED)
    restoring._make(host, forming.plan_of(host), [host], WANTED)
    host.run(f"/usr/bin/mv {DATA}/member {restoring.BEFORE}-{WANTED.id}")
    host.at(f"{DATA}/member/db", "empty")
    restoring.restore([host], WANTED)
    is_put_back(host)
    assert host.told == [], "what is empty is no state to save"


def test_lost_data_is_put_back_too(make: Made) -> None:
    (host,) = make("s1")
    host.remove(f"{DATA}/member")
    restoring.restore([host], WANTED)
    assert text(host, f"{DATA}/member/db") == SAVED and host.exists(restoring.BEFORE)


def refused(planes: list[Any], wanted: Asked, words: str) -> None:
    with pytest.raises(HomewrightError, match=words):
        restoring.restore(planes, wanted)
    for host in planes:
        host.error = None
        assert text(host, f"{DATA}/member/db") == NOW and host.exists("/kubelet"), "the cluster goes on as it was"
        assert "kube-apiserver" in text(host, "/runs")


def test_nothing_begins_where_it_could_not_end(make: Made) -> None:
    planes = make("s1", "s2", "s3")
    refused(planes, Asked("1", "s1", "20200101T000000Z.db", LEAST), "no saved state 2020")
    refused(planes, Asked("1", "s9", NAME, LEAST), "s9 is no control plane")
    for damaged in ("", "abc123", "abc123 -1\n", f"abc123 {10**18}\n"):
        planes[1].at(restoring.REVISION, damaged)
        refused(planes, WANTED, "From which revision the last restore went on cannot be read on s2")
    planes[1].remove(restoring.REVISION)
    planes[1].at("/etcdutl", "#!/bin/sh\necho snapshot file integrity >&2; exit 1\n").chmod(0o755)
    refused(planes, WANTED, "A command failed on s2")
    planes[1].remove(forming.SERVES)
    refused(planes, WANTED, "s2 is planned as a control plane, and not one now")


def test_one_that_does_not_stop_lets_all_run_again(make: Made) -> None:
    planes = make("s1", "s2", "s3")
    planes[2].at("/hangs")
    planes[2].tools({"date": LATER})
    refused(planes, WANTED, "A command failed on s3")


def test_what_does_not_arrive_as_it_left_is_not_used(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = make("s1", "s2", "s3")
    monkeypatch.setattr(restoring, "_digest", lambda host, path: "other" if host.name == "s2" else "")
    refused(planes, WANTED, "did not come to s2")


@pytest.mark.parametrize("piece", [1, 5, 14, 15])
def test_pieces_are_the_whole(make: Made, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    source, host, _ = make("s1", "s2", "s3")
    whole = restoring.pieces
    monkeypatch.setattr(restoring, "pieces", lambda size: whole(size, piece))
    digest = hashlib.sha256(SAVED.encode()).hexdigest()
    source.at("/var/lib/homewright/etcd/x", SAVED)
    assert restoring._bring(source, host, "/var/lib/homewright/etcd/x", len(SAVED), digest) is True
    assert text(host, "/var/lib/homewright/etcd/x") == SAVED
    assert restoring._bring(source, host, "/var/lib/homewright/etcd/x", len(SAVED), digest) is False


def test_a_run_that_was_not_asked_puts_nothing_back(make: Made) -> None:
    (host,) = make("s1")
    assert restoring.asked(host) is None
    host.given = {restoring.GIVEN: f"{WANTED.id} s1 {NAME} {LEAST}"}
    assert restoring.asked(host) == WANTED
    host.given = {restoring.GIVEN: f"{WANTED.id} s1 {NAME}"}
    assert restoring.asked(host) == replace(WANTED, least=0), "begun by a version that gave no revision"


def test_a_worker_that_joined_since_registers_anew(make: Made) -> None:
    planes = make("s1", "s2")
    worker = planes[1]
    worker.remove(forming.SERVES)
    asked: list[str] = []

    def find(path: str) -> dict[str, Any] | None:
        asked.append(path)
        return None if path.endswith("s2") else {"metadata": {}}

    with forming.connect(worker) as api:
        api.find = find  # type: ignore[method-assign]
    restoring.restore(planes, WANTED)
    assert text(worker, "/kubelets").split() == ["start", "restart"]
    assert "s2 does not register by itself, and joins anew" in worker.told
    assert not worker.exists(restoring.MARK)


def test_a_failure_is_told_as_it_is(make: Made) -> None:
    (host,) = make("s1")
    host.at("/etcdutl", "#!/bin/sh\necho the file is damaged >&2; exit 1\n").chmod(0o755)
    with pytest.raises(CommandFailed, match="exit code 1") as caught:
        restoring.restore([host], WANTED)
    assert caught.value.why.splitlines()[-1] == "the file is damaged"
