"""What is durable before what happens: the order of system calls, as strace sees it.

A kill -9 leaves the page cache alone and proves nothing about fsync; the order of fsync and effect does.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from homewright.access import engine_key
from homewright.engine import armed
from homewright.site.paths import StateFolder
from homewright.takeover.packing import packed

CALLS = "pwrite64,write,fsync,fdatasync,sync,rename,renameat,renameat2,unlink,unlinkat,connect,execve"


def usable() -> bool:
    return shutil.which("strace") is not None and subprocess.run(["strace", "-qq", "true"], check=False).returncode == 0


pytestmark = [pytest.mark.programs, pytest.mark.skipif(not usable(), reason="strace is not there or may not trace")]


def traced(folder: Path, *command: str) -> list[str]:
    """The calls of a command in order, with names of files."""
    out = folder / "trace"
    options = ["-f", "-y", "-qq", "-s", "8192", "-e", f"trace={CALLS}", "-o", str(out)]
    subprocess.run(["strace", *options, *command], cwd=folder, capture_output=True, timeout=100, check=False)
    return out.read_text(errors="replace").splitlines()


def first(lines: list[str], pattern: str, after: int = -1) -> int:
    for number, line in enumerate(lines):
        if number > after and re.search(pattern, line):
            return number
    raise AssertionError(f"no {pattern} after call {after}")


def synced(lines: Sequence[str]) -> set[str]:
    """The files and folders whose sync has come back; threads wait for the disk side by side."""
    begun: dict[str, str] = {}
    found = set[str]()
    for line in lines:
        thread = line.split()[0]
        if call := re.search(r"fsync\(\d+<([^>]+)>", line):
            begun[thread] = call[1]
        if re.search(r"fsync(\(| resumed).*= 0$", line):
            found.add(begun.pop(thread))
    return found


def engine(tmp_path: Path, state: StateFolder, action: str) -> list[str]:
    """The calls of an engine whose only server has no sshd."""
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 9}\n")
    engine_key.ensure(state.key, "test")
    folder = state.run("traced")
    folder.mkdir(parents=True, mode=0o700)
    request = {"action": action, "only": "00", "start_at": None, "plan_digest": None, "stages": [], "version": 1}
    (folder / "request.json").write_text(json.dumps(request))
    command = ["-m", "homewright.engine", "--site", str(site), "--state", str(state.root), "--run", "traced"]
    return traced(tmp_path, sys.executable, *command)


def test_a_step_has_started_durably_before_its_first_effect(tmp_path: Path, state: StateFolder) -> None:
    lines = engine(tmp_path, state, "apply")
    run_row = first(lines, r"pwrite64\(\d+<\S+/events\.db-wal>.*run-started")
    run_synced = first(lines, r"fdatasync\(\d+<\S+/events\.db-wal>", run_row)
    ready = first(lines, r"rename\S*\(.*/ready\"", run_synced)
    kept = state.run("traced") / "catalogue"
    assert len(copied := {str(path) for path in (kept, *kept.rglob("*"))}) > 50
    assert copied <= synced(lines[:run_row]), "what it runs on could be lost"
    started = first(lines, r"pwrite64\(\d+<\S+/events\.db-wal>.*step-started", ready)
    events_synced = first(lines, r"fdatasync\(\d+<\S+/events\.db-wal>", started)
    state_written = first(lines, r"pwrite64\(\d+<\S+/journal\.db-wal>", events_synced)
    state_synced = first(lines, r"fdatasync\(\d+<\S+/journal\.db-wal>", state_written)
    effect = first(lines, r"connect\(.*htons\(9\)")
    assert state_synced < effect, "the server was touched before the step was recorded as started"
    finished = first(lines, r"pwrite64\(\d+<\S+/events\.db-wal>.*run-finished", effect)
    assert first(lines, r"fdatasync\(\d+<\S+/events\.db-wal>", finished)


def test_a_look_waits_for_the_disk_where_servers_are_taken_and_at_its_end_alone(
    tmp_path: Path, state: StateFolder
) -> None:
    """Each proof is told by several changes of the journal, of which each would wait some milliseconds for the disk."""
    lines = engine(tmp_path, state, "verify")
    synced = r"fdatasync\(\d+<\S+/(events|journal)\.db-wal>"
    taken = first(lines, r"connect\(.*htons\(9\)")
    number = max(at for at, line in enumerate(lines[:taken]) if re.search(r"pwrite64\(.*/journal\.db-wal>", line))
    assert first(lines, synced, number) < taken, "the fence's number could be given out twice"
    started = first(lines, r"pwrite64\(\d+<\S+/events\.db-wal>.*step-started", taken)
    finished = first(lines, r"pwrite64\(\d+<\S+/events\.db-wal>.*step-finished", started)
    assert not [line for line in lines[started:finished] if re.search(synced, line)]
    end = first(lines, r"pwrite64\(\d+<\S+/events\.db-wal>.*run-finished", finished)
    assert first(lines, r"fdatasync\(\d+<\S+/events\.db-wal>", end)
    assert not [line for line in lines if re.search(r"fsync\(\d+<\S+/catalogue/", line)]


SAVE = """
import sys
from pathlib import Path
from homewright.site.paths import write_atomically
write_atomically(Path(sys.argv[1]), b"new")
"""


def test_a_file_is_durable_before_it_takes_its_name_and_its_name_after(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("old")
    lines = traced(tmp_path, sys.executable, "-c", SAVE, str(file))
    written = first(lines, r"write\(\d+<\S+/\.site\.yaml\.[^>]*>, \"new\"")
    synced = first(lines, r"fsync\(\d+<\S+/\.site\.yaml\.", written)
    renamed = first(lines, r"rename\S*\(.*/site\.yaml\"", synced)
    assert first(lines, rf"fsync\(\d+<{re.escape(str(tmp_path))}>", renamed)
    assert file.read_text() == "new"


def test_what_a_server_puts_back_is_durable_before_the_step_may_begin(tmp_path: Path) -> None:
    """Copies, script and units before `armed.json`, which alone counts; then the timer; then the answer."""
    etc, base, units = tmp_path / "etc", tmp_path / "var" / "revert", tmp_path / "units"
    for folder in (etc, units, base.parent):
        folder.mkdir()
    (etc / "one").write_text("as it was")
    orders = armed.Orders("t0ken", "10/10", "r1", (f"{etc}/",), "", 60)
    request = armed.arming(orders, str(base), str(units), "true")
    script = tmp_path / "script.py"
    script.write_text(armed.SCRIPT)
    lines = traced(tmp_path, sys.executable, str(script), *armed.command(request)[2:])

    copied = first(lines, rf"fsync\(\d+<{base}/backup{etc}/one>")
    first(lines, rf"fsync\(\d+<{base}/backup{etc}>", copied)
    script_there = first(lines, rf"fsync\(\d+<{base}/put-back\.new>")
    for unit in ("service", "timer"):
        named = first(lines, rf"rename\S*\(.*homewright-revert\.{unit}\"", script_there)
        assert first(lines, rf"fsync\(\d+<{units}>", named)
    enabled = first(lines, rf"fsync\(\d+<{units}/timers\.target\.wants>")
    written = first(lines, rf"fsync\(\d+<{base}/armed\.json\.new>", max(copied, enabled))
    counts = first(lines, rf"rename\S*\(.*{base}/armed\.json\"", written)
    durable = first(lines, rf"fsync\(\d+<{base.parent}>", first(lines, rf"fsync\(\d+<{base}>", counts))
    started = first(lines, r"execve\(.*\"restart\", \"homewright-revert\.timer\"", durable)
    assert first(lines, r"write\(1<.*\"found\\\": \\\"armed", started)

    disarming = armed.asking("disarm", orders.token, str(base), str(units), "true")
    lines = traced(tmp_path, sys.executable, str(script), *armed.command(disarming)[2:])
    gone = first(lines, rf"unlink\S*\(.*{base}/armed\.json\"")
    kept = first(lines, rf"fsync\(\d+<{base}>", gone)
    assert first(lines, r"write\(1<.*\"found\\\": \\\"disarmed", kept), "a boot could take back what was confirmed"


def test_what_was_put_back_is_durable_before_nothing_asks_for_it_any_more(tmp_path: Path) -> None:
    etc, base, units = tmp_path / "etc", tmp_path / "revert", tmp_path / "units"
    for folder in (etc, units, base / "backup" / str(etc).lstrip("/")):
        folder.mkdir(parents=True)
    (etc / "one").write_text("as the step left it")
    (base / "backup" / str(etc).lstrip("/") / "one").write_text("as it was")
    orders = armed.Orders("t0ken", "10/10", "r1", (f"{etc}/one",), "", 60)
    (base / "armed.json").write_text(json.dumps({"token": orders.token}))
    (base / "put-back").write_text(armed.put_back_script(orders, str(base), str(units)))
    lines = traced(tmp_path, "sh", str(base / "put-back"))

    back = first(lines, rf"rename\S*\(.*{etc}/one\.homewright\".*{etc}/one\"")
    synced = first(lines, r" sync\(\)", back)
    written = first(lines, rf"fsync\(\d+<{base}/reverted\.new>", synced)
    told = first(lines, r"rename\S*\(.*\"reverted\.json\"", written)
    durable = first(lines, rf"fsync\(\d+<{base}>", told)
    gone = first(lines, r"unlink\S*\(.*\"armed\.json\"", durable)
    assert first(lines, r" sync\(\)", gone)
    assert (etc / "one").read_text() == "as it was"


TAKE_OVER = """
import sys
from pathlib import Path
from homewright.site.paths import StateFolder
from homewright.takeover.opening import take_over, whole
take_over(whole(Path(sys.argv[1]).read_bytes(), Path("x")), Path("there.yaml"), StateFolder(Path("there")), gone=True)
"""


def test_a_new_key_is_durable_before_a_server_hears_of_it(tmp_path: Path, state: StateFolder) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 9}\n")
    engine_key.ensure(state.key, "test")
    archive = tmp_path / "archive"
    archive.write_bytes(packed(site, state)[1])
    lines = traced(tmp_path, sys.executable, "-c", TAKE_OVER, str(archive))

    staged = r"[^\"<>]*\.import-attic-[^/\"<>]*"
    synced = first(lines, rf"fsync\(\d+<{staged}/\.id_ed25519\.before\.")
    kept = first(lines, r"rename\S*\(.*/id_ed25519\.before\"", synced)
    named = first(lines, r"rename\S*\(.*/key-change\.json\"", kept)
    synced = first(lines, rf"fsync\(\d+<{staged}/\.id_ed25519\.[^b]", named)
    made = first(lines, r"rename\S*\(.*/id_ed25519\"", synced)
    folder = first(lines, rf"fsync\(\d+<{staged}>", made)
    taken = first(lines, rf"rename\S*\(\"{staged}\", ", folder)
    durable = first(lines, rf"fsync\(\d+<{re.escape(str(tmp_path))}>", taken)
    assert durable < first(lines, r"connect\(.*htons\(9\)"), "a server would know a key that a power loss takes away"
