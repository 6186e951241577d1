"""An instance stops, goes to another server with all that is in it, or goes for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from homewright.lxd.client import Lxd, LxdAway, LxdError, LxdMissing
from homewright.stages.lxd import gpus
from homewright.stages.lxd.texts import Planned

MOVES = "user.homewright-moves"
"""The name of an instance that moves, which its copy has as well."""


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
    lxd.patch(place, {"config": {MOVES: one.node.name}})
    lxd.post(place, {"name": one.node.name, "migration": True}, say=say, target=one.node.host)
    moved: Mapping[str, Any] = lxd.get(place)
    return moved


def cut_off(lxd: Lxd, name: str, say: Callable[[str], None]) -> Mapping[str, Any] | None:
    """An instance whose move was cut off, under its own name again; None where there is none.

    LXD copies it under another name (`lxd-move-of-…`), removes the original and renames the copy last: with a member
    away before that, what is in it is there and its name is not. Raises LxdAway where that cannot be told.
    """
    for other in lxd.get("instances", recursion=1):
        if other["config"] is None and "move-of" in other["name"]:
            raise LxdAway(f"LXD cannot tell yet what {other['name']} is.", "The member that has it is away.")
        if other["name"] != name and (other["config"] or {}).get(MOVES) == name:
            say("its move was cut off before it had its name again")
            lxd.post(f"instances/{other['name']}", {"name": name}, say=say)
            moved: Mapping[str, Any] = lxd.get(f"instances/{name}")
            return moved
    return None


def delete(lxd: Lxd, found: Mapping[str, Any]) -> None:
    """With all that is in it."""
    if found["status"] != "Stopped":
        with suppress(LxdError):  # one that never came to start cannot be stopped either
            lxd.set_state(found["name"], "stop", force=True)
    lxd.delete(f"instances/{found['name']}")
