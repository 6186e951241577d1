"""An instance stops, goes to another server with all that is in it, or goes for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from homewright.errors import HomewrightError
from homewright.lxd.client import Lxd, LxdAway, LxdError, LxdMissing
from homewright.stages.lxd import gpus
from homewright.stages.lxd.standing import OWNER
from homewright.stages.lxd.texts import MOVES, Planned

_COPY = "move-of"
"""What LXD calls the copy of an instance that moves, until it has the name itself: `lxd-move-of-…`."""


def stop(lxd: Lxd, name: str, say: Callable[[str], None]) -> None:
    """By its own shutdown, which saves what its programs have; by force where it does not end."""
    try:
        lxd.set_state(name, "stop", say=say)
    except (LxdAway, LxdMissing):  # LXD went away, or has forgotten what it was asked: the instance may be on its way
        raise
    except LxdError as error:
        say(f"it did not shut down ({error.why.strip()}), so its power is cut")
        lxd.set_state(name, "stop", force=True, say=say)


def copy_of(found: Mapping[str, Any], owner: str) -> str:
    """The instance of ours whose move made this copy; empty where this is none, or nobody can tell."""
    config = found["config"] or {}
    return str(config.get(MOVES, "")) if _COPY in found["name"] and config.get(OWNER) == owner else ""


def move(lxd: Lxd, found: Mapping[str, Any], one: Planned, owner: str, say: Callable[[str], None]) -> Mapping[str, Any]:
    """A stopped instance to its planned server, with all that is in it; as it is then.

    A GPU of the server of before is none of the new one, and would keep it from starting.
    """
    place = f"instances/{one.node.name}"
    _forget_halves(lxd, one.node.name, owner, say)
    given = {name for name in found["devices"] if name.startswith(gpus.PREFIX)}
    if given:
        kept = {name: device for name, device in found["devices"].items() if name not in given}
        keys = ("architecture", "description", "ephemeral", "profiles", "config")
        lxd.put(place, {**{key: found[key] for key in keys}, "devices": kept})
    lxd.patch(place, {"config": {MOVES: one.node.name}})
    lxd.post(place, {"name": one.node.name, "migration": True}, say=say, target=one.node.host)
    moved: Mapping[str, Any] = lxd.get(place)
    return moved


def _forget_halves(lxd: Lxd, name: str, owner: str, say: Callable[[str], None]) -> None:
    """What a move that was cut off earlier had copied by then, while the original is there and whole.

    Once the original has gone, nothing could tell such a half from the one whole copy. Raises LxdAway while LXD itself
    goes on with that move.
    """
    halves = [copy["name"] for copy in _copies(lxd, name, owner)]
    if not halves:
        return
    for operation in (one for some in (lxd.get("operations", recursion=1) or {}).values() for one in some):
        about = [str(place) for places in (operation.get("resources") or {}).values() for place in places or ()]
        busy = {place.rpartition("/")[2].partition("?")[0] for place in about} & {name, *halves}
        if busy and operation.get("status_code", 0) < 200 and operation.get("class", "task") == "task":
            raise LxdAway(f"LXD is still at work on {name}.", "It goes on with a move that was begun earlier.")
    lxd.get(f"instances/{name}")  # LxdMissing where that move has come further meanwhile
    for half in halves:
        say(f"{half}, which a move that was cut off left half done, is taken away")
        lxd.delete(f"instances/{half}")


def _copies(lxd: Lxd, name: str, owner: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = lxd.get("instances", recursion=1)
    for one in found:
        if one["config"] is None and _COPY in one["name"]:
            raise LxdAway(f"LXD cannot tell yet what {one['name']} is.", "The member that has it is away.")
    return [one for one in found if one["name"] != name and copy_of(one, owner) == name]


def cut_off(lxd: Lxd, name: str, owner: str, say: Callable[[str], None]) -> Mapping[str, Any] | None:
    """An instance whose move was cut off, under its own name again; None where there is none.

    LXD copies it under another name (`lxd-move-of-…`), removes the original and renames the copy last: with a member
    away before that, what is in it is there and its name is not. Raises LxdAway where that cannot be told,
    HomewrightError where there are several.
    """
    copies = _copies(lxd, name, owner)
    if not copies:
        return None
    if len(copies) > 1:
        told = ", ".join(f"{copy['name']} on {copy['location']}" for copy in copies)
        raise HomewrightError(
            f"There is more than one copy of {name}.",
            f"Its move was cut off, and nobody can tell which one is whole: {told}.",
            ["look at them: sudo lxc list", "take away those that are not: sudo lxc delete …", "homewright retry"],
        )
    say("its move was cut off before it had its name again")
    lxd.post(f"instances/{copies[0]['name']}", {"name": name}, say=say)
    moved: Mapping[str, Any] = lxd.get(f"instances/{name}")
    return moved


def delete(lxd: Lxd, found: Mapping[str, Any]) -> None:
    """With all that is in it."""
    if found["status"] != "Stopped":
        with suppress(LxdError):  # one that never came to start cannot be stopped either
            lxd.set_state(found["name"], "stop", force=True)
    lxd.delete(f"instances/{found['name']}")
