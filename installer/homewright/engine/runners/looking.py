"""What is there on a server of the things that a step declares to change: names, kinds, digests; never contents."""

from __future__ import annotations

import json
from collections.abc import Mapping

from homewright.engine.events import Level
from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError

LOOK_LIMIT_S = 60.0
"""For all things of one step on one server."""

# Runs on the server, on its own Python 3.8 or later and nothing else.
SCRIPT = r"""
import functools, grp, hashlib, json, os, pwd, stat, subprocess, sys

WHOLE = 4 << 20  # a folder of less than this is compared by its contents, a bigger one by names, modes and sizes
MOST = 50000     # entries of one folder


def digest_of(path):
    made = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            made.update(block)
    return made.hexdigest()


@functools.lru_cache(None)
def user(number):
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


@functools.lru_cache(None)
def group(number):
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def rights(found):
    return "%o %s:%s" % (stat.S_IMODE(found.st_mode), user(found.st_uid), group(found.st_gid))


def inside(folder):
    device = os.lstat(folder).st_dev
    for place, folders, files in os.walk(folder):
        kept = []
        for name in sorted(folders + files):
            path = os.path.join(place, name)
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                continue
            if found.st_dev != device or name == "__pycache__":
                continue  # what is mounted there is somebody else's
            if name in folders:
                kept.append(name)
            yield path, found
        folders[:] = kept


def folder_state(path, found):
    entries = []
    for entry in inside(path):
        entries.append(entry)
        if len(entries) > MOST:
            return "folder %s, more than %d entries" % (rights(found), MOST)
    whole = sum(one.st_size for _, one in entries if stat.S_ISREG(one.st_mode)) < WHOLE
    made = hashlib.sha256()
    for name, one in entries:
        said = [os.path.relpath(name, path), "%o" % one.st_mode, rights(one)]
        if stat.S_ISLNK(one.st_mode):
            said.append(os.readlink(name))
        elif stat.S_ISREG(one.st_mode):
            said.append(digest_of(name) if whole else str(one.st_size))
        made.update("\0".join(said).encode("utf-8", "surrogateescape") + b"\n")
    return "folder %s, %d entries, sha256 %s" % (rights(found), len(entries), made.hexdigest())


def file_state(path):
    path = path.rstrip("/") or "/"
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if stat.S_ISLNK(found.st_mode):
        return "link to " + os.readlink(path)
    if stat.S_ISDIR(found.st_mode):
        return folder_state(path, found)
    if not stat.S_ISREG(found.st_mode):
        return "special " + rights(found)
    return "file %s, %d bytes, sha256 %s" % (rights(found), found.st_size, digest_of(path))


def account_state(name):
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return ""
    groups = sorted(one.gr_name for one in grp.getgrall() if name in one.gr_mem)
    said = "uid %d, gid %d, home %s, shell %s" % (found.pw_uid, found.pw_gid, found.pw_dir, found.pw_shell)
    return said + (", also in " + " ".join(groups) if groups else "")


def asked(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
    return done.stdout.decode("utf-8", "replace")


def package_state(name):
    told = asked("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Version}\n", name).split()
    return told[1] if told[:1] == ["ii"] and len(told) > 1 else ""


def unit_state(name):
    told = asked("systemctl", "show", "-p", "LoadState,UnitFileState,ActiveState", name)
    values = dict(line.partition("=")[::2] for line in told.splitlines())
    if values.get("LoadState", "not-found") == "not-found":
        return ""
    return "%s, %s" % (values.get("UnitFileState") or "static", values.get("ActiveState"))


watched = json.loads(sys.argv[1])
seen = {
    "file": {name: file_state(name) for name in watched["files"]},
    "package": {name: package_state(name) for name in watched["packages"]},
    "account": {name: account_state(name) for name in watched["accounts"]},
    "unit": {name: unit_state(name) for name in watched["units"]},
}
print(json.dumps({kind: names for kind, names in seen.items() if names}))
"""


def look(host: Host) -> None:
    """Tell what is there, where the step's receipt asks for it. What cannot be looked at fails nothing: it is said."""
    if not host.watched:
        return
    try:
        told = host.run(["python3", "-c", SCRIPT, host.watched.model_dump_json()], timeout=LOOK_LIMIT_S).stdout
        host.emitter.look(host.name, seen_in(told))
    except (HomewrightError, ValueError) as error:
        why = f"{error.what} {error.why}".strip() if isinstance(error, HomewrightError) else str(error)
        text = f"what the step changes could not be looked at, so its receipt says nothing of it: {why}"
        host.emitter.line(text, host=host.name, level=Level.WARNING)


def seen_in(text: str) -> Mapping[str, Mapping[str, str]]:
    """What the script told. Raises ValueError where that is something else."""
    told = json.loads(text)
    if not isinstance(told, dict) or not all(isinstance(names, dict) for names in told.values()):
        raise ValueError("the server told something else than what was asked for")
    return {kind: {str(name): str(state) for name, state in names.items()} for kind, names in told.items()}
