"""What a run leaves on its servers at its end: sudo that is not to be kept stays as long as the run may go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from homewright.catalogue import load
from homewright.engine import process
from homewright.engine.context import Context
from homewright.engine.fence import Fences
from homewright.engine.journal.writer import Writer
from homewright.engine.process import Engine
from homewright.engine.schedule import RunEnd
from homewright.engine.states import State
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder, make_folder

from .catalogues import NOTHING, Tiny


@pytest.mark.parametrize(
    ("action", "end", "held", "taken"),
    [
        ("apply", State.SUCCEEDED, False, ["s1"]),
        ("apply", State.FAILED, False, ["s1"]),
        ("apply", State.CANCELLED, False, ["s1"]),
        ("apply", State.INTERRUPTED, False, []),  # at a shutdown: it goes on at boot
        ("apply", State.FAILED, True, []),  # it was only looked at
        ("verify", State.SUCCEEDED, False, []),
    ],
)
def test_sudo_stays_as_long_as_the_run_may_go_on(
    state: StateFolder,
    writer: Writer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    end: State,
    held: bool,
    taken: list[str],
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(process, "_without_sudoers", lambda _, host: asked.append(host) or "")
    make_folder(state.runs)
    make_folder(state.run("r1"))
    (state.run("r1") / "request.json").write_text(f'{{"action": "{action}"}}')
    server = Server(name="s1", address="127.0.0.1", user="ann")
    site = Site.model_validate({"name": "attic", "servers": [server.model_dump()], "sudo": {"keep": False}})
    catalogue = load([Tiny(tmp_path / "stages").step(1, NOTHING.format(name="run")).root])
    context = Context("r1", site, state, catalogue, {}, writer, "us", Fences(site, state, writer, "us"))
    engine = Engine(tmp_path / "site.yaml", state, "r1")
    engine.held = held
    asyncio.run(engine._leave_hosts(context, RunEnd(end, 0, "", 0)))
    assert asked == taken
