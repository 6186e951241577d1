"""The private LXD daemon: started by hand in a mount namespace of its own, on this machine's cgroup2 alone.

In that namespace the daemon's folder lies below /var/lib/lxd. So its sockets' paths are short however long the state
folder's is, a home folder that others may not enter is no obstacle to the servers' root file systems, and every mount
is gone with the last process. Each lab's path there is its own: LXC names sockets after it that a mount namespace does
not keep apart, and two labs with one path stop each other's servers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from homewright.errors import LabError
from homewright.lab import before
from homewright.lab.shell import environment, which
from homewright.site.paths import write_atomically

MOUNT = Path("/var/lib/lxd")
"""Made by Debian's package; covered inside the namespace only."""

READY_S = 60.0

_START = """\
set -e
mount -t tmpfs -o mode=0711 none /var/lib/lxd
mkdir "$LXD_DIR"
mount --bind "$1/lxd" "$LXD_DIR"
mount -t tmpfs -o mode=0755 none /run/lxc
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
  if mkdir -p "/sys/fs/cgroup/$2"; then echo $$ > "/sys/fs/cgroup/$2/cgroup.procs"; fi
else
  umount -R /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
fi
lxcfs --pidfile="$1/lxcfs.pid" /var/lib/lxcfs &
exec lxd --group root
"""
"""Where controllers are cgroup v1, LXD inside the practice servers cannot start instances: hence cgroup2 alone. Where
cgroup2 is all there is, the daemon leaves the login's session, which systemd may end as a whole."""


@dataclass(frozen=True)
class Running:
    """A daemon that was started."""

    pid: int
    ticks: int
    """When the process started, in clock ticks since boot: tells it from a later one with the same number."""
    boot: str
    lxd_dir: str
    """Its folder as it sees it."""

    @property
    def is_alive(self) -> bool:
        return self.pid > 0 and self.boot == before.boot_id() and ticks(self.pid) == self.ticks

    @property
    def socket(self) -> str:
        """The daemon's socket as root reaches it from outside: short, whatever the state folder's path."""
        return f"/proc/{self.pid}/root{self.lxd_dir}/unix.socket"


def ticks(pid: int) -> int:
    """When a process started; -1 where there is none, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return -1
    fields = stat.rpartition(")")[2].split()
    return -1 if fields[0] in "ZX" else int(fields[19])


def _file(folder: Path) -> Path:
    return folder / "daemon.json"


def load(folder: Path) -> Running | None:
    """The daemon that was started from this folder, alive or not."""
    try:
        document = json.loads(_file(folder).read_bytes())
        return Running(**document)
    except (OSError, ValueError, TypeError):
        return None


def start(folder: Path, name: str) -> Running:
    """Start the daemon on `folder`/lxd and wait until it answers. Raises LabError with the end of its log.

    `name` is its own among all labs. What must be put back later is written down before anything is changed.
    """
    before.note()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "lxd").mkdir(mode=0o711, exist_ok=True)
    inside = str(MOUNT / name)
    _save(folder, Running(0, 0, before.boot_id(), inside))
    before.RUN_LXC.mkdir(exist_ok=True)
    for setting, least in before.LEAST.items():
        if int(before.read_setting(setting)) < least:
            before.write_setting(setting, str(least))
    log = folder / "lxd.log"
    with log.open("wb") as handle:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _START, "sh", str(folder), name],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            cwd="/",
            env=environment({"LXD_DIR": inside, "HOME": "/root", "USER": "root"}),
            start_new_session=True,
        )
    running = Running(process.pid, ticks(process.pid), before.boot_id(), inside)
    _save(folder, running)
    _wait(process, running, log)
    process.returncode = 0  # it outlives this command on purpose; nobody waits for it
    return running


def _save(folder: Path, running: Running) -> None:
    write_atomically(_file(folder), json.dumps(asdict(running)).encode())


def _wait(process: subprocess.Popen[bytes], running: Running, log: Path) -> None:
    from homewright.lab import lxd

    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        code = process.poll()
        if code is not None:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise LabError(
                "The private LXD daemon did not start.",
                f"It ended with {code}: {' | '.join(said)[-400:]}",
                ["free what it names, then try again: homewright lab up"],
            )
        if lxd.answers(running.socket):
            return
        time.sleep(0.05)
    raise LabError(
        "The private LXD daemon did not start.",
        f"It has not answered for {READY_S:.0f} s.",
        [f"its log: sudo cat {log}", "take it away: homewright lab down"],
    )


def stop(running: Running, limit: float = 10.0) -> None:
    """Ask the daemon to end; what does not is left to the sweep."""
    if not running.is_alive:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + limit
    while running.is_alive and time.monotonic() < deadline:
        time.sleep(0.02)


def missing_programs() -> list[str]:
    """Programs that a private daemon needs and this machine does not have."""
    needed = ("lxd", "lxcfs", "dnsmasq", "unsquashfs", "nft", "unshare", "setpriv", "ip")
    return [program for program in needed if which(program) is None]
