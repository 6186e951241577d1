"""What stage 20 decides: tables of what LXD tells, of plans, and of recorded machines."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from homewright.discovery import machines
from homewright.discovery.facts import HostFacts, System
from homewright.errors import HomewrightError
from homewright.lxd.client import Lxd as Api
from homewright.lxd.client import LxdAway, LxdError, LxdMissing
from homewright.lxd.identity import Identity
from homewright.planning.instances import InstancePlan, place
from homewright.planning.networks import propose
from homewright.planning.pools import driver
from homewright.site import files
from homewright.site.answers import InstanceSettings
from homewright.site.models import Server, Site
from homewright.site.secrets import Secrets
from homewright.stages.lxd import cluster, gpus, image, instances, moving, texts
from homewright.stages.lxd.standing import OWNER, Lxd, data_in, judge, owner_of

SITE = Site(name="home", servers=tuple(Server(name=f"s{n}", address=f"192.168.1.1{n}", user="lab") for n in (1, 2, 3)))
FACTS = {f"s{n}": HostFacts(host=f"s{n}", gathered_at=0.0, system=System(machine_id=f"m{n}")) for n in (1, 2, 3)}


@pytest.fixture(scope="module")
def who(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return Identity.of(Secrets(tmp_path_factory.mktemp("who") / "secrets.json"))


USED = {"package": "deb", "answers": True}


@pytest.mark.parametrize(
    ("found", "before", "state", "words"),
    [
        ({}, False, "absent", ""),
        (USED, True, "fresh", ""),
        (USED, False, "fresh", ""),
        ({**USED, "pools": ("default",)}, True, "foreign", "has the storage pool default"),
        ({**USED, "instances": ("a", "b")}, True, "foreign", "the instances a, b"),
        ({**USED, "networks": ("lxdbr0",)}, True, "foreign", "the network lxdbr0"),
        ({**USED, "pools": ("default",)}, False, "half", ""),
        ({**USED, "clustered": True, "called": "s1", "members": ("s1", "x")}, True, "foreign", "(with x)"),
        ({**USED, "clustered": True, "called": "s1", "members": ("s1", "x")}, False, "foreign", "another cluster"),
        ({**USED, "clustered": True, "owner": "home/0123"}, False, "foreign", "belongs to the site home"),
        ({**USED, "clustered": True, "owner": "OURS"}, False, "ours", ""),
        ({**USED, "clustered": True, "owner": "OURS"}, True, "ours", ""),
        ({**USED, "owner": "OURS"}, True, "half", ""),
        ({"package": "deb", "why_not": "refused"}, True, "foreign", "does not answer: refused"),
        ({"package": "deb", "why_not": "refused"}, False, "half", ""),
        ({"package": "deb", "certified": True}, False, "silent", ""),
    ],
)  # fmt: skip
def test_whose_an_lxd_is(who: Identity, found: dict[str, Any], before: bool, state: str, words: str) -> None:
    if found.get("owner") == "OURS":
        found = {**found, "owner": owner_of(SITE, who)}
    judged, why = judge("s1", Lxd(**found), SITE, who, before)
    assert (judged, words in why) == (state, True), why


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([{}, {}], ""),
        ([{"instances": ("a",)}, {"instances": ("a", "b")}], "the instances a, b"),
        ([{"volumes": ("default/photos",)}, {}], "the volume default/photos"),
        ([{"instances": ("a",)}, {"volumes": ("p/x", "p/y")}], "the instance a and the volumes p/x, p/y"),
    ],
)
def test_whose_data_would_be_lost_with_lxd(found: list[dict[str, Any]], words: str) -> None:
    assert data_in(Lxd(**one) for one in found) == words


class Other:
    """Another server, as `no_member` looks at it."""

    def __init__(self, state: str, *members: str, certified: bool = False) -> None:
        self.state = state
        self.found = Lxd(members=members, certified=certified)


@pytest.mark.parametrize(
    ("others", "whole", "certain"),
    [
        ([Other("ours", "s1", "s2")], True, True),
        ([Other("ours", "s1", "s2", "s3")], True, False),
        ([Other("absent"), Other("fresh")], True, True),
        ([Other("absent"), Other("fresh")], False, False),  # one that nobody could look at may be in a cluster with it
        ([Other("silent", certified=True)], True, False),  # both are down: a member must never be put back
        ([Other("absent"), Other("half", certified=True)], True, False),
    ],
)
def test_a_silent_server_is_put_back_only_where_it_is_certainly_no_member(
    others: list[Any], whole: bool, certain: bool
) -> None:
    assert cluster.no_member("s3", others, whole) is certain


def test_the_identity_is_made_once_and_hides_its_key(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path / "secrets.json")
    first = Identity.of(secrets)
    assert Identity.of(secrets) == first
    assert secrets.names() == ("lxd/client",)
    assert "PRIVATE" not in repr(first) and "PRIVATE" in first.key_pem.decode()
    assert "-----" not in first.body and base64.b64decode(first.body, validate=True)


def test_a_token_is_what_lxd_init_reads() -> None:
    answer = {"serverName": "s2", "secret": "x", "fingerprint": "f", "addresses": ["a:8443"], "expiresAt": "t"}
    told = json.loads(base64.b64decode(cluster.token_of(answer)))
    assert told == {"server_name": "s2", "secret": "x", "fingerprint": "f", "addresses": ["a:8443"], "expires_at": "t"}


def planned(site: Site = SITE, kind: str = "container") -> tuple[texts.Planned, ...]:
    chosen = site.model_copy(update={"instances": site.instances.model_copy(update={"kind": kind})})
    return texts.planned(chosen, place(chosen, FACTS), propose(chosen, FACTS))


def test_preseeds() -> None:
    plan = place(SITE, FACTS)
    first = YAML(typ="safe").load(cluster.first_preseed(SITE, "s1", "home/1", "zfs", plan))
    assert first["cluster"] == {"enabled": True, "server_name": "s1"}
    assert first["config"] == {"core.https_address": "192.168.1.11:8443", OWNER: "home/1"}
    assert first["storage_pools"] == [
        {"name": "default", "driver": "zfs", "config": {OWNER: "home/1", "size": "60GiB"}}
    ]
    join = YAML(typ="safe").load(cluster.join_preseed(SITE, "s2", "TOKEN", "zfs", plan))["cluster"]
    assert (join["server_address"], join["cluster_token"]) == ("192.168.1.12:8443", "TOKEN")
    assert join["member_config"] == [{"entity": "storage-pool", "name": "default", "key": "size", "value": "60GiB"}]
    assert json.loads(cluster.join_preseed(SITE, "s2", "T", "dir", plan))["cluster"]["member_config"] == []
    behind = SITE.model_copy(update={"network": SITE.network.model_copy(update={"proxy": "http://p:3128"})})
    assert (
        json.loads(cluster.first_preseed(behind, "s1", "o", "dir", plan))["config"]["core.proxy_https"]
        == "http://p:3128"
    )


@pytest.mark.parametrize(
    ("chosen", "virtualization", "supported", "kind"),
    [
        (None, "none", {"s1": ("btrfs", "dir", "zfs"), "s2": ("dir", "zfs")}, "zfs"),
        (None, "none", {"s1": ("btrfs", "dir", "zfs"), "s2": ("btrfs", "dir")}, "btrfs"),
        (None, "none", {"s1": ("dir", "lvm"), "s2": ("dir", "zfs")}, "dir"),
        (None, "kvm", {"s1": ("dir", "zfs"), "s2": ("dir", "zfs")}, "zfs"),
        (None, "lxc", {"s1": ("dir", "zfs"), "s2": ("dir", "zfs")}, "dir"),
        ("lvm", "none", {"s1": ("dir", "lvm"), "s2": ("dir", "lvm")}, "lvm"),
        ("lvm", "none", {"s1": ("dir", "lvm"), "s2": ("dir",)}, ""),
    ],
)
def test_the_pool_is_the_best_that_every_server_has(
    chosen: Any, virtualization: str, supported: dict[str, tuple[str, ...]], kind: str
) -> None:
    site = SITE.model_copy(update={"instances": InstanceSettings(storage=chosen)})
    facts = {"s1": HostFacts(host="s1", gathered_at=0.0, system=System(virtualization=virtualization))}
    found, why = driver(site, facts, supported)
    assert found == kind and why.endswith(".")


def test_a_container_is_known_by_the_name_that_lxd_gives_and_a_machine_by_its_address() -> None:
    container, machine = planned()[0], planned(kind="virtual-machine")[0]
    config = texts.network_config(container)["ethernets"]["eth0"]
    assert config["addresses"] == ["10.100.0.2/24"] and "match" not in config
    assert [route for route in config["routes"] if route["to"] == "default"] == [
        {"to": "default", "via": "192.168.1.11", "on-link": True}
    ]
    assert [route["to"] for route in config["routes"][:-1]] == [f"192.168.1.1{n}/32" for n in (1, 2, 3)]
    assert texts.network_config(machine)["ethernets"]["eth0"]["match"] == {"macaddress": machine.mac}
    assert machine.mac == planned(kind="virtual-machine")[0].mac and machine.mac.startswith("00:16:3e:")
    loaded = YAML(typ="safe").load(texts.netplan_text(container))
    assert loaded["network"]["ethernets"]["eth0"] == config


def found(one: texts.Planned, **changes: Any) -> dict[str, Any]:
    """The instance as LXD tells it once it is made."""
    body = texts.create_body(one, "home/1", "f")
    told = {
        "type": body["type"], "location": one.node.host, "profiles": ["homewright"], "architecture": "x86_64",
        "description": "", "ephemeral": False, "config": {**body["config"], "volatile.x": "1"},
        "devices": body["devices"],
    }  # fmt: skip
    return {**told, **changes}


def test_what_is_not_as_planned_is_told_and_mended() -> None:
    chosen = SITE.model_copy(
        update={"instances": InstanceSettings(nodes=tuple(one.node for one in planned()), kind="container")}
    )
    one = planned(chosen)[0]
    assert one.sized and texts.difference(found(one), one, "home/1") == []
    config = found(one)["config"]
    for changes, words in (
        ({"type": "virtual-machine"}, "virtual-machine, not a container"),
        ({"location": "s3"}, "it is on s3, not on s1"),
        ({"profiles": ["default"]}, "not the profile homewright"),
        ({"config": {**config, "limits.cpu": "9"}}, "it has 9 CPUs, not 4"),
        ({"config": {**config, "limits.memory": "1GiB"}}, "1GiB of memory, not 8GiB"),
        ({"devices": {**found(one)["devices"], "eth0": {"type": "nic"}}}, "network card"),
        ({"config": {**config, texts.MOVES: one.node.name}}, "the mark of a move"),
        ({"config": {**config, "security.nesting": "false"}}, "may start no containers itself"),
    ):
        broken = found(one, **changes)
        assert words in " ".join(texts.difference(broken, one, "home/1")), words
        if "type" not in changes and "location" not in changes:
            assert texts.difference({**broken, **texts.mended(broken, one, "home/1")}, one, "home/1") == []
    assert texts.mended(found(one), one, "home/1")["config"]["volatile.x"] == "1"
    lone = found(one, config={name: value for name, value in config.items() if name != "security.nesting"})
    assert texts.wants_a_stop(lone, one) and not texts.wants_a_stop(found(one), one), "it counts from the next start"


def test_a_proposed_size_is_no_reason_to_change_what_is_there() -> None:
    """Proposals follow what is free, which the instance itself has taken a part of."""
    one = planned()[0]
    config = {**found(one)["config"], "limits.cpu": "2", "limits.memory": "2GiB"}
    devices = {**found(one)["devices"], "root": {**found(one)["devices"]["root"], "size": "20GiB"}}
    there = found(one, config=config, devices=devices)
    assert not one.sized and texts.difference(there, one, "home/1") == []
    assert texts.mended(there, one, "home/1")["devices"]["root"]["size"] == "20GiB"


class Running(Api):
    """An LXD with one running instance, of an image with or without cloud-init."""

    def __init__(self, address: str, *, cloud_init: bool, status: str = "Running") -> None:
        self.address, self.cloud_init, self.status = address, cloud_init, status
        self.asked: list[str] = []

    def get(self, path: str, **_: Any) -> Any:
        local = [{"family": "inet6", "scope": "link", "address": "fe80::1"}]
        there = [{"family": "inet", "scope": "global", "address": self.address}] if self.address else []
        return {"network": {"eth0": {"addresses": local + there}}} if "state" in path else {"status": self.status}

    def read(self, instance: str, path: str) -> bytes | None:
        return b"" if self.cloud_init else None

    def set_state(self, instance: str, action: str, **_: Any) -> None:
        self.asked.append(action)


@pytest.mark.parametrize(
    ("kind", "cloud_init", "address", "moved", "asked"),
    [
        ("container", True, "10.100.0.99", True, ["restart"]),
        ("virtual-machine", False, "10.100.0.99", True, ["restart"]),
        ("container", False, "10.100.0.99", True, []),  # gets its file, and takes it while it runs
        ("container", True, "10.100.0.99", False, ["restart"]),  # a run was cut off before it restarted it
        ("container", True, "10.100.0.2", False, []),
        ("container", True, "", False, []),  # it is starting
    ],
)
def test_an_instance_reads_its_new_network_at_a_start(
    kind: str, cloud_init: bool, address: str, moved: bool, asked: list[str]
) -> None:
    lxd, one = Running(address, cloud_init=cloud_init), planned(kind=kind)[0]
    assert instances.start(lxd, one, lambda _: None, moved=moved) is bool(asked)
    assert lxd.asked == asked


def test_what_stands_still_is_started() -> None:
    lxd = Running("", cloud_init=True, status="Stopped")
    assert instances.start(lxd, planned()[0], lambda _: None, moved=True)
    assert lxd.asked == ["start"]


def test_another_network_is_known() -> None:
    one = planned()[0]
    other = dataclasses.replace(one, node=one.node.model_copy(update={"address": "10.100.0.99"}))
    assert not texts.is_moved(found(one), one)
    assert texts.is_moved(found(other), one)
    assert texts.is_moved(found(one, devices={}), one)
    assert texts.is_moved(found(one, config={**found(one)["config"], "cloud-init.network-config": "x"}), one)
    assert texts.is_moved(found(dataclasses.replace(one, gateway="192.168.1.12")), one)
    assert not texts.is_moved(found(dataclasses.replace(one, servers=one.servers[:1], resolvers=("9.9.9.9",))), one)
    assert not texts.is_moved(found(one, config={**found(one)["config"], "limits.cpu": "9"}), one)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, image.Remote("https://cloud-images.ubuntu.com/releases", "24.04")),
        (
            "https://images.example.org/x#debian/12/cloud",
            image.Remote("https://images.example.org/x", "debian/12/cloud"),
        ),
        ("/srv/node.squashfs", image.Local(Path("/srv/node.tar"), Path("/srv/node.squashfs"))),
    ],
)
def test_where_the_image_comes_from(value: str | None, wanted: Any) -> None:
    assert (
        image.source(SITE.model_copy(update={"mirror": SITE.mirror.model_copy(update={"instances": value})})) == wanted
    )


def test_an_image_here_is_known_by_both_its_files(tmp_path: Path) -> None:
    (tmp_path / "n.tar.xz").write_bytes(b"meta")
    (tmp_path / "n.squashfs").write_bytes(b"root")
    site = SITE.model_copy(
        update={"mirror": SITE.mirror.model_copy(update={"instances": str(tmp_path / "n.squashfs")})}
    )
    where = image.source(site)
    assert isinstance(where, image.Local) and image.missing(where) == ""
    assert where.fingerprint() == hashlib.sha256(b"metaroot").hexdigest()
    (tmp_path / "n.tar.xz").unlink()
    assert "no file" in image.missing(image.source(site))


@pytest.mark.parametrize(
    ("known", "read", "changed"), [([], 0, True), (["other"], 1, True), (["other", "ours"], 1, False)]
)
def test_an_image_here_is_read_first_only_where_lxd_may_have_it(
    tmp_path: Path, known: list[str], read: int, changed: bool
) -> None:
    (tmp_path / "n.tar").write_bytes(b"meta")
    (tmp_path / "n.squashfs").write_bytes(b"root")
    ours = hashlib.sha256(b"metaroot").hexdigest()
    reads: list[Path] = []

    class Api:
        def get(self, path: str, **_: Any) -> Any:
            return [{"fingerprint": ours if name == "ours" else name} for name in known]

        def import_image(self, metadata: Path, rootfs: Path, properties: Any, say: Any) -> str:
            assert properties == {"homewright": "home/ab"}
            return hashlib.sha256(metadata.read_bytes() + rootfs.read_bytes()).hexdigest()

    class Watched(image.Local):
        def fingerprint(self) -> str:
            reads.append(self.rootfs)
            return super().fingerprint()

    where = Watched(tmp_path / "n.tar", tmp_path / "n.squashfs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "source", lambda site: where)
        told = image.ensure(Api(), SITE, "home/ab", "container", print)  # type: ignore[arg-type]  # what is used of it
    assert (told, len(reads)) == ((ours, changed), read)


@pytest.mark.parametrize("known", [[], ["other"]])
def test_an_image_here_that_may_not_be_read_is_told_in_words(tmp_path: Path, known: list[str]) -> None:
    (tmp_path / "n.tar").write_bytes(b"meta")
    (tmp_path / "n.squashfs").write_bytes(b"root")

    class Api:
        def get(self, path: str, **_: Any) -> Any:
            return [{"fingerprint": name} for name in known]

        def import_image(self, metadata: Path, rootfs: Path, properties: Any, say: Any) -> str:
            raise PermissionError(13, "Permission denied", str(rootfs))

    mirror = SITE.mirror.model_copy(update={"instances": str(tmp_path / "n.squashfs")})
    site = SITE.model_copy(update={"mirror": mirror})
    with pytest.raises(HomewrightError, match="The instances' image cannot be read") as caught:
        image.ensure(Api(), site, "home/ab", "container", print)  # type: ignore[arg-type]  # what is used of it
    assert "Permission denied" in caught.value.why and caught.value.do


@pytest.mark.parametrize("value", ["http://x/y#z", "https://#z", "https://x/y", "images.tar", "https://x/y#a b"])
def test_an_image_that_cannot_be_meant_is_refused_in_words(value: str) -> None:
    with pytest.raises(HomewrightError, match="wrong"):
        files.parse(f"name: home\nmirror: {{instances: '{value}'}}\n".encode(), "site.yaml")


@functools.cache
def recorded(name: str) -> tuple[Site, dict[str, HostFacts]]:
    machine = machines.load(name)
    return files.parse(machine.site, name), machine.facts()


def given(name: str, *choices: tuple[str, str, str]) -> dict[str, gpus.Devices]:
    """The devices on a recorded machine's server, for GPUs chosen there (server, address, use)."""
    site, facts = recorded(name)
    chosen = [{"host": host, "address": address, "use": use} for host, address, use in choices]
    site = Site.model_validate({**site.model_dump(), "gpus": chosen})
    return gpus.wanted(site, facts[choices[0][0]], place(site, facts))


def server_of(name: str, address: str) -> str:
    _, facts = recorded(name)
    return next(host for host, one in facts.items() if any(gpu.address == address for gpu in one.gpus))


def machine(name: str, *addresses: str, use: str = "passthrough") -> list[tuple[str, str, str]]:
    return [(server_of(name, address), address, use) for address in addresses]


@pytest.mark.parametrize(
    ("name", "addresses", "wanted"),
    [
        ("headless", ["0000:07:00.0"], {"gpu": ["0000:07:00.0"], "pci": []}),
        ("twins", ["0000:01:00.0", "0000:03:00.0"], {"gpu": ["0000:01:00.0", "0000:03:00.0"], "pci": []}),
        ("split-functions", ["0000:01:00.0"], {"gpu": ["0000:01:00.0"], "pci": ["0000:01:00.1"]}),
        ("arm64", ["0009:01:00.0"], {"gpu": ["0009:01:00.0"], "pci": []}),
    ],
)
def test_gpus_go_by_whole_groups(name: str, addresses: list[str], wanted: dict[str, list[str]]) -> None:
    devices = given(name, *machine(name, *addresses))
    [(_, one)] = [(instance, found) for instance, found in devices.items() if found]
    assert sorted(d["pci"] for d in one.values() if d["type"] == "gpu") == wanted["gpu"]
    assert sorted(d["address"] for d in one.values() if d["type"] == "pci") == wanted["pci"]
    assert all(key.startswith(gpus.PREFIX) and ":" not in key for key in one)


def test_a_group_that_cannot_go_is_refused() -> None:
    with pytest.raises(HomewrightError) as caught:
        given("shared-group", *machine("shared-group", "0000:06:00.0"))
    assert "0000:05:00.0" in caught.value.as_text()
    site, facts = recorded("headless")
    host, address, _ = machine("headless", "0000:07:00.0")[0]
    unknown = facts[host].model_copy(
        update={"pci": tuple(one.model_copy(update={"iommu_group": None}) for one in facts[host].pci)}
    )
    choice = {"host": host, "address": address, "use": "passthrough"}
    site = Site.model_validate({**site.model_dump(), "gpus": [choice]})
    with pytest.raises(HomewrightError, match="IOMMU group"):
        gpus.wanted(site, unknown, place(site, facts))


def test_a_gpu_that_stays_goes_nowhere() -> None:
    assert not any(given("headless", *machine("headless", "0000:07:00.0", use="desktop")).values())


class Stopping(Api):
    """An LXD whose instance does not shut down when it is asked to."""

    def __init__(self, error: LxdError) -> None:
        self.error = error
        self.asked: list[bool] = []

    def set_state(self, instance: str, action: str, *, force: bool = False, say: Any = None) -> None:
        self.asked.append(force)
        if not force:
            raise self.error


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (LxdError("LXD could not change n1 (s1).", "LXD says: context deadline exceeded."), [False, True]),
        (LxdAway("LXD could not change n1 (s1).", "The connection was lost."), [False]),
        (LxdMissing("LXD could not change n1 (s1).", "LXD says: Operation not found."), [False]),
    ],
)
def test_power_is_cut_only_where_an_instance_did_not_shut_down(error: LxdError, asked: list[bool]) -> None:
    lxd = Stopping(error)
    if len(asked) > 1:
        moving.stop(lxd, "n1", lambda _: None)
    else:
        with pytest.raises(type(error)):
            moving.stop(lxd, "n1", lambda _: None)
    assert lxd.asked == asked


class Reluctant(Api):
    """An LXD whose kernel gives a GPU up at the third start."""

    def __init__(self, words: str, refusals: int) -> None:
        self.words = words
        self.refusals = refusals
        self.started = 0

    def set_state(self, instance: str, action: str, **_: Any) -> None:
        self.started += 1
        if self.started <= self.refusals:
            raise LxdError("LXD could not change instances/n1 (s1).", f"LXD says: {self.words}.")


def test_a_gpu_that_is_given_up_late_is_waited_for() -> None:
    said: list[str] = []
    lxd = Reluctant("Failed to override IOMMU group driver", 2)
    gpus.start(lxd, "n1", said.append, pause_s=0)
    assert (lxd.started, len(said)) == (3, 2)
    other = Reluctant("No such device", 2)
    with pytest.raises(LxdError):
        gpus.start(other, "n1", said.append, pause_s=0)
    assert other.started == 1


def test_without_what_is_known_nothing_is_planned() -> None:
    with pytest.raises(HomewrightError, match="hardware of s2, s3"):
        cluster.instance_plan(SITE, {"s1": FACTS["s1"]})
    assert isinstance(cluster.instance_plan(SITE, FACTS), InstancePlan)
