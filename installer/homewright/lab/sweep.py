"""Finding and removing what a private daemon left behind, however it ended.

A process belongs to the lab when its mount namespace shows the daemon's folder. The daemon, lxcfs, dnsmasq, the
servers and all that runs in them do, and nothing else can: no list of process ids has to be right.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from homewright.errors import LabError
from homewright.lab import before, places
from homewright.lab.models import Place
from homewright.lab.shell import output, run, which

LIMIT_S = 20.0


def sweep(folder: Path, place: Place) -> bool:
    """Remove processes, bridge, firewall rules, cgroups and files of the daemon in `folder`; whether there were any.

    Raises LabError with what would not go.
    """
    found = _end_processes(folder)
    found = _remove_network(folder, place) or found
    _remove_cgroup(Path("/sys/fs/cgroup") / place.project)
    if folder.exists():
        found = True
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(folder)
    return found


def stop_leftovers(folder: Path, place: Place) -> bool:
    """End what a dead daemon left running and take its bridge away; the servers' disks stay. Raises LabError."""
    found = _end_processes(folder)
    return _remove_network(folder, place) or found


def _remove_network(folder: Path, place: Place) -> bool:
    """Bridge, cables and firewall rules, unless another lab has taken the place meanwhile."""
    ours = places.owns_bridge(place, places.owner(folder.parent))
    if not ours and (Path("/sys/class/net") / place.bridge).exists():
        return False
    found = _remove_links(place)
    return _remove_rules(place.bridge) or found


def processes(folder: Path) -> list[int]:
    """The processes of the lab in this folder: those that see it mounted."""
    inside = device_path(folder)
    if inside is None:
        return []
    device, path = inside
    own = _namespace("self")
    verdicts: dict[str, bool] = {}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        namespace = _namespace(entry.name)
        if namespace is None or namespace == own:
            continue
        if namespace not in verdicts:
            try:
                text = (entry / "mountinfo").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            verdicts[namespace] = shows(text, device, path)
        if verdicts[namespace]:
            found.append(int(entry.name))
    return found


def shows(mountinfo: str, device: str, path: str) -> bool:
    """Whether a mount table has something that lies at `path`, or below it, on the file system `device`."""
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        root = _unescaped(fields[3])
        if fields[2] == device and (root == path or root.startswith(f"{path}/")):
            return True
    return False


def device_path(folder: Path) -> tuple[str, str] | None:
    """Where a folder lies on its own file system: the device as mount tables number it, and the path there."""
    if not folder.exists():
        return None
    wanted = str(folder.resolve())
    best: tuple[int, str, str] | None = None
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(" ")
        root, point = _unescaped(fields[3]), _unescaped(fields[4]).rstrip("/")
        # The later of two mounts on one point is the one that is seen.
        if (wanted == point or wanted.startswith(f"{point}/")) and (best is None or len(point) >= best[0]):
            best = (len(point), fields[2], root.rstrip("/") + wanted[len(point) :] or "/")
    return best[1:] if best else None


def _unescaped(field: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


def _namespace(process: str) -> str | None:
    try:
        return str(Path(f"/proc/{process}/ns/mnt").readlink())
    except OSError:
        return None


def _end_processes(folder: Path) -> bool:
    deadline = time.monotonic() + LIMIT_S
    groups: set[str] = set()
    found = False
    while True:
        left = processes(folder)
        if not left:
            break
        found = True
        groups.update(filter(None, map(_control_group, left)))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise LabError(
                "A process of the practice servers would not end.",
                f"Process {left[0]} is still there after {LIMIT_S:.0f} s of SIGKILL; its disk may hang.",
                ["look at it: ps -o pid,stat,wchan,args -p " + str(left[0]), "then again: homewright lab down"],
            )
        time.sleep(0.02)
    _remove_control_groups(groups)
    return found


def _control_group(pid: int) -> str | None:
    """The cgroup2 path of a process where LXC made it: lxc.payload.NAME or lxc.monitor.NAME at the top."""
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    path = next((line[3:] for line in text.splitlines() if line.startswith("0::/")), "/")
    top = path.strip("/").split("/")[0]
    return top if top.startswith(("lxc.payload.", "lxc.monitor.")) else None


def _remove_control_groups(names: Iterable[str]) -> None:
    for mount in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (mount / "cgroup.controllers").exists():
            for name in names:
                _remove_cgroup(mount / name)


def _remove_cgroup(top: Path) -> None:
    """Remove an empty control group with those below it; one that is still used stays."""
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def _remove_links(place: Place) -> bool:
    net = Path("/sys/class/net")
    ours = [path.name for path in net.iterdir() if path.name.startswith(f"{place.bridge}s")]
    if (net / place.bridge).exists():
        ours.append(place.bridge)
    for name in ours:
        # A cable goes by itself with its server's network namespace, perhaps in this moment.
        output(["ip", "link", "delete", name])
        if (net / name).exists():
            raise LabError(
                f"The network interface {name} would not go.", "", [f"remove it: sudo ip link delete {name}"]
            )
    return bool(ours)


def _remove_rules(bridge: str) -> bool:
    """LXD names the chains of its table after the bridge, and its iptables rules in a comment."""
    found = False
    noted = before.load()
    kept = noted.nft_tables if noted else ()
    for family, table in before.nft_tables():
        if table != "lxd":
            continue
        listing = output(["nft", "list", "table", family, table])
        chains = [line.split()[1] for line in listing.splitlines() if line.strip().startswith("chain ")]
        ours = [chain for chain in chains if chain.partition(".")[2] == bridge]
        for chain in ours:
            found = True
            run(["nft", "delete", "chain", family, table, chain], what=f"The firewall chain {chain} would not go.")
        if len(ours) == len(chains) and f"{family} {table}" not in kept:
            output(["nft", "delete", "table", family, table])
    if which("iptables-save"):
        marker = f"generated for LXD network {bridge}"
        for kind in ("iptables", "ip6tables"):
            table = ""
            for line in output([f"{kind}-save"]).splitlines():
                if line.startswith("*"):
                    table = line[1:]
                elif line.startswith("-A") and f'"{marker}"' in line:
                    found = True
                    output([kind, "-w", "-t", table, "-D", *shlex.split(line)[1:]])
    return found
