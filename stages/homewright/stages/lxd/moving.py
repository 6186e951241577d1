"""An instance stops, goes to another server with all that is in it, or goes for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from homewright.lxd.client import Lxd, LxdAway, LxdError, LxdMissing
from homewright.stages.lxd import gpus
from homewright.stages.lxd.texts import Planned


def stop(lxd: Lxd, name: str, say: Callable[[str], None]) -> None:
    """By its own shutdown, which saves what its programs have; by force where it does not end."""
    try:
        lxd.set_state(name, "stop", say=say)
    except (LxdAway, LxdMissing):  # LXD went away, or has forgotten what it was asked: the instance may be on its way
        raise
    except LxdError as error:
        say(f"it did not shut down ({error.why.strip()}), so its power is cut")
        lxd.set_state(name, "stop", force=True, say=say)


def move(lxd: Lxd, found: Mapping[str, Any], one: Planned, say: Callable[[str], None]) -> Mapping[str, Any]:
    """A stopped instance to its planned server, with all that is in it; as it is then.

    A GPU of the server of before is none of the new one, and would keep it from starting.
    """
    place = f"instances/{one.node.name}"
    given = {name for name in found["devices"] if name.startswith(gpus.PREFIX)}
    if given:
        kept = {name: device for name, device in found["devices"].items() if name not in given}
        keys = ("architecture", "description", "ephemeral", "profiles", "config")
        lxd.put(place, {**{key: found[key] for key in keys}, "devices": kept})
    lxd.post(place, {"name": one.node.name, "migration": True}, say=say, target=one.node.host)
    moved: Mapping[str, Any] = lxd.get(place)
    return moved


def delete(lxd: Lxd, found: Mapping[str, Any]) -> None:
    """With all that is in it."""
    if found["status"] != "Stopped":
        with suppress(LxdError):  # one that never came to start cannot be stopped either
            lxd.set_state(found["name"], "stop", force=True)
    lxd.delete(f"instances/{found['name']}")
