"""No second cluster is begun beside one that may be there, and the proof sees where there are two."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.catalogue import load, shipped
from homewright.discovery.facts import HostFacts, System
from homewright.engine.remedies import match
from homewright.errors import HomewrightError
from homewright.site.models import Server, Site
from homewright.stages.lxd import cluster, pool
from homewright.stages.lxd.standing import Lxd

SITE = Site(name="home", servers=tuple(Server(name=f"s{n}", address=f"192.168.1.1{n}", user="lab") for n in (1, 2, 3)))
FACTS = {f"s{n}": HostFacts(host=f"s{n}", gathered_at=0.0, system=System(machine_id=f"m{n}")) for n in (1, 2, 3)}


def server(name: str, **more: Any) -> Any:
    return SimpleNamespace(
        name=name, site=SITE, facts=FACTS, error=None, task=lambda name: nullcontext(SimpleNamespace(changed=False)),
        say=lambda text: None, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("states", "asked", "begun", "joined", "failed"),
    [
        ({"s1": "fresh", "s2": "fresh", "s3": "fresh"}, "123", ["s1"], ["s2", "s3"], []),
        ({"s1": "silent", "s2": "silent", "s3": "fresh"}, "123", [], [], ["s1", "s2", "s3"]),
        ({"s1": "silent", "s2": "fresh", "s3": "fresh"}, "3", [], [], ["s1", "s3"]),
        ({"s3": "fresh"}, "3", [], [], ["s3"]),  # the others are off
        ({"s1": "ours", "s3": "fresh"}, "3", [], ["s3"], []),  # one that is off does no harm where a member answers
        ({"s1": "ours", "s2": "silent", "s3": "fresh"}, "123", [], ["s3"], ["s2"]),
    ],
)
def test_a_cluster_is_begun_only_where_there_is_certainly_none(
    monkeypatch: pytest.MonkeyPatch,
    states: dict[str, str], asked: str, begun: Sequence[str], joined: Sequence[str], failed: Sequence[str],
) -> None:  # fmt: skip
    hosts = {one.name: server(one.name) for one in SITE.servers}
    stood: Any = {
        name: SimpleNamespace(host=hosts[name], state=state, found=Lxd(drivers=("dir",), why_not="refused"))
        for name, state in states.items()
    }
    told: dict[str, list[str]] = {"first": [], "join": []}
    lxd = SimpleNamespace(get=lambda path: {"driver": "dir"} if "pools" in path else [])
    monkeypatch.setattr(cluster, "identity", lambda host: SimpleNamespace(fingerprint="f" * 64, owner="f" * 16))
    monkeypatch.setattr(cluster, "_init", lambda host, preseed: told["first"].append(host.name))
    monkeypatch.setattr(cluster, "trust", lambda host, who: False)
    monkeypatch.setattr(cluster, "connect", lambda host: nullcontext(lxd))
    monkeypatch.setattr(cluster, "_join", lambda host, *rest: told["join"].append(host.name))
    cluster.form([host for name, host in hosts.items() if name[1] in asked], stood)
    assert told == {"first": begun, "join": joined}
    assert [name for name, host in hosts.items() if host.error is not None] == failed


SNAP, DEB = {"package": "snap", "store": "snap"}, {"package": "deb", "store": "deb"}


@pytest.mark.parametrize(
    ("first", "second", "states", "words"),
    [
        ({"store": "snap"}, {"store": "snap"}, "absent absent", ""),
        ({"store": "snap"}, {"store": "deb"}, "absent absent", "on s1 is the snap, and on s2 Debian's package"),
        ({**SNAP, "version": "5.21.3"}, {"store": "deb"}, "ours absent", "is the snap, and on s2 Debian's package"),
        ({**SNAP, "version": "5.21.3"}, {"store": "snap"}, "ours absent", ""),
        ({**SNAP, "version": "6.3"}, {"store": "snap"}, "ours absent", "on s1 is 6.3, and on s2 5.21"),
        ({**SNAP, "version": "5.21.3"}, {**SNAP, "version": "5.21.2"}, "fresh fresh", ""),
        ({**SNAP, "version": "5.21.3"}, {**SNAP, "version": "5.0.3"}, "ours fresh", "is 5.21, and on s2 5.0"),
        ({**SNAP, "version": "5.21.3"}, {**SNAP, "version": "5.0.3"}, "ours ours", ""),  # an update under way
        ({**DEB, "version": "5.0.2"}, {"store": "deb"}, "ours absent", ""),
        ({**DEB, "version": "5.0.2"}, {**DEB, "version": ""}, "ours silent", ""),
        ({**DEB, "version": "5.0.2"}, {}, "ours absent", ""),  # it has none at all, which is told when it is installed
    ],
)
def test_servers_whose_lxds_do_not_go_together_are_refused_before_any_change(
    first: dict[str, str], second: dict[str, str], states: str, words: str
) -> None:
    hosts = [server("s1"), server("s2")]
    stood: Any = {
        host.name: SimpleNamespace(host=host, state=state, found=Lxd(**found))
        for host, state, found in zip(hosts, states.split(), (first, second), strict=True)
    }
    cluster.refuse_unlike(hosts, stood)
    for host in hosts:
        assert (host.error is not None) == bool(words)
        if words:
            assert words in host.error.what and "need one LXD" in host.error.what


def test_a_server_in_another_cluster_is_seen() -> None:
    snap, deb = "/var/snap/lxd/common/lxd/cluster.crt", "/var/lib/lxd/cluster.crt"
    peers = [
        server("s2", read={deb: b"first"}.get),
        server("s3", read={snap: b"second"}.get),
    ]
    host = server("s1", read={deb: b"first"}.get, peers=peers)
    assert cluster.elsewhere(host, {"s1", "s2"}) == ["s3"]
    assert cluster.elsewhere(host, {"s1"}) == ["s3"], "one with the same certificate is no stranger"
    assert cluster.elsewhere(host, {"s1", "s2", "s3"}) == []
    peers[1].read = {}.get
    assert cluster.elsewhere(host, {"s1", "s2"}) == [], "one that is in no cluster is none of another"


def test_a_server_that_cannot_be_looked_at_breaks_no_proof() -> None:
    def away(path: str) -> bytes:
        raise HomewrightError("s2 cannot be reached.")

    host = server("s1", read={"/var/lib/lxd/cluster.crt": b"first"}.get, peers=[server("s2", read=away)])
    assert cluster.elsewhere(host, {"s1"}) == []


@pytest.mark.parametrize(
    ("kind", "at_first", "later", "started", "refused"),
    [
        ("btrfs", {"s1": ("btrfs", "dir"), "s2": ("btrfs", "dir")}, {}, [], []),
        ("btrfs", {"s1": ("btrfs", "dir"), "s2": ("dir",)}, {"s2": ("btrfs", "dir")}, ["s2"], []),
        ("btrfs", {"s1": ("btrfs", "dir"), "s2": ("dir",)}, {"s2": ("dir",)}, ["s2"], ["s2"]),
        ("dir", {"s1": ("dir",), "s2": ("dir",)}, {}, [], []),
        (None, {"s1": ("dir",), "s2": ()}, {}, [], []),  # nobody chose: the best of what is there is taken
    ],
)
def test_tools_of_storage_that_came_since_are_seen_after_a_start(
    monkeypatch: pytest.MonkeyPatch, kind: str | None, at_first: dict[str, tuple[str, ...]],
    later: dict[str, tuple[str, ...]], started: Sequence[str], refused: Sequence[str],
) -> None:  # fmt: skip
    hosts, anew = [server("s1"), server("s2")], list[str]()
    monkeypatch.setattr(pool.packages, "start", lambda host, *, again: anew.append(host.name) if again else None)
    monkeypatch.setattr(pool, "look", lambda host: Lxd(drivers=later[host.name]))
    found = pool.able(hosts, at_first, kind)
    assert (anew, found) == (started, {**at_first, **later})
    if kind is not None:
        pool.refuse_without(hosts, found, kind)
        assert [host.name for host in hosts if host.error is not None] == refused
    for host in hosts:
        if host.error is not None:
            assert "LXD on s2 lacks btrfs, in which" in host.error.what and "btrfs-progs" in host.error.as_text()


@pytest.mark.parametrize(
    ("lacking", "down", "begun", "joined", "failed"),
    [
        (["s2"], ["s2"], ["s1"], ["s3"], ["s2"]),  # it is no reason for the others to be refused
        (["s1", "s2"], ["s1"], [], [], ["s1", "s2", "s3"]),
        (["s1", "s2"], [], ["s1"], ["s2", "s3"], []),
    ],
)
def test_a_server_whose_lxd_does_not_come_up_again_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, lacking: Sequence[str], down: Sequence[str],
    begun: Sequence[str], joined: Sequence[str], failed: Sequence[str],
) -> None:  # fmt: skip
    site = SITE.model_copy(update={"instances": SITE.instances.model_copy(update={"storage": "btrfs"})})
    hosts = [server(one.name) for one in SITE.servers]
    stood: Any = {}
    for host in hosts:
        found = Lxd(drivers=("dir",) if host.name in lacking else ("btrfs", "dir"))
        host.site, stood[host.name] = site, SimpleNamespace(host=host, state="fresh", found=found)
    told: dict[str, list[str]] = {"first": [], "join": []}
    lxd = SimpleNamespace(get=lambda path: {"driver": "btrfs"} if "pools" in path else [])

    def start(host: Any, *, again: bool) -> None:
        if host.name in down:
            raise HomewrightError(f"lxd waitready failed on {host.name}")

    monkeypatch.setattr(pool.packages, "start", start)
    monkeypatch.setattr(pool, "look", lambda host: Lxd(drivers=("btrfs", "dir")))
    monkeypatch.setattr(cluster, "identity", lambda host: SimpleNamespace(fingerprint="f" * 64, owner="f" * 16))
    monkeypatch.setattr(cluster, "_init", lambda host, preseed: told["first"].append(host.name))
    monkeypatch.setattr(cluster, "trust", lambda host, who: False)
    monkeypatch.setattr(cluster, "connect", lambda host: nullcontext(lxd))
    monkeypatch.setattr(cluster, "_join", lambda host, *rest: told["join"].append(host.name))
    cluster.form(hosts, stood)
    assert told == {"first": begun, "join": joined}
    assert [host.name for host in hosts if host.error is not None] == failed
    for host in hosts:
        if host.error is not None:
            said = "waitready failed" if host.name in down else "s1 was to begin it"
            assert said in host.error.as_text()


def test_what_is_said_of_packages_and_of_storage_has_its_remedy() -> None:
    catalogue = load([shipped()])
    host = server("s3")
    pool.refuse_without([host], {"s3": ("dir",)}, "zfs")
    with pytest.raises(HomewrightError) as chosen:
        site = SITE.model_copy(update={"instances": SITE.instances.model_copy(update={"storage": "zfs"})})
        pool.choose(site, FACTS, {"s3": ("dir",)})
    for step, words, says in (
        ("20/10", host.error.what, "the storage that the cluster has"),
        ("20/10", chosen.value.why, "the storage that was chosen"),
        *(
            (step, words, says)
            for step in ("20/10", "20/20")
            for words, says in (
                ("E: Could not get lock /var/lib/dpkg/lock-frontend.", "Another program installs packages"),
                ("E: Failed to fetch http://deb.example.org/iptables.deb", "cannot fetch packages"),
                ("dpkg: error: No space left on device", "disk is full"),
            )
        ),
    ):
        found = match(catalogue.step(step).remedies, [words])
        assert found is not None and says in found.say, (step, words)
        assert ("site unset" in " ".join(found.do)) is (words is chosen.value.why)


def test_a_server_that_cannot_have_the_clusters_storage_does_not_begin_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [server(name) for name in ("s1", "s2", "s3")]
    drivers = {"s1": ("btrfs", "dir"), "s2": ("dir",), "s3": ("btrfs", "dir")}
    stood: Any = {
        host.name: SimpleNamespace(
            host=host, state="ours" if host.name == "s1" else "fresh", found=Lxd(drivers=drivers[host.name])
        )
        for host in hosts
    }
    lxd = SimpleNamespace(get=lambda path: {"driver": "btrfs"} if "pools" in path else [])
    joined: list[str] = []
    monkeypatch.setattr(cluster, "identity", lambda host: None)
    monkeypatch.setattr(cluster, "trust", lambda host, who: False)
    monkeypatch.setattr(cluster, "connect", lambda host: nullcontext(lxd))
    monkeypatch.setattr(cluster, "_join", lambda host, *rest: joined.append(host.name))
    monkeypatch.setattr(pool.packages, "start", lambda host, *, again: None)
    monkeypatch.setattr(pool, "look", lambda host: Lxd(drivers=("dir",)))
    cluster.form(hosts, stood)
    assert joined == ["s3"]
    assert [host.name for host in hosts if host.error is not None] == ["s2"]


@pytest.mark.parametrize(
    ("driver", "size", "disks", "why"),
    [
        ("btrfs", "30GiB", [20], ""),
        ("btrfs", "30GiB", [20, 10], ""),
        ("btrfs", "30GiB", [20, 11], "It holds 30 GiB, and their disks are to have 31 GiB."),
        ("zfs", "30GiB", [40], "size=50GiB --target s1"),
        ("dir", "", [4000], ""),
        ("lvm", "", [4000], ""),  # somebody made it of a disk: how large that is nobody has written down
        ("lvm", "100%FREE", [4000], ""),
    ],
)
def test_disks_that_a_pool_cannot_hold_are_refused(driver: str, size: str, disks: Sequence[int], why: str) -> None:
    def get(path: str, target: str = "") -> Any:
        assert path == "storage-pools/default"
        return {"driver": driver, "config": {"size": size} if target == "s1" and size else {}}

    def planned(host: str, disk: int, *, sized: bool = True) -> Any:
        return SimpleNamespace(node=SimpleNamespace(host=host, disk=disk), sized=sized)

    lxd: Any = SimpleNamespace(get=get)
    proposed = [planned("s1", 500, sized=False), planned("s2", 500)]
    work = [*(planned("s1", disk) for disk in disks), *proposed]
    if not why:
        pool.refuse_overfull(lxd, [server("s1"), server("s2")], work)
        return
    with pytest.raises(HomewrightError, match="pool of s1 is too small") as caught:
        pool.refuse_overfull(lxd, [server("s1"), server("s2")], work)
    assert why in caught.value.as_text()
