"""Stage 20 with its instances in a pool of btrfs, which LXD makes in a file of its own and mounts.

Practice servers are containers without the right to mount a file system, so two of them get it for this: they are
privileged, and have this machine's loop devices. Pools of lvm and zfs are not to be had here: decision 0117.
"""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Practice
from lxd_on_servers import BRIDGE, CLUSTER, INSTANCES, LXC, PROFILES, LxdStage, with_nodes
from practice_lab import Lab

from homewright.access.connection import CommandFailed
from homewright.catalogue import load, shipped
from homewright.engine.states import Action
from homewright.site.answers import Instance

pytestmark = [pytest.mark.lab, pytest.mark.long]

GIB = 1024**3
MOUNTED = "grep -c ' /var/lib/lxd/storage-pools/default btrfs ' /proc/mounts; true"
BACKED = "losetup -n -O BACK-FILE -l | grep /lxd/disks/; true"
KEPT_FROM_THIS_MACHINE = """
systemctl mask -q systemd-sysctl.service systemd-modules-load.service
mkdir -p /etc/systemd/system/systemd-udev-trigger.service.d
printf '[Service]\\nExecStart=\\nExecStart=udevadm trigger --action=add --subsystem-match=net\\n' \\
    >/etc/systemd/system/systemd-udev-trigger.service.d/net.conf
"""
"""A privileged server would set this machine's own kernel, and ask all its devices anew."""
MAY_MOUNT = """
cd /root && mkdir try && truncate -s 120M try.img && mkfs.btrfs -q try.img && mount -o loop try.img try
done=$?; umount try; rm -r try*; exit $done
"""
PROGRAMS = "DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends btrfs-progs >/dev/null"
NEEDED = "apt-mark manual $(apt-mark showauto) >/dev/null"
"""What the tools need stays from the start on: it comes with nothing of ours, and goes with nothing."""
AWAY = "apt-get -q -y purge btrfs-progs >/dev/null"

HOSTS_OWN = "umount -l /var/lib/lxcfs 2>/dev/null; true"
"""A container that has this folder when it starts gets lxcfs of the machine that it is on there."""


def give_devices(lab: Lab, server: str) -> None:
    """Privileged, with loop devices, after its next start."""
    lab.on(server, KEPT_FROM_THIS_MACHINE)
    lab.lxc("stop", "-f", server)
    lab.lxc("config", "set", server, "security.privileged=true")
    loops = sorted(Path("/dev").glob("loop[0-9]"))
    for kind, files in (("unix-block", loops), ("unix-char", [Path("/dev/loop-control"), Path("/dev/btrfs-control")])):
        for file in files:
            lab.lxc("config", "device", "add", server, file.name, kind, f"source={file}", f"path={file}")


@pytest.fixture(scope="module")
def able_lab(trusted_lab: Lab) -> Iterator[Lab]:
    """Two servers that may mount; all are made anew afterwards."""
    try:
        for name in trusted_lab.servers[:2]:
            give_devices(trusted_lab, name)
        trusted_lab.run("lab", "up").check_returncode()
        yield trusted_lab
    finally:
        trusted_lab.run("lab", "down").check_returncode()


@pytest.fixture(scope="module")
def stage(able_lab: Lab, practice: Practice, tmp_path_factory: pytest.TempPathFactory) -> LxdStage:
    """A site of those two, which keeps its instances in btrfs; the tools for that are gone again for now."""
    names = able_lab.servers[:2]
    servers = tuple(one for one in practice.site.servers if one.name in names)
    two = dataclasses.replace(practice, site=practice.site.model_copy(update={"servers": servers}))
    try:
        for name in names:
            two.on(name, PROGRAMS)
            two.on(name, MAY_MOUNT)
    except CommandFailed as error:
        pytest.skip(f"this machine lets no server mount a file system of btrfs: {error}")
    for name in names:
        two.on(name, f"{NEEDED}; {AWAY}")
    file = tmp_path_factory.mktemp("facts") / "facts.json"
    return LxdStage(with_nodes(two, storage="btrfs"), load([shipped()]), facts_file=file)


def sizes(stage: LxdStage, server: str) -> set[int]:
    """Where the disks of instances end, in bytes. What was deleted the kernel takes away later: that is waited for."""
    pool = "/var/lib/lxd/storage-pools/default"
    cleaned = f"btrfs filesystem sync {pool} && timeout 120 btrfs subvolume sync -s 1 {pool} >/dev/null"
    told = stage.practice.on(server, f"{cleaned} && btrfs qgroup show -r --raw {pool}")
    words = (line.split() for line in told.splitlines() if line.startswith("0/") and "<" not in line)
    return {int(one[3]) for one in words if one[3] != "none"}


def with_node(stage: LxdStage, place: int, **changes: Any) -> dict[str, Any]:
    """The site with one instance as it is not yet."""
    site = stage.practice.site
    nodes: list[Instance] = list(site.instances.nodes or ())
    nodes[place] = nodes[place].model_copy(update=changes)
    settings = site.instances.model_copy(update={"nodes": tuple(nodes)})
    return {"site": site.model_copy(update={"instances": settings}).model_dump(mode="json")}


def with_last(stage: LxdStage, **changes: Any) -> dict[str, Any]:
    """The site with another last instance."""
    return with_node(stage, -1, **changes)


def test_without_its_tools_the_storage_is_refused_and_with_them_it_is_made(stage: LxdStage) -> None:
    """LXD looks for tools at its start alone: those that came afterwards are seen all the same."""
    practice, last = stage.practice, stage.practice.names[-1]
    stage.begin(BRIDGE)
    stage.write_facts()
    stage.listings[CLUSTER] = stage.listing()
    stage.captures[CLUSTER] = stage.carry_out(CLUSTER, Action.CAPTURE).captures
    refused = stage.carry_out(CLUSTER, Action.RUN)
    assert set(refused.states.values()) == {"failed"}
    told = " ".join(refused.reasons.values())
    assert "LXD's storage cannot be as chosen" in told and "cannot use btrfs" in told, told
    practice.on(practice.names[0], PROGRAMS)
    refused = stage.carry_out(CLUSTER, Action.RUN)
    assert f"LXD on {last} cannot use btrfs" in " ".join(refused.reasons.values()), refused.reasons
    practice.on(last, PROGRAMS)
    roomy = with_node(stage, 0, disk=45)  # a pool ends, and this one is to take in another instance as well
    assert any("storage is btrfs. You chose it." in line for line in stage.run(CLUSTER, **roomy).lines())
    assert all("btrfs holds" in reason for _, reason in stage.verdicts(CLUSTER).values())
    stage.begin(PROFILES, INSTANCES)
    for name in practice.names:
        assert practice.on(name, MOUNTED).strip() == "1", name
        assert sizes(stage, name) == {20 * GIB}


@pytest.mark.parametrize("name", [CLUSTER, PROFILES, INSTANCES])
def test_a_second_run_changes_nothing(stage: LxdStage, name: str) -> None:
    assert set(stage.run(name).changed.values()) == {0}


def test_a_disk_grows_and_never_shrinks(stage: LxdStage) -> None:
    last = stage.practice.names[-1]
    larger = with_last(stage, disk=22)
    assert stage.verdicts(INSTANCES, **larger)[last][0] == "broken"
    assert stage.run(INSTANCES, hosts=[last], **larger).changed[last]
    assert sizes(stage, last) == {22 * GIB}
    assert stage.run(INSTANCES, hosts=[last], **larger).changed == {last: 0}
    stage.assert_refused(INSTANCES, "cannot become smaller", [last], **with_last(stage, disk=20))
    stage.assert_refused(INSTANCES, f"The storage pool of {last} is too small", [last], **with_last(stage, disk=31))
    assert sizes(stage, last) == {22 * GIB}


def test_an_instance_moves_with_what_is_in_it(stage: LxdStage) -> None:
    first, last = stage.practice.names[0], stage.practice.names[-1]
    node = f"{last}-node"
    stage.practice.on(last, f"{LXC}; lxc exec {node} -- touch /kept")
    moved = with_last(stage, disk=22, host=first)
    try:
        assert stage.run(INSTANCES, **moved).changed[first]
        assert {verdict for verdict, _ in stage.verdicts(INSTANCES, **moved).values()} == {"proved"}
        assert "/kept" in stage.practice.on(first, f"{LXC}; lxc exec {node} -- ls /kept")
        assert (sizes(stage, first), sizes(stage, last)) == ({20 * GIB, 22 * GIB}, set())
    finally:
        stage.run(INSTANCES, **with_last(stage, disk=22))
    assert "/kept" in stage.practice.on(last, f"{LXC}; lxc exec {node} -- ls /kept")
    stage.practice.on(last, f"{LXC}; lxc delete -f {node}")
    stage.run(INSTANCES)
    stage.assert_proved(INSTANCES)


def test_a_full_pool_is_refused_before_any_change(stage: LxdStage) -> None:
    last = stage.practice.names[-1]
    filler = "/var/lib/lxd/storage-pools/default/filler"
    stage.practice.on(last, f"{LXC}; lxc delete -f {last}-node")
    stage.practice.on(last, f"fallocate -l 27G {filler}")
    try:
        stage.assert_refused(INSTANCES, f"The storage pool of {last} is full", [last])
    finally:
        stage.practice.on(last, f"rm {filler}; sync -f /var/lib/lxd/storage-pools/default")
        stage.run(INSTANCES)
    stage.assert_proved(INSTANCES)


def test_the_server_starts_anew_with_its_pool(stage: LxdStage, trusted_lab: Lab) -> None:
    last = stage.practice.names[-1]
    for verb in ("power-off", "power-on"):
        trusted_lab.run("lab", verb, last).check_returncode()
    trusted_lab.run("lab", "up").check_returncode()
    stage.run(CLUSTER)
    stage.run(INSTANCES)
    stage.assert_proved(CLUSTER)
    stage.assert_proved(INSTANCES)
    assert stage.practice.on(last, MOUNTED).strip() == "1"


def test_a_pool_that_does_not_come_up_is_seen(stage: LxdStage) -> None:
    """There is no file system in its file when LXD starts, which then goes on without it.

    The file is not just taken away: losetup, which LXD asks, would find it by its name, and that is what the other
    server's is called too. Both are on this machine's own loop devices.
    """
    last, pool = stage.practice.names[-1], "/var/lib/lxd/disks/default.img"
    stop = "systemctl stop lxd.service lxd.socket; umount -l /var/lib/lxd/storage-pools/default"
    start = "systemctl start lxd.socket lxd.service; lxd waitready --timeout=90"
    away = f"mv {pool} {pool}.away; truncate -s 1G {pool}"
    stage.practice.on(last, f"{LXC}; lxc stop -f {last}-node; {stop}; {away}; {start}")
    try:
        verdict, reason = stage.verdicts(CLUSTER, hosts=[last])[last]
        assert verdict != "proved", reason
        assert "storage pool default" in reason
    finally:
        stage.practice.on(last, f"{stop}; mv {pool}.away {pool}; {start}")
        stage.run(CLUSTER)
        stage.run(INSTANCES)
    stage.assert_proved(CLUSTER)
    stage.assert_proved(INSTANCES)


def test_taken_back_nothing_of_the_pool_is_left(stage: LxdStage) -> None:
    """Neither a file nor a mount, nor a loop device of this machine that is held."""
    practice = stage.practice
    for name in (INSTANCES, PROFILES):
        stage.assert_taken_back(name)
    for name in practice.names:
        practice.on(name, f"{AWAY}; {HOSTS_OWN}")
    stage.assert_taken_back(CLUSTER)
    for name in practice.names:
        assert practice.on(name, MOUNTED).strip() == "0"
    assert subprocess.run(["sh", "-c", BACKED], capture_output=True, text=True, check=True).stdout == ""
    stage.assert_taken_back(BRIDGE)
