"""Practice servers on a machine that uses LXD: a project of their own in it, and its owner's things as they were.

The machine's LXD is a real daemon at the place of Debian's package, which nobody sees but the commands of these tests:
they run in its mount namespace.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from practice_lab import COMMAND, Lab, ran

from homewright.lab import before, image, mirror, places, record, sweep
from homewright.lab.lxd import OWNER_KEY, STANDARD_SOCKETS, answers, in_use
from homewright.lab.models import LabStatus, Place

pytestmark = [pytest.mark.lab, pytest.mark.long]

SOCKET = STANDARD_SOCKETS[1]
PLACE = str(Path(SOCKET).parent)
BRIDGE = f"hwown{os.getpid()}"

START = f"""\
set -e
mount --bind "$1/lxd" {PLACE}
mount -t tmpfs -o mode=0755 none /run/lxc
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
  umount -R /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
fi
lxcfs --pidfile="$1/lxcfs.pid" /var/lib/lxcfs &
exec lxd --group root
"""

NETWORK = f"network create {BRIDGE} ipv4.address=192.0.2.1/24 ipv4.nat=true ipv6.address=none"
CABLE = f"profile device add default eth0 nic name=eth0 network={BRIDGE}"
RUNNING = "launch own album"
OWNERS = (
    NETWORK,
    "storage create photos dir",
    "profile device add default root disk path=/ pool=photos",
    CABLE,
    "image import {metadata} {rootfs} --alias own",
    RUNNING,
    "project create work -c features.profiles=false -c features.images=false",
    "init own diary --project work",
    "project create {taken}",
)
"""A bridge, a pool, a container that runs, a project with one that does not, and a project that is called as ours."""

UNDONE = {
    NETWORK: f"network delete {BRIDGE}",
    CABLE: "profile device remove default eth0",
    RUNNING: "delete --force album",
}
"""What goes by LXD itself, because it is this machine's too: in the end, the other way round."""

SHOWN = (
    "project list", "list --all-projects -c nsP", "storage list", "profile list", "image list -c Flu",
    "project show default", "project show work", "profile show default", "storage show photos",
    f"network show {BRIDGE}", "config show", "config show album", "config show diary --project work",
)  # fmt: skip


@dataclass(frozen=True)
class Beside(Lab):
    """A lab whose commands find the owner's LXD at its standard place."""

    daemon: int

    @property
    def command(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self.daemon}/ns/mnt", f"--wd={self.folder}", *COMMAND]

    def socket(self) -> str:
        return f"/proc/{self.daemon}/root{SOCKET}"

    @property
    def place(self) -> Place:
        return Place.model_validate(self.record()["place"])

    def status(self) -> LabStatus:
        return LabStatus.model_validate_json(ran(self.run("lab", "status", "--json")))

    def shown(self) -> dict[str, str]:
        """All that the owner has, as lxc(1) shows it, and the process of the container: another one after any stop."""
        lists = {words: ["-f", "csv"] if "list" in words.split() else [] for words in SHOWN}
        [pid] = [line for line in self.lxc("info", "album").stdout.splitlines() if line.startswith("PID:")]
        return {words: self.lxc(*words.split(), *more).stdout for words, more in lists.items()} | {"process": pid}


def wait_for(condition: Callable[[], object], what: str, limit_s: float = 120) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"waited {limit_s:.0f} s for {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def own_machine() -> Iterator[None]:
    """What an LXD changes about this machine is put back, unless practice servers of others need it by now."""
    settings = {name: before.read_setting(name) for name in (before.FORWARD, *before.LEAST)}
    tables = set(before.nft_tables())
    made = not before.RUN_LXC.exists()
    before.RUN_LXC.mkdir(exist_ok=True)
    try:
        yield
    finally:
        if not any(name.startswith("hwlab") for name in places.interfaces()):
            now = {name: before.read_setting(name) for name in settings}
            for name, value in before.changed_back(settings, now).items():
                before.write_setting(name, value)
            for table in set(before.nft_tables()) - tables:
                subprocess.run(["nft", "delete", "table", *table], check=True)
            if made:
                before.RUN_LXC.rmdir()


@contextlib.contextmanager
def an_lxd(folder: Path) -> Iterator[int]:
    """The machine's LXD, its files in this folder; its process. Nothing that it started stays."""
    (folder / "lxd").mkdir(mode=0o711)
    with (folder / "lxd.log").open("wb") as log:
        daemon = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", START, "sh", str(folder)],
            env={**os.environ, "LXD_DIR": PLACE},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        socket = f"/proc/{daemon.pid}/root{SOCKET}"
        wait_for(lambda: daemon.poll() is not None or answers(socket), "the machine's LXD")
        assert daemon.poll() is None, (folder / "lxd.log").read_text()
        yield daemon.pid
    finally:
        daemon.terminate()
        daemon.wait(60)
        for process in sweep.processes(folder / "lxd"):
            os.kill(process, signal.SIGKILL)
        wait_for(lambda: not sweep.processes(folder / "lxd"), "the last process of the machine's LXD")


@pytest.fixture(scope="module")
def beside() -> Iterator[Beside]:
    """An LXD in use; the lab has nothing in it yet."""
    if os.geteuid() != 0:
        pytest.skip("root alone enters the place where the machine's LXD is put")
    if in_use() is not None:
        pytest.skip("this machine uses LXD, so all tests on practice servers run beside it")
    cached = image.image(record.image_folder(), mirror.of_this_machine())
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_machine())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homewright-owner-")))
        folder.chmod(0o711)
        for home in ("state", "config"):
            (folder / "lab" / home).mkdir(parents=True, mode=0o700)
        lab = Beside(folder / "lab", stack.enter_context(an_lxd(folder)))
        taken = places.choose(places.interfaces(), places.used_networks()).project
        for words in OWNERS:
            lab.lxc(*words.format(metadata=cached.metadata, rootfs=cached.rootfs, taken=taken).split())
            if words in UNDONE:
                stack.callback(lab.lxc, *UNDONE[words].split())
        stack.callback(lambda: lab.run("lab", "down") if lab.lab_folder.exists() else None)
        yield lab


@pytest.fixture(scope="module")
def owners(beside: Beside) -> dict[str, str]:
    """What the owner has, before the first practice server."""
    return beside.shown()


def test_they_are_a_project_of_their_own(beside: Beside, owners: dict[str, str]) -> None:
    """Marked as ours; a project that is called so and is not is left alone, and another number taken."""
    ran(beside.run("lab", "up", "--servers", "2", "--yes"))
    assert beside.record()["backend"] == "shared"
    assert [path.name for path in beside.lab_folder.iterdir() if path.is_dir()] == []
    project = beside.place.project
    assert all(line.split(",")[0] != project for line in owners["project list"].splitlines())
    assert beside.lxc("list", "--project", project, "-c", "n", "-f", "csv").stdout.split() == ["s1", "s2"]
    marked = json.loads(beside.lxc("query", f"/1.0/projects/{project}").stdout)["config"]
    assert marked[OWNER_KEY] == places.owner(beside.lab_folder)
    now = beside.shown()
    # The bridge and the pool are used by it, and are the default project's: LXD 5.0 gives other projects no bridges.
    added = {"project list", "project show default", "list --all-projects -c nsP", "storage list"}
    assert {words for words in owners if now[words] != owners[words]} <= added


def test_they_are_servers_like_any_others(beside: Beside) -> None:
    ran(beside.run("trust", "--all", "--practice"))
    assert beside.is_trusted
    assert json.loads(ran(beside.run("lab", "up", "--json")))["changed"] is False
    for verb, state in (("power-off", "broken"), ("power-on", "up"), ("unplug", "broken"), ("plug", "up")):
        ran(beside.run("lab", verb, "s2"))
        wait_for(lambda state=state: beside.status().state == state, f"{state} after lab {verb}")
        assert beside.status().servers[0].ssh == "answers"


def test_what_was_cut_off_while_it_went_up_is_made_anew(beside: Beside) -> None:
    ran(beside.run("lab", "down"))
    going_up = subprocess.Popen(
        [*beside.command, "lab", "up", "--servers", "2", "--yes"],
        env=beside.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: '"s1"' in beside.lxc("list", "--all-projects", "-f", "json").stdout, "the first server")
    os.killpg(going_up.pid, signal.SIGKILL)
    going_up.wait()
    assert beside.status().state == "incomplete"
    ran(beside.run("lab", "up", "--yes"))
    assert beside.status().state == "up"


def test_down_leaves_what_the_owner_had_and_nothing_else(beside: Beside, owners: dict[str, str]) -> None:
    bridge = beside.place.bridge
    ran(beside.run("lab", "down"))
    assert beside.shown() == owners
    assert bridge not in places.interfaces()
    assert bridge not in subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    kept = {beside.folder / "state" / "homewright", beside.folder / "config" / "homewright", *beside.folders}
    assert [path for path in beside.folder.rglob("*") if path not in kept] == []
