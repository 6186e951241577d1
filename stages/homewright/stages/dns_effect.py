"""The DNS server and the resolvers of a host: looked at, put into effect, and tried by real lookups."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from homewright.engine.runners.host import Host
from homewright.planning import zone
from homewright.planning.zone import ZonePlan
from homewright.stages import dns_server, packages, resolvers
from homewright.stages.resolvers import Refused, Seen

_SEEN = r"""
said() { printf '%s\n' "$1"; }
cat /etc/resolv.conf 2>/dev/null; said "$1"
readlink -f /etc/resolv.conf | grep -vx /etc/resolv.conf; said "$1"
systemctl is-active --quiet systemd-resolved && echo yes; said "$1"
cat /run/systemd/resolve/resolv.conf 2>/dev/null; said "$1"
[ -e /etc/resolv.conf ] && echo yes; said "$1"
own=$(readlink /proc/self/ns/pid)
for file in $(grep -lx dhclient /proc/[0-9]*/comm 2>/dev/null); do
    [ "$(readlink "${file%comm}ns/pid")" != "$own" ] || { echo dhclient; break; }
done
"""
"""A container's DHCP client is one of its server's processes, and writes the container's file."""
_MIRRORS = r"""
command -v apt-get >/dev/null || exit 0
apt-get update --print-uris 2>/dev/null | sed -n "s|^'\([^/]*://[^/]*\)/.*|\1|p" | sort -u
"""
"""`apt-get indextargets` tells them too, and for that builds the index of all packages: 0.7 s without a cache."""
_LISTENERS = "ss -Hlntup 'sport = :53' | awk '{print $5, $7}'"
_ACTIVE = "systemctl is-active named.service; systemctl is-enabled named.service; true"
START_S = 30


def plan_of(host: Host) -> ZonePlan:
    """The zone as it is planned. Raises Refused where the site has none."""
    if host.site.zone is None:
        raise Refused("The site has no zone.", "Without one there is nothing to serve.", ["homewright site set zone …"])
    return zone.planned(host.site, host.facts)


def look(host: Host) -> Seen:
    """How this host resolves names. Raises as Host.run."""
    mark = "\036"
    parts = host.run(["sh", "-c", _SEEN, "sh", mark]).stdout.split(f"{mark}\n")
    text, link, resolved, uplink, there, client = (*parts, *[""] * 6)[:6]
    return Seen(text if there.strip() else None, link.strip(), resolved.strip() == "yes", uplink, client.strip())


def upstream(host: Host, seen: Seen) -> tuple[str, ...]:
    """The DNS servers that this host asked before it asked ours."""
    before = host.capture.get("upstream")
    return zone.upstream(host.site, before if before else seen.servers)


def refuse(host: Host, plan: ZonePlan) -> None:
    """Raises Refused where something of the host is somebody else's, before anything is changed."""
    foreign = resolvers.why_foreign(host.name, look(host))
    if foreign is not None:
        raise foreign
    if host.name != plan.server:
        return
    listening = [line.split(" ", 1) for line in host.run(_LISTENERS).stdout.splitlines()]
    ours = host.exists(dns_server.MARK)
    if not ours and (host.exists("/usr/sbin/named") or host.exists("/etc/bind/named.conf.local")):
        raise Refused(
            f"{host.name} has a DNS server already, which Homewright did not make (bind9).",
            "Its zones and its named.conf are left as they are, and nothing was changed.",
            ["take it away: sudo apt-get purge bind9", "or make another server the first of the site"],
        )
    wanted = (plan.address, *([plan.overlay[plan.server]] if plan.overlay else ()))
    for where, *who in listening:
        address = where.rpartition(":")[0].partition("%")[0].strip("[]")
        name = who[0].split('"')[1] if who and '"' in who[0] else "a program"
        if address in ("*", "0.0.0.0", "::", *wanted) and not (ours and name == "named"):
            raise Refused(
                f"Port 53 of {host.name} is in use: {name} listens on {where}.",
                "A DNS server of the platform cannot answer beside it, so nothing was changed.",
                ["look at it: sudo ss -lntup 'sport = :53'", f"stop {name} or let it listen on other addresses"],
            )


def set_up_server(host: Host, plan: ZonePlan) -> None:
    """bind9 with our configuration, running."""
    forwarders = upstream(host, look(host))
    wanted = dns_server.files(plan, forwarders)
    with host.task("DNS server") as task:
        # In this order named never answers by the package's own configuration: its unit waits for ours.
        task.changed = host.write(dns_server.MARK, f"{plan.zone}\n".encode())
        task.changed |= _folder(host, str(Path(dns_server.DROP_IN).parent))
        if host.write(dns_server.DROP_IN, wanted[dns_server.DROP_IN].encode()):
            host.run("systemctl daemon-reload")
            task.changed = True
        task.changed |= packages.install(host, [dns_server.PACKAGE])
    with host.task("Zone") as task:
        changed = _folder(host, dns_server.FOLDER)
        there = host.run(["find", dns_server.FOLDER, "-mindepth", "1"]).stdout.split()
        for path in sorted(set(there) - set(wanted)):
            changed |= host.remove(path)
        last = {path: text for path, text in wanted.items() if path != dns_server.CONFIGURATION}
        for path, text in (*last.items(), (dns_server.CONFIGURATION, wanted[dns_server.CONFIGURATION])):
            changed |= host.write(path, text.encode())
        if changed:
            host.run(["named-checkconf", "-z", dns_server.CONFIGURATION])
        # What runs may be another configuration than what is written: it was changed by hand and put back.
        right = host.run(_ACTIVE).stdout.split() == ["active", "enabled"] and _answers(host, plan)
        if changed or not right:
            host.run("systemctl enable --quiet named.service && systemctl restart named.service", timeout=START_S)
            host.run(_until_it_answers(plan.address), timeout=START_S + 10)
            changed = True
        task.changed = changed


def set_resolvers(host: Host, plan: ZonePlan) -> None:
    """This host asks our server first, and those of before after it."""
    seen = look(host)
    with host.task("Resolvers") as task:
        if seen.by_resolved:
            task.changed = _folder(host, str(Path(resolvers.RESOLVED).parent))
            text = resolvers.drop_in(plan.address, plan.zone, tuple(dns_server.reverse(plan)))
            if host.write(resolvers.RESOLVED, text.encode()):
                host.run("systemctl restart systemd-resolved")
                task.changed = True
        else:
            text = resolvers.plain(seen.text or "", plan.address, upstream(host, seen))
            task.changed = host.write(resolvers.RESOLV, text.encode())


def capture(host: Host) -> dict[str, Any]:
    """What taking it back needs to know of the host before."""
    seen, ours = look(host), host.exists(dns_server.MARK)
    text = seen.text
    if text is not None and text.startswith(resolvers.HEADER):  # an earlier run's, of which nothing was written down
        text = resolvers.without(text, plan_of(host).address)
    folders = (str(Path(resolvers.RESOLVED).parent), str(Path(dns_server.DROP_IN).parent), "/etc/bind")
    bind = host.run("getent passwd bind >/dev/null && echo yes; true").stdout.strip() == "yes"
    return {
        "resolv": text,
        "state": host.stat(resolvers.RESOLV),
        "link": bool(seen.link),
        "upstream": list(zone.upstream(host.site, seen.servers)),
        "folders": [folder for folder in folders if host.exists(folder)],
        "account": bind,
        "packages": [name for name in packages.installed(host) if not ours or name != dns_server.PACKAGE],
    }


def put_resolvers_back(host: Host) -> None:
    """Whom this host asked before, it asks again. A file that somebody else has written meanwhile stays."""
    before, seen = host.capture, look(host)
    with host.task("Resolvers as before") as task:
        if host.remove(resolvers.RESOLVED):
            host.run("systemctl try-restart systemd-resolved")
            task.changed = True
        if (seen.text or "").startswith(resolvers.HEADER) and not seen.link:
            text = before["resolv"] if "resolv" in before else resolvers.without(seen.text or "", plan_of(host).address)
            if text is not None:
                mode, owner = str(before.get("state") or "644 root:root").split()
                task.changed |= host.write(resolvers.RESOLV, text.encode(), mode=int(mode, 8), owner=owner)
            else:
                task.changed |= host.remove(resolvers.RESOLV)
        task.changed |= _without_folder(host, str(Path(resolvers.RESOLVED).parent))


def take_server_away(host: Host) -> None:
    """No DNS server, where it is ours."""
    if not host.exists(dns_server.MARK):
        return
    with host.task("No DNS server") as task:
        host.run("systemctl disable --quiet --now named.service 2>/dev/null; true", timeout=START_S)
        packages.remove(host, [dns_server.PACKAGE], host.capture.get("packages"))
        for path in (dns_server.FOLDER, dns_server.DROP_IN):
            host.remove(path)
        _without_folder(host, str(Path(dns_server.DROP_IN).parent))
        _without_folder(host, "/etc/bind")
        host.run("systemctl daemon-reload")
        if not host.capture.get("account", True):
            host.run("! getent passwd bind >/dev/null || userdel bind; ! getent group bind >/dev/null || groupdel bind")
        host.remove(dns_server.MARK)
        task.changed = True


def asked(host: Host, server: str, *questions: tuple[str, str]) -> list[str]:
    """What this DNS server says to this host: `0 198.51.100.7` for each question, `none` where it does not answer.

    Raises CommandFailed where the host has no Python.
    """
    script = Path(__file__).with_name("dns_query.py").read_bytes()
    words = shlex.join([server, *(word for question in questions for word in question)])
    return host.run(
        f"python3 -I - {words}", sudo=False, stdin=script, timeout=10 + 5 * len(questions)
    ).stdout.splitlines()


def resolved(host: Host, names: Sequence[str]) -> Mapping[str, str]:
    """What programs on this host find for these names: the first IPv4 address, or nothing."""
    script = "; ".join(f"echo {name} $(getent ahostsv4 {name} | cut -d' ' -f1 | head -1)" for name in names)
    lines = host.run(script, sudo=False, timeout=30 + 10 * len(names)).stdout.splitlines()
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}


def mirror_names(host: Host) -> list[str]:
    """The names of the machines that this host's packages come from; none where they are given by address."""
    own = host.site.mirror
    uris = [one for one in (own.apt, own.pip_index) if one] or host.run(_MIRRORS, sudo=False).stdout.split()
    hosts = {uri.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0] for uri in uris}
    return sorted(name for name in hosts if name and not name.replace(".", "").isdigit())


def _answers(host: Host, plan: ZonePlan) -> bool:
    below = f"{dns_server.PROOF}.{plan.server}.{plan.zone}"
    questions = (("A", f"ns1.{plan.zone}"), ("A", f"{dns_server.PROOF}.{plan.zone}"), ("A", below))
    wanted = [f"0 {address}" for address in (plan.address, plan.ingress, plan.address)]
    return asked(host, plan.address, *questions) == wanted


def _until_it_answers(address: str) -> str:
    listening = f"ss -Hlnu 'sport = :53' | grep -qF {shlex.quote(f'{address}:53')}"
    failed = "systemctl status --no-pager -n 20 named.service; exit 1"
    return f"for n in $(seq {START_S * 5}); do {listening} && exit 0; sleep 0.2; done; {failed}"


def _folder(host: Host, path: str) -> bool:
    if host.exists(path):
        return False
    host.run(["mkdir", "-p", "-m", "755", path])
    return True


def _without_folder(host: Host, path: str) -> bool:
    """Away with a folder that was not there before and is empty now."""
    if path in host.capture.get("folders", (path,)) or not host.exists(path):
        return False
    return "gone" in host.run(f"rmdir {path} 2>/dev/null && echo gone; true").stdout
