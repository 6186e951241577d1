"""etcd put back to a saved state: on every control plane or on none, gone on with after every cut, nothing lost.

The scripts run in folders that are the servers' roots; etcdutl, containerd and systemd only keep files there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from cluster_of_paths import ClusterOfPaths
from folder_server import FolderServer

from homewright.access.remote import CommandFailed
from homewright.errors import HomewrightError
from homewright.planning.cluster import ClusterPlan, planned
from homewright.site.models import Site
from homewright.stages.cluster import documents, etcd, forming, restoring
from homewright.stages.cluster.restoring import DATA, Asked

NAME = "20260131T120000Z.db"
SAVED, NOW = "what was saved", "what is there now"
WANTED = Asked("abc123", "s1", NAME)
CTR = """#!/bin/sh
shift 4
case "$1 $2" in
"images mount")
    [ "$3" = mirror.lan/etcd:3.6 ] || exit 7
    mkdir -p $4/usr/local/bin && cp {root}/etcdutl $4/usr/local/bin/ ;;
"images unmount") [ ! -d $4 ] || /usr/bin/rm -r $4/usr ;;
"tasks list") echo TASK PID STATUS; [ ! -e {root}/runs ] || sed 's/$/ 1 RUNNING/' {root}/runs ;;
"containers list")
    name=${4#*==}; name=${name%%,*}
    echo $name; [ $name != etcd ] || echo etcd-of-before ;;
"tasks kill")
    [ ! -e {root}/hangs ] || exit 0
    grep -vx "$5" {root}/runs >{root}/left; cat {root}/left >{root}/runs ;;
esac
"""
ETCDUTL = """#!/bin/sh
[ "$1 $2 $4" = "snapshot restore --data-dir" ] || exit 7
[ ! -e "$5" ] || exit 8
mkdir -p $5/member && cp $3 $5/member/db && shift 5 && echo "$*" >$0.asked
cp $0.asked {root}/asked
"""
SYSTEMCTL = """#!/bin/sh
case "$1" in
is-active) [ -e {root}/kubelet ] && echo active || { echo inactive; exit 3; } ;;
stop) /usr/bin/rm -f {root}/kubelet ;;
start|restart)
    echo $1 >>{root}/kubelets
    touch {root}/kubelet; printf 'etcd\\nkube-apiserver\\nkube-controller-manager\\nkube-scheduler\\n' >{root}/runs ;;
esac
"""
COUNTED = """#!/bin/sh
# The power fails before the one whose number is in `cut`.
count=$(($(cat {root}/count 2>/dev/null || echo 0) + 1))
echo $count >{root}/count
[ $count != "$(cat {root}/cut 2>/dev/null)" ] || exit 9
"""
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
            host.tools({one: f'{COUNTED}exec /usr/bin/{one} "$@"\n' for one in ("mv", "rm")})
            host.tools({"sync": COUNTED, "sleep": "#!/bin/sh\n"})
            host.at("/etcdutl", ETCDUTL.replace("{root}", str(host.root))).chmod(0o755)
            ctr = host.at(f"{documents.PROGRAMS}/bin/ctr", CTR.replace("{root}", str(host.root)))
            ctr.chmod(0o755)
            for path in (forming.SERVES, forming.MEMBER):
                host.at(path, "spec:\n  containers:\n    image: mirror.lan/etcd:3.6\n")
            host.at(f"{DATA}/member/db", NOW)
            host.run("systemctl start kubelet.service")
            known.kept[f"/api/v1/nodes/{host.name}"] = {"metadata": {"name": host.name}}
        found[0].at(f"{etcd.SNAPSHOTS}/{NAME}", SAVED)
        return found

    return made


def text(host: Any, path: str) -> str:
    return (host.read(path) or b"").decode()


def is_put_back(host: Any) -> None:
    assert text(host, f"{DATA}/member/db") == SAVED
    assert text(host, f"{restoring.BEFORE}/db") == NOW
    assert sorted(path.name for path in (host.root / DATA.lstrip("/")).iterdir()) == [".homewright-before", "member"]
    left = {path.name for path in (host.root / etcd.SNAPSHOTS.lstrip("/")).iterdir()} - {NAME}
    assert left == {"restored"}, "and nothing that was only needed meanwhile"
    assert host.exists("/kubelet") and not host.exists("/run/homewright/etcd-image")


def test_all_control_planes_get_the_same_and_each_its_own_place(make: Made) -> None:
    planes = make("s1", "s2", "s3")
    restoring.restore(planes, WANTED)
    for host in planes:
        is_put_back(host)
        said = text(host, "/asked")
        assert f"--name {host.name} " in said and f"urls https://192.168.1.1{host.name[1]}:2380" in said
        assert "s1=https://192.168.1.11:2380,s2=https://192.168.1.12:2380,s3=https://192.168.1.13:2380" in said
        assert "--bump-revision 1000000000 --mark-compacted" in said and f"cluster-token {WANTED.id}" in said
    assert planes[0].told == ["saved"], "even a restore can be taken back"
    before = [text(host, "/kubelets") for host in planes]
    restoring.restore(planes, WANTED)
    assert [text(host, "/kubelets") for host in planes] == before, "what is done is not done again"


def test_a_cut_anywhere_loses_nothing_and_is_gone_on_with(make: Made) -> None:
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
        if cuts % 2:  # a server that was off starts what it has; one that only lost us does not
            host.run("systemctl start kubelet.service")
        restoring.restore([host], WANTED)
        is_put_back(host)
        host.remove("/")
    assert cuts > 15


def test_two_of_three_put_back_are_not_put_back_twice(make: Made) -> None:
    planes = make("s1", "s2", "s3")
    restoring._bring_everywhere(planes[0], planes, WANTED)  # type: ignore[arg-type]  # folders are hosts enough
    plan = forming.plan_of(planes[0])  # type: ignore[arg-type]
    for host in planes:
        restoring._make(host, plan, planes, WANTED)  # type: ignore[arg-type]
    for host in planes[:2]:
        restoring._swap(host, WANTED)  # type: ignore[arg-type]
        host.at(f"{DATA}/member/db", "what came since")
    restoring.restore(planes, WANTED)
    assert [text(host, f"{DATA}/member/db") for host in planes] == ["what came since", "what came since", SAVED]
    assert planes[0].told == [], "half of it is no state to save"


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
    refused(planes, Asked("1", "s1", "20200101T000000Z.db"), "no saved state 2020")
    refused(planes, Asked("1", "s9", NAME), "s9 is no control plane")
    planes[1].at("/etcdutl", "#!/bin/sh\necho snapshot file integrity >&2; exit 1\n").chmod(0o755)
    refused(planes, WANTED, "A command failed on s2")
    planes[1].remove(forming.SERVES)
    refused(planes, WANTED, "s2 is planned as a control plane, and not one now")


def test_one_that_does_not_stop_lets_all_run_again(make: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "_STOP", restoring._STOP.replace(f"+ {restoring.STOPPED_S}", "+ 1"))
    planes = make("s1", "s2", "s3")
    planes[2].at("/hangs")
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
    host.given = {restoring.GIVEN: f"{WANTED.id} s1 {NAME}"}
    assert restoring.asked(host) == WANTED


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
    assert "the file is damaged" in caught.value.why
