"""The site's LXD cluster: formed on the first server, joined by the others, and never made out of somebody else's."""

from __future__ import annotations

import base64
import json
import shlex
import time
from collections.abc import Container, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from homewright.access import key_change
from homewright.discovery.facts import HostFacts
from homewright.engine.runners.host import Host, together
from homewright.errors import HomewrightError
from homewright.lxd import succession
from homewright.lxd.client import PORT, Lxd, LxdAway, LxdError
from homewright.lxd.identity import Identity
from homewright.planning import platform
from homewright.planning.instances import InstancePlan, place
from homewright.planning.pools import POOL
from homewright.site.models import Site
from homewright.stages.lxd import packages, pool
from homewright.stages.lxd import standing as standings
from homewright.stages.lxd.standing import OWNER, judge, look, owner_of, refused

ONLINE_S = 120.0
"""How long the cluster may take to hear of a member that was started. LXD beats every 10 s, and calls Offline who was
silent for 20 s (cluster.offline_threshold)."""
HEARD_S = 60.0
"""How long a member that has just joined may take to know the cluster's certificates; it was a second where seen."""


class Standing:
    """One server: what was found there, and how it stands to our cluster."""

    def __init__(self, host: Host, found: standings.Lxd, who: Identity) -> None:
        self.host = host
        self.found = found
        # A server that this step was not asked about has run it already: what is there was judged then.
        installed_before = host.requested and bool(host.capture.get("package"))
        self.state, self.why = judge(host.name, found, host.site, who, installed_before)


def everyone(hosts: Sequence[Host]) -> list[Host]:
    """These hosts and all other servers of the site, in the site's order."""
    known = {host.name: host for host in (*hosts, *(hosts[0].peers if hosts else ()))}
    names = [server.name for server in hosts[0].site.servers] if hosts else []
    return [known[name] for name in names if name in known]


def identity(host: Host) -> Identity:
    """Who the engine is to LXD. Raises StateError."""
    return Identity.of(host.secrets)


def stand(hosts: Sequence[Host]) -> dict[str, Standing]:
    """Look at all servers of the site; one that cannot be looked at is missing."""
    who = identity(hosts[0])
    found = together(everyone(hosts), look)
    by_name = {host.name: host for host in everyone(hosts)}
    stood = {name: Standing(by_name[name], one, who) for name, one in found.items()}
    whole = len(stood) == len(by_name)
    for name, one in stood.items():
        others = [other for other in stood.values() if other is not one]
        if one.state == "silent" and no_member(name, others, whole):
            one.state = "half"
    return stood


def no_member(name: str, others: Sequence[Standing], whole: bool) -> bool:
    """Whether a server whose LXD does not answer is certainly no member of our cluster.

    Its cluster says so; or there is none, since no other server has a cluster's certificate. `whole` says that all
    servers were looked at. A member that is silent because the others are down must never be put back.
    """
    members = [other.found.members for other in others if other.state == "ours"]
    if members:
        return not any(name in known for known in members)
    return whole and not any(other.found.certified for other in others)


def refuse(hosts: Sequence[Host], stood: Mapping[str, Standing]) -> None:
    """Nothing is changed anywhere while one server is somebody else's, or has no LXD to install. Raises it on all."""
    reasons = {name: one.why for name, one in stood.items() if one.state == "foreign" and one.host.requested}
    for host in hosts:
        if host.name in reasons:
            host.error = refused(reasons[host.name])
        elif reasons and host.error is None:
            host.error = HomewrightError(f"{host.name} was left as it is.", f"{' '.join(reasons.values())}")


def refuse_unlike(hosts: Sequence[Host], stood: Mapping[str, Standing]) -> None:
    """Nothing is changed anywhere where a server would have to join with another LXD than the others'. Raises it on
    all. A cluster that is whole goes on: its members may be getting their update one by one."""
    if all(one.state == "ours" for one in stood.values()):
        return
    unlike = standings.differing({name: one.found for name, one in stood.items()}, packages.CHANNEL)
    for host in hosts if unlike else ():
        if host.error is None:
            host.error = HomewrightError(
                f"{unlike}: servers of one cluster need one LXD.",
                "LXD takes no member of another version. Nothing was changed.",
                [
                    "give all servers the same system, or leave the one that differs out of the site",
                    f"or bring an older LXD to the others' version: sudo snap refresh lxd --channel={packages.CHANNEL}",
                ],
            )


def pinned(host: Host, folder: str) -> bytes:
    """The certificate that this server's LXD shows: the cluster's, read over SSH. Raises LxdError where it has none."""
    certificate = host.read(f"{folder}/cluster.crt") or host.read(f"{folder}/server.crt")
    if certificate is None:
        raise LxdError(f"LXD on {host.name} has no certificate.", f"There is none in {folder}.")
    return certificate


def elsewhere(host: Host, members: Container[str]) -> list[str]:
    """The other servers of the site that are in another cluster than this one, whose members these are."""
    mine, found = certificate_of(host), []
    for peer in host.peers:
        # Who is off is in none that anybody could see; this server's own proof does not fail by it.
        with suppress(HomewrightError):
            if peer.name not in members and certificate_of(peer) not in (None, mine):
                found.append(peer.name)
    return found


def certificate_of(host: Host) -> bytes | None:
    """The certificate of the cluster that a server is in; None where it is in none."""
    return next(filter(None, (host.read(f"{folder}/cluster.crt") for folder in _FOLDERS)), None)


def connect(host: Host, folder: str | None = None) -> Lxd:
    """LXD's API on a server over HTTPS, as seen from here. Raises LxdError, and as `Host.run` does."""
    where = folder or (_FOLDERS[1] if host.exists(_FOLDERS[1]) else _FOLDERS[0])
    succession.settle(lambda command: host.run(command).stdout, host.secrets)
    return Lxd(host.name, host.address, pinned(host, where), identity(host))


def connected(host: Host) -> AbstractContextManager[Lxd]:
    """As `connect`, for a proof: those that are proved beside it use the same one. Raises as `connect`."""
    return host.sharing(("lxd", host.endpoint), lambda: connect(host))


def any_member(hosts: Sequence[Host], limit: float = HEARD_S) -> Lxd:
    """The cluster's API on the first of its servers that answers: LXD comes up a while after its server does.

    Raises LxdError where none does within the limit, at once where that is for another reason.
    """
    until = time.monotonic() + limit
    while True:
        errors: list[HomewrightError] = []
        for host in everyone(hosts):
            try:
                lxd = connect(host)
            except HomewrightError as failure:
                errors.append(failure)
                continue
            try:
                lxd.get("cluster/members")  # not before most of its members are back
            except LxdError as error:
                lxd.close()
                errors.append(error)
            else:
                return lxd
        if not any(isinstance(one, LxdAway) for one in errors) or time.monotonic() > until:
            raise next(iter(errors), LxdError("The site has no server with LXD."))
        time.sleep(1.0)


_FOLDERS = ("/var/lib/lxd", "/var/snap/lxd/common/lxd")


def instance_plan(site: Site, facts: Mapping[str, HostFacts]) -> InstancePlan:
    """The instances of the site. Raises HomewrightError where a server's hardware is not known."""
    unknown = [server.name for server in site.servers if server.name not in facts]
    if unknown:
        raise HomewrightError(
            f"The hardware of {', '.join(unknown)} is not known.",
            "What LXD and its instances are made of is planned by it.",
            ["homewright discover", "then: homewright retry"],
        )
    return place(site, facts, need=platform.need(site))


def first_preseed(site: Site, server: str, owner: str, kind: str, plan: InstancePlan) -> str:
    """What the first member is made of: its own address, the mark that says whose it is, the pool. JSON is YAML."""
    document = {
        "config": {"core.https_address": f"{site.server(server).address}:{PORT}", OWNER: owner, **_proxy(site)},
        "storage_pools": [
            {"name": POOL, "driver": kind, "config": {OWNER: owner, **pool.config(kind, plan, server)}},
        ],
        "cluster": {"enabled": True, "server_name": server},
    }
    return json.dumps(document)


def join_preseed(site: Site, server: str, token: str, kind: str, plan: InstancePlan) -> str:
    """What another member joins by. It holds the token: standard input only."""
    given = [
        {"entity": "storage-pool", "name": POOL, "key": key, "value": value}
        for key, value in pool.config(kind, plan, server).items()
    ]
    cluster = {
        "enabled": True,
        "server_name": server,
        "server_address": f"{site.server(server).address}:{PORT}",
        "cluster_token": token,
        "member_config": given,
    }
    return json.dumps({"cluster": cluster})


def _proxy(site: Site) -> dict[str, str]:
    proxy = site.network.proxy
    if proxy is None:
        return {}
    ignored = ",".join(server.address for server in site.servers)
    return {"core.proxy_http": proxy, "core.proxy_https": proxy, "core.proxy_ignore_hosts": ignored}


def token_of(answer: Mapping[str, Any]) -> str:
    """A join token in the form that `lxd init` takes, of what the API answered."""
    document = {
        "server_name": answer["serverName"],
        "fingerprint": answer["fingerprint"],
        "addresses": answer["addresses"],
        "secret": answer["secret"],
        "expires_at": answer["expiresAt"],
    }
    return base64.b64encode(json.dumps(document).encode()).decode()


def form(hosts: Sequence[Host], stood: Mapping[str, Standing]) -> None:
    """One cluster of all these servers: the first one begins it where there is none, the others join one by one.

    A host where that fails has its `error`; without a first member nobody can join. None is begun while a server of the
    site is not known to be in none.
    """
    site, who = hosts[0].site, identity(hosts[0])
    plan = instance_plan(site, hosts[0].facts)
    members = [one.host for one in stood.values() if one.state == "ours"]
    for one in stood.values():
        if one.state == "silent" and one.host.error is None:
            one.host.error = LxdError(
                f"LXD on {one.host.name} does not answer.",
                f"It may be a member of the cluster, so nothing of it is touched: {one.found.why_not}.",
                [f"on {one.host.name}: sudo journalctl -u lxd -n 30", "start the other servers: most must be up"],
            )
    away = [server.name for server in site.servers if server.name not in stood or stood[server.name].state == "silent"]
    if not members and away:
        # The cluster may live there, or wait for its majority: a second one beside it would be a split for good.
        for host in hosts:
            host.error = host.error or LxdError(
                f"Whether there is a cluster already cannot be told, so {host.name} begins none.",
                f"{', '.join(away)} {'do' if len(away) > 1 else 'does'} not answer, and may be in one.",
                [f"start {', '.join(away)}, then: homewright retry", "or leave what is lost out of the site"],
            )
        return
    waiting = [host for host in hosts if host.error is None and host not in members]
    first = members[0] if members else waiting[0] if waiting else None
    if first is None:
        return
    if not members:
        with first.task("Cluster of one") as task:
            drivers = pool.able(hosts, _drivers(stood), site.instances.storage)
            if first.error is not None:
                for host in waiting:
                    host.error = host.error or LxdError(
                        f"There is no cluster that {host.name} could join.",
                        f"{first.name} was to begin it, and its LXD has not come up again.",
                        [f"see what is said of {first.name}, then: homewright retry"],
                    )
                return
            kind, why = pool.choose(site, first.facts, drivers)
            first.say(f"storage is {kind}. {why}")
            _init(first, first_preseed(site, first.name, owner_of(site, who), kind, plan))
            task.changed = True
    with first.task("Trust in the site's certificate") as task:
        task.changed = trust(first, who)
    with connect(first) as lxd:
        _forget_the_lost(first, lxd)
        kind = str(lxd.get(f"storage-pools/{POOL}")["driver"])
        joining = [host for host in waiting if host is not first]
        pool.refuse_without(joining, pool.able(joining, _drivers(stood), kind), kind)
        for host in joining:
            if host.error is None:
                try:
                    _join(host, lxd, kind, plan)
                except Exception as error:  # told as that host's failure by the runner
                    host.error = error
        _tell_quorum(first, len(lxd.get("cluster/members")))


def _drivers(stood: Mapping[str, Standing]) -> dict[str, tuple[str, ...]]:
    return {name: one.found.drivers for name, one in stood.items() if one.host.error is None}


def _forget_the_lost(host: Host, lxd: Lxd) -> None:
    """Members that the site says do not come back are removed by force: the others wait for them no longer."""
    for one in host.site.leaving:
        if one.lost and lxd.find(f"cluster/members/{one.name}") is not None:
            with host.task(f"{one.name} is forgotten by the cluster") as task:
                gone = [
                    instance["name"]
                    for instance in lxd.get("instances", recursion=1)
                    if instance["location"] == one.name
                ]
                if gone:
                    host.say(f"{', '.join(gone)} went with {one.name}")
                key_change.gone(host.key_file, gone)  # before it: a member that is forgotten is not met again
                task.changed = lxd.delete(f"cluster/members/{one.name}", force=1)


def _join(host: Host, lxd: Lxd, kind: str, plan: InstancePlan) -> None:
    with host.task("Join the cluster") as task:
        if lxd.find(f"cluster/members/{host.name}") is not None:
            # A machine that was lost, or a join that was cut off: this server itself is no member.
            lost = [one["name"] for one in lxd.get("instances", recursion=1) if one["location"] == host.name]
            host.say(f"an earlier {host.name} is removed from the cluster" + (f", with {', '.join(lost)}" * bool(lost)))
            lxd.delete(f"cluster/members/{host.name}", force=1)
        token = token_of(lxd.ask("cluster/members", {"server_name": host.name}))
        _init(host, join_preseed(host.site, host.name, token, kind, plan))
        task.changed = True
        retell(lxd, identity(host))
        heard(host)


def retell(lxd: Lxd, who: Identity) -> None:
    """Have the cluster tell its members once more that it trusts the site's certificate.

    A member that has just joined hears of it with the next heartbeat, up to 10 s later, or when the certificate is set:
    so it is set, to what it is.
    """
    with suppress(LxdError):  # it is heard of all the same, only later
        known = lxd.get(f"certificates/{who.fingerprint}")
        writable = ("name", "type", "restricted", "projects", "certificate")
        given = {name: known[name] for name in writable if name in known}
        lxd.put(f"certificates/{who.fingerprint}", given)


def heard(host: Host, limit: float = HEARD_S) -> None:
    """Wait until a new member trusts whom the cluster trusts: it hears of that a moment after it has joined.

    Raises LxdError where it never does.
    """
    until = time.monotonic() + limit
    while True:
        try:
            with connect(host) as lxd:
                lxd.get("cluster/members")
            return
        except LxdError:
            if time.monotonic() > until:
                raise
        time.sleep(0.5)


def online(host: Host, limit: float = ONLINE_S) -> None:
    """Wait until the cluster says of a member that was started that it is there: its word comes with a heartbeat.

    Raises LxdError where that never comes.
    """
    until = time.monotonic() + limit
    while True:
        try:
            with connect(host) as lxd:
                member = lxd.get(f"cluster/members/{host.name}")
            if member["status"] != "Offline":
                return
            why = LxdError(f"The cluster does not hear of {host.name}.", str(member["message"]))
        except LxdError as error:
            why = error
        if time.monotonic() > until:
            raise why
        time.sleep(0.5)


def _init(host: Host, preseed: str) -> None:
    host.run("PATH=$PATH:/snap/bin; exec lxd init --preseed", stdin=preseed.encode(), timeout=300)


def trust(host: Host, who: Identity) -> bool:
    """See that LXD trusts the site's certificate, told over SSH; whether it had to be told."""
    # lxc would keep settings of its own in root's home.
    own = "PATH=$PATH:/snap/bin; export LXD_CONF=$(mktemp -d); trap 'rm -rf \"$LXD_CONF\"' EXIT"
    listed = json.loads(host.run(f"{own}; lxc query /1.0/certificates?recursion=1").stdout)
    if who.fingerprint in {one["fingerprint"] for one in listed}:
        return False
    body = json.dumps({"type": "client", "name": "homewright", "certificate": who.body})
    host.run(f"{own}; lxc query -X POST -d {shlex.quote(body)} /1.0/certificates")
    return True


def _tell_quorum(host: Host, members: int) -> None:
    if members == 1:
        host.say("a cluster of one server: when it is down, so is everything; more servers can join at any time")
    elif members == 2:
        host.say(
            "two members have no quorum: when one is down, the other's instances go on, and nothing in LXD can be "
            "changed until both are up"
        )


def mend(hosts: Sequence[Host], stood: Mapping[str, Standing]) -> bool:
    """Put every formation of ours that was cut off back to a fresh LXD; whether there was one."""
    lost = [one for one in stood.values() if one.state == "silent" and _is_empty_member(one.host, stood)]
    halves = [one.host for one in stood.values() if one.state == "half" or one in lost]
    halves = [host for host in halves if host.requested and host.error is None]

    def back(host: Host) -> None:
        with host.task("A formation that was cut off is taken back") as task:
            found = stood[host.name].found
            host.say(f"LXD is put back to how it was installed: {found.why_not or 'it is in no cluster'}")
            packages.reset(host, found)
            task.changed = True

    together(halves, back)
    return bool(halves)


def _is_empty_member(host: Host, stood: Mapping[str, Standing]) -> bool:
    """Whether the cluster itself answers and has no instance on this member: a join that was cut off looks like it."""
    for other in stood.values():
        if other.state == "ours" and other.host is not host:
            try:
                with connect(other.host) as lxd:
                    return all(one["location"] != host.name for one in lxd.get("instances", recursion=1))
            except HomewrightError:
                continue
    return False


def staying(hosts: Sequence[Host], stood: Mapping[str, Standing]) -> list[Host]:
    """The members of our cluster besides these servers."""
    return [one.host for one in stood.values() if one.state == "ours" and one.host not in hosts]


def leave(hosts: Sequence[Host], stood: Mapping[str, Standing]) -> None:
    """Take these servers out of the cluster, where others remain in it. A host where that fails has its `error`."""
    others = staying(hosts, stood)
    if not others:
        return
    with connect(others[0]) as lxd:
        for host in hosts:
            if stood[host.name].state == "ours" and host.error is None:
                try:
                    with host.task("Leave the cluster") as task:
                        task.changed = lxd.delete(f"cluster/members/{host.name}")
                except Exception as error:  # told as that host's failure by the runner
                    host.error = error
