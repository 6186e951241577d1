"""How a server stands to LXD: looked at in one go on the server itself, judged here. The judging is pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.lxd.identity import Identity
from homewright.site.models import Site

OWNER = "user.homewright"
"""The setting of LXD's own, and of everything in it that is ours, which says whose it is."""

State = Literal["absent", "fresh", "half", "silent", "ours", "foreign"]
"""No LXD; one that nobody uses; a formation of ours that was cut off; one of ours that does not answer and may be a
member; a member of our cluster; somebody else's."""


class Foreign(HomewrightError):
    """What is there is not ours, and is left alone."""

    code = "foreign"


@dataclass(frozen=True)
class Lxd:
    """LXD on one server, as the server tells it."""

    package: str = ""
    """deb, snap, or empty where there is none."""
    store: str = ""
    """Where it could come from: deb, snap, or empty."""
    system: str = ""
    """As /etc/os-release calls it."""
    folder: str = ""
    """Its own folder, with the cluster's certificate."""
    answers: bool = False
    why_not: str = ""
    version: str = ""
    certified: bool = False
    """It has a cluster's certificate: it is a member, or was about to be one."""
    clustered: bool = False
    called: str = ""
    """Its name in the cluster."""
    owner: str = ""
    members: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    """Volumes and buckets of nobody's but their own, as pool/name: they outlive every instance."""
    pools: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    """Those that LXD itself manages."""
    drivers: tuple[str, ...] = ()
    """Kinds of storage that it can use."""
    ids: int = 0
    """How many user ids the server itself has to give; a container has fewer than a machine."""


def owner_of(site: Site, identity: Identity) -> str:
    """Whose a thing in LXD is: the site's name, and the certificate that it first worked with."""
    return f"{site.name}/{identity.owner}"


def judge(name: str, found: Lxd, site: Site, identity: Identity, installed_before: bool) -> tuple[State, str]:
    """How the server stands to our cluster, and why where it is somebody else's.

    `installed_before` says that LXD was there before this step's first run: then what is in it is never ours unless it
    says so itself.
    """
    owner = owner_of(site, identity)
    if not found.package:
        return "absent", ""
    if not found.answers:
        if installed_before:
            return "foreign", f"LXD is installed on {name} and does not answer: {found.why_not}."
        return "silent" if found.certified else "half", ""
    if found.owner == owner:
        return ("ours", "") if found.clustered else ("half", "")
    if found.owner:
        return "foreign", f"LXD on {name} belongs to the site {found.owner.partition('/')[0]}, or to an earlier one."
    if found.clustered:
        others = ", ".join(member for member in found.members if member != found.called)
        return "foreign", f"LXD on {name} belongs to another cluster{f' (with {others})' if others else ''}."
    used = _used(found)
    if not used:
        return "fresh", ""
    if installed_before:
        return "foreign", f"LXD on {name} is in use: it has {used}."
    return "half", ""


def _used(found: Lxd) -> str:
    parts = [
        f"the {word}{'s' if len(names) > 1 else ''} {', '.join(names)}"
        for word, names in (("instance", found.instances), ("storage pool", found.pools), ("network", found.networks))
        if names
    ]
    return " and ".join(parts)


def differing(all_found: Mapping[str, Lxd], channel: str) -> str:
    """Where these servers' LXDs are, or would be, of two kinds or versions, in words; empty where they go together.

    LXD takes no member of another version. `channel` is where a snap that is not there yet would come from; what a
    package would be is not known before.
    """
    kinds = {name: one.package or one.store for name, one in all_found.items()}
    new = {name: channel for name, one in all_found.items() if not one.package and one.store == "snap"}
    versions = {name: one.version for name, one in all_found.items() if one.version} | new
    called = {"snap": "the snap", "deb": "Debian's package"}
    for told in (
        {name: called[kind] for name, kind in kinds.items() if kind},
        {name: ".".join(version.partition("/")[0].split(".")[:2]) for name, version in versions.items()},
    ):
        pairs = list(told.items())
        for name, one in pairs[1:]:
            if one != pairs[0][1]:
                return f"LXD on {pairs[0][0]} is {pairs[0][1]}, and on {name} {one}"
    return ""


def data_in(all_found: Iterable[Lxd]) -> str:
    """Whose data is in LXD on these servers, in words; empty where there is none."""
    told = list(all_found)
    kinds = (("instance", {name for one in told for name in one.instances}),
             ("volume", {name for one in told for name in one.volumes}))  # fmt: skip
    return " and ".join(
        f"the {word}{'s' if len(names) > 1 else ''} {', '.join(sorted(names))}" for word, names in kinds if names
    )


def refused(reason: str) -> Foreign:
    """The error for a server whose LXD is somebody else's."""
    return Foreign(
        reason,
        "It is left alone, and nothing was changed.",
        [
            "look at it on the server: sudo lxc list --all-projects; sudo lxc cluster list",
            "what is not needed any more is removed there; then: homewright retry",
            "or leave that server out of the site",
        ],
    )


def look(host: Host) -> Lxd:
    """Look at LXD on a server. Raises as `Host.run` does."""
    told = json.loads(host.run(["python3", "-"], stdin=_LOOK.encode(), timeout=120).stdout)
    known: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in told.items()}
    return Lxd(**known)


_LOOK = r"""
import http.client, json, os, pathlib, shutil, socket, subprocess
from urllib.parse import quote

def words(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""

class Socket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=40)
        self.path = path
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(40)
        self.sock.connect(self.path)

def ask(path):
    connection = Socket(answer["folder"] + "/unix.socket")
    connection.request("GET", path)
    told = json.loads(connection.getresponse().read())
    if told.get("type") == "error":
        raise OSError(told.get("error"))
    return told["metadata"]

release = dict(
    line.strip().split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line
)
snap = shutil.which("snap", path="/usr/bin:/bin:/snap/bin")
deb = " install ok installed" in " " + words("dpkg-query", "-W", "-f", "${Status}", "lxd")
if release.get("ID", "").strip('"') == "ubuntu" and deb and not pathlib.Path("/var/lib/lxd").is_dir():
    deb = False  # Ubuntu's package of this name is an empty one that leads to the snap
in_snap = bool(snap and words(snap, "list", "lxd"))
candidate = [line for line in words("apt-cache", "policy", "lxd").splitlines() if line.strip().startswith("Candidate:")]
apt = bool(candidate) and "(none)" not in candidate[0]
# Ubuntu has the snap; a package of LXD's own is Debian's.
store = "snap" if snap else "deb" if apt and release.get("ID", "").strip('"') != "ubuntu" else ""
answer = {
    "package": "snap" if in_snap else "deb" if deb else "",
    "store": store,
    "system": release.get("PRETTY_NAME", "").strip('"'),
    "folder": "/var/snap/lxd/common/lxd" if in_snap or (store == "snap" and not deb) else "/var/lib/lxd",
    "ids": sum(int(line.split()[2]) for line in pathlib.Path("/proc/self/uid_map").read_text().splitlines()),
}
answer["certified"] = pathlib.Path(answer["folder"], "cluster.crt").exists()
if answer["package"]:
    try:
        server = ask("/1.0")
        environment, config = server["environment"], server["config"]
        answer |= {
            "answers": True,
            "version": environment["server_version"],
            "clustered": bool(environment.get("server_clustered")),
            "called": environment.get("server_name", ""),
            "owner": config.get("user.homewright", ""),
            "drivers": sorted(d["Name"] for d in environment.get("storage_supported_drivers") or [] if not d["Remote"]),
        }
        pools = ask("/1.0/storage-pools?recursion=1")
        answer["pools"] = sorted(pool["name"] for pool in pools)
        # A member that joined learns the server's own settings when it is started anew (LXD 5.0), the pools' at once.
        answer["owner"] = answer["owner"] or next(filter(None, (p["config"].get("user.homewright") for p in pools)), "")
        answer["instances"] = sorted(i["name"] for i in ask("/1.0/instances?recursion=1&all-projects=true"))
        projects = [project["name"] for project in ask("/1.0/projects?recursion=1")]
        kinds = ["volumes/custom"] + ["buckets"] * ("storage_buckets" in server.get("api_extensions", ()))
        # One that is being made has none yet, and cannot be asked.
        asked = [(pool["name"], kind) for pool in pools if pool.get("status") != "Pending" for kind in kinds]
        answer["volumes"] = sorted({
            name + "/" + one["name"] for name, kind in asked for project in projects
            for one in ask("/1.0/storage-pools/%s/%s?recursion=1&project=%s" % (quote(name), kind, quote(project)))
        })
        answer["networks"] = sorted(n["name"] for n in ask("/1.0/networks?recursion=1") if n["managed"])
        if answer["clustered"]:
            answer["members"] = sorted(m["server_name"] for m in ask("/1.0/cluster/members?recursion=1"))
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        answer["answers"] = False
        answer["why_not"] = str(error) or type(error).__name__
print(json.dumps(answer))
"""
