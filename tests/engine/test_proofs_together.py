"""Proofs that are asked for together are one process, and each step ends with its own hosts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from homewright.access.endpoint import Endpoint
from homewright.catalogue.models import Limits
from homewright.engine import leftovers, runner_process
from homewright.engine import proofs as proofs_room
from homewright.engine.events import Event, Kind
from homewright.engine.proofs import Proofs
from homewright.engine.runner_process import Ending
from homewright.engine.runners import shared
from homewright.engine.runners.protocol import Cancel, Emitter
from homewright.engine.runners.python import hosts_of
from homewright.engine.runners.request import HostRequest, StepRequest
from homewright.engine.runners.shared import SESSIONS, SharedConnections
from homewright.engine.states import Action
from homewright.errors import Unreachable
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder, make_folder

from .conftest import wait_for

SITE = Site(name="attic", servers=(Server(name="s1", address="192.0.2.1", user="ann"),))
WHO = "import os\nfrom homewright.engine.runners.host import proved\n"


def request(tmp_path: Path, step: str, text: str) -> StepRequest:
    file = tmp_path / f"{step.replace('/', '_')}.py"
    file.write_text(text)
    return StepRequest(
        run="r1", step=step, action=Action.VERIFY, file=file,
        hosts=(HostRequest(name="s1", address="192.0.2.1", port=22, user="ann"),),
        site=SITE.model_dump(mode="json"), key_file=tmp_path / "key", known_hosts=tmp_path / "known_hosts",
        secrets_file=tmp_path / "secrets", work=tmp_path, fence=1, controller="c",
    )  # fmt: skip


async def ask(state: StateFolder, *requests: StepRequest) -> tuple[list[Ending], dict[str, list[Event]], list[str]]:
    proofs = Proofs(state, "r1", asyncio.Event())
    heard: dict[str, list[Event]] = {one.step: [] for one in requests}
    order: list[str] = []

    async def one(number: int, wanted: StepRequest) -> Ending:
        folder = state.root / f"call-{number}"
        make_folder(folder)
        ending = await proofs.ask(wanted, folder, number, Limits(), heard[wanted.step].append)
        order.append(wanted.step)
        return ending

    return await asyncio.gather(*(one(number, each) for number, each in enumerate(requests))), heard, order


def said(events: list[Event]) -> tuple[str, str]:
    return next((str(one.data["verdict"]), one.text) for one in events if one.kind == Kind.VERIFY)


@pytest.mark.programs
def test_one_process_proves_them_all_and_a_broken_file_breaks_no_other(state: StateFolder, tmp_path: Path) -> None:
    wanted = [
        request(tmp_path, "00/10", f"{WHO}def verify(host): return proved(str(os.getpid()))"),
        request(tmp_path, "00/20", f"{WHO}def verify(host): return proved(str(os.getpid()), idle=True)"),
        request(tmp_path, "00/30", "import no_such_module"),
        request(tmp_path, "00/40", "def verify(host): raise ValueError('odd')"),
    ]
    endings, heard, _ = asyncio.run(ask(state, *wanted))
    assert {one.exit_code for one in endings} == {0}
    first, second = said(heard["00/10"]), said(heard["00/20"])
    assert first == second and first[0] == "proved"
    assert any(one.data.get("idle") for one in heard["00/20"])
    assert "no_such_module" in said(heard["00/30"])[1] and "odd" in said(heard["00/40"])[1]
    assert all({one.step for one in events} == {step} for step, events in heard.items())


@pytest.mark.programs
def test_a_step_waits_for_no_other(state: StateFolder, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    until = f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)"
    waits = f"{WHO}import pathlib, time\ndef verify(host):\n    {until}\n"
    slow = request(tmp_path, "00/10", f"{waits}    return proved('late')")
    quick = request(tmp_path, "00/20", f"{WHO}def verify(host): return proved('now')")

    async def both() -> list[str]:
        proofs = Proofs(state, "r1", asyncio.Event())
        order: list[str] = []

        async def one(number: int, wanted: StepRequest) -> None:
            folder = state.root / f"call-{number}"
            make_folder(folder)
            await proofs.ask(wanted, folder, number, Limits(), lambda _: None)
            order.append(wanted.step)
            gate.touch()  # only now may the slow one end

        await asyncio.gather(one(0, slow), one(1, quick))
        return order

    assert asyncio.run(both()) == ["00/20", "00/10"]


@pytest.mark.programs
def test_a_process_that_dies_ends_every_wait(state: StateFolder, tmp_path: Path) -> None:
    # More than a pipe holds: once it is written, what it begins with was read and passed on.
    last_words = "os.write(2, b'out of memory\\n' + b'.' * 300_000); os._exit(9)"
    steps = ("00/10", "00/20")
    dead = [request(tmp_path, step, f"import os\ndef verify(host): {last_words}") for step in steps]
    endings, heard, _ = asyncio.run(ask(state, *dead))
    assert [one.exit_code for one in endings] == [9, 9]
    for step in steps:
        assert "out of memory" in [one.text for one in heard[step]], "nobody would know why"
        assert {one.step for one in heard[step]} == {step}


@pytest.mark.programs
def test_one_that_was_started_ahead_has_loaded_before_it_is_asked(state: StateFolder, tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    text = (
        f"{WHO}open({str(loaded)!r}, 'a').write(f'{{os.getpid()}} ')\ndef verify(host): return proved(str(os.getpid()))"
    )
    wanted = request(tmp_path, "00/10", f"print('hello')\n{text}")
    make_folder(state.runs)
    make_folder(state.run("r1"))

    async def go() -> tuple[list[Event], list[Event]]:
        proofs = Proofs(state, "r1", asyncio.Event())
        proofs.start_ahead([wanted.file])
        await asyncio.to_thread(wait_for, loaded.exists, "the file to be loaded")
        heard: list[list[Event]] = [[], []]
        for number, events in enumerate(heard):  # the second one is asked for when the first is at its end
            folder = state.root / f"call-{number}"
            make_folder(folder)
            ending = await proofs.ask(wanted, folder, number, Limits(), events.append)
            assert (ending.exit_code, ending.reason) == (0, "")
        return heard[0], heard[1]

    first, second = asyncio.run(go())
    ahead = loaded.read_text().split()[0]
    assert said(first) == ("proved", ahead)
    assert "hello" in [one.text for one in first], "what it said before it was asked would be lost"
    assert said(second)[0] == "proved" and said(second)[1] != ahead


@pytest.mark.programs
def test_one_that_is_asked_for_nothing_ends_by_itself(state: StateFolder, tmp_path: Path) -> None:
    loaded = tmp_path / "loaded"
    wanted = request(tmp_path, "00/10", f"open({str(loaded)!r}, 'w')")
    left = state.run("r1") / "proofs" / "request.json"
    for folder in (state.runs, state.run("r1"), left.parent):
        make_folder(folder)
    left.write_text("what an engine asked that was cut off")

    async def go() -> list[int]:
        proofs = Proofs(state, "r1", asyncio.Event())
        proofs.start_ahead([wanted.file])
        assert not left.exists(), "it would be asked that, with a fence that is none any more"
        await asyncio.to_thread(wait_for, loaded.exists, "the file to be loaded")
        there = leftovers.found(leftovers.site_mark(state))
        await asyncio.wait_for(proofs.leave(), 60)
        await proofs.leave()
        return there

    assert len(asyncio.run(go())) == 1
    assert leftovers.found(leftovers.site_mark(state)) == []


def ahead_of(state: StateFolder, wanted: StepRequest) -> Proofs:
    """Proofs whose process was started ahead of this step's."""
    for folder in (state.runs, state.run("r1"), state.root / "call-1"):
        make_folder(folder)
    proofs = Proofs(state, "r1", asyncio.Event())
    proofs.start_ahead([wanted.file])
    return proofs


@pytest.mark.programs
def test_one_that_ended_before_it_was_asked_says_nothing_of_what_it_is_asked_then(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = request(tmp_path, "00/10", f"{WHO}def verify(host): return proved('still there')")

    async def go() -> tuple[Ending, list[Event]]:
        with monkeypatch.context() as short:
            short.setattr(proofs_room, "Limits", lambda: Limits(silent=0.001))
            proofs = ahead_of(state, wanted)
        ahead = proofs._ahead
        assert ahead is not None
        await asyncio.to_thread(wait_for, lambda: ahead.spent, "the end of its silence")
        heard: list[Event] = []
        ending = await proofs.ask(wanted, state.root / "call-1", 1, Limits(), heard.append)
        assert ahead.running.done() and ahead.running.result().reason.startswith("It said nothing for")
        return ending, heard

    ending, heard = asyncio.run(go())
    assert (ending.exit_code, ending.reason) == (0, "")
    assert said(heard) == ("proved", "still there")


@pytest.mark.programs
def test_what_it_has_waited_is_no_part_of_what_a_proof_may_take(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_process, "TICK_S", 0.01)
    wanted = request(tmp_path, "00/10", f"{WHO}def verify(host): return proved('still there')")

    async def go() -> tuple[Ending, list[Event]]:
        proofs = ahead_of(state, wanted)
        ahead = proofs._ahead
        assert ahead is not None
        ahead.process.limits = Limits(soft=600, hard=600, silent=600)
        await asyncio.to_thread(wait_for, lambda: leftovers.found(leftovers.site_mark(state)), "its start")
        ahead.process.since -= 2 * 3600
        heard: list[Event] = []
        return await proofs.ask(wanted, state.root / "call-1", 1, Limits(), heard.append), heard

    ending, heard = asyncio.run(go())
    assert (ending.exit_code, ending.reason) == (0, "")
    assert said(heard) == ("proved", "still there")


@pytest.mark.programs
def test_where_one_waits_no_other_is_started(state: StateFolder, tmp_path: Path) -> None:
    wanted = request(tmp_path, "00/10", f"{WHO}def verify(host): return proved(str(os.getpid()))")
    other = request(tmp_path, "00/20", "")

    async def go() -> tuple[list[int], list[Event]]:
        proofs = ahead_of(state, other)
        proofs.start_ahead([wanted.file])
        await asyncio.to_thread(wait_for, lambda: leftovers.found(leftovers.site_mark(state)), "its start")
        there = leftovers.found(leftovers.site_mark(state))
        heard: list[Event] = []
        await proofs.ask(wanted, state.root / "call-1", 1, Limits(), heard.append)
        return there, heard

    there, heard = asyncio.run(go())
    assert said(heard) == ("proved", str(there[0])), "the first would wait until the engine ends"


class Link:
    """A connection that only says whether it lives."""

    def __init__(self) -> None:
        self.alive = True

    def close(self) -> None:
        self.alive = False


def test_one_connection_to_each_host_and_no_second_try_at_one_that_is_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[str] = []

    def open_(endpoint: Endpoint, below: Any = None) -> Any:
        opened.append(endpoint.name)
        if endpoint.name == "s2":
            raise Unreachable("s2 cannot be reached.")
        return Link()

    monkeypatch.setattr(shared.Connection, "open", open_)
    here, there = (Endpoint(name, "192.0.2.1", 22, "ann", tmp_path, tmp_path) for name in ("s1", "s2"))
    connections = SharedConnections()
    link = connections.to(here)
    assert connections.to(here) is link
    for _ in range(2):
        with pytest.raises(Unreachable):
            connections.to(there)
    assert opened == ["s1", "s2"]
    connections.close()
    assert not link.alive and connections.to(here) is not link, "one that was lost is opened anew"
    assert SESSIONS < 10


def test_what_is_reached_otherwise_is_made_once_and_told_as_away_to_all() -> None:
    connections, made, tried = SharedConnections(), Link(), []

    def away() -> Link:
        tried.append(1)
        raise Unreachable("LXD on s2 does not answer.")

    assert connections.kept("s1", lambda: made) is made
    assert connections.kept("s1", away) is made
    for _ in range(2):
        with pytest.raises(Unreachable):
            connections.kept("s2", away)
    assert len(tried) == 1
    connections.close()
    assert not made.alive
    assert connections.kept("s1", Link) is not made


def test_a_proof_leaves_open_what_it_shares_and_closes_what_it_has_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shared.Connection, "open", lambda endpoint, below=None: Link())
    wanted, emitter, cancel = request(tmp_path, "20/30", ""), Emitter(2, "20/30"), cast(Cancel, None)
    connections = SharedConnections()
    beside, other = (hosts_of(wanted, emitter, cancel, connections)[0] for _ in range(2))
    instance = replace(beside.endpoint, name="n1", address="192.0.2.9", through=beside.endpoint)
    with beside.sharing("lxd", Link) as made, beside.into(instance) as way:
        pass
    with other.sharing("lxd", Link) as same, other.into(instance) as same_way:
        assert same is made and same_way is way
    assert made.alive and way.alive
    connections.close()
    assert not made.alive and not way.alive
    with hosts_of(wanted, emitter, cancel)[0].sharing("lxd", Link) as own:
        assert own.alive
    assert not own.alive
