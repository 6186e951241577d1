"""Saved states of etcd on the control planes: which there are, from when, and what a way back to one would cost."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from homewright.access.connection import Connection
from homewright.access.endpoint import Endpoint
from homewright.cluster.client import Cluster, ClusterError
from homewright.cluster.objects import EVERYWHERE
from homewright.errors import HomewrightError, UsageError

FOLDER = "/var/lib/homewright/etcd"
"""On each control plane: what was in etcd before each change of the control plane, and at least once a day on which
the stage ran; newest last by name."""
BEFORE = "/var/lib/etcd/.homewright-before"
"""On each control plane: the data that the last restore took the place of; one rename away from etcd's own."""
STAGE = "40/core/cluster"
"""The stage whose runs save states and put them back."""
GIVEN = "restore"
"""Under which name a run is told what to put back: an id of its own, the server, the file, and the least revision."""
SAVE = "save"
"""Under which name a run is told to save the state as it is now."""
PACE = 1000
"""Revisions that etcd never makes in a second, on the average: a cluster of some servers makes about ten. So those of
a state that is put back go on from the time, in seconds since 1970, times this."""
_FILE = re.compile(r"(\d{8}T\d{6}Z)\.db")
LIST = f'for file in {FOLDER}/*.db; do [ ! -e "$file" ] || stat -c \'%n %s\' "$file"; done'
_KINDS = (
    ("node", "/api/v1/nodes"),
    ("namespace", "/api/v1/namespaces"),
    ("claim", "/api/v1/persistentvolumeclaims"),
    ("volume", "/api/v1/persistentvolumes"),
    ("deployment", "/apis/apps/v1/deployments"),
    ("stateful set", "/apis/apps/v1/statefulsets"),
    ("daemon set", "/apis/apps/v1/daemonsets"),
    ("cron job", "/apis/batch/v1/cronjobs"),
    ("service", "/api/v1/services"),
    ("ingress", "/apis/networking.k8s.io/v1/ingresses"),
    ("config map", "/api/v1/configmaps"),
    ("secret", "/api/v1/secrets"),
)
"""What somebody would miss, as it is called here; what follows from these by itself is left out."""
_LOOKED_AT = "nodes, namespaces, claims, volumes, workloads, services, ingresses, config maps or secrets"
"""The same in words."""
_NOT_LOOKED_AT = "other kinds, such as roles and custom resources, are not looked at"
NAMED = 5
"""How many of a kind are named."""


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Snapshot(Model):
    """One saved state of all that is in the cluster's API."""

    server: str
    """The control plane that it is on."""
    name: str
    """Of its file."""
    at: datetime
    """When it was saved (UTC, by that server's clock)."""
    size: int
    """Bytes."""


class Silent(Model):
    """A control plane that could not be asked."""

    server: str
    why: str


class SnapshotsDocument(Model):
    """Every saved state that can be put back."""

    version: Literal[1] = 1
    site: str
    snapshots: tuple[Snapshot, ...]
    """The newest first."""
    silent: tuple[Silent, ...] = ()


@dataclass(frozen=True)
class Newer:
    """Objects of one kind that were made after a state was saved."""

    kind: str
    count: int
    names: tuple[str, ...]
    """The first of them, with their namespaces."""


def look(site: str, planes: Sequence[Endpoint]) -> SnapshotsDocument:
    """Ask the control planes, side by side; one that is not reached is named."""

    def ask(endpoint: Endpoint) -> tuple[str, str, str]:
        try:
            with Connection.open(endpoint) as connection:
                return endpoint.name, connection.run(LIST, sudo=True, timeout=60).stdout, ""
        except HomewrightError as error:
            return endpoint.name, "", f"{error.what} {error.why}".strip()

    with ThreadPoolExecutor(max_workers=max(1, min(16, len(planes))), thread_name_prefix="snapshots") as pool:
        answers = list(pool.map(ask, planes))
    found = [one for server, said, _ in answers for one in listed(server, said)]
    return SnapshotsDocument(
        site=site,
        snapshots=tuple(sorted(found, key=lambda one: (one.at, one.server), reverse=True)),
        silent=tuple(Silent(server=server, why=why) for server, _, why in answers if why),
    )


def listed(server: str, said: str) -> Iterator[Snapshot]:
    """The saved states in what a server's list says. Pure."""
    for line in said.splitlines():
        path, _, size = line.rpartition(" ")
        name = path.rpartition("/")[2]
        if (told := _FILE.fullmatch(name)) is not None:
            at = datetime.strptime(told[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            yield Snapshot(server=server, name=name, at=at, size=int(size))


def chosen(found: SnapshotsDocument, named: str | None) -> Snapshot:
    """The state that is meant by NAME or SERVER/NAME. Pure. Raises UsageError where none is, or more than one."""
    server, _, name = (named or "").rpartition("/")
    name = name.removesuffix(".db")
    fitting = [one for one in found.snapshots if one.name == f"{name}.db" and server in ("", one.server)]
    if len(fitting) == 1:
        return fitting[0]
    choices = [f"homewright cluster restore {one.server}/{one.name}" for one in fitting or found.snapshots]
    if not found.snapshots:
        why = " ".join(f"{one.server}: {one.why}" for one in found.silent)
        raise UsageError("There is no saved state of the cluster.", why or "Nothing has changed its control plane yet.")
    if named is None:
        raise UsageError("Which state is to be put back?", "Nothing was changed.", choices)
    what = f"There is no saved state {named}." if not fitting else f"{len(fitting)} servers have a state {named}."
    raise UsageError(what, "Nothing was changed.", choices)


def require_all(found: SnapshotsDocument) -> None:
    """Raises UsageError where a control plane could not be asked: nothing is put back on some of them."""
    for one in found.silent[:1]:
        raise UsageError(
            f"{one.server} is a control plane and cannot be asked.",
            f"{one.why} What is in etcd is put back on every control plane, or on none.",
            [
                f"switch {one.server} on, then try again",
                f"or take it out of the site first: homewright site remove-server {one.server}",
            ],
        )


def wish(server: str, name: str, now: datetime) -> dict[str, str]:
    """What a run is told that is to put a state back; each wish is another one, also for the same state.

    Whatever was put back before, revisions go on above all that anybody has seen: who watches would wait in silence
    for what is below. That has to be the same on every control plane and after every cut, so it is part of the wish;
    where a clock was ahead, the control planes know of the restore before it how far that went.
    """
    return {GIVEN: f"{secrets.token_hex(8)} {server} {name} {int(now.timestamp()) * PACE}"}


def newer(api: Cluster, since: datetime) -> list[Newer]:
    """What was made after a state was saved, and would be forgotten. Raises ClusterError."""
    found = []
    for kind, path in _KINDS:
        by_itself = EVERYWHERE.get(path.rpartition("/")[2], ())
        names = [name for name in younger(api.list(path), since) if name.rpartition("/")[2] not in by_itself]
        if names:
            found.append(Newer(kind, len(names), tuple(names[:NAMED])))
    return found


def younger(objects: Iterable[Mapping[str, Any]], since: datetime) -> Iterator[str]:
    """Names of the objects that were made later, with their namespaces. Pure."""
    for one in objects:
        metadata = one["metadata"]
        if datetime.fromisoformat(metadata["creationTimestamp"]) > since:
            yield "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


def cost(state: Snapshot, now: datetime, made: Sequence[Newer] | ClusterError) -> Iterator[str]:
    """What it means to go back to a state, in sentences. Pure."""
    when = f"{state.at:%Y-%m-%d %H:%M:%S} UTC, {age(state.at, now)} ago"
    yield f"The cluster goes back to {when}, as {state.server} saved it."
    if isinstance(made, ClusterError):
        yield f"What was made since is forgotten. It cannot be told, for the cluster does not answer: {made.what}"
    elif made:
        parts = [f"{_counted(one.count, one.kind)} ({_named(one)})" for one in made]
        yield f"What was made since is forgotten: {'; '.join(parts)}; {_NOT_LOOKED_AT}."
    else:
        yield f"No {_LOOKED_AT} were made since; {_NOT_LOOKED_AT}."
    yield "What was changed or deleted since is as it was then; data in volumes is not touched."
    yield "For some minutes the API does not answer; pods go on, until the cluster says otherwise."
    yield f"What etcd has now is kept on every control plane, in {BEFORE}."


def age(then: datetime, now: datetime) -> str:
    """How long ago that was, in its two largest units. Pure."""
    minutes = max(0, int((now - then).total_seconds() // 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [_counted(days, "day"), _counted(hours, "hour"), _counted(minutes, "minute")]
    first = next((place for place, count in enumerate((days, hours, minutes)) if count), 2)
    return " ".join(part for part in parts[first : first + 2] if not part.startswith("0 ")) or "less than a minute"


def _counted(count: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"


def _named(made: Newer) -> str:
    return ", ".join(made.names) + (", …" if made.count > len(made.names) else "")
