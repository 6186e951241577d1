"""The proof of a workspace's walls, run inside them as its own user: prints what is wrong, one line each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SOCKETS = (
    "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock",
    "/run/crio/crio.sock", "/var/lib/lxd/unix.socket", "/var/snap/lxd/common/lxd/unix.socket", "/run/lxd.socket",
    "/var/lib/incus/unix.socket", "/run/incus/unix.socket", "/dev/lxd/sock", "/run/snapd.socket",
    "/run/dbus/system_bus_socket", "/run/systemd/private",
    "/var/snap/microk8s/common/run/containerd.sock",
)  # fmt: skip
STANDARD = (
    "bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "opt", "proc", "root",
    "run", "sbin", "snap", "srv", "sys", "tmp", "usr", "var",
)  # fmt: skip
CLOSED = ("/root", "/home", "/mnt", "/media", "/etc/homewright", "/var/lib/homewright", "/etc/sudoers.d")
_FREE = ("/tmp", "/var/tmp", "/proc", "/dev", "/sys")


def problems(root: str, slug: str, mounts: list[str]) -> list[str]:
    """What can be reached and must not be."""
    found = [f"the socket {path} is reachable" for path in SOCKETS if os.access(path, os.F_OK)]
    for path in CLOSED:
        inside = [name for name in listing(path) if not leads_to(str(Path(path, name)), root)]
        if inside:
            found.append(f"{path} shows {', '.join(inside[:3])}")
    unusual = [f"/{name}" for name in listing("/") if name not in STANDARD]
    found += [f"{path} is seen" for path in unusual if not leads_to(path, root) and listing(path)]
    strangers = set(listing(root)) - set(mounts) - {".code-server"}
    if strangers:
        found.append(f"{root} shows {', '.join(sorted(strangers))}")
    others = set(listing(f"{root}/.code-server")) - {slug}
    if others:
        found.append(f"data of other workspaces is seen: {', '.join(sorted(others))}")
    allowed = [f"{root}/{name}" for name in mounts] + [f"{root}/.code-server/{slug}/data"]
    for point in mount_points():
        inside_allowed = any(point == path or point.startswith(f"{path}/") for path in (*allowed, *_FREE))
        if not inside_allowed and os.access(point, os.W_OK):
            found.append(f"{point} is writable")
    if not os.access(allowed[-1], os.W_OK):
        found.append(f"its own folder {allowed[-1]} is not writable")
    try:
        if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0:
            found.append("sudo works")
    except FileNotFoundError:
        pass
    return found


def leads_to(path: str, target: str) -> bool:
    return target == path or target.startswith(f"{path}/")


def listing(path: str) -> list[str]:
    try:
        return sorted(entry.name for entry in Path(path).iterdir())
    except OSError:
        return []


def mount_points() -> list[str]:
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


if __name__ == "__main__":
    print(json.dumps(problems(sys.argv[1], sys.argv[2], sys.argv[3:])))
