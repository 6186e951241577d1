"""The lab's commands as the user runs them: what is written down first, which acts root does, what is said."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from homewright.errors import LabError, StateError, UsageError
from homewright.lab import (
    breaking,
    cluster,
    cluster_images,
    code_server,
    daemon,
    image,
    machine,
    mirror,
    packages,
    places,
    practice_site,
    privilege,
    record,
    services,
    simulated_nodes,
    workspace_image,
)
from homewright.lab.acts import Act, Reply, Request, greets, is_plugged
from homewright.lab.lxd import PlaceTaken
from homewright.lab.models import (
    MOST_SERVERS,
    USER,
    Fault,
    LabServer,
    LabStatus,
    Nodes,
    Place,
    Record,
    ServerStatus,
)
from homewright.lab.standing import judge
from homewright.site.paths import make_folder, sync_folder
from homewright.site.secrets import generate_password

Say = Callable[[str], None]
Agree = Callable[[str], bool]

SERVERS = 3
"""How many servers a new lab has: the fewest that keep a quorum."""


def up(
    wanted: int | None, *, with_cluster: bool, nodes: Nodes | None, earlier: bool, say: Say, agree: Agree
) -> LabStatus:
    """See `homewright.lab.up`."""
    if wanted is not None and not 1 <= wanted <= MOST_SERVERS:
        raise UsageError(
            f"There can be 1 to {MOST_SERVERS} practice servers.",
            f"{wanted} were asked for.",
            ["say how many: homewright lab up --servers 3"],
        )
    with record.alone():
        lab = record.load() or _left_behind(say)
        practice_site.refuse_foreign(lab)
        of_nodes = cluster.nodes(lab, nodes, wanted=with_cluster)
        count = _count(lab, wanted)
        mirrored = with_cluster or (lab is not None and lab.cluster)
        earlier = earlier or (lab is not None and lab.earlier)
        wish = ("up", count, mirrored, earlier)
        if lab is not None and (lab.phase, len(lab.servers), lab.cluster, lab.earlier) == wish and _is_whole(lab):
            _begin_bundle(say)
            if lab.cluster:
                cluster.raise_mirror(cluster.prepare(say, earlier=earlier), lab.place, say)
            return _status(lab).model_copy(update={"changed": False})
        socket = _require(say, agree, mirrored=mirrored)
        _require_image(say)
        _begin_bundle(say)
        images = cluster.prepare(say, earlier=earlier) if mirrored else {}
        lab = _raise_servers(lab, count, socket, mirrored, of_nodes, earlier, say)
        if mirrored:
            cluster.raise_mirror(images, lab.place, say)
            simulated_nodes.start_again(lab, say)
        for name in lab.broken:
            _break_again(lab, name, say)
        return _status(lab).model_copy(update={"changed": True})


def _count(lab: Record | None, wanted: int | None) -> int:
    if lab is None or lab.phase != "up":
        return wanted or (len(lab.servers) if lab else 0) or SERVERS
    if wanted is not None and wanted < len(lab.servers):
        raise LabError(
            f"There are {len(lab.servers)} practice servers, not {wanted}.",
            "Taking one away would break what was deployed over all of them.",
            ["start over: homewright lab down", f"homewright lab up --servers {wanted}"],
        )
    return wanted or len(lab.servers)


def _is_whole(lab: Record) -> bool:
    known = all(server.host_keys for server in lab.servers)
    return known and _status(lab).state == "up" and practice_site.path().exists() and not lab.unplugged


def _raise_servers(
    lab: Record | None, count: int, socket: str | None, mirrored: bool, nodes: Nodes, earlier: bool, say: Say
) -> Record:
    """Make what is missing. What is about to be done is on disk before it is done."""
    fresh = lab is None or lab.phase != "up"
    if lab is not None and lab.phase != "up":
        say("an earlier command did not finish; starting over")
    if fresh and lab is not None:
        simulated_nodes.end()
        _act("down", lab, say)
    taken: set[str] = set()
    while True:
        place = lab.place if lab is not None and not fresh else _free_place(lab, taken)
        servers = tuple(
            _known(lab if not fresh else None, f"s{index + 1}", place.address(index)) for index in range(count)
        )
        lab = Record(
            phase="going up" if fresh else "up",
            backend=lab.backend if lab is not None and not fresh else ("shared" if socket else "private"),
            socket=lab.socket if lab is not None and not fresh else socket,
            place=place,
            password=lab.password if lab is not None else generate_password(),
            servers=servers,
            broken=lab.broken if lab is not None and not fresh else {},
            cluster=mirrored,
            nodes=nodes,
            earlier=earlier,
            simulated=lab.simulated if lab is not None and not fresh else 0,
            site_file=str(practice_site.path()),
        )
        record.save(lab)
        try:
            reply = _act("up", lab, say, fresh=fresh)
            break
        except PlaceTaken:
            if not fresh:
                raise
            _act("down", lab, say)
            taken.add(place.bridge)
    known = {
        server.name: server.model_copy(update={"host_keys": tuple(reply.host_keys.get(server.name, server.host_keys))})
        for server in lab.servers
    }
    lab = lab.model_copy(update={"servers": tuple(known.values()), "daemon": reply.daemon})
    record.save_known_hosts(lab)
    if fresh and practice_site.state().root.exists():
        # What was recorded of servers that are gone would only mislead.
        shutil.rmtree(practice_site.state().root)
    if practice_site.write(lab):
        say(f"wrote the site practice: {practice_site.path()}")
    lab = lab.model_copy(update={"phase": "up"})
    record.save(lab)
    return lab


def _left_behind(say: Say) -> Record | None:
    """A lab whose file is lost, as far as this machine still shows it: by its bridge, or by its daemon's folder."""
    mark = places.owner(record.folder())
    every = (Place(number=number) for number in range(256))
    place = next((place for place in every if places.owns_bridge(place, mark)), None)
    private = record.daemon_folder().exists()
    if place is None and not private:
        return None
    socket = None if private else privilege.act(Request("look"), say).socket
    return Record(
        phase="going down",
        backend="private" if private else "shared",
        socket=socket,
        place=place or Place(number=0),
        password=generate_password(),
        site_file=str(practice_site.path()),
    )


def _known(lab: Record | None, name: str, address: str) -> LabServer:
    for server in lab.servers if lab else ():
        if server.name == name:
            return server
    return LabServer(name=name, address=address)


def _free_place(lab: Record | None, taken: set[str]) -> Place:
    names = [*places.interfaces(), *taken]
    return places.choose(names, places.used_networks())


def down(*, say: Say) -> bool:
    """See `homewright.lab.down`."""
    with record.alone():
        lab = record.load() or _left_behind(say)
        if lab is None:
            return simulated_nodes.end() | cluster.end_mirror() | _end_bundle(say)
        practice_site.refuse_while_running()
        lab = lab.model_copy(update={"phase": "going down"})
        record.save(lab)
        say(f"taking down {', '.join(server.name for server in lab.servers) or 'the practice servers'}")
        _end_bundle(say)
        simulated_nodes.end()
        cluster.end_mirror()
        _act("down", lab, say)
        practice_site.remove(say)
        record.known_hosts_file().unlink(missing_ok=True)
        for left in record.folder().glob(".lab.json.*"):
            left.unlink(missing_ok=True)
        record.file().unlink()
        sync_folder(record.folder())
        with contextlib.suppress(OSError):
            record.folder().rmdir()
        return True


def prepare(*, say: Say, agree: Agree) -> None:
    """See `homewright.lab.prepare`."""
    with record.alone():
        _require(say, agree, bundle=True)
        _begin_bundle(say)
        _require_image(say)
    code_server.ensure(say)


def status() -> LabStatus:
    """See `homewright.lab.status`."""
    lab = record.load()
    return (
        LabStatus(state="none", reason="There are no practice servers: homewright lab up")
        if lab is None
        else _status(lab)
    )


def _status(lab: Record) -> LabStatus:
    servers = tuple(_server_status(lab, server) for server in lab.servers)
    alive = lab.daemon is None or daemon.ticks(lab.daemon[0]) == lab.daemon[1]
    simulated = simulated_nodes.status(lab)
    played = simulated is None or simulated.kwok == "runs"
    state, reason = judge(lab, servers, alive, cluster.is_mirrored(lab), played)
    return LabStatus(
        state=state,
        backend=lab.backend,
        bridge=lab.place.bridge,
        network=lab.place.network,
        site_file=lab.site_file,
        servers=servers,
        mirror=services.settings(lab.place).images if lab.cluster else None,
        simulated=simulated,
        reason=reason,
    )


def _server_status(lab: Record, server: LabServer) -> ServerStatus:
    """Power and cable are read from the host's end of the cable, which is there as long as the server runs."""
    interface = lab.place.interface(server.name)
    powered = (Path("/sys/class/net") / interface).exists()
    plugged = is_plugged(interface) if powered else server.name not in lab.unplugged
    return ServerStatus(
        name=server.name,
        address=server.address,
        user=USER,
        power="on" if powered else "off",
        cable="plugged" if plugged else "unplugged",
        ssh="answers" if powered and plugged and greets(server.address) else "silent",
        broken=lab.broken.get(server.name, ()),
    )


def power(name: str, *, on: bool, say: Say) -> bool:
    """See `homewright.lab.power_on`."""
    with record.alone():
        lab = _existing(name)
        changed = _act("power", lab, say, name=name, wanted=on).changed
        if on and changed:
            _break_again(lab, name, say)
        return changed


def cable(name: str, *, plugged: bool, say: Say) -> bool:
    """See `homewright.lab.plug`."""
    with record.alone():
        lab = _existing(name)
        was = name not in lab.unplugged
        others = tuple(other for other in lab.unplugged if other != name)
        record.save(lab.model_copy(update={"unplugged": others if plugged else (*others, name)}))
        return _act("cable", lab, say, name=name, wanted=plugged).changed or was != plugged


def break_server(name: str, fault: Fault, *, say: Say) -> bool:
    """See `homewright.lab.break_server`."""
    with record.alone():
        lab = _existing(name)
        known = lab.broken.get(name, ())
        breaking.require_possible(fault, known, name)
        if fault not in known:
            record.save(lab.model_copy(update={"broken": {**lab.broken, name: (*known, fault)}}))
        _act("break", lab, say, name=name, faults=[fault])
        return fault not in known


def mend_server(name: str, fault: Fault | None, *, say: Say) -> tuple[Fault, ...]:
    """See `homewright.lab.mend_server`."""
    with record.alone():
        lab = _existing(name)
        known = lab.broken.get(name, ())
        wanted = known if fault is None else tuple(one for one in known if one == fault)
        if wanted:
            _act("mend", lab, say, name=name, faults=list(reversed(wanted)))
            left = {**lab.broken, name: tuple(one for one in known if one not in wanted)}
            record.save(lab.model_copy(update={"broken": {host: faults for host, faults in left.items() if faults}}))
        return wanted


def _break_again(lab: Record, name: str, say: Say) -> None:
    """What a power cut has mended is broken again: the record says so until somebody mends it."""
    faults = [fault for fault in lab.broken.get(name, ()) if not breaking.WAYS[fault].lasting]
    if faults:
        _act("break", lab, say, name=name, faults=faults)


def _existing(name: str) -> Record:
    lab = record.load()
    if lab is None:
        raise LabError("There are no practice servers.", "", ["make them: homewright lab up"])
    if name not in {server.name for server in lab.servers}:
        names = ", ".join(server.name for server in lab.servers)
        raise UsageError(f"There is no practice server {name}.", f"There are {names}.", ["homewright lab status"])
    return lab


def _act(
    what: Act,
    lab: Record,
    say: Say,
    *,
    fresh: bool = False,
    name: str = "",
    wanted: bool = True,
    faults: Sequence[Fault] = (),
) -> Reply:
    make_folder(record.folder())
    request = Request(
        act=what,
        folder=str(record.folder()),
        image_folder=str(record.image_folder()),
        number=lab.place.number,
        backend=lab.backend,
        socket=lab.socket,
        fresh=fresh,
        servers=[(server.name, server.address) for server in lab.servers],
        keyless=[server.name for server in lab.servers if not server.host_keys],
        password=lab.password if what == "up" else "",
        name=name,
        wanted=wanted,
        unplugged=list(lab.unplugged),
        faults=list(faults),
        mirror=mirror.of_this_machine() if what == "up" else None,
    )
    return privilege.act(request, say)


def _require(say: Say, agree: Agree, *, bundle: bool = False, mirrored: bool = False) -> str | None:
    """Whatever this machine lacks is named or installed; the socket of an LXD that is in use. Raises LabError."""
    here = machine.this_machine()
    reason = machine.obstacle(here)
    if reason is not None:
        raise reason
    socket = privilege.act(Request("look"), say).socket
    if socket is None and here.lxd_socket:
        reason = machine.obstacle(machine.without_lxd(here))
        if reason is not None:
            raise reason
    needed = [*(packages.SHARED if socket else packages.PRIVATE)]
    if bundle or not code_server.is_built():
        needed += code_server.PACKAGES
    if mirrored:
        needed += (*cluster_images.PACKAGES, *workspace_image.PACKAGES)
    absent = packages.missing(needed)
    if absent:
        names = " ".join(absent)
        if not agree(f"The practice servers need Debian packages that are missing: {names}. Install them?"):
            raise LabError(
                "Debian packages are missing.", f"{names}.", [f"apt-get install {names}", "or: homewright lab up --yes"]
            )
        privilege.act(Request("install", packages=absent), say)
    return socket


def _require_image(say: Say) -> None:
    folder = record.image_folder()
    make_folder(folder)
    here = mirror.of_this_machine()
    if not image.image(folder, here).is_cached:
        owner = (os.getuid(), os.getgid())
        privilege.act(Request("image", image_folder=str(folder), owner=owner, mirror=here), say)


def _bundle_pid_file() -> Path:
    return code_server.folder() / ".builder"


def _begin_bundle(say: Say) -> None:
    """Have code-server built beside everything else, by a process that outlives this one; `down` ends it."""
    if code_server.is_built() or code_server.is_building():
        return
    make_folder(code_server.folder())
    log = code_server.folder() / "progress.log"
    with log.open("wb") as handle:
        process = subprocess.Popen(
            [sys.executable, "-m", "homewright.lab.code_server"],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            cwd="/",
            start_new_session=True,
        )
    _bundle_pid_file().write_text(str(process.pid), encoding="ascii")
    say(f"code-server is being built meanwhile (about {code_server.MINUTES} minutes, once): homewright lab bundle")
    process.returncode = 0  # it is not waited for: it outlives this command on purpose


def _end_bundle(say: Say) -> bool:
    """End a build that `up` began; whether there was one."""
    try:
        pid = int(_bundle_pid_file().read_text(encoding="ascii"))
    except (OSError, ValueError):
        return False
    _bundle_pid_file().unlink(missing_ok=True)
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    if pid <= 1 or b"homewright.lab.code_server" not in words:
        return False
    say("ending the build of code-server; what was fetched is fetched again next time")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
    for left in code_server.folder().glob(".building-*"):
        shutil.rmtree(left, ignore_errors=True)
    return True


def ssh_command(name: str, words: list[str]) -> list[str]:
    """The ssh command line to a server: only the keys that LXD read there are believed.

    The engine's key is offered where first contact has been made; else ssh asks for the password. Raises LabError.
    """
    from homewright.access.openssh import settings

    lab = _existing(name)
    server = next(server for server in lab.servers if server.name == name)
    if not server.host_keys:
        raise StateError(f"The host keys of {name} are not known.", "`lab up` was cut off.", ["homewright lab up"])
    from homewright.access.endpoint import Endpoint

    key = practice_site.state().key
    endpoint = Endpoint(name, server.address, 22, USER, key, record.known_hosts_file())
    options = settings(endpoint) | {
        "BatchMode": "no",
        "PasswordAuthentication": "yes",
        "KbdInteractiveAuthentication": "yes",
        "PreferredAuthentications": "publickey,keyboard-interactive,password",
    }
    if not key.exists():
        options["IdentityFile"] = "none"
    flags = [word for item in options.items() for word in ("-o", "=".join(item))]
    terminal = ["-t"] if words and sys.stdin.isatty() and sys.stdout.isatty() else []
    return ["ssh", "-F", "none", *flags, *terminal, "-l", USER, "--", server.address, *words]
