"""Measuring between the servers, and on their disks: from the servers themselves, over our own connections.

One connection and one round trip a server, all servers at the same time; a silent one holds up nobody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from homewright.access.connection import CommandFailed, Connection, Endpoint
from homewright.checks.measurements import Measurements, Pair
from homewright.checks.measuring_script import Target, longest_s, script
from homewright.errors import HomewrightError
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder
from homewright.site.rehearsed import Rehearsed

AT_ONCE = 32
"""How many servers measure side by side."""

LEAST_WRITES = 5
"""With fewer there is nothing to call a percentile."""

OnEvent = Callable[[str, "HomewrightError | None"], None]
"""A server has measured, or why it could not."""


@dataclass(frozen=True)
class Wanted:
    """What to measure, and on which servers."""

    pairs: frozenset[tuple[str, str]] = frozenset()
    """Source and target."""
    disk_ms: frozenset[str] = frozenset()
    resolves: frozenset[str] = frozenset()
    resolvers_answer: frozenset[str] = frozenset()
    outbound: frozenset[str] = frozenset()

    @classmethod
    def everything(cls, site: Site, hosts: Collection[str] | None = None) -> Wanted:
        """All of it, for these servers (every one by default) and the pairs that they are part of."""
        names = [server.name for server in site.servers]
        mine = frozenset(names if hosts is None else [name for name in names if name in hosts])
        pairs = frozenset((a, b) for a in names for b in names if a != b and (a in mine or b in mine))
        return cls(pairs, mine, mine, mine, mine)

    @property
    def hosts(self) -> frozenset[str]:
        """The servers that measure something."""
        sources = frozenset(source for source, _ in self.pairs)
        return sources | self.disk_ms | self.resolves | self.resolvers_answer | self.outbound

    def fields(self, host: str) -> tuple[str, ...]:
        """What this server measures, by the names of `Measurements`' fields."""
        single = ("disk_ms", "resolves", "resolvers_answer", "outbound")
        pairs = ("pairs",) if any(source == host for source, _ in self.pairs) else ()
        return (*pairs, *(name for name in single if host in getattr(self, name)))


@dataclass
class Said:
    """What one server measured."""

    pairs: list[Pair] = field(default_factory=list)
    disk_ms: float | None = None
    resolves: dict[str, tuple[str, ...]] = field(default_factory=dict)
    resolvers_answer: dict[str, bool] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def measure(
    site: Site,
    state: StateFolder,
    wanted: Wanted,
    on_event: OnEvent = lambda host, error: None,
    *,
    timeout: float = 10.0,
) -> Measurements:
    """Measure what is wanted. What could not be measured has its reason in `errors` and in `Pair.error`.

    `on_event` is called on the calling thread as each server is done. `timeout` is for the connection, in seconds.
    """
    servers = [server for server in site.servers if server.name in wanted.hosts]
    rehearsed = Rehearsed.of(state)
    said: dict[str, Said | HomewrightError] = {}
    if rehearsed is not None:
        why = HomewrightError("Nothing is measured in a rehearsal.", "Its machines are recordings.")
        said = {server.name: why for server in servers}
    else:
        with ThreadPoolExecutor(min(AT_ONCE, len(servers) or 1), thread_name_prefix="measure") as pool:
            pending = {pool.submit(_ask, server, site, state, wanted, timeout): server.name for server in servers}
            for future in as_completed(pending):
                name = pending[future]
                try:
                    said[name] = future.result()
                    on_event(name, None)
                except HomewrightError as error:
                    said[name] = error
                    on_event(name, error)
    return gathered(site, wanted, {server.name: said[server.name] for server in servers})


def gathered(site: Site, wanted: Wanted, said: Mapping[str, Said | HomewrightError]) -> Measurements:
    """What all servers said, as one. Pure."""
    pairs: list[Pair] = []
    errors: dict[str, dict[str, str]] = {}
    for host, one in said.items():
        if isinstance(one, HomewrightError):
            why = f"{one.what} {one.why}".strip().removesuffix(".")
            errors[host] = dict.fromkeys(wanted.fields(host), why)
            pairs += [
                Pair(source=host, target=target, error=why) for source, target in sorted(wanted.pairs) if source == host
            ]
            continue
        pairs += one.pairs
        if one.errors:
            errors[host] = one.errors
    heard = {host: one for host, one in said.items() if isinstance(one, Said)}
    if site.network.overlay.kind == "zerotier":
        for host in wanted.outbound & heard.keys():
            errors.setdefault(host, {})["outbound"] = "nobody out there answers UDP but ZeroTier itself, once it runs"
    return Measurements(
        pairs=tuple(pairs),
        disk_ms={host: one.disk_ms for host, one in heard.items() if one.disk_ms is not None},
        resolves={host: one.resolves for host, one in heard.items() if host in wanted.resolves},
        resolvers_answer={host: one.resolvers_answer for host, one in heard.items() if host in wanted.resolvers_answer},
        errors=errors,
    )


def _ask(server: Server, site: Site, state: StateFolder, wanted: Wanted, timeout: float) -> Said:
    targets = [
        Target(other.name, other.address, other.port)
        for other in site.servers
        if (server.name, other.name) in wanted.pairs
    ]
    resolves = server.name in wanted.resolves
    names = [other.name for other in site.servers if other.name != server.name] if resolves else []
    text = script(
        pairs=targets,
        names=names,
        resolvers=server.name in wanted.resolvers_answer,
        disk=server.name in wanted.disk_ms,
    )
    with Connection.open(Endpoint.of(server, state), timeout) as connection:
        try:
            done = connection.run("sh -s", stdin=text.encode(), timeout=longest_s(len(targets)), check=False)
        except CommandFailed as error:
            done = error.completed  # out of time: what was measured until then counts
            if not done.stdout.strip():
                raise
    return read(done.stdout, server.name, targets, names, disk=server.name in wanted.disk_ms)


def read(text: str, host: str, targets: Collection[Target], names: Collection[str] = (), *, disk: bool = False) -> Said:
    """What a server printed. Pure; what is missing or not understood stays unknown, with a reason."""
    lines = [line.split(" ", 2) for line in text.splitlines()]
    of: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if len(line) == 3:
            of.setdefault((line[0], line[1]), []).append(line[2])
    said = Said()
    said.pairs = [_pair(host, target, of) for target in targets]
    for name in names:
        code, _, rest = next(iter(of.get(("name", name), ["cut"]))).partition(" ")
        if code.isdigit() and int(code) != 127:
            said.resolves[name] = tuple(rest.split()) if code == "0" else ()
        else:
            said.errors["resolves"] = "it has no getent" if code == "127" else "its answer broke off"
    for (kind, address), results in of.items():
        if kind == "resolver" and results[0].strip() == "127":
            said.errors["resolvers_answer"] = "asking them one by one takes bash, which is not there"
        elif kind == "resolver":
            said.resolvers_answer[address] = results[0].strip() == "0"
    if disk:
        _disk(said, of)
    return said


def _disk(said: Said, of: Mapping[tuple[str, str], list[str]]) -> None:
    failed = of.get(("disk", "1"))
    if failed:
        said.errors["disk_ms"] = f"writing there did not work: {failed[0].strip()}"
        return
    words = next(iter(of.get(("disk", "0"), [""]))).split()
    took = sorted(float(word) for word in words if re.fullmatch(r"\d+(\.\d+)?(e-\d+)?", word))
    if len(took) < LEAST_WRITES:
        said.errors["disk_ms"] = f"only {len(took)} small writes were through in time, and that says nothing"
        return
    said.disk_ms = round(took[math.ceil(len(took) * 0.99) - 1] * 1000, 3)


_LOSS = re.compile(r"([\d.]+)% packet loss")
_TIMES = re.compile(r"= ?[\d.]+/([\d.]+)/[\d.]+")


def _pair(host: str, target: Target, of: Mapping[tuple[str, str], list[str]]) -> Pair:
    code, _, said = next(iter(of.get(("ping", target.name), ["cut"]))).partition(" ")
    tcp_code, _, tcp_said = next(iter(of.get(("tcp", target.name), ["cut"]))).partition(" ")
    connected = tcp_code == "0"
    tcp_ms = int(tcp_said) / 1000 if connected and tcp_said.strip().isdigit() else None
    loss, times = _LOSS.search(said), _TIMES.search(said)
    door = (
        "" if connected else f"port {target.port} of {target.name} takes no connection: {_why_not(tcp_code, tcp_said)}"
    )
    if loss is None or (float(loss[1]) == 100.0 and connected):
        reason = _no_ping(code, said) if loss is None else "nothing there answers ping, though it takes connections"
        replaced = "; the time is that of a TCP connection" if tcp_ms is not None else ""
        reason = f"{reason}{replaced}; loss and the size of packets are not known"
        return Pair(source=host, target=target.name, rtt_ms=tcp_ms, error="; ".join(filter(None, [reason, door])))
    lost = float(loss[1])
    mtu, why = _mtu(target.name, lost, of) if times else (None, "")
    return Pair(
        source=host,
        target=target.name,
        rtt_ms=float(times[1]) if times else None,
        loss_percent=lost,
        mtu=mtu,
        error="; ".join(filter(None, [door, why])),
    )


def _mtu(name: str, lost: float, of: Mapping[tuple[str, str], list[str]]) -> tuple[int | None, str]:
    """The largest packet that came through whole, and why that is not known where it is not."""
    tried: dict[int, str] = {}
    for one in of.get(("size", name), ()):
        size, _, code = one.partition(" ")
        if size.isdigit():
            tried[int(size)] = code.partition(" ")[0]
    through = [size for size, code in tried.items() if code == "0"]
    own = next((int(one) for one in of.get(("own", name), ()) if one.strip().isdigit()), None)
    if own is not None and tried.get(own) == "0":
        return own, ""
    if lost > 0:
        return None, "the size of packets cannot be told from those that are lost anyway"
    if not through:
        return None, "the size of packets is not known: ping there cannot forbid that they are cut"
    return max(through), ""


def _no_ping(code: str, said: str) -> str:
    if code == "127":
        return "ping is not installed"
    if "not permitted" in said or "ermission denied" in said:
        return "ping is not allowed to the account"
    return f"ping says: {said.strip()[:120]}" if said.strip() else "its answer broke off"


def _why_not(code: str, said: str) -> str:
    if code == "127":
        return "there is no bash, python3 or nc to try with"
    if code == "124":
        return "no answer within 3 s"
    return said.rpartition(": ")[2].strip().lower() or "no answer"
