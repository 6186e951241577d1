"""A member of the cluster that is lost for good, by the real engine: another machine takes its place, or none does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from practice_lab import Lab

from homewright.engine.journal import Reader
from homewright.site import files

pytestmark = [pytest.mark.lab, pytest.mark.long]

LIMIT_S = 1800.0


def ran(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode in (1, 2, 5), done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def applied(lab: Lab) -> Iterator[Lab]:
    """Three servers with the whole of what the practice site applies; all are made anew afterwards."""
    lab.before_first_contact()
    ran(lab.run("trust", "--all", "--practice"))
    ran(lab.run("apply", "--yes", timeout=LIMIT_S))
    yield lab
    ran(lab.run("lab", "down"))


def members(lab: Lab) -> dict[str, str]:
    told = json.loads(lab.on("s1", "LXD_CONF=/tmp/lxc lxc query '/1.0/cluster/members?recursion=1'"))
    return {one["server_name"]: one["status"] for one in told}


def instances(lab: Lab) -> dict[str, tuple[str, str]]:
    told: list[dict[str, Any]] = json.loads(lab.on("s1", "LXD_CONF=/tmp/lxc lxc query '/1.0/instances?recursion=1'"))
    return {one["name"]: (one["location"], one["status"]) for one in told}


def assert_right(lab: Lab, *servers: str) -> None:
    """All is proved anew, a second run changes nothing, and the cluster has these members and no others."""
    ran(lab.run("verify", timeout=LIMIT_S))
    again = ran(lab.run("apply", "--yes", timeout=LIMIT_S))
    assert Reader(lab.state).run().changed == 0, again[-3000:]
    assert members(lab) == dict.fromkeys(servers, "Online")


def test_another_machine_takes_its_place(applied: Lab) -> None:
    """Of the same name and address, with nothing on it: nobody takes it for the old one without being told."""
    lab = applied
    was = lab.on("s3", "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub")
    lab.on("s1", "lxc exec s1-node -- touch /kept")
    lab.lxc("delete", "-f", "s3")
    ran(lab.run("lab", "up"))
    assert lab.on("s3", "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub") != was
    assert "host key of s3" in refused(lab.run("apply", "--yes", timeout=LIMIT_S))
    ran(lab.run("trust", "s3", "--practice", "--replace"))
    asked = refused(lab.run("apply", "--yes", timeout=LIMIT_S))
    assert "s3 is another machine than before" in asked and "--new-machine s3" in asked, asked[-3000:]
    assert members(lab)["s3"] != "Online", "nothing was done about it yet"
    done = ran(lab.run("apply", "--new-machine", "s3", "--yes", timeout=LIMIT_S))
    assert "an earlier s3 is removed from the cluster, with s3-node" in done, done[-4000:]
    assert_right(lab, "s1", "s2", "s3")
    assert instances(lab) == {f"{name}-node": (name, "Running") for name in lab.servers}
    assert lab.on("s1", "lxc exec s1-node -- ls /kept"), "the others' instances are as they were"


def test_none_takes_its_place(applied: Lab) -> None:
    """Its power is gone for good; its instance is made anew, empty, on another server."""
    lab = applied
    ran(lab.run("lab", "power-off", "s2"))
    words = ("site", "remove-server", "s2", "--lost")
    assert "What becomes of s2-node" in refused(lab.run(*words))
    ran(lab.run(*words, "--move", "s2-node=s1"))
    done = ran(lab.run("apply", "--yes", timeout=LIMIT_S))
    assert "s2 is forgotten by the cluster" in done and "s2-node went with s2" in done, done[-4000:]
    site = files.load(lab.site_file)
    assert ([one.name for one in site.servers], site.leaving) == (["s1", "s3"], ())
    assert_right(lab, "s1", "s3")
    assert instances(lab) == {
        "s1-node": ("s1", "Running"), "s2-node": ("s1", "Running"), "s3-node": ("s3", "Running"),
    }  # fmt: skip


def test_another_server_comes_to_a_site_that_runs(applied: Lab) -> None:
    """What the site had before is as it was; the new one gets its way to the instances, and DNS."""
    lab = applied
    if "s2" in {one.name for one in files.load(lab.site_file).servers}:
        pytest.skip("the one before did not leave")
    lab.lxc("delete", "-f", "s2")
    ran(lab.run("lab", "up"))  # which writes it into the site again
    before = instances(lab)
    ran(lab.run("trust", "s2", "--practice", "--replace"))
    ran(lab.run("apply", "--yes", "--new-machine", "s2", timeout=LIMIT_S))
    assert_right(lab, "s1", "s2", "s3")
    assert instances(lab) == before
    lab.on("s2", "ping -c 1 -W 5 s1-node.practice.internal && ping -c 1 -W 5 s3-node.practice.internal")
