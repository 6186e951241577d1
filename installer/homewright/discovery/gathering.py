"""Facts of every host at once, kept in the state folder (`discovery.recording` reads them)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

from homewright.access.connection import Connection, Endpoint
from homewright.discovery.bundle import RawBundle
from homewright.discovery.probe import probe
from homewright.discovery.replay import replayed
from homewright.discovery.turn import TURN
from homewright.errors import HomewrightError
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder, make_folder, write_atomically
from homewright.site.rehearsed import Rehearsed

if TYPE_CHECKING:
    from homewright.discovery.facts import HostFacts

AT_ONCE = 32
"""How many hosts are asked side by side; each is one SSH connection and waits nearly all the time."""

OnEvent = Callable[[str, "HostFacts | HomewrightError"], None]


def gather(
    site: Site,
    state: StateFolder,
    hosts: Iterable[str] | None = None,
    on_event: OnEvent = lambda host, outcome: None,
    *,
    on_bundle: Callable[[RawBundle], None] = lambda bundle: None,
    timeout: float = 10.0,
    names: Iterable[str] | None = None,
) -> dict[str, HostFacts | HomewrightError]:
    """Ask hosts (all of the site's by default) side by side; their facts are recorded in the state folder.

    One that cannot be reached holds up no other: its place has the error. `on_event` is called as each one is done,
    `on_bundle` with what it literally said, both on the calling thread. Each is asked what `names` resolve to there (by
    default those of the site's servers). Order as in the site.
    """
    wanted = None if hosts is None else set(hosts)
    servers = [server for server in site.servers if wanted is None or server.name in wanted]
    asked = [server.name for server in site.servers] if names is None else list(names)
    outcomes: dict[str, HostFacts | HomewrightError] = {}
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(servers) or 1), thread_name_prefix="discover") as pool:
        pending = {pool.submit(_ask, server, state, timeout, asked): server for server in servers}
        # 0.1 s of loading, in which the servers work already
        from homewright.discovery.parsing import parse

        for future in as_completed(pending):
            name = pending[future].name
            try:
                bundle = future.result()
                on_bundle(bundle)
                with TURN:
                    outcomes[name] = facts = parse(bundle)
                    remember(state, facts)
                    _keep(state, bundle)
            except HomewrightError as error:
                outcomes[name] = error
            on_event(name, outcomes[name])
    return {server.name: outcomes[server.name] for server in servers}


def remember(state: StateFolder, facts: HostFacts) -> None:
    """Keep the last facts of a host. Raises StateError where the state folder cannot be written."""
    make_folder(state.facts)
    write_atomically(state.facts / f"{facts.host}.json", facts.model_dump_json(indent=1).encode())


def _keep(state: StateFolder, bundle: RawBundle) -> None:
    """What a host literally said, for a support bundle. Not worth an fsync: the host can be asked again."""
    if Rehearsed.of(state) is not None:
        return
    make_folder(state.machines)
    file = state.machines / f"{bundle.host}.json"
    temporary = file.with_suffix(".new")
    with contextlib.suppress(OSError):
        temporary.touch(mode=0o600)
        temporary.write_text(bundle.model_dump_json(), encoding="utf-8")
        temporary.replace(file)


def _ask(server: Server, state: StateFolder, timeout: float, names: list[str]) -> RawBundle:
    if (rehearsed := Rehearsed.of(state)) is not None:
        with TURN:
            return replayed(server, rehearsed)
    with Connection.open(Endpoint.of(server, state), timeout) as connection:
        return probe(connection, names)
