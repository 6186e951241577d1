"""The lab itself, for real: made, used, cut off in the middle, and gone without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from practice_lab import COMMAND, Lab, as_root, own_lab

from homewright.cli.schema import model
from homewright.lab import before
from homewright.lab.places import hardware_address, owner

pytestmark = pytest.mark.lab

NET = Path("/sys/class/net")


def wait_for(condition: Callable[[], bool], what: str, limit: float = 90.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit:.0f} s for {what}"
        time.sleep(0.02)


def traces(lab: Lab, bridge: str) -> list[str]:
    """Whatever on this machine still speaks of this lab, found without the lab's own code."""
    project = "homewright-lab" + (f"-{bridge[5:]}" if bridge != "hwlab0" else "")
    marks = [str(lab.folder).encode()]
    found: list[str] = []
    if not another_labs(lab, bridge):
        marks += [f"/var/lib/lxd/{project}/".encode(), f"LXD_DIR=/var/lib/lxd/{project}\0".encode()]
        found += [f"interface {path.name}" for path in NET.iterdir() if re.fullmatch(rf"{bridge}(s\d+)?", path.name)]
        rules = subprocess.run(as_root(["nft", "list", "ruleset"]), capture_output=True, text=True, check=True).stdout
        found += [
            f"rule {line.strip()}" for line in rules.splitlines() if f".{bridge} " in line or f'"{bridge}"' in line
        ]
    found += [
        f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(lab.folder) in line
    ]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if any(mark in said for mark in marks):
                    found.append(f"process {entry.name} {said[:80]!r}")
    kept = {lab.folder / "state" / "homewright", lab.folder / "config" / "homewright", *lab.folders}
    found += [f"file {path}" for path in lab.folder.rglob("*") if path not in kept]
    return found


def another_labs(lab: Lab, bridge: str) -> bool:
    """Whether a lab of another test has the bridge by now, and with it its number: the first free one is taken."""
    try:
        address = (NET / bridge / "address").read_text().strip()
    except OSError:
        return False
    return address != hardware_address(owner(lab.lab_folder))


def assert_gone(lab: Lab, bridge: str) -> None:
    """A lab that is just being made with the same number has its bridge in a moment, and is told apart then."""
    end = time.monotonic() + 20
    while (found := traces(lab, bridge)) and time.monotonic() < end:
        time.sleep(0.5)
    assert found == []


def bridge(lab: Lab) -> str:
    place = lab.record()["place"]
    assert isinstance(place, dict)
    return f"hwlab{place['number']}"


def test_status_says_how_the_servers_are(lab: Lab) -> None:
    done = lab.run("lab", "status", "--json")
    status = model("lab").model_validate_json(done.stdout).model_dump()
    assert status["state"] == "up"
    assert [server["name"] for server in status["servers"]] == ["s1", "s2", "s3"]
    assert {server["ssh"] for server in status["servers"]} == {"answers"}
    assert lab.run("lab", "status", "--password").stdout.strip() == lab.password
    assert lab.password not in done.stdout


def test_a_second_up_changes_nothing_and_says_so(lab: Lab) -> None:
    was = (
        lab.site_file.read_bytes(),
        lab.record(),
        lab.lxc("list", "--format", "json").stdout.count('"created_at"'),
    )
    done = lab.run("lab", "up", "--json")
    assert json.loads(done.stdout)["changed"] is False
    created = lab.lxc("list", "--format", "json").stdout.count('"created_at"')
    assert (lab.site_file.read_bytes(), lab.record(), created) == was


def test_the_servers_are_as_a_person_would_find_them(lab: Lab) -> None:
    said = lab.on("s1", "systemctl is-active ssh systemd-networkd; id -nG lab")
    assert said.startswith("active\nactive\n")
    assert "sudo" in said.splitlines()[2].split()
    keys = {lab.on(server, "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[1] for server in lab.servers}
    assert len(keys) == 3
    assert all(key in lab.site_file.read_text() for key in keys)


def test_files_are_private(lab: Lab) -> None:
    assert (lab.lab_folder / "lab.json").stat().st_mode & 0o777 == 0o600
    assert lab.lab_folder.stat().st_mode & 0o777 == 0o700


def test_power_and_cable(lab: Lab) -> None:
    def server() -> dict[str, str]:
        found: dict[str, str] = json.loads(lab.run("lab", "status", "--json").stdout)["servers"][2]
        return found

    boot = lab.on("s3", "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1")
    assert lab.run("lab", "unplug", "s3").returncode == 0
    assert server() == {**server(), "power": "on", "cable": "unplugged", "ssh": "silent"}
    assert "Nothing changed" in lab.run("lab", "unplug", "s3").stdout
    assert lab.run("lab", "power-off", "s3").returncode == 0
    assert server() == {**server(), "power": "off", "cable": "unplugged", "ssh": "silent"}
    assert "Nothing changed" in lab.run("lab", "power-off", "s3").stdout
    assert lab.run("lab", "power-on", "s3").returncode == 0
    assert server() == {**server(), "power": "on", "cable": "unplugged", "ssh": "silent"}
    assert lab.run("lab", "plug", "s3").returncode == 0
    wait_for(lambda: server()["ssh"] == "answers", "s3 to answer after its cable was put back")
    assert lab.on("s3", "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1") != boot


def test_what_is_not_there_is_said(lab: Lab) -> None:
    done = lab.run("lab", "power-off", "s9")
    assert done.returncode == 2
    assert "There is no practice server s9" in done.stderr
    fewer = lab.run("lab", "up", "--servers", "2")
    assert fewer.returncode == 1
    assert "lab down" in fewer.stderr


def test_ssh_believes_only_the_labs_host_keys(lab: Lab) -> None:
    known = lab.lab_folder / "known_hosts"
    before = known.read_text()
    try:
        other = before.splitlines()[0].split()[2][:-8]
        known.write_text("".join(f"{line.split()[0]} ssh-ed25519 {other}AAAAAAAA\n" for line in before.splitlines()))
        done = lab.run("lab", "ssh", "s1", "--", "true", timeout=60)
        assert done.returncode == 255
        assert "Host key verification failed" in done.stderr
    finally:
        known.write_text(before)


@pytest.fixture
def small_lab() -> Iterator[Lab]:
    with own_lab("small") as lab:
        yield lab


def cut(lab: Lab, action: list[str], when: Callable[[], bool]) -> None:
    """Start the command and kill it, with everything in its session, in the moment that `when` holds."""
    process = subprocess.Popen(
        [*COMMAND, "lab", *action], env=lab.environment, cwd=lab.folder, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: when() or process.poll() is not None, "the moment to cut", 120)
        assert process.poll() is None, "the command was through before it could be cut"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def daemon_started(lab: Lab) -> bool:
    return (lab.lab_folder / "daemon" / "lxd.log").exists()


def untouched() -> dict[str, str]:
    """The kernel's settings as they are without any lab; labs of other tests may come and go meanwhile."""
    while True:
        noted = before.load()
        now = {name: before.read_setting(name) for name in (before.FORWARD, *before.LEAST)}
        if noted == before.load():
            return noted.settings if noted else now


def server_runs(lab: Lab) -> bool:
    return (lab.lab_folder / "lab.json").exists() and (NET / f"{bridge(lab)}s1").exists()


def test_cut_off_while_going_up_then_while_going_down(small_lab: Lab) -> None:
    lab = small_lab
    settings = untouched()
    cut(lab, ["up", "--yes", "--servers", "1"], lambda: server_runs(lab))
    assert json.loads(lab.run("lab", "status", "--json").stdout)["state"] == "incomplete"
    first = bridge(lab)
    up = lab.run("lab", "up", "--servers", "1", "--yes")
    assert up.returncode == 0, up.stderr
    assert "starting over" in up.stderr
    assert json.loads(lab.run("lab", "status", "--json").stdout)["state"] == "up"
    found = lab.on(
        "s1",
        "ls -A /etc/sudoers.d; find /root /home -name authorized_keys -printf '%f\\n'; "
        "dpkg-query -W -f '${Package}\\n'",
    ).split()
    assert not {"authorized_keys", "homewright-lab", "python3-venv"} & set(found), (
        "nobody has been there: first contact is to come"
    )
    second = bridge(lab)
    broken = lab.run("lab", "break", "s1", "clock", "disk", "loss", "port", "apt-lock")
    assert broken.returncode == 0, broken.stderr  # whatever is broken: it goes down all the same
    cut(lab, ["down"], lambda: not (NET / f"{second}s1").exists())
    assert json.loads(lab.run("lab", "status", "--json").stdout)["state"] == "incomplete"
    down = lab.run("lab", "down")
    assert down.returncode == 0, down.stderr
    for name in {first, second}:
        assert_gone(lab, name)
    now = {name: before.read_setting(name) for name in settings}
    assert now == settings or before.FILE.exists(), "put back, unless a lab of another test is there"
    assert (noted := before.load()) is None or noted.settings == settings
    assert "Nothing changed" in lab.run("lab", "down").stdout


UP_MOMENTS: dict[str, Callable[[Lab], bool]] = {
    "intent": lambda lab: (lab.lab_folder / "lab.json").exists(),
    "daemon": daemon_started,
    "bridge": lambda lab: (lab.lab_folder / "lab.json").exists() and (NET / bridge(lab)).exists(),
    "disk": lambda lab: any((lab.lab_folder / "daemon/lxd").glob("storage-pools/*/containers/s1/rootfs/etc")),
    "server": server_runs,
    "site": lambda lab: lab.site_file.exists(),
}


@pytest.mark.long
@pytest.mark.parametrize("after", ["up", "down"])
@pytest.mark.parametrize("moment", UP_MOMENTS)
def test_every_moment_of_going_up(small_lab: Lab, moment: str, after: str) -> None:
    cut(small_lab, ["up", "--yes", "--servers", "1"], lambda: UP_MOMENTS[moment](small_lab))
    name = bridge(small_lab)
    if after == "up":
        done = small_lab.run("lab", "up", "--servers", "1", "--yes")
        assert done.returncode == 0, done.stderr
        assert json.loads(small_lab.run("lab", "status", "--json").stdout)["state"] == "up"
        name = bridge(small_lab)
    assert small_lab.run("lab", "down").returncode == 0
    assert_gone(small_lab, name)


@pytest.mark.long
def test_the_daemon_killed_keeps_the_servers_disks(small_lab: Lab) -> None:
    lab = small_lab
    assert lab.run("lab", "up", "--servers", "1", "--yes").returncode == 0
    lab.on("s1", "echo kept > /root/note; sync")
    daemon = json.loads((lab.lab_folder / "daemon" / "daemon.json").read_bytes())
    os.kill(daemon["pid"], signal.SIGKILL)
    assert lab.run("lab", "power-off", "s1").returncode == 1
    assert json.loads(lab.run("lab", "status", "--json").stdout)["state"] == "broken"
    done = lab.run("lab", "up")
    assert done.returncode == 0, done.stderr
    assert lab.on("s1", "cat /root/note") == "kept\n"


@pytest.mark.long
def test_a_lab_whose_file_is_lost_is_taken_down_all_the_same(small_lab: Lab) -> None:
    assert small_lab.run("lab", "up", "--servers", "1", "--yes").returncode == 0
    name = bridge(small_lab)
    (small_lab.lab_folder / "lab.json").write_text("{")
    damaged = small_lab.run("lab", "down")
    assert damaged.returncode == 1
    assert "is damaged" in damaged.stderr
    (small_lab.lab_folder / "lab.json").unlink()  # as the message says
    done = small_lab.run("lab", "down")
    assert done.returncode == 0, done.stderr
    assert_gone(small_lab, name)


@pytest.mark.long
def test_a_server_that_is_added_and_cut_off_is_finished_by_the_next_up(small_lab: Lab) -> None:
    lab = small_lab
    assert lab.run("lab", "up", "--servers", "1", "--yes").returncode == 0
    cut(lab, ["up", "--servers", "2"], lambda: (NET / f"{bridge(lab)}s2").exists())
    done = lab.run("lab", "up")
    assert done.returncode == 0, done.stderr
    key = lab.on("s2", "cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub").strip()
    assert key in (lab.lab_folder / "known_hosts").read_text()
    assert key in lab.site_file.read_text()
    assert lab.run("lab", "ssh", "s2", "--", "true", timeout=60).returncode == 255, "no key of ours is in yet"


@pytest.mark.long
def test_a_state_folder_with_a_long_path(small_lab: Lab) -> None:
    deep = Lab(small_lab.folder / ("long" * 20) / ("path with blanks " * 4).strip())
    for folder in deep.folders:
        folder.mkdir(parents=True)
    try:
        done = deep.run("lab", "up", "--servers", "1", "--yes")
        assert done.returncode == 0, done.stderr
    finally:
        assert deep.run("lab", "down").returncode == 0
