"""What the workspaces of a node are doing: facts only; what they mean is decided on the controller."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import pwd
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from homewright.workspaces.nodeside import bundles, records, steps

_LISTEN = "0A"
_ESTABLISHED = "01"
_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus", "ExecMainCode", "MainPID", "NRestarts",
    "UnitFileState", "ActiveEnterTimestamp", "InactiveEnterTimestamp",
)  # fmt: skip
HEALTH_TIMEOUT_S = 3.0
_LAST_MOMENT_MS = 253_402_300_800_000
"""The year 10000: later moments have no date."""
STANDARD = frozenset(
    {"bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "opt", "proc", "root",
     "run", "sbin", "snap", "srv", "sys", "tmp", "usr", "var"}
)  # fmt: skip
"""The root's own folders: hidden, closed or read-only in every workspace by its unit."""


class Sockets:
    """The node's TCP sockets over IPv4 and IPv6."""

    def __init__(self, tables: list[str]) -> None:
        self.listening: dict[int, tuple[int, str]] = {}
        """Port to the owner's uid and the socket's inode."""
        self.established: dict[int, Counter[str]] = {}
        """Local port to how many connections each remote address has."""
        for table in tables:
            for line in table.splitlines()[1:]:
                columns = line.split()
                if len(columns) < 10:
                    continue
                port = int(columns[1].rsplit(":", 1)[1], 16)
                if columns[3] == _LISTEN:
                    self.listening.setdefault(port, (int(columns[7]), columns[9]))
                elif columns[3] == _ESTABLISHED:
                    remote = address(columns[2].rsplit(":", 1)[0])
                    self.established.setdefault(port, Counter())[remote] += 1

    @classmethod
    def now(cls) -> Sockets:
        tables = []
        for name in ("tcp", "tcp6"):
            try:
                tables.append(Path("/proc/net", name).read_text())
            except OSError:
                continue  # a kernel without IPv6
        return cls(tables)


def address(text: str) -> str:
    """An address as /proc/net/tcp writes it: hexadecimal, in words of the machine's byte order (little endian)."""
    raw = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    if len(raw) == 16 and raw.startswith(bytes(10) + b"\xff\xff"):
        raw = raw[12:]
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def owner_of(inode: str) -> str:
    """The process that holds a socket, as `name (pid)`; empty where it cannot be found."""
    wanted = f"socket:[{inode}]"
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) == wanted:
                    return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue  # it ended meanwhile
    return ""


def units(names: list[str]) -> dict[str, dict[str, str]]:
    """systemd's properties of these units."""
    if not names:
        return {}
    done = subprocess.run(
        ["systemctl", "show", "--timestamp=unix", "-p", ",".join(_PROPERTIES), "--", *names],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found: dict[str, dict[str, str]] = {}
    for block in done.stdout.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in values:
            found[values["Id"]] = values
    return found


def health(host: str, port: int, authority: str, path: str) -> dict[str, Any]:
    """Ask code-server how it is, over TLS that the site's CA vouches for. Never raises."""
    trust = ssl.create_default_context(cadata=authority)
    connection = HTTPSConnection(host, port, timeout=HEALTH_TIMEOUT_S, context=trust)
    # A timeout counts from byte to byte. Whoever sits in a workspace may listen there, and must not keep us waiting.
    end = threading.Timer(HEALTH_TIMEOUT_S, _hang_up, (connection,))
    end.daemon = True
    try:
        connection.connect()
        end.start()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(4096)
        if answer.status != 200:
            return {"ok": False, "problem": f"it answered {answer.status}"}
        return {"ok": True, "problem": "", "heartbeat": _heartbeat(json.loads(body))}
    except ssl.SSLCertVerificationError as error:
        return {"ok": False, "problem": error.verify_message, "certificate": True}
    except (OSError, HTTPException, ValueError, AttributeError, RecursionError) as error:
        return {"ok": False, "problem": str(error)}
    finally:
        end.cancel()
        connection.close()


def _hang_up(connection: HTTPSConnection) -> None:
    with contextlib.suppress(OSError, AttributeError):  # it is closed already
        connection.sock.shutdown(socket.SHUT_RDWR)


def _heartbeat(answer: dict[str, Any]) -> float | None:
    """Unix seconds of the last heartbeat; None where there was none since the start, or none that is a moment."""
    said = answer.get("lastHeartbeat")
    return said / 1000 if isinstance(said, (int, float)) and 0 < said < _LAST_MOMENT_MS else None


def usage(unit: str) -> tuple[int | None, int | None]:
    """Processor time (microseconds) and memory (bytes) of a unit's control group.

    Where the kernel gives it no memory controller, its processes are added up.
    """
    group = Path("/sys/fs/cgroup/system.slice") / unit
    cpu: int | None = None
    memory: int | None = None
    with contextlib.suppress(OSError, StopIteration, ValueError):
        cpu = next(
            int(line.split()[1]) for line in (group / "cpu.stat").read_text().splitlines() if "usage_usec" in line
        )
    try:
        memory = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        resident = [rss for process in steps.processes_of(unit) if (rss := _resident(process)) is not None]
        memory = sum(resident) if resident else None
    return cpu, memory


def _resident(process: int) -> int | None:
    try:
        return int(Path("/proc", str(process), "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def controllers() -> list[str]:
    """The limits that this node's kernel can enforce on a unit."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        return unified.read_text().split()
    return [entry.name for entry in Path("/sys/fs/cgroup").iterdir()] if Path("/sys/fs/cgroup").is_dir() else []


def mounted(top: Path = Path("/")) -> list[str]:
    """Folders right under the root that no distribution has: disks that somebody mounted there, most likely."""
    return sorted(
        str(entry)
        for entry in top.iterdir()
        if entry.name not in STANDARD and entry.is_dir() and not entry.is_symlink()
    )


def free(path: str) -> int | None:
    """Bytes that a user may still write at `path`, or at the nearest folder above it that exists."""
    here = Path(path)
    while not here.exists():
        here = here.parent
    try:
        return shutil.disk_usage(here).free
    except OSError:
        return None


def last_lines(unit: str, count: int = 3) -> list[str]:
    done = subprocess.run(
        ["journalctl", "--no-pager", "-q", "-o", "cat", "-n", str(count), "-u", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.splitlines()


def observe(
    record: records.Record, unit: dict[str, str], sockets: Sockets, where: str, authority: str
) -> dict[str, Any]:
    """Everything that is seen of one workspace."""
    active = unit.get("ActiveState", "inactive")
    try:
        uid: int | None = pwd.getpwnam(record.system_user).pw_uid
    except KeyError:
        uid = None
    listener = sockets.listening.get(record.port)
    foreign = ""
    if listener is not None and listener[0] != uid:
        foreign = owner_of(listener[1]) or f"a process of user {listener[0]}"
    mine = listener is not None and not foreign
    cpu, memory = usage(record.unit) if active == "active" else (None, None)
    guests = sockets.established.get(record.port, Counter()) if mine else Counter()
    program = Path(record.bundle, "bin", "code-server") if record.bundle else None
    return {
        "record": asdict(record),
        "unit": {name.lower(): value for name, value in unit.items()},
        "health": health(where, record.port, authority, "/healthz") if mine else None,
        "port_taken_by": foreign,
        "bundle_present": bool(program and program.exists()),
        "config_present": (steps.own_folder(record) / "config" / "config.yaml").exists(),
        "free": free(record.data_root),
        "cpu_us": cpu,
        "memory": memory,
        "guests": {remote: count for remote, count in guests.items() if remote != where},
        "last_lines": last_lines(record.unit) if active in ("failed", "activating") else [],
    }


def look(request: dict[str, Any]) -> dict[str, Any]:
    """The node and all its workspaces (or the one of `slug`)."""
    found, unreadable = records.everything()
    if request.get("slug"):
        found = [record for record in found if record.slug == request["slug"]]
    sockets = Sockets.now()
    states = units([record.unit for record in found])
    place = request["place"]
    where, authority = place["address"], place["authority"]
    with ThreadPoolExecutor(max_workers=16) as pool:
        seen = list(pool.map(lambda one: observe(one, states.get(one.unit, {}), sockets, where, authority), found))
    return {
        "now": time.time(),
        "monotonic": time.monotonic(),
        "architecture": platform.machine(),
        "controllers": controllers(),
        "bundles": bundles.installed(),
        "mounted": mounted(),
        "free_data": free(place["data_root"]),
        "free_bundles": free(str(bundles.ROOT)),
        "unreadable": unreadable,
        "workspaces": seen,
    }
