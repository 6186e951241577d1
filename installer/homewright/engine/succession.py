"""One controller takes another one's place: on every server its fence goes above the old one's, for good.

The old controller is named as retired in the server's fence file. Whatever it begins there from then on is refused, and
it is told by whom its site was taken over.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.engine.fence import RETIRED, ask
from homewright.engine.runners.guard import FENCE_FILE, MARK, Guard
from homewright.errors import HomewrightError
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

Answer = TypeVar("Answer")

AT_ONCE = 16
TRIES = 3
"""A fence that rises while it is being taken is somebody else's at work; then this gives up."""

_LOOK = f"""
import glob, json, sys
try:
    with open({FENCE_FILE!r}) as file:
        held = json.load(file)
except (OSError, ValueError):
    held = None
busy = []
for name in glob.glob("/proc/[0-9]*/environ"):
    try:
        with open(name, "rb") as file:
            words = file.read().split(b"\\0")
        if any(word.startswith(b"{MARK}=") for word in words):
            with open(name.replace("environ", "comm")) as file:
                busy.append(name.split("/")[2] + " " + file.read().strip())
    except OSError:
        pass
print(json.dumps({{"held": held, "busy": busy}}))
"""


@dataclass(frozen=True)
class Standing:
    """What a server says of who works on it."""

    held: Mapping[str, object] | None = None
    busy: tuple[str, ...] = ()
    """Processes of a run, there, as `PID NAME`."""
    error: HomewrightError | None = None
    """It could not be asked."""

    @property
    def kept(self) -> bool:
        """Somebody has it and has not given it back: a run goes on, or its controller has died in it."""
        return self.held is not None and not self.held.get("released")


def look(site: Site, state: StateFolder) -> dict[str, Standing]:
    """Who works on each server. Changes nothing there."""

    def one(server: Server) -> Standing:
        try:
            with Connection.open(Endpoint.of(server, state)) as connection:
                said = connection.run("python3 -", sudo=True, stdin=_LOOK.encode(), timeout=60).stdout
            found = json.loads(said)
            return Standing(found["held"], tuple(found["busy"]))
        except HomewrightError as error:
            return Standing(error=error)

    return _each(site, one)


def in_the_way(found: Mapping[str, Standing]) -> list[str]:
    """Why the old controller may be alive, one sentence a server; none where nothing speaks for it."""
    lines = []
    for host, standing in found.items():
        held = standing.held or {}
        who = f"{held.get('host', 'a controller')}, run {held.get('run', 'unknown')}"
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(str(held.get("since", 0)))))
        if standing.busy:
            lines.append(f"{host}: {', '.join(standing.busy[:3])} of {who} are at work there.")
        elif standing.kept:
            lines.append(f"{host}: {who} has it since {since} and has not given it back.")
    return lines


def take_over(site: Site, state: StateFolder, controller: str, retired: list[str]) -> dict[str, HomewrightError | int]:
    """Raise every server's fence above the old controller's, in our name; its number, or why it could not be done.

    A server that cannot be reached now is taken by the next run: what it needs for that is in our journal.
    """

    def take(server: Server) -> HomewrightError | int:
        number = 1
        try:
            with Connection.open(Endpoint.of(server, state)) as connection:
                for _ in range(TRIES):
                    record = {
                        "controller": controller,
                        "fence": number,
                        "run": "taken over",
                        "host": socket.gethostname(),
                        "site": site.name,
                        "since": round(time.time()),
                        "released": False,
                        "retired": retired,
                    }
                    answer = ask(connection, record)
                    if answer.taken:
                        if answer.before is not None and not answer.before.get("released"):
                            # What the old controller left half way there must not go on working.
                            connection.run(Guard(controller, number).sweep(), sudo=True, timeout=60)
                        ask(connection, {**record, "released": True})
                        return number
                    number = answer.number + 1
        except HomewrightError as error:
            return error
        return HomewrightError(f"The fence of {server.name} is another controller's.", "It does not let go of it.")

    return _each(site, take)


def succeed(journal: sqlite3.Connection, controller: str) -> list[str]:
    """Put a new controller into a copied journal; all that it takes the place of. Nobody looks at the copy yet."""
    meta = dict(journal.execute("SELECT key, value FROM meta"))
    before = [*json.loads(meta.get(RETIRED, "[]")), *([meta["controller"]] if "controller" in meta else [])]
    for key, value in (("controller", controller), (RETIRED, json.dumps(before))):
        journal.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
    journal.execute("DELETE FROM meta WHERE key IN ('viewers', 'held')")
    return before


def there(site: Site) -> tuple[Server, ...]:
    """The servers that know who looks after them: also one that leaves the site, until nothing of ours is on it."""
    return (*site.servers, *(one for one in site.leaving if not one.lost))


def _each(site: Site, ask: Callable[[Server], Answer]) -> dict[str, Answer]:
    servers = there(site)
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return dict(zip((server.name for server in servers), pool.map(ask, servers), strict=True))
