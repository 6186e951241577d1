"""Where a workspace goes, and what must be accepted before it does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homewright.errors import Unreachable, UsageError
from homewright.site.models import Site
from homewright.workspaces.models import Key


@dataclass(frozen=True)
class Place:
    """A node that may get a workspace."""

    node: str
    keys: tuple[Key, ...]
    """The workspaces that are there."""

    def other_owners(self, user: str) -> tuple[str, ...]:
        return tuple(sorted({key.user for key in self.keys} - {user}))


def allowed(site: Site) -> tuple[str, ...]:
    """The servers that may get node workspaces: all but the master; on a site of one server, that one."""
    master = site.master
    return tuple(server.name for server in site.servers if master is None or server.name != master.name)


def choose(site: Site, user: str, wanted: str | None, places: Mapping[str, Place], silent: Mapping[str, str]) -> Place:
    """The node for a new workspace: the one that was named, else the one with the fewest workspaces.

    Among equals one without another owner comes first, then the site's order. `silent` says why a node did not answer.
    Raises UsageError where that node may not get one, Unreachable where none answers.
    """
    if wanted is not None:
        _require_allowed(site, wanted)
        if wanted not in places:
            raise Unreachable(
                f"{wanted} does not answer.", silent.get(wanted, ""), ["see whether it is on", "or choose another node"]
            )
        return places[wanted]
    names = allowed(site)
    if not names:
        raise UsageError("This site has no servers.", "", ["homewright site set …, or the wizard's Servers"])
    candidates = [places[name] for name in names if name in places]
    if not candidates:
        reasons = "\n".join(f"{name}: {silent.get(name, 'no answer')}" for name in names)
        raise Unreachable("No node for workspaces answers.", reasons, ["see whether they are on, then try again"])
    return min(candidates, key=lambda place: (len(place.keys), bool(place.other_owners(user)), names.index(place.node)))


def _require_allowed(site: Site, node: str) -> None:
    names = allowed(site)
    if node in names:
        return
    if node in {server.name for server in site.servers}:
        raise UsageError(
            f"{node} is the master of this site, and gets no workspaces.",
            "A workspace is a shell beside the control plane there.",
            [f"choose one of: {', '.join(names)}"],
        )
    raise UsageError(f"There is no server {node} in this site.", "", [f"choose one of: {', '.join(names)}"])


def warnings(site: Site, place: Place) -> tuple[str, ...]:
    """What is said before a workspace is made there."""
    if site.master is None:
        return (
            f"This site has one server, so the workspace runs on it, beside everything else: {place.node} is the "
            "control plane too.",
        )
    return ()


def shared_node(site: Site, place: Place, user: str, by_name: bool) -> str:
    """The warning that must be accepted where a node gets a second owner; empty where there is none.

    `by_name`: whether the workspaces there are opened by names of their own, as far as can be seen from here.
    """
    others = place.other_owners(user)
    if by_name or not others:
        return ""
    until = f"names of {site.zone} are found here" if site.zone else "this site has a zone"
    return (
        f"{place.node} already has workspaces of {_listed(others)}. Until {until} they share one address, "
        "and browsers send the cookies of one port to the others: whoever opens both in one browser, or is lured to, "
        "lets one workspace see the other's session."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
