"""The lock on each server: who works on it, and a number that rises with every run.

`/var/lib/homewright/fence.json` is replaced under a flock. A runner's commands look at it before they begin
(`runners.guard`), so what an older run left behind, here or on the server, is refused from the moment that a newer one
has taken the server. A controller that has not given a server back keeps others off it; one whose site was taken over
(`engine.succession`) is named in the file as retired, and never gets the server again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass

from homewright.access import known_hosts
from homewright.access.connection import CommandFailed, Connection
from homewright.access.endpoint import Endpoint
from homewright.discovery.facts import HostFacts
from homewright.engine.armed import Answer
from homewright.engine.journal.writer import Writer
from homewright.engine.resume import ANOTHER
from homewright.engine.runners.guard import FENCE_FILE, Guard
from homewright.errors import Busy, HomewrightError
from homewright.planning.hosts import endpoint, instance_names
from homewright.site.models import Site
from homewright.site.paths import StateFolder

_TAKE = r"""
import fcntl, json, os, sys
wanted = json.loads(sys.argv[1])
path = sys.argv[2]
folder = os.path.dirname(path)
os.makedirs(folder, 0o755, exist_ok=True)
lock = os.open(folder + "/fence.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
try:
    with open(path) as file:
        held = json.load(file)
    int(held["fence"])
except (OSError, ValueError, KeyError, TypeError):
    held = None
answer = {"before": held, "taken": False, "machine": ""}
try:
    with open("/etc/machine-id") as file:
        answer["machine"] = file.read().strip()
except OSError:
    pass
before = set(held.get("retired") or ()) if held is not None else set()
ours = {wanted["controller"], *wanted.get("retired", ())}
foreign = held is not None and held.get("controller") not in ours
wanted["retired"] = sorted((before | ours) - {wanted["controller"]})
if wanted["controller"] in before:
    write = False
elif wanted["released"]:
    write = held is not None and not foreign and held["fence"] == wanted["fence"]
else:
    write = held is None or (held["fence"] < wanted["fence"] and (held.get("released") or not foreign))
if write:
    temporary = path + ".new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(json.dumps(wanted) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    answer["taken"] = True
for name, found in (("armed", "armed"), ("reverted", "reverted")):
    try:
        with open(folder + "/revert/%s.json" % name) as file:
            answer["revert"] = {**json.load(file), "found": found}
        break
    except (OSError, ValueError, TypeError):
        pass
print(json.dumps(answer))
"""


AWAY_S = 30.0
"""How long a server that could not be taken is not asked again, where all is over soon."""
TAKEN_AWAY = "taken away"
"""In the journal in place of the machine of an instance that a step of ours took away."""
RETIRED = "retired"
"""Where the journal keeps the controllers whose place this one has taken, as a JSON list."""


class Retired(Busy):
    """This controller's site was taken over by another machine."""

    code = "retired"


class NewMachine(HomewrightError):
    """A server's machine-id is not the one that was recorded."""

    code = "new-machine"


@dataclass(frozen=True)
class Held:
    """What a server answered: whether the fence is ours now, and what stood there before."""

    taken: bool
    before: dict[str, object] | None
    machine: str = ""
    """Its machine-id."""
    left: Answer | None = None
    """It was armed by an engine that did not come back to it (`engine.trial`)."""

    @property
    def number(self) -> int:
        return int(str(self.before["fence"])) if self.before else 0

    @property
    def retired(self) -> tuple[str, ...]:
        """Controllers that never get this server again: their site was taken over."""
        found = (self.before or {}).get("retired")
        return tuple(map(str, found)) if isinstance(found, list) else ()


class Fences:
    """The fences of one run: one number, on every server that it works on."""

    def __init__(
        self,
        site: Site,
        state: StateFolder,
        writer: Writer,
        controller: str,
        facts: Mapping[str, HostFacts] | None = None,
        *,
        brief: bool = False,
    ) -> None:
        """`brief` where servers are given back soon after they were taken: the connections are kept until then, and one
        that could not be taken is not asked again for a while."""
        self._brief = brief
        self.keeps = brief
        """Whether the connections by which servers are taken are kept, to give them back by."""
        self._kept: dict[str, Connection] = {}
        self._lost: dict[str, tuple[float, HomewrightError]] = {}
        """Servers that could not be taken, and when: not every step waits for them again."""
        self._facts = facts or {}
        self._site = site
        self._state = state
        self._writer = writer
        self._controller = controller
        self._since = time.time()
        self._held: set[str] = set()
        self.unclean: set[str] = set()
        """Servers where a step failed or was ended by force: a command of it may still be running there."""
        self.reached: set[str] = set()
        """Servers that have answered this engine."""
        self.new_machines: frozenset[str] = frozenset()
        """Servers that may be other machines than before: the operator has said so."""
        self._holding = asyncio.Lock()
        self._steady = asyncio.Event()
        """Cleared while our number is about to rise."""
        self._steady.set()
        self._idle = asyncio.Event()
        self._at_work = 0
        self.left: dict[str, Answer] = {}
        """Servers that an earlier engine left armed, or that took a step of its back since."""
        self._seen: set[str] = set()
        self.number = 1 + int(writer.query("SELECT coalesce(max(fence), 0) FROM fences")[0][0])
        known = writer.query("SELECT value FROM meta WHERE key = ?", RETIRED)
        self._retired: list[str] = json.loads(known[0][0]) if known else []
        """Controllers whose place we have taken."""

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """While a runner is at work, whose commands carry our number: it does not rise meanwhile."""
        await self._steady.wait()
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            if not self._at_work:
                self._idle.set()

    async def hold(self, hosts: Iterable[str]) -> dict[str, HomewrightError]:
        """Take the fence of every host that does not have it yet; the errors of those that could not be taken.

        Where a server's number is higher than ours, ours rises above it on all servers, as soon as no runner is at work
        with the lower one.
        """
        wanted = [host for host in hosts if host not in self._held]
        if not wanted:
            return {}
        async with self._holding:
            known = {host: self._lost[host][1] for host in wanted if self._is_lost(host)}
            try:
                found = await self._hold([host for host in wanted if host not in self._held and host not in known])
            finally:
                self._steady.set()
            if self._brief:
                self._lost |= {host: (time.monotonic(), error) for host, error in found.items()}
            return known | found

    def _is_lost(self, host: str) -> bool:
        since, _ = self._lost.get(host, (float("-inf"), None))
        return host not in self._held and time.monotonic() - since < AWAY_S

    async def _hold(self, wanted: list[str]) -> dict[str, HomewrightError]:
        asked = set(wanted)
        errors: dict[str, HomewrightError] = {}
        while wanted:
            number = self.number
            self._writer.change(*(self._writer.set_fence(host, number, None) for host in wanted))
            # Instances after their servers, by whose connection they are reached.
            wanted = sorted(wanted, key=self._is_server, reverse=True)
            servers = [host for host in wanted if self._is_server(host)]
            answers = await asyncio.gather(*(asyncio.to_thread(self._take, host) for host in servers))
            rest = wanted[len(servers) :]
            answers += await asyncio.gather(*(asyncio.to_thread(self._take, host) for host in rest))
            higher = 0
            again = []
            for host, answer in zip(wanted, answers, strict=True):
                if isinstance(answer, HomewrightError):
                    errors[host] = answer
                elif answer.taken:
                    self._held.add(host)
                    self.reached.add(host)
                    if answer.left is not None and host not in self._seen:
                        self.left[host] = answer.left
                    self._seen.add(host)
                    if self._replaced(host, answer.machine):
                        errors[host] = await self._give_back(host)
                elif self._controller in answer.retired:
                    errors[host] = _replaced_by(host, answer.before or {})
                elif self._foreign(answer):
                    errors[host] = self._busy(host, answer)
                else:
                    higher = max(higher, answer.number)
                    again.append(host)
            wanted = again
            if higher:
                self._steady.clear()
                while self._at_work:
                    self._idle.clear()
                    await self._idle.wait()
                self.number = higher + 1
                wanted = [*again, *self._held]
                self._held.clear()
        # One that was only taken again and is lost meets its own step, not this one.
        return {host: error for host, error in errors.items() if host in asked}

    def lose(self, hosts: Iterable[str]) -> None:
        """We were cut off from these: the next hold takes them anew, and ends what was cut off from us there."""
        self._held -= set(hosts)

    def enter(self, host: str) -> HomewrightError | None:
        """Sign in and leave again; what keeps us out."""
        try:
            with Connection.open(self._endpoint(host)) as connection:
                connection.run("true", sudo=True)
        except HomewrightError as error:
            return error
        return None

    async def release(self) -> list[str]:
        """Give every server back; names of those that could not be reached for it."""
        hosts, self._held = sorted(self._held), set()
        gone = self.gone(hosts)
        self._writer.change(*(self._writer.set_machine(host, TAKEN_AWAY) for host in gone))
        there = [host for host in hosts if host not in gone]
        answers = await asyncio.gather(*(asyncio.to_thread(self._release, host) for host in there))
        self.hang_up()
        done = gone + [host for host, answer in zip(there, answers, strict=True) if answer]
        if done:
            now = time.time()
            self._writer.change(*(self._writer.set_fence(host, self.number, now) for host in done))
        return [host for host in hosts if host not in done]

    def hang_up(self) -> None:
        """Keep no connection any longer: servers are about to be changed, or held for nobody knows how long."""
        self.keeps = self._brief
        while self._kept:
            self._kept.popitem()[1].close()

    def _replaced(self, host: str, machine: str) -> bool:
        """Whether this server is another machine than the one that was recorded, and nobody has said that it may be."""
        if not machine:
            return False
        rows = self._writer.query("SELECT machine FROM machines WHERE host = ?", host)
        known = str(rows[0][0]) if rows else ""
        # An instance is made anew by a step of ours, which also put its host key on record: nobody need be asked.
        if known and known != machine and host not in self.new_machines and self._is_server(host):
            return True
        if known != machine:
            # What was recorded of the state before is another machine's: it must never be put back on this one.
            forget = [self._writer.forget_captures(host)] if known else []
            self._writer.change(*forget, self._writer.set_machine(host, machine))
        return False

    async def _give_back(self, host: str) -> NewMachine:
        await asyncio.to_thread(self._release, host)
        self._held.discard(host)
        return NewMachine(
            f"{host} {ANOTHER}",
            "Its machine-id is not the one that was recorded: it was replaced, or installed anew.",
            [
                f"where that is so: homewright resume --new-machine {host}",
                "where it is not: look which machine answers at its address",
            ],
        )

    def _endpoint(self, host: str) -> Endpoint:
        return endpoint(host, self._site, self._facts, self._state)

    def _is_server(self, host: str) -> bool:
        return any(server.name == host for server in self._site.servers)

    def gone(self, hosts: Iterable[str]) -> list[str]:
        """The instances that never came to be, or that a step of ours took away.

        An instance's host key is on record before anybody signs in, and nothing but taking it away takes it off.
        """
        return [host for host in hosts if not self._is_server(host) and not self._host_keys(host)]

    def was_there(self, host: str) -> bool:
        """Whether we have been on it, and it was not named as gone and taken away since."""
        rows = self._writer.query("SELECT machine FROM machines WHERE host = ?", host)
        return bool(rows) and rows[0][0] != TAKEN_AWAY

    def took_away(self, hosts: Iterable[str]) -> None:
        """What the site names as gone has gone: whoever has such a name from now on is another machine."""
        planned = instance_names(self._site, self._facts)  # those stay, whatever else is said of them
        gone = [host for host in hosts if host not in planned and self.was_there(host)]
        self._writer.change(*(self._writer.set_machine(host, TAKEN_AWAY) for host in gone))

    def _host_keys(self, host: str) -> bool:
        place = self._endpoint(host)
        return bool(known_hosts.lookup(self._state.known_hosts, place.address, place.port))

    @contextlib.contextmanager
    def _entered(self, host: str) -> Iterator[Connection]:
        """A connection: the one that is kept, where there is one. Raises as `Connection.open`."""
        kept = self._kept.get(host)
        if kept is not None and kept.alive:
            yield kept
            return
        place = self._endpoint(host)
        below = self._kept.get(place.through.name) if place.through is not None else None
        connection = Connection.open(place, below=below if below is not None and below.alive else None)
        if self.keeps:
            self._kept[host] = connection
            yield connection
            return
        with connection:
            yield connection

    def _take(self, host: str) -> Held | HomewrightError:
        try:
            with self._entered(host) as connection:
                answer = ask(connection, self._record(released=False))
                before = answer.before
                if answer.taken and before is not None and not before.get("released"):
                    # An earlier run of ours never gave the server back: nothing of it may go on working.
                    sweep = Guard(self._controller, self.number).sweep()
                    connection.run(sweep, sudo=True, timeout=60)
                return answer
        except CommandFailed as error:
            return _not_taken(host, error)
        except HomewrightError as error:
            return error

    def _release(self, host: str) -> bool:
        try:
            with self._entered(host) as connection:
                if host in self.unclean:
                    # Whoever takes a server that was given back looks for nothing: what we left must be gone before.
                    connection.run(Guard(self._controller, self.number + 1).sweep(), sudo=True, timeout=60)
                return ask(connection, self._record(released=True)).taken
        except HomewrightError:
            return False

    def _record(self, released: bool) -> dict[str, object]:
        return {
            "controller": self._controller,
            "fence": self.number,
            "run": self._writer.run,
            "host": socket.gethostname(),
            "site": self._site.name,
            "since": round(self._since),
            "released": released,
            "retired": self._retired,
        }

    def _foreign(self, answer: Held) -> bool:
        before = answer.before or {}
        ours = (self._controller, *self._retired)
        return before.get("controller") not in ours and not before.get("released")

    def _busy(self, host: str, answer: Held) -> Busy:
        before = answer.before or {}
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(str(before.get("since", 0)))))
        return Busy(
            f"Another controller holds {host}.",
            f"It is {before.get('host', 'unknown')} for the site {before.get('site', 'unknown')}, "
            f"run {before.get('run', 'unknown')}, since {since}.",
            [
                f"wait until its run has ended: `status` on {before.get('host', 'that machine')} tells",
                f"if that controller is gone for good, on {host}: sudo rm {FENCE_FILE}",
            ],
        )


def _replaced_by(host: str, before: Mapping[str, object]) -> Retired:
    machine = before.get("host", "another machine")
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(str(before.get("since", 0)))))
    return Retired(
        f"{host} is no longer looked after from here.",
        f"The site was taken over by {machine}, which was at work on {host} last on {since}.",
        [
            f"go on with the site on {machine}",
            "to have it back here: there `homewright site export --encrypt FILE`, here `homewright site import FILE`",
        ],
    )


def ask(connection: Connection, record: dict[str, object]) -> Held:
    """Take a server, or give it back, as the record says; what it answered. Raises as `Connection.run`."""
    # The script travels on stdin: nothing of it stands in the server's process list but who we are.
    command = f"python3 -I -S - {shlex.quote(json.dumps(record))} {FENCE_FILE}"
    answer = json.loads(connection.run(command, sudo=True, stdin=_TAKE.encode(), timeout=60).stdout)
    left = Answer.of(answer["revert"]) if answer.get("revert") else None
    return Held(bool(answer["taken"]), answer["before"], str(answer.get("machine", "")), left)


def _not_taken(host: str, error: CommandFailed) -> HomewrightError:
    last = error.why.strip().splitlines()[-1:] or [error.what]
    if "python3" in error.why and "not found" in error.why:
        return HomewrightError(f"{host} has no Python.", last[0], [f"on {host}: sudo apt-get install python3"])
    return HomewrightError(f"{host} could not be locked for this run.", f"{last[0]}", list(error.do))
