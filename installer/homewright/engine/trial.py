"""A step that could lock the operator out, tried: its servers are armed before it, and disarmed once it is proved.

Only a connection that was made afresh disarms a server; for the machine that the engine itself runs on, one that comes
by way of another server. See docs/decisions/0023-try-then-revert.md.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import shlex
import time
from collections.abc import Iterable
from dataclasses import dataclass

from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.catalogue.models import Revert
from homewright.engine import armed, ourselves, reboots
from homewright.engine.armed import Answer, Found, Orders
from homewright.engine.context import Context
from homewright.engine.events import Event, Kind, Level
from homewright.engine.runners.guard import Guard
from homewright.errors import HomewrightError
from homewright.planning.hosts import endpoint

RENEWALS = 3.0
"""How often a server's time begins anew within that time: one connection that fails matters little."""
LOOK_S = 2.0
"""Between two looks whether a server has put everything back."""
GRACE_S = 90.0
"""How much longer than its time a server may take to put everything back and answer: its network comes up again."""


class NotArmed(HomewrightError):
    """A server could not be prepared to take a step back by itself."""

    code = "not-armed"


@dataclass(frozen=True)
class Outcome:
    """What became of a try on one server."""

    kept: bool
    """Somebody got in afresh and disarmed it: what the step did stays."""
    told: str = ""
    """What the server did instead, or that nothing is known."""
    do: tuple[str, ...] = ()
    booted: str = ""
    """Where it put everything back in another boot than the one in which it was armed: so in words."""


class Trial:
    """One step's try on its servers."""

    def __init__(self, context: Context, step: str, revert: Revert, reads: Iterable[str] = ()) -> None:
        self._context = context
        self._step = step
        self._revert = revert
        self._reads = tuple(reads)
        self._tokens: dict[str, str] = {}
        self._until: dict[str, float] = {}
        self._boots: dict[str, str] = {}
        self._settling: set[str] = set()
        self._told = False

    @property
    def armed(self) -> frozenset[str]:
        """Servers whose try has not been settled yet."""
        return frozenset(self._tokens)

    @property
    def minutes(self) -> float:
        """How long a server waits; the site's own answer counts before the step's."""
        return self._context.site.runs.revert_minutes or self._revert.minutes

    async def arm(self, hosts: list[str]) -> dict[str, HomewrightError]:
        """Arm these servers; the errors of those that could not be. They are as they were."""
        errors: dict[str, HomewrightError] = {}
        answers = await asyncio.gather(*(self._arm(host) for host in hosts))
        for host, answer in zip(hosts, answers, strict=True):
            if isinstance(answer, HomewrightError):
                errors[host] = answer
            elif answer.found is not Found.ARMED or answer.problem:
                errors[host] = NotArmed(
                    f"{host} could not be made ready to take this step back by itself.",
                    answer.problem or f"It says: {answer.found}.",
                    [f"look on {host}: systemctl status {armed.UNIT}.timer; df -h {armed.BASE}"],
                )
            if host in errors:
                self._tokens.pop(host, None)
            elif isinstance(answer, Answer):
                self._boots[host] = answer.boot
                self._until[host] = time.monotonic() + self.minutes * 60
                self._say(host, f"armed: unless this step is confirmed, {host} puts everything back {self._when()}")
        return errors

    def adopt(self, host: str, found: Answer) -> None:
        """This server was armed by an earlier engine of this run, and then rebooted on purpose: its time began anew."""
        self._tokens[host] = found.token
        self.again(host)

    async def keep(self) -> None:
        """Until it is cancelled: as long as fresh connections come through, the servers' time begins anew.

        So it counts from when a server was last seen, and a long step, or one that reboots servers in turn, has time.
        """
        while True:
            await asyncio.sleep(self.minutes * 60 / RENEWALS)
            hosts = [host for host in self._until if host in self._tokens and host not in self._settling]
            answers = await asyncio.gather(*(self._ask(host, "renew") for host in hosts))
            for host, answer in zip(hosts, answers, strict=True):
                if isinstance(answer, Answer) and answer.found is Found.ARMED and not answer.problem:
                    self.again(host)
                elif isinstance(answer, Answer) and answer.problem:
                    text = f"its time could not begin anew, and runs out {self._when()}: {answer.problem}"
                    self._say(host, text, Level.WARNING)

    def again(self, host: str) -> None:
        """The server has booted: its time begins anew."""
        if host in self._tokens:
            self._until[host] = time.monotonic() + self.minutes * 60

    async def settle(self, host: str, *, good: bool) -> Outcome:
        """Confirm what a step did on a server, or have it put back, and wait until one of both is certain."""
        self._settling.add(host)
        limit = self._until[host] + GRACE_S
        fired = in_time = lost = False
        last = f"{host} did not answer"
        try:
            while not self._context.interrupted:
                asked_at = time.monotonic()
                answer = await self._ask(host, "disarm" if good else "look" if fired else "fire")
                if isinstance(answer, HomewrightError):
                    lost = True
                    last = f"{answer.what} {answer.why}".strip()
                elif answer.found is Found.REVERTED:
                    await self._ask(host, "forget")
                    return self._taken_back(host, answer, asked_for=fired and in_time)
                elif good and (answer.found is Found.DISARMED or (lost and answer.found is Found.NONE)):
                    self._say(host, "disarmed: a fresh connection came through")
                    return Outcome(True)
                elif answer.found is Found.NONE:
                    return Outcome(False, f"{host} is not armed any more, and nobody knows who disarmed it")
                else:
                    if not good and not fired:  # whom nobody heard until its time was over has put back by itself
                        fired, in_time = True, asked_at < self._until[host]
                    last = f"{host} answers, and is still {answer.found}"
                if time.monotonic() > limit:
                    return self._unknown(host, last)
                await asyncio.sleep(LOOK_S)
            return Outcome(False, f"{host} stays armed: {self._when()} it puts everything back, unless the run goes on")
        finally:
            del self._tokens[host]

    def _taken_back(self, host: str, answer: Answer, *, asked_for: bool) -> Outcome:
        other = answer.boot and self._boots.get(host) not in (None, "", answer.boot)
        # Where putting back failed, a person has to look first.
        booted = f"It was booted in the middle of the step, and {answer.told()}" if other and not answer.code else ""
        if asked_for:
            return Outcome(False, f"It was taken back: {answer.told()}", booted=booted)
        look_at = ", ".join(self._reads)
        do = [
            "look what this step changes: homewright plan",
            f"change the answers that it reads ({look_at}): homewright site set" if look_at else "change the answers",
            f"then try it again: homewright retry {self._step}",
        ]
        why = f"Nobody could get in afresh within {_minutes(self.minutes)}, so {answer.told()}"
        return Outcome(False, why, tuple(do), booted)

    def _unknown(self, host: str, last: str) -> Outcome:
        what = f"It should have put everything back {self._when()}, but that could not be seen: {last}"
        do = (
            f"on {host}'s console: cat {armed.BASE}/reverted.json; systemctl status {armed.UNIT}.timer",
            f"where it is cut off for good, on its console: sudo sh {armed.BASE}/put-back",
            "then: homewright resume",
        )
        return Outcome(False, what, do)

    def _when(self) -> str:
        return f"within {_minutes(self.minutes)}"

    def _say(self, host: str, text: str, level: Level = Level.INFO) -> None:
        self._context.writer.transition(Event(Kind.LINE, text, step=self._step, host=host, level=level))

    async def _arm(self, host: str) -> Answer | HomewrightError:
        token = self._tokens[host] = secrets.token_hex(8)
        revert = self._revert
        orders = Orders(token, self._step, self._context.run, revert.files, revert.command, self.minutes * 60)
        return await asyncio.to_thread(_request, self._context, self._way(host), armed.arming(orders))

    async def _ask(self, host: str, what: str) -> Answer | HomewrightError:
        """By a connection of its own."""
        request = armed.asking(what, self._tokens.get(host, ""))
        if what in ("disarm", "renew") and ourselves.is_ours(self._context.writer, host):
            return await self._by_way_of_another(host, request)
        return await asyncio.to_thread(_request, self._context, self._way(host), request)

    async def _by_way_of_another(self, host: str, request: object) -> Answer | HomewrightError:
        others = [server.name for server in self._context.site.servers if server.name != host]
        if not others:
            if not self._told:
                self._told = True
                said = (
                    f"{host} is the only server and Homewright runs on it: nothing comes from elsewhere to confirm this"
                )
                self._say(host, said, Level.WARNING)
            return await asyncio.to_thread(_request, self._context, self._way(host), request)
        answer: Answer | HomewrightError = HomewrightError(f"{host} was not asked.")
        for other in others:
            way = dataclasses.replace(self._way(host), through=self._way(other))
            answer = await asyncio.to_thread(_request, self._context, way, request)
            if isinstance(answer, Answer):
                break
        return answer

    def _way(self, host: str) -> Endpoint:
        return endpoint(host, self._context.site, self._context.facts, self._context.state)


async def put_back_leftovers(context: Context, hosts: Iterable[str]) -> dict[str, HomewrightError]:
    """Have those of these servers that a dead engine left armed put everything back; the errors where that cannot be
    seen.

    What a server has put back by itself meanwhile is told, and forgotten there. One that was rebooted on purpose in the
    middle of its step is left as it is: that step goes on.
    """
    left = context.fences.left
    names = sorted(host for host in hosts if host in left and not reboots.expected(context.writer, left[host], host))
    found = await asyncio.gather(*(_put_back(context, host, left[host]) for host in names))
    errors: dict[str, HomewrightError] = {}
    for host, answer in zip(names, found, strict=True):
        if isinstance(answer, HomewrightError):
            errors[host] = answer
            continue
        if left.pop(host, None) is None:
            continue  # another step was waiting for the same, and has told it
        text = f"step {answer.step} was cut off here before it was confirmed: {answer.told()}"
        level = Level.ERROR if answer.code else Level.WARNING
        context.writer.transition(Event(Kind.LINE, text, step=answer.step, host=host, level=level))
    return errors


async def _put_back(context: Context, host: str, found: Answer) -> Answer | HomewrightError:
    way = endpoint(host, context.site, context.facts, context.state)
    limit = time.monotonic() + armed.COMMAND_LIMIT_S + GRACE_S
    answer: Answer | HomewrightError = found
    asked = False
    while time.monotonic() < limit and not context.stop.is_set():
        if isinstance(answer, Answer) and answer.found is Found.REVERTED:
            await asyncio.to_thread(_request, context, way, armed.asking("forget"))
            return answer
        if isinstance(answer, Answer) and answer.found is Found.NONE:
            return found  # somebody was quicker, on its console
        answer = await asyncio.to_thread(_request, context, way, armed.asking("look" if asked else "fire", found.token))
        asked = asked or isinstance(answer, Answer)
        if not (isinstance(answer, Answer) and answer.found is Found.REVERTED):
            await asyncio.sleep(LOOK_S / 2)
    if isinstance(answer, HomewrightError):
        return answer
    return HomewrightError(
        f"{host} is still armed by step {found.step}, which was cut off.",
        "It did not put everything back.",
        [f"on {host}: sudo sh {armed.BASE}/put-back", "then: homewright resume"],
    )


def _request(context: Context, way: Endpoint, request: object) -> Answer | HomewrightError:
    try:
        with Connection.open(way) as connection:
            guard = Guard(context.controller, context.fences.number)
            guarded = guard.around(shlex.join(armed.command(request)))
            done = connection.run(guarded, sudo=True, stdin=armed.SCRIPT.encode(), timeout=60)
            return Answer.from_json(done.stdout)
    except HomewrightError as error:
        return error
    except ValueError:
        return HomewrightError(f"{way.name} did not say how it is armed.", done.stdout[-300:])


def _minutes(minutes: float) -> str:
    return f"{minutes:g} minutes" if minutes >= 1 else f"{minutes * 60:.0f} s"
