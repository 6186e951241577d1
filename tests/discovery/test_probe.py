"""The probe itself, run by the shells of this machine; its outputs framed and read again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from homewright.discovery import parse, recorded
from homewright.discovery.bundle import CUT_OFF, framed, load
from homewright.discovery.gathering import gather, remember
from homewright.errors import HomewrightError, SiteError
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

from .running import run_probe


@pytest.mark.programs
@pytest.mark.parametrize("shell", ["dash", "bash --posix"])
def test_the_probe_gives_facts_of_this_machine(shell: str) -> None:
    words = shell.split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    facts = parse(run_probe([str(shutil.which(words[0])), *words[1:]]))
    assert facts.system.kernel == os.uname().release
    assert facts.system.hostname == os.uname().nodename
    assert facts.system.os_id
    assert facts.cpu.threads == len(os.sched_getaffinity(0))
    assert facts.memory.total == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert any(one.mount == "/" for one in facts.file_systems)
    assert any(nic.kind == "loopback" for nic in facts.nics)


def test_a_machine_with_next_to_no_commands_still_answers(tmp_path: Path) -> None:
    for name in ("cat", "uname", "printf", "id", "readlink", "nproc"):
        found = shutil.which(name)
        if found:
            (tmp_path / name).symlink_to(found)
    # the probe adds the sbin folders itself: what lies there on this machine counts as there
    bundle = run_probe([str(shutil.which("sh"))], str(tmp_path))
    facts = parse(bundle)
    assert bundle.source("done").exit_code == 0
    assert facts.system.kernel == os.uname().release
    assert facts.memory.total
    assert bundle.source("systemd-detect-virt").exit_code == 127
    assert bundle.source("lsblk-json").exit_code == 127
    reasons = {gap.source: gap.reason for gap in facts.missing}
    assert "disks" not in reasons, "the kernel's own list does for those"
    assert "not installed" in reasons["file systems"]


def test_a_bundle_is_the_same_after_being_kept(tmp_path: Path) -> None:
    bundle = run_probe(["sh"])
    (tmp_path / "here.json").write_text(bundle.model_dump_json())
    assert load(tmp_path) == (bundle,)
    assert parse(load(tmp_path / "here.json")[0]) == parse(bundle)


def test_a_probe_that_was_cut_off_keeps_what_it_got_to() -> None:
    bundle = framed(
        "s1", 1.0, "\n\036source os-release\nID=debian\n\n\036exit 0\n\n\036source cpuinfo\nprocessor : 0\n", ""
    )
    assert bundle.source("os-release").exit_code == 0
    assert bundle.source("os-release").stdout == "ID=debian\n"
    assert bundle.source("cpuinfo").exit_code == CUT_OFF
    assert parse(bundle).cpu.threads is None, "of eight processors one may have come"
    assert parse(bundle).why_unknown("cpu") == "cpu: cpuinfo: was cut off"


def test_half_a_line_is_not_believed() -> None:
    for stdout in (
        "\n\036source limits\na:1\nb:32",
        "\n\036source limits\n" + "a:1\n" * 100_000 + "b:32\n\036exit 0\n",
    ):
        assert framed("s1", 1.0, stdout, "").source("limits").stdout.endswith("a:1\n")


def test_errors_of_a_command_stay_with_it() -> None:
    marks = "\n\036source a\n{}\n\036source b\n{}"
    bundle = framed("s1", 1.0, marks.format("out\n\036exit 3\n", "\n\036exit 0\n"), marks.format("broken\n", ""))
    assert (bundle.source("a").exit_code, bundle.source("a").stderr) == (3, "broken")
    assert bundle.source("a").reason == "ended with 3: broken"
    assert bundle.source("b").stderr == ""


@pytest.mark.parametrize("content", ["", "{", '{"host": "x"}', '{"host": "x", "gathered_at": 1, "sources": 3}'])
def test_a_file_that_is_no_bundle_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(SiteError) as caught:
        load(tmp_path)
    assert "x.json" in caught.value.what


def test_an_empty_or_missing_folder_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SiteError):
            load(folder)


def test_hosts_that_do_not_answer_are_each_said_and_hold_up_nobody(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state").create()
    servers = tuple(Server(name=f"s{n}", address=f"127.0.0.{n}", port=1, user="lab") for n in range(1, 9))
    seen: list[str] = []
    outcomes = gather(Site(name="attic", servers=servers), state, on_event=lambda host, outcome: seen.append(host))
    assert list(outcomes) == [server.name for server in servers]
    assert sorted(seen) == sorted(outcomes)
    assert all(isinstance(outcome, HomewrightError) for outcome in outcomes.values())
    assert recorded(state) == {}


def test_the_last_facts_are_kept_and_a_damaged_file_is_as_if_missing(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state").create()
    facts = parse(run_probe(["sh"]))
    remember(state, facts)
    assert recorded(state) == {"here": facts}
    (state.facts / "other.json").write_text("{")
    assert recorded(state) == {"here": facts}
    assert json.loads((state.facts / "here.json").read_text())["version"] == 1
