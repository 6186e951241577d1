"""Stage 10 by the real engine: a wrong answer cuts a server off, and a server restarts; both are back by themselves."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Practice
from practice_lab import Lab, as_root
from server_listing import SYSTEM, listing, unlike

from homewright.catalogue import shipped
from homewright.stages.bridge import FILE, MARK
from homewright.stages.restart import WAITS

pytestmark = pytest.mark.lab


@contextlib.contextmanager
def another_network(lab: Lab, server: str, gateway: str) -> Iterator[str]:
    """A second interface of a server, in a network that leads nowhere and where somebody answers for the gateway.

    Nobody but that one: Linux answers on each of its interfaces for all of its addresses, so this machine, which is the
    gateway of the true network, would too. Whoever of the two is heard first would decide whether it is a wrong one.
    """
    place = lab.record()["place"]
    assert isinstance(place, dict)
    name = f"hwwrong{place['number']}"
    ends, space = (f"{name}a", f"{name}b"), f"{name}ns"
    lab.lxc("network", "create", name, "ipv4.address=none", "ipv6.address=none")

    def ip(*words: str) -> None:
        subprocess.run(as_root(["ip", *words]), check=True, capture_output=True)

    try:
        deaf = f"net.ipv4.conf.{name}.arp_ignore=1"
        subprocess.run(as_root(["sysctl", "-q", "-w", deaf]), check=True, capture_output=True)
        ip("netns", "add", space)
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", space)
        ip("link", "set", ends[0], "master", name, "up")
        ip("netns", "exec", space, "ip", "address", "add", f"{gateway}/24", "dev", ends[1])
        ip("netns", "exec", space, "ip", "link", "set", ends[1], "up")
        lab.lxc("config", "device", "add", server, "eth1", "nic", f"network={name}", "name=eth1")
        lab.on(server, "n=0; until ip link set eth1 up; do n=$((n+1)); [ $n -lt 50 ] || exit 1; sleep 0.1; done")
        yield "eth1"
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            lab.lxc("config", "device", "remove", server, "eth1")
        for words in (["link", "delete", ends[0]], ["netns", "delete", space]):
            subprocess.run(as_root(["ip", *words]), check=False, capture_output=True)
        lab.lxc("network", "delete", name)


def test_the_wrong_interface_cuts_a_server_off_and_it_is_back_by_itself(practice: Practice, trusted_lab: Lab) -> None:
    """By the real engine: the server that nobody can get into any more puts everything back, and the run says why."""
    practice.give_back()
    victim = practice.names[-1]
    gateway = practice.on(victim, "ip -4 route show default").split()[2]
    before = listing(practice.on, [victim], SYSTEM)
    kept = trusted_lab.site_file.read_text()
    place = practice.names.index(victim)
    try:
        with another_network(trusted_lab, victim, gateway) as nic:
            for field, value in ((f"servers.{place}.nic", nic), ("runs.revert_minutes", "0.4")):
                trusted_lab.run("site", "set", field, value).check_returncode()
            done = trusted_lab.run("apply", "--only", "10", "--yes", "--plain")
            assert done.returncode == 1, done.stdout
            # Who is proved only after that is taken back as well, so nothing is said here of the others.
            assert f"{victim}: failed: Nobody could get in afresh within 24 s, so the server put" in done.stdout
            assert "Correct the interface or the gateway in the wizard's Network screen" in done.stdout
            assert "10/10 Bridge: failed on " in done.stdout
        assert unlike(before, listing(practice.on, [victim], SYSTEM), ["failed "]) == []
        assert practice.on(victim, f"ls {FILE} {MARK}", check=False) == ""
    finally:
        trusted_lab.site_file.write_text(kept)
        trusted_lab.run("rollback", "10", "--yes").check_returncode()
        practice.hold()


@pytest.mark.long
def test_only_the_server_that_something_waits_on_restarts(practice: Practice, trusted_lab: Lab, tmp_path: Path) -> None:
    """By the real engine and a real restart; the stage's own files, in a catalogue in which every server is asked."""
    practice.give_back()
    source = shipped() / "10_baremetal_infra"
    folder = tmp_path / "stages" / "90_restart"
    folder.mkdir(parents=True)
    for name in ("30_restart.py", "38_restart.py", "39_restart.py"):
        (folder / name).write_bytes((source / name).read_bytes())
    step = {
        "id": "90/30", "title": "Restart", "runner": "python", "reboots": True, "run": "30_restart.py",
        "verify": "38_restart.py", "rollback": "39_restart.py",
    }  # fmt: skip
    stage = {"id": "90", "title": "Restart", "requires": [], "steps": [step]}
    (folder / "stage.yaml").write_text(json.dumps(stage))
    words = ("--stages", str(folder.parent), "apply", "--only", "90", "--yes", "--plain")
    victim = practice.names[-1]

    def boots() -> dict[str, str]:
        return {name: practice.on(name, "cat /proc/sys/kernel/random/boot_id") for name in practice.names}

    try:
        first = boots()
        practice.on(victim, f"mkdir -p /run/homewright && echo 'a test asks for it' >{WAITS}")
        done = trusted_lab.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "a test asks for it" in done.stdout
        second = boots()
        assert {name for name in first if first[name] != second[name]} == {victim}
        assert "Done: nothing changed" in trusted_lab.run(*words).stdout
        assert boots() == second
        practice.on(victim, f"mkdir -p /run/homewright && echo again >{WAITS}")
        broken = trusted_lab.run("--stages", str(folder.parent), "verify")
        assert broken.returncode == 1
        assert "something waits for it: again" in broken.stdout
    finally:
        practice.on(victim, f"rm -f {WAITS}")
        trusted_lab.run("--stages", str(folder.parent), "rollback", "90", "--yes").check_returncode()
        practice.hold()
