"""The instances: refused where they cannot be, made side by side, given their account, and looked at from here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from homewright.access import known_hosts
from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.access.known_hosts import HostKey
from homewright.engine.runners.host import Host
from homewright.errors import Cancelled, HomewrightError, Unreachable
from homewright.lxd.client import Lxd, LxdAway, LxdError
from homewright.planning.hosts import SSH_PORT
from homewright.planning.networks import propose
from homewright.planning.pools import POOL
from homewright.stages import environment_file, resolvers
from homewright.stages.lxd import cluster, moving, pool, texts
from homewright.stages.lxd.standing import OWNER, refused
from homewright.stages.lxd.texts import Planned
from homewright.stages.lxd.way import BRIDGE

LEAST_FREE_GIB = 4
"""Less than this in a pool, and an image cannot even be unpacked there."""
BOOT_S = 300.0
"""A virtual machine's first start on a slow disk; a container takes five seconds."""
LOOK_S = 0.5
GROUPS = ("instances",)
Result = TypeVar("Result")


def all_planned(host: Host) -> tuple[Planned, ...]:
    """The site's instances. Raises HomewrightError where a server's hardware is not known."""
    return texts.planned(host.site, cluster.instance_plan(host.site, host.facts), propose(host.site, host.facts))


def endpoint(host: Host, one: Planned) -> Endpoint:
    """How the engine signs in to an instance: through its server."""
    through = Endpoint(host.name, host.address, host.port, host.user, host.key_file, host.known_hosts)
    return Endpoint(one.node.name, one.address, SSH_PORT, one.user, host.key_file, host.known_hosts, through)


def public_key(host: Host) -> str:
    """The engine's own, which opens the instances."""
    return " ".join(Path(f"{host.key_file}.pub").read_text(encoding="ascii").split()[:2])


def refuse(lxd: Lxd, work: Sequence[tuple[Host, Planned]], owner: str) -> None:
    """Before anything is made: names and addresses of others, full and small pools. Raises HomewrightError."""
    found = {one["name"]: one for one in lxd.get("instances", recursion=1)}
    strangers = [
        one.node.name for _, one in work if one.node.name in found and not is_ours(found[one.node.name], owner)
    ]
    if strangers:
        raise refused(f"LXD has an instance {strangers[0]} already that is not ours.")
    pool.refuse_overfull(lxd, list({host.name: host for host, _ in work}.values()), [one for _, one in work])
    there = {*found, *(moving.copy_of(one, owner) for one in found.values())}
    new = [(host, one) for host, one in work if one.node.name not in there]
    for host in {host.name: host for host, _ in new}.values():
        space = lxd.get(f"storage-pools/{POOL}/resources", target=host.name)["space"]
        free = (space["total"] - space.get("used", 0)) / pool.GIB
        if free < LEAST_FREE_GIB:
            raise HomewrightError(
                f"The storage pool of {host.name} is full.",
                f"It has {free:.1f} GiB left, and an instance needs {LEAST_FREE_GIB} to begin with.",
                [
                    f"see what fills it, on {host.name}: sudo lxc storage info {POOL}",
                    "make room, then: homewright retry",
                ],
            )
    with ThreadPoolExecutor(max(1, min(16, len(new)))) as threads:
        for one, mac in zip((one for _, one in new), threads.map(lambda pair: _holder(*pair), new), strict=True):
            if mac not in ("", one.mac):
                raise HomewrightError(
                    f"The address {one.address} of {one.node.name} is taken.",
                    f"A machine with the hardware address {mac} has it.",
                    [
                        f"give it another one: homewright site set instances.nodes.{one.node.name}.address …",
                        "or take it from that machine",
                    ],
                )


def _holder(host: Host, one: Planned) -> str:
    """The hardware address of whoever answers for an address in the servers' network; empty where nobody does."""
    command = (
        f"ip -4 neigh flush to {one.address} dev {BRIDGE} 2>/dev/null; ping -c 1 -W 1 {one.address} >/dev/null 2>&1; "
        f"ip -4 neigh show to {one.address} dev {BRIDGE} | sed -n 's/.*lladdr \\([^ ]*\\).*/\\1/p'"
    )
    return host.run(command).stdout.strip()


def is_ours(found: Mapping[str, Any], owner: str) -> bool:
    """Whether an instance was made by this site. Raises LxdAway where its member is away, so that nobody can tell."""
    if found["config"] is None:
        raise LxdAway(f"LXD cannot tell yet whose {found['name']} is.", "The member that has it is away.")
    return bool(found["config"].get(OWNER) == owner)


def each(work: Sequence[tuple[Host, Planned]], act: Callable[[Host, Planned], Result]) -> None:
    """Do one thing for all instances side by side; a host with one that failed has its `error`."""

    def attempt(pair: tuple[Host, Planned]) -> None:
        host, one = pair
        try:
            act(host, one)
        except Exception as error:  # told as that host's failure by the runner
            host.error = host.error or error

    with ThreadPoolExecutor(max(1, min(16, len(work)))) as threads:
        list(threads.map(attempt, work))


def make(lxd: Lxd, host: Host, one: Planned, owner: str, image: str) -> None:
    """An instance as planned, running, with its account, and its host keys on record. Can be repeated at any time."""
    name, place = one.node.name, f"instances/{one.node.name}"

    def say(text: str) -> None:
        host.say(f"{name}: {text}")

    found = lxd.find(place) or moving.cut_off(lxd, name, owner, say)
    if found is not None and found["config"].get(texts.READY) != "true":
        with host.task(f"{name}: what was cut off is taken away") as task:
            moving.delete(lxd, found)
            task.changed, found = True, None
    moved = found is not None and texts.is_moved(found, one)
    with host.task(f"{name}: instance") as task:
        if found is None:
            lxd.post("instances", texts.create_body(one, owner, image), say=say, target=host.name)
            task.changed = True
        else:
            task.changed = _mend(lxd, found, one, owner, say)
            found = lxd.get(place) if task.changed else found
    with host.task(f"{name}: network") as task:
        task.changed = _network(lxd, one, running=found is not None and found["status"] == "Running")
    with host.task(f"{name}: start") as task:
        task.changed = start(lxd, one, say, moved=moved)
    with host.task(f"{name}: account and environment") as task:
        task.changed = _account(lxd, host, one)
    with host.task(f"{name}: host keys, and signing in from here") as task:
        task.changed = _trust(lxd, host, one)
        _sign_in(host, one)
        # At its first start the keys are made one after the other; sshd begins once all are there.
        task.changed = _trust(lxd, host, one) or task.changed
    if found is None:
        lxd.patch(place, {"config": {texts.READY: "true"}})


def _mend(lxd: Lxd, found: Mapping[str, Any], one: Planned, owner: str, say: Callable[[str], None]) -> bool:
    said = texts.difference(found, one, owner)
    if not said:
        return False
    name, place = one.node.name, f"instances/{one.node.name}"
    if found["type"] != one.kind:
        raise HomewrightError(
            f"{name} cannot be made as planned: {said[0]}.",
            "It has data, and is not made anew without being asked for.",
            ["let the plan say what is there", f"or take it away: homewright site remove-instance {name}"],
        )
    if less := texts.shrinks(found, one):
        raise HomewrightError(
            f"The disk of {name} cannot become smaller: {less}.",
            "Its file system would be cut off.",
            [f"leave it as large as it is: homewright site set instances.nodes.{name}.disk …"],
        )
    moves = found["location"] not in (one.node.host, "none")
    if found["status"] != "Stopped" and (moves or texts.wants_a_stop(found, one)):
        say("it is stopped" + (f", to move to {one.node.host}" if moves else " to get what it is to have"))
        moving.stop(lxd, name, say)
    if moves:
        found = moving.move(lxd, lxd.get(place), one, owner, say)
    lxd.put(place, texts.mended(found, one, owner), say=say)
    return True


def _has_cloud_init(lxd: Lxd, one: Planned) -> bool:
    """Whether the instance itself reads its network's description, which it does when it starts."""
    return one.kind != "container" or lxd.read(one.node.name, "/etc/cloud/cloud.cfg") is not None


def start(lxd: Lxd, one: Planned, say: Callable[[str], None], *, moved: bool) -> bool:
    """See that an instance runs, with the network that it is given by now; whether it had to be started.

    `moved` says that the network was just changed. One that a run was cut off from before it restarted still has the
    address of before.
    """
    name, place = one.node.name, f"instances/{one.node.name}"
    if lxd.get(place)["status"] != "Running":
        lxd.set_state(name, "start", say=say)
        return True
    if not _has_cloud_init(lxd, one) or not (moved or texts.strays(lxd.get(f"{place}/state"), one)):
        return False
    say("it is restarted: its network is another one, and is read at its start")
    lxd.set_state(name, "restart", say=say)
    return True


def _network(lxd: Lxd, one: Planned, *, running: bool) -> bool:
    """The fixed address of a container whose image has no cloud-init to give it one; whether anything had to change."""
    name = one.node.name
    if _has_cloud_init(lxd, one):
        return False
    text = texts.netplan_text(one).encode()
    changed = lxd.read(name, texts.NETPLAN) != text
    if changed:
        lxd.make_folder(name, "/etc/netplan")
        lxd.write(name, texts.NETPLAN, text, 0o600)
    if one.resolvers and lxd.read(name, "/usr/lib/systemd/system/systemd-resolved.service") is None:
        resolv, there = texts.resolv_text(one).encode(), lxd.read(name, "/etc/resolv.conf")
        # Once 30/25 has made the file it is that step's: our DNS server first, and these after it.
        if there != resolv and not (there or b"").startswith(resolvers.HEADER.encode()):
            lxd.write(name, "/etc/resolv.conf", resolv)
            changed = True
    if running and (changed or not _is_addressed(lxd, one)):
        # What is there beside the file's own goes as well: networkd takes the interface anew.
        _run(lxd, name, ["sh", "-ec", f"netplan apply; networkctl reconfigure {texts.NIC}"])
        changed = True
    return changed


def _is_addressed(lxd: Lxd, one: Planned) -> bool:
    told = _run(lxd, one.node.name, ["sh", "-c", f"{texts.ADDRESSES}; ip -4 route show default | wc -l"]).split()
    return told == [texts.addresses(one), "1"]


def _account(lxd: Lxd, host: Host, one: Planned) -> bool:
    name = one.node.name
    words = ["sh", "-ec", texts.account_script(host.site.mirror), "sh", name, one.address, one.user, public_key(host)]
    changed = "changed" in _eventually(host, f"{name} lets nobody in", lambda: _run(lxd, name, words)).split()
    text = texts.environment_text(host.site, one, GROUPS)
    for path, wanted in ((environment_file.FILE, text), (environment_file.HOOK, environment_file.HOOK_TEXT)):
        if lxd.read(name, path) != wanted.encode():
            lxd.write(name, path, wanted.encode())
            changed = True
    return changed


def _run(lxd: Lxd, name: str, words: Sequence[str]) -> str:
    said = lxd.run(name, words)
    if said.exit_code != 0:
        raise LxdError(f"{name} could not be prepared.", f"A command in it ended with {said.exit_code}: "
                       f"{said.stderr.strip()[-300:]}")  # fmt: skip
    return said.stdout


def host_keys(lxd: Lxd, name: str) -> list[HostKey]:
    """The instance's public host keys, read through LXD: nobody in between can change them."""
    found = []
    for kind in ("ed25519", "ecdsa", "rsa"):
        line = lxd.read(name, f"/etc/ssh/ssh_host_{kind}_key.pub")
        key = HostKey.from_line((line or b"").decode("ascii", "replace"))
        if key is not None:
            found.append(key)
    return found


def _trust(lxd: Lxd, host: Host, one: Planned) -> bool:
    def keys() -> list[HostKey]:
        found = host_keys(lxd, one.node.name)
        if not found:
            raise LxdError(f"{one.node.name} has no SSH host keys.", "Its first start has not come that far.")
        return found

    found = _eventually(host, f"{one.node.name} has no SSH host keys", keys)
    if set(known_hosts.lookup(host.known_hosts, one.address, SSH_PORT)) == set(found):
        return False
    known_hosts.record(host.known_hosts, one.address, SSH_PORT, found)
    return True


def _sign_in(host: Host, one: Planned) -> None:
    def enter() -> None:
        with Connection.open(endpoint(host, one)) as connection:
            connection.run("true", sudo=True)

    _eventually(host, f"{one.node.name} does not let us in", enter)


def _eventually(host: Host, what: str, act: Callable[[], Result]) -> Result:
    """What `act` gives once it works: the instance is starting. Raises what it last raised when time runs out."""
    limit = time.monotonic() + BOOT_S
    while True:
        if host.cancel.asked:
            raise Cancelled("Cancelled.")
        try:
            return act()
        except (LxdError, Unreachable) as error:
            final = not isinstance(error, Unreachable) and "ended with" in error.why
            if final or time.monotonic() > limit:
                raise HomewrightError(
                    f"{what}.", f"{error.what} {error.why}".strip(), [f"look at it: sudo lxc console {what.split()[0]}"]
                ) from error
        time.sleep(LOOK_S)
