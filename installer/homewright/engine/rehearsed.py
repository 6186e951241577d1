"""What an engine has in a rehearsal in place of its hold on the servers."""

from __future__ import annotations

from collections.abc import Iterable

from homewright.engine.fence import Fences
from homewright.errors import HomewrightError
from homewright.site.rehearsed import RehearsalOnly


class RehearsedFences(Fences):
    """Recorded machines need no lock: nobody else works on them."""

    async def hold(self, hosts: Iterable[str]) -> dict[str, HomewrightError]:
        self._held |= set(hosts)
        return {}

    def gone(self, hosts: Iterable[str]) -> list[str]:
        return []  # nobody was ever on a recorded machine, so nothing tells which instances are there

    def enter(self, host: str) -> HomewrightError | None:
        return RehearsalOnly(f"{host} was not contacted.", "This is a rehearsal.")

    async def release(self) -> list[str]:
        self._held.clear()
        return []
