"""What the lab asks of LXD, through its own API: the same for the private daemon and for one shared with others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# A newer LXD answers with fields that the client has no names for; that is no news to anybody.
os.environ.setdefault("PYLXD_WARNINGS", "none")

import pylxd
import pylxd.exceptions
import requests

from homewright.errors import LabError
from homewright.lab.image import ALIAS, Image
from homewright.lab.models import LabServer, Place
from homewright.lab.places import hardware_address
from homewright.lxd import recorded

STANDARD_SOCKETS = ("/var/snap/lxd/common/lxd/unix.socket", "/var/lib/lxd/unix.socket")
"""Where an LXD that this machine uses listens: the snap's, and the Debian package's."""

OWNER_KEY = "user.homewright"
"""Says which lab a thing in an LXD belongs to; nothing of another's is ever removed."""

READY_KEY = "user.homewright-ready"
"""Set on a server once its account is made; one without it is made anew."""


class PlaceTaken(LabError):
    """Another bridge, or another network, has the lab's range."""

    code = "lab-place-taken"


@contextlib.contextmanager
def _words(what: str) -> Iterator[None]:
    """LXD's own reason as ours."""
    try:
        yield
    except (pylxd.exceptions.LXDAPIException, pylxd.exceptions.ClientConnectionFailed) as error:
        raise LabError(what, f"LXD says: {str(error).strip()[:300]}.", ["take the lab down and up again"]) from error
    except requests.exceptions.RequestException as error:
        raise LabError(
            what, f"LXD does not answer: {str(error)[:200]}.", ["take the lab down and up again: homewright lab down"]
        ) from error


def answers(socket: str) -> bool:
    """Whether an LXD listens there and lets us in."""
    if not Path(socket).exists():
        return False
    try:
        client = pylxd.Client(endpoint=socket)
        client.api.session.close()
    except (pylxd.exceptions.ClientConnectionFailed, requests.exceptions.RequestException, OSError, ValueError):
        return False
    return True


def in_use(sockets: Sequence[str] = STANDARD_SOCKETS) -> str | None:
    """The socket of an LXD that this machine uses: it answers, and it has storage. None where there is none.

    A daemon that was installed and never set up is in nobody's use.
    """
    for socket in sockets:
        if answers(socket):
            client = pylxd.Client(endpoint=socket)
            if client.storage_pools.all():
                return socket
    return None


class Lxd:
    """The lab's part of one LXD. Methods raise LabError with LXD's own reason."""

    def __init__(self, socket: str, place: Place, owner: str, *, shared: bool) -> None:
        self.place = place
        self.owner = owner
        self.shared = shared
        self._socket = socket
        with _words("LXD cannot be reached."):
            self._global = pylxd.Client(endpoint=socket)
            self._client = pylxd.Client(endpoint=socket, project=place.project) if shared else self._global
        self._pool = place.project

    def close(self) -> None:
        """Close the connections."""
        for client in (self._client, self._global):
            client.api.session.close()

    def ensure_network(self) -> bool:
        """The project, the bridge, the pool and the profile; whether anything had to be made.

        Raises PlaceTaken where the bridge's name or range belongs to something else.
        """
        place = self.place
        changed = False
        with _words("The practice servers' network could not be made."):
            if self.shared and self._global.projects.exists(place.project):
                if not self._is_ours(self._global.projects, place.project):
                    raise PlaceTaken(f"The LXD project {place.project} is somebody else's.", "", [])
            elif self.shared:
                features = {"features.images": "true", "features.profiles": "true", "features.networks": "false"}
                self._global.projects.create(
                    place.project, "Homewright's practice servers", {**features, OWNER_KEY: self.owner}
                )
                changed = True
            if not self._global.networks.exists(place.bridge):
                self._create_bridge()
                changed = True
            elif not self._is_ours(self._global.networks, place.bridge):
                raise PlaceTaken(f"The bridge {place.bridge} is somebody else's.", "", [])
            if not self._global.storage_pools.exists(self._pool):
                self._global.storage_pools.create(
                    {"name": self._pool, "driver": "dir", "config": {OWNER_KEY: self.owner}}
                )
                changed = True
            profile = self._client.profiles.get("default")
            devices = {
                "root": {"type": "disk", "path": "/", "pool": self._pool},
                "eth0": {"type": "nic", "name": "eth0", "network": place.bridge},
            }
            if profile.devices != devices:
                profile.devices = devices
                profile.save(wait=True)
                changed = True
        return changed

    def _create_bridge(self) -> None:
        place = self.place
        config = {
            "ipv4.address": f"{place.gateway}/24",
            "ipv4.nat": "true",
            "ipv6.address": "none",
            "bridge.hwaddr": hardware_address(self.owner),
            OWNER_KEY: self.owner,
        }
        try:
            self._global.networks.create(place.bridge, type="bridge", config=config)
        except pylxd.exceptions.LXDAPIException as error:
            reason = str(error)
            if any(word in reason.lower() for word in ("already", "in use", "exists")):
                raise PlaceTaken(f"The network {place.network} is taken.", f"LXD says: {reason[:200]}.", []) from error
            raise

    def ensure_image(self, image: Image) -> bool:
        """Import the cached image where LXD has another one or none; whether it had to."""
        with _words("The practice servers' image could not be imported."):
            for known in self._client.images.all():
                if known.properties.get("homewright") == image.digest:
                    return False
                if self.shared or ALIAS in {alias["name"] for alias in known.aliases}:
                    known.delete(wait=True)
            with image.metadata.open("rb") as metadata, image.rootfs.open("rb") as rootfs:
                made = self._client.images.create(rootfs, metadata=metadata)
            made = self._client.images.get(made.fingerprint)
            made.properties = {**made.properties, "homewright": image.digest}
            made.save(wait=True)
            made.add_alias(ALIAS, "Homewright's practice servers")
        return True

    def servers(self) -> dict[str, Any]:
        """The lab's instances by name."""
        with _words("The practice servers cannot be listed."):
            # Not `instances.all()`: pylxd 2.4.2 takes "?project=…" of a project's instances for a part of their names.
            places = self._client.api.instances.get().json()["metadata"]
            names = [urlsplit(place).path.rpartition("/")[2] for place in places]
            return {name: self._client.instances.get(name) for name in names}

    def create(self, server: LabServer) -> Any:
        """A new instance, running."""
        with _words(f"{server.name} could not be made."):
            instance = self._client.instances.create(
                {
                    "name": server.name,
                    "source": {"type": "image", "alias": ALIAS},
                    "config": {"security.nesting": "true", "boot.autostart": "false", OWNER_KEY: self.owner},
                    "devices": {
                        "eth0": {
                            "type": "nic",
                            "name": "eth0",
                            "network": self.place.bridge,
                            "ipv4.address": server.address,
                            "host_name": self.place.interface(server.name),
                        }
                    },
                },
                wait=True,
            )
            instance.start(wait=True)
        return instance

    def start(self, instance: Any) -> None:
        with _words(f"{instance.name} could not be started."):
            instance.start(wait=True)

    def stop(self, instance: Any) -> None:
        """Cut the power: nothing in the server gets to write anything any more."""
        with _words(f"{instance.name} could not be stopped."):
            instance.stop(force=True, wait=True)

    def delete(self, instance: Any) -> None:
        with _words(f"{instance.name} could not be removed."):
            if instance.status != "Stopped":
                instance.stop(force=True, wait=True)
            instance.delete(wait=True)

    def tell(self, instance: Any, script: str, *arguments: str, stdin: str) -> None:
        """Run a shell script in a new server, as root there, which reads what is secret.

        What it says is not asked for: LXD before 5.14 loses that now and then on a busy machine (canonical/lxd#11890).
        """
        with _words(f"A command in {instance.name} failed."):
            result = instance.execute(["sh", "-ec", script, "sh", *arguments], stdin_payload=stdin)
        if result.exit_code != 0:
            raise LabError(
                f"{instance.name} could not be prepared.",
                f"A command in it ended with {result.exit_code}: {result.stderr.strip()[-300:]}",
                ["take the lab down and up again: homewright lab down"],
            )

    def perform(self, instance: Any, script: str, *arguments: str) -> str:
        """Run a shell script in a server, as root there, without a conversation; its standard output.

        Raises LabError with the last of what it said.
        """
        with _words(f"A command in {instance.name} failed."):
            said = recorded.execute(self._client.api, instance.name, ["sh", "-ec", script, "sh", *arguments])
        if said.exit_code != 0:
            reason = said.stderr.strip()[-300:]
            raise LabError(f"A command in {instance.name} failed.", f"It ended with {said.exit_code}: {reason}")
        return said.stdout

    def mark_ready(self, instance: Any) -> None:
        with _words(f"{instance.name} could not be marked."):
            instance.sync()
            instance.config[READY_KEY] = "true"
            instance.save(wait=True)

    def remove_all(self, each: Callable[[Callable[[Any], None], Sequence[Any]], None]) -> bool:
        """Remove all that `ensure_network`, `ensure_image` and `create` made; whether there was anything.

        `each` does one thing to many instances. Nothing that is not marked as ours is touched.
        """
        found = False
        with _words("The practice servers could not be removed."):
            if not self.shared or self._is_ours(self._global.projects, self.place.project):
                instances = list(self.servers().values())
                each(self.delete, instances)
                found = bool(instances)
                if self.shared:
                    for image in self._client.images.all():
                        image.delete(wait=True)
                    profile = self._client.profiles.get("default")
                    profile.devices = {}
                    profile.save(wait=True)
                    self._global.projects.get(self.place.project).delete()
                    found = True
            if self._is_ours(self._global.networks, self.place.bridge):
                if not self.shared:
                    profile = self._client.profiles.get("default")
                    profile.devices = {}
                    profile.save(wait=True)
                self._global.networks.get(self.place.bridge).delete()
                found = True
            if self.shared and self._is_ours(self._global.storage_pools, self._pool):
                self._global.storage_pools.get(self._pool).delete()
                found = True
        return found

    def _is_ours(self, manager: Any, name: str) -> bool:
        if not manager.exists(name):
            return False
        config: Mapping[str, str] = manager.get(name).config
        return config.get(OWNER_KEY) == self.owner
