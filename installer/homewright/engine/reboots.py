"""Steps that reboot servers: which boot each was in before is recorded, and a new one is proved after.

Servers are rebooted one after another, so that what runs on them keeps its quorum, and the machine that the engine
itself runs on comes last: its reboot ends the engine, and the next one (started at boot, or by hand) finds in the
journal that it was meant. See docs/decisions/0024-reboots-in-order.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from sqlite3 import Connection as Database
from typing import Any

from homewright.access.connection import Connection
from homewright.engine import ourselves
from homewright.engine.armed import Answer
from homewright.engine.context import Context
from homewright.engine.events import Event, Kind
from homewright.engine.journal.writer import Writer
from homewright.engine.runners.guard import Guard
from homewright.errors import HomewrightError, Unreachable
from homewright.planning.hosts import endpoint

BOOT_ID = "/proc/sys/kernel/random/boot_id"
LOOK_S = 2.0
"""Between two looks whether a server is back."""
LIMIT_S = 15 * 60.0
"""How long a server may take to come back: firmware of servers with much memory alone takes minutes."""
OURS_LIMIT_S = 5 * 60.0
"""How long the machine that we run on may take to end us."""
Row = Callable[[Database], object]


class NotBack(HomewrightError):
    """A server was rebooted and did not come back as it should."""

    code = "not-back"


class Noted(StrEnum):
    """What the journal knows of a step's reboot of one server."""

    BEFORE = "before"
    """Its boot id stands there; it has not been asked to reboot."""
    REBOOTING = "rebooting"
    BACK = "back"
    """It is in another boot, and not yet proved."""


def order(hosts: Iterable[str], ours: Callable[[str], bool]) -> tuple[str, ...]:
    """In which order servers are rebooted: as they come, and the machine that we run on last."""
    names = tuple(hosts)
    return (*(host for host in names if not ours(host)), *(host for host in names if ours(host)))


def expected(writer: Writer, found: Answer, host: str) -> bool:
    """Whether a server that is armed was rebooted on purpose, in the middle of the step that armed it in this run."""
    rows = writer.query("SELECT state FROM boots WHERE step = ? AND host = ?", found.step, host)
    return bool(rows) and rows[0][0] in (Noted.REBOOTING, Noted.BACK) and found.run == writer.run


def anew(step: str, host: str) -> Row:
    """The step's work is to be done again there: a reboot that it wanted earlier says nothing of that.

    Which boot it was in stays: what was changed in it, and no boot has seen yet, still counts.
    """
    values = (Noted.BEFORE, step, host)
    return lambda database: database.execute("UPDATE boots SET state = ? WHERE step = ? AND host = ?", values)


class Reboots:
    """The reboots of one step."""

    def __init__(self, context: Context, step: str) -> None:
        self._context = context
        self._step = step
        self._boots: dict[str, str] = {}
        self._stale: set[str] = set()

    async def note(self, hosts: list[str]) -> tuple[set[str], dict[str, HomewrightError]]:
        """Record which boot each server is in, before anything is changed there.

        Gives the servers that come from the reboot that this step wanted, where only the proof is left, and the errors
        of those that could not be asked.
        """
        query = "SELECT host, boot, state FROM boots WHERE step = ?"
        before = {str(h): (str(boot), Noted(s)) for h, boot, s in self._context.writer.query(query, self._step)}
        found = await asyncio.gather(*(asyncio.to_thread(self._boot, host) for host in hosts))
        errors = {host: boot for host, boot in zip(hosts, found, strict=True) if isinstance(boot, HomewrightError)}
        back: set[str] = set()
        rows = []
        for host, boot in zip(hosts, found, strict=True):
            if isinstance(boot, HomewrightError):
                continue
            known, state = before.get(host, ("", Noted.BEFORE))
            if state is not Noted.BEFORE and known and known != boot:
                self._boots[host] = known
                back.add(host)
                rows.append(self._row(host, known, Noted.BACK))
                self._say(host, f"it is back from its reboot: boot {boot[:8]}, it was {known[:8]}")
                continue
            self._boots[host] = boot
            if known == boot:
                self._stale.add(host)
            rows.append(self._row(host, boot, Noted.BEFORE))
        if rows:
            self._context.writer.change(*rows)
        return back, errors

    def due(self, changed: Mapping[str, int]) -> tuple[str, ...]:
        """Which servers have to be rebooted, in order: those that were changed, also by an attempt that was cut off."""
        wanted = [host for host, count in changed.items() if count or host in self._stale]
        return order(wanted, lambda host: ourselves.is_ours(self._context.writer, host))

    async def carry_out(self, host: str) -> HomewrightError | None:
        """Reboot one server and wait until it is back; why not, where that fails.

        Of the machine that we run on it gives None as soon as the engine has to end.
        """
        writer = self._context.writer
        ours = ourselves.is_ours(writer, host)
        before = self._boots[host]
        text = "rebooting it: it is the machine that Homewright runs on, the run goes on when it is back"
        said = Event(Kind.LINE, text if ours else "rebooting it", step=self._step, host=host)
        writer.transition(said, self._row(host, before, Noted.REBOOTING))
        began = time.monotonic()
        problem = await asyncio.to_thread(self._send, host)
        if problem is not None:
            return problem
        limit = OURS_LIMIT_S if ours else LIMIT_S
        last = ""
        while time.monotonic() - began < limit and not self._context.stop.is_set():
            try:
                await asyncio.wait_for(self._context.stop.wait(), LOOK_S)
            except TimeoutError:
                boot = await asyncio.to_thread(self._boot, host)
                if isinstance(boot, HomewrightError):
                    last = f"{boot.what} {boot.why}".strip()
                elif boot != before:
                    self._say(host, f"it is back after {time.monotonic() - began:.0f} s: boot {boot[:8]}")
                    writer.change(self._row(host, before, Noted.BACK))
                    return None
                else:
                    last = "It answers, and is still in the boot from before."
        if self._context.stop.is_set():
            return None
        return NotBack(
            f"{host} was rebooted and is not back after {limit / 60:g} minutes.",
            last,
            [f"look at {host}'s console", f"once it is up: homewright retry {self._step}"],
        )

    def over(self, host: str, *, good: bool) -> list[Row]:
        """What becomes of the row: a step that failed may have changed something that no boot has seen."""
        if host not in self._boots:
            return []
        if good:
            where = (self._step, host)
            return [lambda database: database.execute("DELETE FROM boots WHERE step = ? AND host = ?", where)]
        return [self._row(host, self._boots[host], Noted.BEFORE)]

    def _row(self, host: str, boot: str, state: Noted) -> Row:
        values: tuple[Any, ...] = (self._step, host, boot, state)
        return lambda database: database.execute("INSERT OR REPLACE INTO boots VALUES (?, ?, ?, ?)", values)

    def _say(self, host: str, text: str) -> None:
        self._context.writer.transition(Event(Kind.LINE, text, step=self._step, host=host))

    def _open(self, host: str) -> Connection:
        context = self._context
        return Connection.open(endpoint(host, context.site, context.facts, context.state))

    def _boot(self, host: str) -> str | HomewrightError:
        try:
            with self._open(host) as connection:
                return connection.run(["cat", BOOT_ID], timeout=20).stdout.strip()
        except HomewrightError as error:
            return error

    def _send(self, host: str) -> HomewrightError | None:
        guard = Guard(self._context.controller, self._context.fences.number)
        try:
            with self._open(host) as connection:
                connection.run(guard.around("systemctl --no-block reboot"), sudo=True, timeout=30)
        except Unreachable:
            return None  # it was quicker than its answer, or it did not get it: the boot id tells
        except HomewrightError as error:
            return error
        return None
