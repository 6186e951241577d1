"""A rehearsal laid out from a folder of recordings: what it answers, what it refuses, and its simulated run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.discovery import gather
from homewright.discovery.bundle import RawBundle, Source
from homewright.discovery.facts import HostFacts
from homewright.engine.events import Event, Kind
from homewright.engine.runners.protocol import Cancel, Emitter
from homewright.engine.runners.rehearsed import tasks, work
from homewright.engine.runners.request import HostRequest, StepRequest, Way
from homewright.engine.states import Action
from homewright.errors import Busy, UsageError
from homewright.rehearsal import opened
from homewright.site import files
from homewright.site.rehearsed import PACE, PACE_S, RehearsalOnly, Rehearsed
from homewright.stages import __file__ as stages_file

MAIN = "import sys; from homewright.cli import main; sys.exit(main())"
STAGE = Path(stages_file).parent / "00_initial_setup"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{place}_HOME", str(tmp_path / place.lower()))
    monkeypatch.setenv(PACE, "0.01")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Two machines as `discover --save` writes them, whose names no site may have."""
    folder = tmp_path / "my machines"
    folder.mkdir()
    for host in ("Big_Box", "big-box"):
        bundle = RawBundle(
            host=host,
            gathered_at=1.0,
            sources={"uname-a": Source(stdout=f"Linux {host} 6.8.0-60-generic #1 SMP x86_64 GNU/Linux\n", exit_code=0)},
        )
        (folder / f"{host}.json").write_text(bundle.model_dump_json())
    return folder


def test_a_folder_of_recordings_becomes_a_site_of_its_own(recorded: Path) -> None:
    with opened(str(recorded), anew=False) as here:
        site = files.load(here.site_file)
        assert [server.name for server in site.servers] == ["big-box", "big-box-2"]
        facts = gather(site, here.state)
        kernels = [fact.system.kernel for fact in facts.values() if isinstance(fact, HostFacts)]
        assert kernels == ["6.8.0-60-generic"] * 2
        assert here.state.root.stat().st_mode & 0o777 == 0o700


def test_nobody_is_contacted(recorded: Path) -> None:
    with opened(str(recorded), anew=False) as here:
        site = files.load(here.site_file)
        with pytest.raises(RehearsalOnly, match="big-box was not contacted"):
            Connection.open(Endpoint.of(site.servers[0], here.state))
        (here.state.root / "rehearsal.json").write_text("{")  # a damaged mark still is one
        with pytest.raises(RehearsalOnly):
            Connection.open(Endpoint.of(site.servers[0], here.state))


def test_a_server_without_a_recording_is_down(recorded: Path) -> None:
    with opened(str(recorded), anew=False) as here:
        site = files.load(here.site_file)
        rehearsed = Rehearsed.of(here.state)
        assert rehearsed is not None
        (rehearsed.bundles / "big-box.json").unlink()
        found = gather(site, here.state)
        assert getattr(found["big-box"], "code", "") == "unreachable"
        assert isinstance(found["big-box-2"], HostFacts)


def test_verbs_go_on_from_each_other_and_the_wizard_begins_anew(recorded: Path) -> None:
    with opened(str(recorded), anew=False) as here:
        files.update(here.site_file, {"zone": "home.internal"})
    with opened(str(recorded), anew=False) as here:
        assert files.load(here.site_file).zone == "home.internal"
    with opened(str(recorded), anew=True) as here:
        assert files.load(here.site_file).zone is None
        with pytest.raises(Busy, match="another window"), opened(str(recorded), anew=True):
            pass


@pytest.mark.parametrize("source", ["nobody-recorded-this", "/nowhere/at/all"])
def test_nothing_to_rehearse_is_said_with_what_there_is(source: str) -> None:
    with pytest.raises(UsageError, match="nothing recorded") as caught, opened(source, anew=False):
        pass
    assert "discover --save" in caught.value.as_text()


@pytest.mark.parametrize(
    ("file", "some"),
    [
        ("10_names.py", "Names in /etc/hosts"),
        ("20_ssh_keys.py", "Account and key"),
        ("40_host_venv.yaml", "Virtual environment"),
        ("28_ssh_keys.py", ""),
    ],
)
def test_a_step_is_told_in_the_words_of_its_own_file(file: str, some: str) -> None:
    told = tasks(STAGE / file)
    assert told and all(told)
    assert not some or some in told


def test_a_file_that_cannot_be_read_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "30_broken_thing.py").write_text("def (")
    assert tasks(tmp_path / "30_broken_thing.py") == ["broken thing"]
    assert tasks(tmp_path / "20_not_there.yaml") == ["not there"]


def _command(recorded: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from homewright.cli import main; sys.exit(main())",
            "--rehearse",
            str(recorded),
            *words,
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.programs
def test_a_simulated_run_is_a_real_run_of_the_engine_and_says_what_it_is(recorded: Path) -> None:
    applied = _command(recorded, "apply", "--yes", "--plain", "--only", "00")
    assert "Rehearsal of " in applied.stderr and "nothing is done for real" in applied.stderr
    assert "Names in /etc/hosts (rehearsed)" in applied.stdout
    assert "Done:" in applied.stdout
    status = json.loads(_command(recorded, "status", "--json").stdout)
    assert json.dumps(status).count("succeeded") >= 5
    receipts = json.loads(_command(recorded, "receipts", "00/10", "--json").stdout)["receipts"]
    assert {change["name"] for change in receipts[0]["changes"]} == {"/etc/hosts", "/etc/hostname"}
    assert all("rehearsed" in change["after"] for change in receipts[0]["changes"])
    back = _command(recorded, "rollback", "--all", "--yes", "--plain")
    assert "/etc/hosts: put it back as it was (big-box" in back.stdout
    assert "Taken back" in back.stdout
    assert "Which" not in back.stdout and "00/40" in back.stdout


@pytest.mark.parametrize(("server", "ended"), [("big-box", "succeeded"), ("nobody", "unreachable")])
def test_an_instance_is_there_where_its_server_is(recorded: Path, server: str, ended: str) -> None:
    with opened(str(recorded), anew=False) as here:
        way = Way(name=server, address="192.0.2.1", port=22, user="keeper")
        request = StepRequest(
            run="r",
            step="30/25",
            action=Action.LOOK,
            file=STAGE / "10_names.py",
            hosts=(HostRequest(name="node", address="192.0.2.2", port=22, user="keeper", through=way),),
            site={},
            key_file=here.state.root / "key",
            known_hosts=here.state.root / "known_hosts",
            secrets_file=here.state.root / "secrets",
            work=here.state.root / "work",
            fence=1,
            controller="c",
        )
        reader, writer = os.pipe()
        before = signal.getsignal(signal.SIGTERM)
        try:
            work(request, Emitter(writer, request.step), Cancel())
        finally:
            signal.signal(signal.SIGTERM, before)
            os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as lines:
            told = [Event.from_json(line) for line in lines]
    assert [(event.host, event.data["state"]) for event in told if event.kind == Kind.HOST_FINISHED] == [
        ("node", ended)
    ]


@pytest.mark.programs
@pytest.mark.parametrize("words", [("trust", "big-box"), ("workspace", "list"), ("lab", "status")])
def test_what_only_real_machines_can_answer_is_refused(recorded: Path, words: tuple[str, ...]) -> None:
    refused = _command(recorded, *words, code=2)
    assert "This is a rehearsal" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize(("given", "pace"), [("0.5", 0.5), ("0", 0.0), ("", PACE_S), ("fast", PACE_S), ("-1", PACE_S)])
def test_its_pace_can_be_another(recorded: Path, monkeypatch: pytest.MonkeyPatch, given: str, pace: float) -> None:
    monkeypatch.setenv(PACE, given)
    with opened(str(recorded), anew=False) as here:
        found = Rehearsed.of(here.state)
    assert found is not None and found.pace_s == pace


@pytest.mark.programs
def test_it_brings_its_own_site(recorded: Path) -> None:
    assert "leave --site and --state away" in _command(recorded, "--site", "x", "plan", code=2).stderr
