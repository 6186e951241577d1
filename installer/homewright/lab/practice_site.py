"""The site `practice`: written by `up`, with the host keys that LXD read in the servers, and removed by `down`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from homewright.errors import Busy, LabError
from homewright.lab import SITE_NAME, code_server, image, nested, pip_index, services
from homewright.lab import record as records
from homewright.lab.models import USER, Record
from homewright.lab.programs import EARLIER
from homewright.site import files
from homewright.site.answers import InstanceSettings, PlatformSettings, Reserve
from homewright.site.cluster import ClusterSettings
from homewright.site.models import CodeServer, MirrorSettings, Server, Site, WorkspaceSettings
from homewright.site.paths import StateFolder, config_home, state_home

Say = Callable[[str], None]

ZONE = "practice.internal"
"""Below what nobody has: .internal is reserved for private use (ICANN board, 29 July 2024)."""


def path() -> Path:
    return config_home() / SITE_NAME / "site.yaml"


def state() -> StateFolder:
    """The state folder that the practice site has unless another is chosen; one that was chosen is never removed."""
    return StateFolder(state_home() / "sites" / SITE_NAME, path())


def of(record: Record) -> Site:
    """The site that belongs to a lab."""
    return Site(
        name=SITE_NAME,
        profile="lab",
        zone=ZONE,
        servers=tuple(
            Server(
                name=server.name,
                address=server.address,
                user=USER,
                host_key=server.host_keys[0] if server.host_keys else None,
            )
            for server in record.servers
        ),
        # They are containers on one machine, which keeps for itself what it needs.
        instances=InstanceSettings(reserve=Reserve(cpu=0, memory=0, disk=0)),
        # Their instances are made of what they are made of themselves, and it has the Python packages of stage 00.
        mirror=_mirror(record),
        platform=PlatformSettings(cluster="kubeadm", nodes=record.nodes) if record.cluster else PlatformSettings(),
        cluster=_cluster(record),
        workspaces=WorkspaceSettings(
            code_server=CodeServer(bundle=str(code_server.bundle_path()), version=code_server.VERSION)
        ),
    )


def _cluster(record: Record) -> ClusterSettings:
    if not record.cluster:
        return ClusterSettings()
    return nested.answers().model_copy(update={"version": EARLIER} if record.earlier else {})


def _mirror(record: Record) -> MirrorSettings:
    own = services.settings(record.place) if record.cluster else MirrorSettings()
    return own.model_copy(update={"instances": _image(), "pip_index": pip_index.INDEX})


def _image() -> str | None:
    found = image.kept(records.image_folder())
    return str(found) if found is not None else None


def wants_devenv() -> bool:
    """Whether the practice site is to have the image of devenv, for which the mirror needs what that is built from.

    Raises SiteError for a file that somebody has broken.
    """
    return path().exists() and files.load(path()).workspaces.devenv_image


def refuse_foreign(record: Record | None) -> None:
    """Raises LabError where a site named practice is there that the lab did not make."""
    if record is None and path().exists():
        raise LabError(
            f"There is a site in {path()} already.",
            "The practice servers did not make it, so it is left alone.",
            [f"move it away, then try again: mv {path()} {path()}.mine"],
        )
    owner = state().owner()
    if owner is not None:
        raise LabError(
            f"There is a site called {SITE_NAME} already, in {owner}.",
            f"What is recorded for it, in {state().root}, is left alone.",
            ["give your site another name: `name:` in its file, and rename that folder to it"],
        )


def write(record: Record) -> bool:
    """Write the site where it is missing; where it is there, mend its servers and leave all other answers.

    Whether anything was written. Raises SiteError for a file that somebody has broken.
    """
    wanted = of(record)
    if not path().exists():
        files.save(path(), wanted)
        return True
    current = files.load(path())
    changes: dict[str, object] = {}
    if current.servers != wanted.servers:
        changes["servers"] = [server.model_dump(mode="json") for server in wanted.servers]
    ours = f"{records.image_folder()}/"
    if (current.mirror.instances or "").startswith(ours) and current.mirror.instances != wanted.mirror.instances:
        changes["mirror.instances"] = wanted.mirror.instances  # the image was built anew, under another name
    if record.cluster and (current.platform.cluster is None or _is_another_lab(current, wanted)):
        # Answers that somebody has given since stay as they are.
        for name in ("images", "plain_http", "files"):
            changes[f"mirror.{name}"] = getattr(wanted.mirror, name)
        if current.platform.cluster is None:
            changes["platform.cluster"], changes["platform.nodes"] = wanted.platform.cluster, wanted.platform.nodes
            changes["cluster"] = wanted.cluster.model_dump(mode="json", exclude_defaults=True)
    if changes:
        files.update(path(), changes)
    return bool(changes)


def _is_another_lab(current: Site, wanted: Site) -> bool:
    """Whether the site says a mirror of ours, at another place than it is now."""
    known = current.mirror.images or ""
    return known.startswith("198.18.") and known != wanted.mirror.images


def refuse_while_running() -> None:
    """Raises Busy while an engine works on the practice site."""
    try:
        descriptor = os.open(state().engine_lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Busy(
            "A run goes on in the practice site.",
            "Its servers are not taken away from under it.",
            [f"watch it: homewright --site {SITE_NAME} attach", "and take the lab down afterwards"],
        ) from None
    finally:
        os.close(descriptor)


def remove(say: Say) -> None:
    """Remove the site and what was recorded for it; says so."""
    folder = path().parent
    if path().exists():
        say(f"removing the site {SITE_NAME} ({path()})")
        path().unlink()
    for left in folder.glob(".site.yaml.*"):
        left.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
    if state().root.exists():
        say(f"removing what was recorded for it ({state().root})")
        shutil.rmtree(state().root)
    with contextlib.suppress(OSError):
        state().root.parent.rmdir()
