"""Ports of a server that lead to the instance on it: the LAN has no way to the instances' own addresses.

systemd listens at the server's address and hands each connection on by its own small proxy (systemd-socket-proxyd): no
rule of a firewall has to let it through, whoever connects from wherever, the server itself included.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from homewright.engine.runners.host import Host
from homewright.planning.cluster import API_PORT, WEB_PORTS, ClusterPlan, Lead
from homewright.stages.cluster import documents
from homewright.stages.cluster.look import Refused

PROXY = "/usr/lib/systemd/systemd-socket-proxyd"
PORTS = (*WEB_PORTS, API_PORT)
"""All that may lead somewhere, whatever is planned."""
CONNECTIONS = 2048
"""At a time on one port; each takes six open files of the proxy."""
_EVERYWHERE = ("0.0.0.0", "*", "[::ffff:0.0.0.0]")
"""As `ss` writes an address that IPv4 is heard at; [::] is a socket for IPv6 alone, and in nobody's way."""


def unit(port: int, suffix: str) -> str:
    """The name of a port's unit."""
    return f"homewright-port-{port}.{suffix}"


def path(port: int, suffix: str) -> str:
    """Where its file is."""
    return f"{documents.UNITS}/{unit(port, suffix)}"


def command(lead: Lead) -> str:
    """The command of a port's proxy. Pure."""
    return f"{PROXY} --connections-max={CONNECTIONS} {lead.to}"


def files(address: str, leads: Sequence[Lead]) -> dict[str, str]:
    """The files of a server at this address, by their path. Pure."""
    found = {}
    for lead in leads:
        said = f"Port {lead.port} of this server, which leads to the node {lead.node} (Homewright)"
        found[path(lead.port, "socket")] = _SOCKET.format(said=said, address=address, port=lead.port)
        found[path(lead.port, "service")] = _SERVICE.format(
            said=said, socket=unit(lead.port, "socket"), command=command(lead), files=CONNECTIONS * 6 + 64
        )
    return found


@dataclass(frozen=True)
class Seen:
    """What a server says of these ports."""

    proxy: bool
    ours: frozenset[int]
    """Those at which systemd listens for us."""
    lasting: frozenset[int]
    """Those at which it will after a restart, too."""
    there: frozenset[int]
    """Those that we have a file for."""
    listeners: tuple[tuple[str, int, str], ...]
    """Address, port and program of everybody who listens."""
    unread: frozenset[int] = frozenset()
    """Those whose files systemd has not read since they were changed."""
    running: tuple[tuple[int, str], ...] = ()
    """The command of each proxy that runs, by its port. One begins with the first connection."""


_LOOK = f"""
[ ! -x {PROXY} ] || echo proxy
for port in {" ".join(map(str, PORTS))}; do
    [ "$(systemctl is-active homewright-port-$port.socket)" != active ] || echo "ours $port"
    [ "$(systemctl is-enabled homewright-port-$port.socket 2>/dev/null)" != enabled ] || echo "lasting $port"
    for file in {documents.UNITS}/homewright-port-$port.socket {documents.UNITS}/homewright-port-$port.service; do
        [ ! -e $file ] || echo "there $port"
    done
    ! systemctl show --property NeedDaemonReload --value homewright-port-$port.socket homewright-port-$port.service |
        grep -qx yes || echo "unread $port"
    process=$(systemctl show --property MainPID --value homewright-port-$port.service)
    said=$(cat /proc/$process/cmdline 2>/dev/null | tr '\\0' ' ')
    # Before it is the proxy it is systemd's own for a moment.
    case $said in {PROXY}" "*) echo "running $port $said" ;; esac
done
ss -Hlntp | awk '{{
    n = split($4, a, ":"); who = $6; sub(/^users:\\(\\("/, "", who); sub(/".*/, "", who)
    print "listener", substr($4, 1, length($4) - length(a[n]) - 1), a[n], who
}}'
"""


def look(host: Host) -> Seen:
    """Ask a server. Raises CommandFailed, Unreachable."""
    return parse(host.run(_LOOK).stdout)


def parse(said: str) -> Seen:
    """What the look printed. Pure."""
    lines = [line.split() for line in said.splitlines() if line.split()]

    def ports(word: str) -> frozenset[int]:
        return frozenset(int(words[1]) for words in lines if words[0] == word)

    listeners = tuple(
        (words[1].partition("%")[0], int(words[2]), " ".join(words[3:]))
        for words in lines
        if words[0] == "listener" and len(words) > 2 and words[2].isdigit()
    )
    running = tuple((int(words[1]), " ".join(words[2:])) for words in lines if words[0] == "running")
    return Seen(
        ["proxy"] in lines, ports("ours"), ports("lasting"), ports("there"), listeners, ports("unread"), running
    )


def refusals(name: str, address: str, leads: Sequence[Lead], seen: Seen) -> Iterator[Refused]:
    """What speaks against it, before anything is changed. Pure."""
    if leads and not seen.proxy:
        yield Refused(
            f"{name} has no {PROXY}.",
            "It comes with systemd, and hands connections on to the instance.",
            ["install what has it: sudo apt-get install --reinstall systemd, then: homewright retry"],
        )
    for lead in leads:
        if lead.port in seen.ours:
            continue
        for where, port, who in seen.listeners:
            if port == lead.port and where in (address, f"[::ffff:{address}]", *_EVERYWHERE):
                yield Refused(
                    f"Port {port} of {name} is in use by {who or 'another program'}.",
                    f"It is to lead to {lead.node}, which the LAN has no other way to.",
                    [
                        f"look at it: sudo ss -lntp 'sport = :{port}'",
                        f"stop it, or let it listen at another address than {address}, then: homewright retry",
                    ],
                )
                break


def behind(address: str, lead: Lead, seen: Seen) -> str:
    """What of a port's units is still what it was before their files were changed, in a few words; empty where all of
    it is as they say. Whoever changes them may be cut off before systemd hears of it. Pure."""
    if lead.port in seen.unread:
        return "systemd has not read its units since they were changed"
    if (address, lead.port) not in {(where, port) for where, port, _ in seen.listeners}:
        return f"nothing listens at {address}:{lead.port}"
    now = dict(seen.running).get(lead.port)
    return f"what runs is {now}" if now not in (None, command(lead)) else ""


def make(host: Host, plan: ClusterPlan) -> bool:
    """Have the planned ports lead on, and no others; whether anything was not so. Raises as `Host.run`."""
    leads = plan.leads(host.name)
    wanted = files(host.address, leads)
    changed = {place for place, text in wanted.items() if host.write(place, text.encode())}
    seen = look(host)
    planned = {lead.port: lead for lead in leads}
    stale = sorted(seen.there - planned.keys())
    if stale:
        _remove(host, stale)
    begin = [
        port
        for port, lead in sorted(planned.items())
        if {path(port, "socket"), path(port, "service")} & changed
        or port not in seen.ours & seen.lasting
        or behind(host.address, lead, seen)
    ]
    if begin:
        sockets = shlex.join(unit(port, "socket") for port in begin)
        services = shlex.join(unit(port, "service") for port in begin)
        # A socket is not begun anew while its service runs, and a service has its address from its start.
        host.run(
            f"set -e\nsystemctl daemon-reload\nsystemctl stop {services} 2>/dev/null || true\n"
            f"systemctl enable -q {sockets}\nsystemctl restart {sockets}\n",
            timeout=60,
        )
    return bool(stale or begin)


def take_back(host: Host) -> bool:
    """Have no port of ours lead anywhere; whether one did."""
    there = sorted(look(host).there)
    if there:
        _remove(host, there)
    return bool(there)


def _remove(host: Host, ports: Sequence[int]) -> None:
    units = [unit(port, suffix) for port in ports for suffix in ("socket", "service")]
    paths = [path(port, suffix) for port in ports for suffix in ("socket", "service")]
    host.run(
        f"systemctl disable -q --now {shlex.join(units[::2])} 2>/dev/null\n"
        f"systemctl stop {shlex.join(units)} 2>/dev/null\n"
        f"rm -f {shlex.join(paths)}\nsystemctl daemon-reload\n"
        f"systemctl reset-failed {shlex.join(units)} 2>/dev/null\ntrue",
        timeout=60,
    )


def wrong(name: str, address: str, wanted: Mapping[Lead, bool], seen: Seen) -> str:
    """Why the ports do not lead on as planned, in a sentence; empty where they do. `wanted` has the planned ports, and
    whether their files are as planned; the address is the server's. Pure."""
    for lead, same in wanted.items():
        port = lead.port
        if not same:
            return f"The units of port {port} on {name} are not what the site says."
        if port not in seen.ours:
            return f"Port {port} of {name} leads nowhere: {unit(port, 'socket')} does not listen."
        if port not in seen.lasting:
            return f"Port {port} of {name} would lead nowhere after a restart: {unit(port, 'socket')} is not enabled."
        if why := behind(address, lead, seen):
            return f"Port {port} of {name} does not lead to {lead.to}: {why}."
    if left := sorted(seen.there - {lead.port for lead in wanted}):
        return f"Port {left[0]} of {name} leads to what is no node there any more."
    return ""


def told(name: str, leads: Sequence[Lead]) -> str:
    """Where a server's ports lead, in a sentence. Pure."""
    ports: dict[str, list[str]] = {}
    for lead in leads:
        ports.setdefault(lead.node, []).append(str(lead.port))
    each = [f"{'ports' if len(some) > 1 else 'port'} {', '.join(some)} to {node}" for node, some in ports.items()]
    return f"Of {name} {'lead' if len(leads) > 1 else 'leads'} {' and '.join(each)}."


_SOCKET = """\
[Unit]
Description={said}

[Socket]
ListenStream={address}:{port}
# It is there before the network is.
FreeBind=yes
NoDelay=yes
# Or whoever went without a word would have a connection for good.
KeepAlive=yes
KeepAliveTimeSec=300

[Install]
WantedBy=sockets.target
"""
_SERVICE = """\
[Unit]
Description={said}
Requires={socket}
After={socket} network.target

[Service]
ExecStart={command}
DynamicUser=yes
LimitNOFILE={files}
"""
