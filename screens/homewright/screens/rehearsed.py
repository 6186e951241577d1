"""The rooms as the screens use them in a rehearsal: recorded machines answer, and nothing outside is touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.errors import HomewrightError
from homewright.screens.services import Reach, RunGlimpse, Scanned, Services, SiteGlimpse, glimpse
from homewright.site.paths import StateFolder
from homewright.site.rehearsed import Rehearsed, refuse

if TYPE_CHECKING:
    from homewright.access.trust import HostKeyOffer
    from homewright.site.models import Server, Site
    from homewright.workspaces.one_manager import OneManager as Manager


class RehearsedServices(Services):
    """`Services` for one rehearsal: its site is the only one there is."""

    def __init__(self, site_file: Path, state: StateFolder) -> None:
        self._file = site_file
        self._state = state

    # Sites

    makes_sites = False

    def sites(self, chosen: str | None) -> list[SiteGlimpse]:
        return [glimpse(self._file)]

    def make_site(self, name: str) -> Path:
        self._refuse("No site was made.")
        return super().make_site(name)

    def load(self, file: Path) -> Site:
        if file != self._file:
            self._refuse(f"{file} was not opened.")
        return super().load(file)

    def where_to_go(self, file: Path, chosen_state: str | None, named: str = "") -> tuple[str, str]:
        """A rehearsal begins at the servers, until its simulated run was begun."""
        name, page = super().where_to_go(file, chosen_state, named)
        return name, {"workspaces": "finished", "deploy": "deploy", "resume": "deploy"}.get(page, "servers")

    # Servers: those with a recording answer

    def answering(self, servers: Sequence[tuple[str, int]]) -> int:
        return len(list(self._bundles().glob("*.json")))

    def lab_possible(self) -> bool:
        return False

    def known(self, server: Server, state: StateFolder) -> bool:
        return True

    def contacted(self, servers: Sequence[tuple[str, int]], state: StateFolder) -> int:
        return len(servers)

    def reach(self, server: Server, state: StateFolder) -> Reach:
        try:
            self._answer(server)
        except HomewrightError as error:
            return Reach(False, error.what, error=error)
        return Reach(True, "reached (rehearsed)")

    def scan(self, server: Server, state: StateFolder) -> Scanned:
        self._answer(server)
        return Scanned(None)

    def accept(self, server: Server, state: StateFolder, offer: HostKeyOffer) -> None:
        self._refuse(f"The host key of {server.name} was not trusted.")

    def contact(
        self, server: Server, state: StateFolder, password: str | None, identity: str, say: Callable[[str], None]
    ) -> object:
        self._answer(server)
        return None

    # What only a real run leaves

    def last_run(self, state: StateFolder) -> RunGlimpse | None:
        return super().last_run(self._state)

    def manager(self, file: Path, state: StateFolder) -> Manager:
        self._refuse("There are no workspaces.")
        return super().manager(file, state)

    def _bundles(self) -> Path:
        rehearsed = Rehearsed.of(self._state)
        assert rehearsed is not None
        return rehearsed.bundles

    def _answer(self, server: Server) -> None:
        """Raises Unreachable where the server has no recording."""
        from homewright.discovery.replay import replayed

        rehearsed = Rehearsed.of(self._state)
        assert rehearsed is not None
        replayed(server, rehearsed)

    def _refuse(self, what: str) -> None:
        refuse(self._state.root, what)
