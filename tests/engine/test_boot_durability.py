"""The unit that goes on at boot is on the disk before the engine whose run it is does anything, as strace sees it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from homewright.access import engine_key
from homewright.engine.boot import unit
from homewright.site.paths import StateFolder

from .test_durability import first, traced, usable

pytestmark = [pytest.mark.programs, pytest.mark.skipif(not usable(), reason="strace is not there or may not trace")]

SYSTEMCTL = "#!/bin/sh\nexit 0\n"
START = """
import os, sys
from pathlib import Path
from homewright.engine import launch
from homewright.engine.boot import prospect, unit
from homewright.site.paths import StateFolder

site, state, units, programs = map(Path, sys.argv[1:])
unit.FOLDER = units
os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
prospect.look = lambda *a, **k: prospect.Circumstances(systemd=True)  # that, and systemctl, are all of systemd here
launch.start(site, StateFolder(state, site), only="00")
"""


def test_the_unit_is_durable_before_its_run_begins_and_its_link_comes_last(tmp_path: Path, state: StateFolder) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\nname: attic\nservers:\n  - {name: s1, address: 127.0.0.1, user: ann, port: 9}\n")
    engine_key.ensure(state.key, "test")
    units, programs = tmp_path / "units", tmp_path / "programs"
    units.mkdir()
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "systemctl").chmod(0o755)
    lines = traced(tmp_path, sys.executable, "-c", START, str(site), str(state.root), str(units), str(programs))

    name, folder = unit.name_of(state.root), re.escape(str(units))
    link = -1
    for suffix in ("path", "service"):
        written = first(lines, rf"write\(\d+<{folder}/\.{name}\.{suffix}\.")
        synced = first(lines, rf"fsync\(\d+<{folder}/\.{name}\.{suffix}\.", written)
        named = first(lines, rf"rename\S*\(.*{folder}/{name}\.{suffix}\"", synced)
        link = max(link, first(lines, rf"fsync\(\d+<{folder}>", named))
    linked = first(lines, rf"rename\S*\(.*{folder}/{unit.WANTED_BY}\.wants/{name}\.service\"", link)
    durable = first(lines, rf"fsync\(\d+<{folder}/{unit.WANTED_BY}\.wants>", linked)
    asked = first(lines, r"execve\(.*systemctl\", \[\"systemctl\", \"daemon-reload\"\]", durable)
    engine = first(lines, r"execve\(.*\"homewright\.engine\", \"--site\"", asked)
    request = first(lines, r"rename\S*\(.*/request\.json\"")
    assert request < engine, "what the engine is asked to do could be lost"
    effect = first(lines, r"connect\(.*htons\(9\)")
    assert engine < effect, "a server was touched before a boot would go on with the run"
    assert (units / f"{unit.WANTED_BY}.wants" / f"{name}.service").readlink() == units / f"{name}.service"
