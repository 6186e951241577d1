"""What is done inside a workspace's pod, and with what its user gives it: terminal, port, repository, credentials."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence

from homewright.errors import UsageError
from homewright.workspaces import naming, repositories
from homewright.workspaces.backends.kubernetes import manifests, streams
from homewright.workspaces.backends.kubernetes.api import Conflict
from homewright.workspaces.backends.kubernetes.intent import workload
from homewright.workspaces.backends.kubernetes.manifests import CONTAINER, Manifest
from homewright.workspaces.backends.kubernetes.observed import Pod
from homewright.workspaces.backends.kubernetes.streams import Command, Forwarder, Place
from homewright.workspaces.backends.kubernetes.verbs import ClusterBackend, Held
from homewright.workspaces.backends.kubernetes.words import MADE_FOR, MANAGER, OWNER, USER
from homewright.workspaces.errors import ChangedMeanwhile, NotOurs
from homewright.workspaces.git_servers import SignIn
from homewright.workspaces.models import Repository
from homewright.workspaces.repositories import Mode, Synced

SHELLS = ("sh", "-c", 'exec "${SHELL:-/bin/sh}" -l')
"""The terminal of somebody who names no command: the template's shell, as one that was logged in to."""
_SYNC_S = repositories.CLONE_S + repositories.PULL_S + 30.0
"""As long as a sync may take in all."""


def place(backend: ClusterBackend, held: Held) -> Place:
    """The container of a workspace that runs. Raises UsageError where it does not."""
    name, namespace = f"{workload(backend.template, held.intent.slug)}-0", backend.template.namespace
    found = backend.api.get("Pod", namespace, name)
    pod = Pod.of(found) if found is not None else None
    if pod is None or not any(one.name == CONTAINER and one.running_since is not None for one in pod.containers):
        whose = shlex.quote(str(held.intent.key))
        raise UsageError(
            f"{held.intent.key} does not run now.",
            "What is done inside of it needs its pod.",
            [f"see why: homewright workspace show {whose}", f"start it: homewright workspace start {whose}"],
        )
    return Place(namespace, name, CONTAINER)


def shell(backend: ClusterBackend, held: Held, words: Sequence[str], *, terminal: bool, stdin: bool) -> Command:
    """A command in it, by default its user's shell."""
    return Command(backend.api, place(backend, held), words or SHELLS, terminal=terminal, stdin=stdin)


def forwarder(backend: ClusterBackend, held: Held, local: int) -> Forwarder:
    """A port of this machine that leads to its editor."""
    template = backend.template
    port = next(port for port in template.ports if port.name == template.web)
    try:
        return Forwarder(streams.port_opener(backend.api, place(backend, held), port.container), local)
    except OSError as error:
        raise UsageError(
            f"Port {local} of this machine cannot be used.", f"{error.strerror}.", ["name another one: --port"]
        ) from error


def repository_of(backend: ClusterBackend, held: Held) -> tuple[str, Repository]:
    """Below which folder, and what. Raises UsageError where it has none."""
    below, repository = backend.template.repositories, held.intent.repository
    if below is None or repository is None:
        raise UsageError(
            f"{held.intent.key} has no repository.",
            "One is named when a workspace is created.",
            ["clone one in its terminal", "or create it with one: homewright workspace create --repo URL"],
        )
    return below, repository


def sync(backend: ClusterBackend, held: Held, mode: Mode) -> Synced:
    """Bring its repository up to date, or look how it is. What is not committed stays as it is."""
    below, repository = repository_of(backend, held)
    words = repositories.sync_command(below, repository, mode)
    ended = streams.run(backend.api, place(backend, held), words, limit_s=_SYNC_S)
    if ended.code:
        return Synced(problem=repositories.why(ended.complained))
    return repositories.read_synced(ended.said)


def credentials(backend: ClusterBackend, user: str) -> tuple[str, ...]:
    """The servers that git has credentials of this user for; never what they are."""
    return repositories.hosts(_lines(_own_secret(backend, user)))


def sign_in(backend: ClusterBackend, user: str, url: str) -> SignIn | None:
    """What a user signs in with at the server of an address; None where nothing is kept for it."""
    found = repositories.sign_in(_lines(_own_secret(backend, user)), url)
    return SignIn(*found) if found is not None else None


def give_credentials(backend: ClusterBackend, user: str, url: str, name: str, token: str | None) -> tuple[str, ...]:
    """Keep a user's credentials for a git server, or with None forget them; the servers that there are some for then.

    They reach pods that run within a minute or two (kubelet's refresh). Raises NotOurs, ChangedMeanwhile.
    """
    host, line = repositories.credentials_line(url, name or "x", token if token is not None else "x")
    there = _own_secret(backend, user)
    lines = repositories.with_credentials(_lines(there), host, line if token is not None else None)
    text = "".join(f"{one}\n" for one in lines)
    secret: Manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": manifests.git_secret(user),
            "namespace": backend.template.namespace,
            "labels": {MADE_FOR[0]: MADE_FOR[1], "app.kubernetes.io/part-of": MANAGER, OWNER: naming.slug(user)},
            "annotations": {USER: user},
        },
        "data": {repositories.CREDENTIALS_FILE: base64.b64encode(text.encode()).decode()},
    }
    try:
        backend.api.apply(secret, there["metadata"]["resourceVersion"] if there is not None else None)
    except Conflict as error:
        raise ChangedMeanwhile(
            f"The credentials of {user} were changed meanwhile.", f"{error}.", ["try again"]
        ) from error
    return repositories.hosts(lines)


def _own_secret(backend: ClusterBackend, user: str) -> Manifest | None:
    name, namespace = manifests.git_secret(user), backend.template.namespace
    found = backend.api.get("Secret", namespace, name)
    if found is not None:
        metadata = found["metadata"]
        ours = (metadata.get("labels") or {}).get(MADE_FOR[0]) == MANAGER
        if not ours or (metadata.get("annotations") or {}).get(USER) != user:
            raise NotOurs(
                f"The Secret {namespace}/{name} is not that of {user}.",
                "Somebody else made it, and Homewright takes over nothing of others.",
                ["look at it, and remove or rename it"],
            )
    return found


def _lines(secret: Manifest | None) -> tuple[str, ...]:
    data = ((secret or {}).get("data") or {}).get(repositories.CREDENTIALS_FILE, "")
    return tuple(base64.b64decode(data).decode("utf-8", "replace").splitlines())
