"""Stage 20 on practice servers: a cluster, instances that we sign in to; broken, mended, refused, taken back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Practice
from lxd_on_servers import BRIDGE, CLUSTER, GPUS, INSTANCES, LXC, PROFILES, LxdStage, facts_of, with_nodes
from stage_on_servers import seldom

from homewright.access import known_hosts
from homewright.access.connection import Connection
from homewright.catalogue import load, shipped
from homewright.engine.remedies import match
from homewright.engine.states import Action
from homewright.lxd import succession
from homewright.lxd.identity import Identity
from homewright.planning.hosts import endpoint
from homewright.site.answers import Instance
from homewright.site.models import Site
from homewright.site.secrets import Secrets
from homewright.stages.lxd import way

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def stage(practice: Practice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LxdStage]:
    """All of it on servers that know nothing of LXD, with a small instance on each; and away again afterwards."""
    file = tmp_path_factory.mktemp("facts") / "facts.json"
    stage = LxdStage(with_nodes(practice), load([shipped()]), facts_file=file)
    stage.begin(BRIDGE)
    stage.write_facts()
    stage.begin(CLUSTER, PROFILES, INSTANCES)
    yield stage
    for name in (INSTANCES, PROFILES, CLUSTER, BRIDGE):
        stage.assert_taken_back(name)
    left = practice.on(
        practice.names[0], "getent passwd _lxd; getent group lxd; ls /var/lib/lxd 2>/dev/null", check=False
    )
    assert left == ""


def test_the_engine_signs_in_to_every_instance(stage: LxdStage) -> None:
    """By the way that the inventory names, strictly, with nothing but the site's own key and host keys."""
    practice = stage.practice
    facts = facts_of(practice)
    for name in practice.names:
        with Connection.open(endpoint(f"{name}-node", practice.site, facts, practice.state)) as connection:
            assert connection.run("hostname").stdout.strip() == f"{name}-node"
            assert connection.run("id -un", sudo=True).stdout.strip() == "root"
            assert (
                connection.run(". /etc/homewright/environment; echo $HOMEWRIGHT_HOST").stdout.strip() == f"{name}-node"
            )
            others = " ".join(server.address for server in practice.site.servers) + " 10.100.0.2 10.100.0.3"
            connection.run(f"for a in {others}; do ping -c 1 -W 2 $a >/dev/null; done")


@pytest.mark.parametrize("name", [CLUSTER, PROFILES, INSTANCES])
def test_a_second_run_changes_nothing(stage: LxdStage, name: str) -> None:
    assert set(stage.run(name).changed.values()) == {0}


def test_what_was_made_keeps_its_range_when_it_is_looked_at_anew(stage: LxdStage) -> None:
    facts = facts_of(stage.practice)
    assert {nic.instances for one in facts.values() for nic in one.nics if nic.name == way.BRIDGE} == {"10.100.0.0/24"}


def test_after_a_take_over_lxd_trusts_the_new_certificate_alone(stage: LxdStage) -> None:
    """The first connection to LXD changes it; what the site has there stays the site's."""
    practice = stage.practice
    secrets = Secrets(practice.state.secrets)
    old = Identity.of(secrets).fingerprint
    succession.replace(secrets)
    stage.assert_proved(CLUSTER)
    listed = json.loads(practice.on(practice.names[0], f"{LXC}; {QUERY} /1.0/certificates?recursion=1"))
    clients = {one["fingerprint"] for one in listed if one["type"] == "client"}
    assert clients == {Identity.of(secrets).fingerprint} != {old}
    assert secrets.get(succession.RETIRED) is None
    assert set(stage.run(INSTANCES).changed.values()) == {0}


QUERY = "lxc query"
INSIDE = "lxc exec {node} -- sh -c"
BREAKS = [
    (CLUSTER, "{trust}", "does not trust Homewright"),
    seldom(CLUSTER, "systemctl stop lxd.service lxd.socket", "does not run"),
    seldom(CLUSTER, "systemctl disable -q lxd.socket", "would not come up"),
    seldom(CLUSTER, "sed -i 's/^root:.*/root:165536:10000001/' /etc/subuid", "more user ids"),
    seldom(CLUSTER, "dpkg --remove --force-depends lxd >/dev/null 2>&1", "would not come up"),
    (PROFILES, "ip route delete 10.100.0.0/24 dev br0", "there is no route"),
    seldom(PROFILES, f"iptables -t nat -F {way.CHAIN}", "not led out"),
    seldom(PROFILES, f"iptables -D FORWARD -j {way.CHAIN}", "lets nothing through"),
    seldom(PROFILES, f"dpkg --remove --force-depends {way.PACKAGE} >/dev/null 2>&1", "not led out"),
    seldom(PROFILES, f"systemctl disable -q {way.UNIT}", "would not be open"),
    seldom(PROFILES, f"echo '# x' >>{way.SCRIPT}", "is not as it should be"),
    seldom(PROFILES, f"lxc profile set {way.PROFILE} boot.autostart=false", "of the profile"),
    (INSTANCES, "lxc stop -f {node}", "is Stopped"),
    seldom(INSTANCES, f"{INSIDE} ': >/home/lab/.ssh/authorized_keys'", "does not accept"),
    seldom(INSTANCES, f"{INSIDE} 'rm /etc/sudoers.d/90-homewright'", "use sudo"),
    seldom(INSTANCES, f"{INSIDE} 'echo X=1 >>/etc/homewright/environment'", "is not what the site says"),
    seldom(INSTANCES, f"{INSIDE} 'ip address add 10.99.9.9/24 dev eth0'", "alone"),
    seldom(INSTANCES, f"{INSIDE} 'rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh'", "host keys"),
    seldom(INSTANCES, "lxc config set {node} limits.cpu=1", "it has 1 CPUs, not 2"),
    seldom(INSTANCES, "lxc delete -f {node}", "There is no instance"),
]


@pytest.mark.parametrize(("name", "command", "why"), BREAKS)
def test_what_is_broken_is_seen_and_made_good(stage: LxdStage, name: str, command: str, why: str) -> None:
    victim = stage.practice.names[-1]
    trust = (
        f"for f in $({QUERY} /1.0/certificates?recursion=1 | python3 -c "
        '\'import json, sys; [print(c["fingerprint"]) for c in json.load(sys.stdin) if c["type"] == "client"]\'); '
        f"do {QUERY} -X DELETE /1.0/certificates/$f; done"
    )
    filled = command.format(node=f"{victim}-node", trust=trust) if "{" in command else command
    stage.practice.on(victim, f"{LXC}; {filled}")
    verdict, reason = stage.verdicts(name, hosts=[victim])[victim]
    stage.run(name, hosts=[victim])  # or every case after this one would find it broken too
    assert (verdict, why in reason) == ("broken", True), reason
    stage.assert_proved(name, victim)
    assert stage.run(name, hosts=[victim]).changed == {victim: 0}


@contextlib.contextmanager
def without_instance(stage: LxdStage, server: str) -> Iterator[None]:
    """A server whose instance is away for a while."""
    stage.carry_out(INSTANCES, Action.ROLLBACK, hosts=[server])
    try:
        yield
    finally:
        stage.run(INSTANCES, hosts=[server])
        stage.assert_proved(INSTANCES, server)


def test_what_would_harm_is_refused_before_any_change(stage: LxdStage, tmp_path: Path) -> None:
    """Another's instance, another's address, no image: the step says so, and makes nothing."""
    victim, other = stage.practice.names[-1], stage.practice.names[0]
    node = f"{victim}-node"
    site = stage.practice.site
    with without_instance(stage, victim):
        for mirror, why in (
            (str(tmp_path / "no.squashfs"), "There is no file"),
            ("https://127.0.0.1:1/releases#24.04", "24.04 cannot be fetched from https://127.0.0.1:1/releases"),
        ):
            away = site.model_copy(update={"mirror": site.mirror.model_copy(update={"instances": mirror})})
            stage.assert_refused(INSTANCES, why, [victim], site=away.model_dump(mode="json"))
        pool = "/var/lib/lxd/storage-pools/default"
        stage.practice.on(victim, f"mount -t tmpfs -o size=64m none {pool}")
        try:
            stage.assert_refused(INSTANCES, f"The storage pool of {victim} is full", [victim])
        finally:
            stage.practice.on(victim, f"umount {pool}")
        stage.practice.on(other, "ip address add 10.100.0.4/32 dev br0")
        try:
            stage.assert_refused(INSTANCES, "The address 10.100.0.4 of", [victim])
        finally:
            stage.practice.on(other, "ip address delete 10.100.0.4/32 dev br0")
        stage.practice.on(victim, f"{LXC}; lxc init --empty {node} -s default --target {victim} >/dev/null 2>&1")
        try:
            stage.assert_refused(INSTANCES, "that is not ours", [victim])
            step = stage.step(INSTANCES)
            found = match(step.remedies, [f"LXD has an instance {node} already that is not ours."])
            assert found is not None and "did not make" in found.say
        finally:
            stage.practice.on(victim, f"{LXC}; lxc delete {node}")
    assert known_hosts.lookup(stage.practice.state.known_hosts, "10.100.0.4", 22)


@pytest.mark.long
def test_an_instance_that_was_cut_off_is_made_anew(stage: LxdStage) -> None:
    """One of ours that never was finished: whatever is in it, nobody has used it."""
    victim = stage.practice.names[-1]
    node = f"{victim}-node"
    stage.practice.on(victim, f"{LXC}; lxc config unset {node} user.homewright-ready; lxc exec {node} -- touch /half")
    stage.run(INSTANCES, hosts=[victim])
    stage.assert_proved(INSTANCES, victim)
    assert stage.practice.on(victim, f"{LXC}; lxc exec {node} -- ls /half", check=False) == ""


GPU, SHARE = "homewright-gpu-0000-01-00-0", "share disk source=/srv path=/mnt/share"
GPU_BREAKS = (
    f"device remove {{node}} {GPU}",
    f"device set {{node}} {GPU} pci=0000:0f:00.0",
    f"device set {{node}} {GPU} mode=0600",
    f"device add {{node}} {GPU.replace('01', '03')} gpu gputype=physical pci=0000:03:00.0",
    f"device remove {{node}} {GPU}; lxc config device add {{node}} {GPU} unix-char path=/dev/null",
)


@pytest.mark.long
def test_gpus_of_an_instance_are_broken_mended_and_taken_back(stage: LxdStage) -> None:
    """20/40 with a real LXD, which keeps what it is told of devices; the GPU itself no practice server has, so the
    instance stands still."""
    victim = stage.practice.names[-1]
    node = f"{victim}-node"
    shared = {"host": victim, "address": "0000:01:00.0", "use": "containers"}
    site = Site.model_validate({**stage.practice.site.model_dump(mode="json"), "gpus": [shared]})
    more: dict[str, Any] = {"hosts": [victim], "site": site.model_dump(mode="json")}

    def config(words: str) -> None:
        stage.practice.on(victim, f"{LXC}; lxc config {words.format(node=node)}")

    stage.practice.on(victim, f"{LXC}; lxc stop -f {node}")
    try:
        config(f"device add {{node}} {SHARE}")
        before = stage.listing()
        assert stage.run(GPUS, **more).changed == {victim: 1}
        for damage in GPU_BREAKS:
            assert stage.verdicts(GPUS, **more)[victim][0] == "proved"
            assert stage.run(GPUS, **more).changed == {victim: 0}
            config(damage)
            verdict, reason = stage.verdicts(GPUS, **more)[victim]
            assert (verdict, reason) == ("broken", f"The GPUs of {node} are not as planned."), damage
            assert stage.run(GPUS, **more).changed == {victim: 1}
        assert stage.verdicts(GPUS, **more)[victim] == ("proved", "1 devices are where they should be.")
        for changed in (1, 0):
            taken = stage.carry_out(GPUS, Action.ROLLBACK, **more)
            assert (taken.states, taken.changed) == ({victim: "succeeded"}, {victim: changed}), taken.reasons
        assert stage.listing() == before, "somebody's own device is there as before"
    finally:
        config(f"device remove {{node}} {SHARE.split()[0]}")
        stage.run(INSTANCES, hosts=[victim])
    stage.assert_proved(INSTANCES, victim)


@pytest.mark.long
def test_an_instance_moves_grows_and_is_taken_away(stage: LxdStage) -> None:
    """Other answers on a cluster that runs: what is in an instance goes with it, and nothing goes without a word."""
    first, victim = stage.practice.names[0], stage.practice.names[-1]
    node, site = f"{victim}-node", stage.practice.site
    nodes = site.instances.nodes or ()

    def with_last(*last: Instance, **more: Any) -> dict[str, Any]:
        settings = site.instances.model_copy(update={"nodes": (*nodes[:-1], *last), **more})
        return {"site": site.model_copy(update={"instances": settings}).model_dump(mode="json")}

    stage.practice.on(victim, f"{LXC}; lxc exec {node} -- touch /kept")
    elsewhere = with_last(nodes[-1].model_copy(update={"host": first, "memory": 3, "disk": 25}))
    try:
        assert stage.verdicts(INSTANCES, **elsewhere)[first][0] == "broken"
        assert stage.run(INSTANCES, **elsewhere).changed[first]
        assert {verdict for verdict, _ in stage.verdicts(INSTANCES, **elsewhere).values()} == {"proved"}
        assert set(stage.run(INSTANCES, **elsewhere).changed.values()) == {0}
        told = stage.practice.on(
            first, f"{LXC}; lxc list -f csv -c nL; lxc config get {node} limits.memory; lxc exec {node} -- ls /kept"
        )
        assert f"{node},{first}" in told and "3GiB" in told and "/kept" in told
        smaller = with_last(nodes[-1].model_copy(update={"host": first, "memory": 3, "disk": 20}))
        stage.assert_refused(INSTANCES, "cannot become smaller", [first], **smaller)
        unnamed = with_last()
        stage.run(INSTANCES, **unnamed)
        assert node in stage.practice.on(first, f"{LXC}; lxc list -f csv -c n"), "nobody said that it may go"
        named = with_last(gone=(node,))
        assert "still there" in stage.verdicts(INSTANCES, **named)[first][1]
        stage.run(INSTANCES, **named)
        assert {verdict for verdict, _ in stage.verdicts(INSTANCES, **named).values()} == {"proved"}
        assert node not in stage.practice.on(first, f"{LXC}; lxc list -f csv -c n")
    finally:
        stage.practice.on(first, f"{LXC}; lxc delete -f {node} 2>/dev/null; true")
        stage.run(INSTANCES)
        stage.assert_proved(INSTANCES)
