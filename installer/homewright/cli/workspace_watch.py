"""`homewright workspace list --watch`: all workspaces, then every change as it happens, until ctrl+c."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from homewright.cli.output import Output

if TYPE_CHECKING:
    from homewright.workspaces.manager import Listing
    from homewright.workspaces.models import Workspace, WorkspaceChange
    from homewright.workspaces.one_manager import OneManager

_MARKS = {"there": "+", "changed": "~", "gone": "-", "silent": "?", "answers": "✓"}
_DRAIN_S = 0.2


def run(manager: OneManager, output: Output, state: Callable[[Workspace], str]) -> int:
    """Each line is one change, with --json one document. A first line for each workspace that is there."""
    news = threading.Event()
    live = manager.live(news.set)
    known: dict[str, Workspace] = {}
    silent: dict[str, str] = {}
    try:
        while True:
            listing = live.listing()
            if not listing.looking:
                for change in changes(known, silent, listing, time.time()):
                    _print(change, output, state)
                known = {str(one.key): one for one in listing.workspaces}
                silent = dict(listing.unreachable)
            news.wait(_DRAIN_S if listing.looking else 1.0)
            news.clear()
            time.sleep(_DRAIN_S)  # what comes together is looked at together
    finally:
        live.close()


def changes(known: dict[str, Workspace], silent: dict[str, str], now: Listing, at: float) -> Iterator[WorkspaceChange]:
    """What differs from before. That figures of use change all the time is no change."""
    from homewright.workspaces.models import WorkspaceChange

    for place, why in now.unreachable.items():
        if place not in silent:
            yield WorkspaceChange(change="silent", at=at, place=place, why=why)
    for place in silent.keys() - now.unreachable.keys():
        yield WorkspaceChange(change="answers", at=at, place=place)
    found = {str(one.key): one for one in now.workspaces}
    for key, one in found.items():
        before = known.get(key)
        if before is None:
            yield WorkspaceChange(change="there", at=at, workspace=one)
        elif _lasting(before) != _lasting(one):
            yield WorkspaceChange(change="changed", at=at, workspace=one)
    for key, one in known.items():
        if key not in found and not (now.unreachable and one.node in now.unreachable):
            yield WorkspaceChange(change="gone", at=at, workspace=one)


def _lasting(one: Workspace) -> Workspace:
    return one.model_copy(update={"cpu": None, "memory": None, "last_active_at": None, "connections": None})


def _print(change: WorkspaceChange, output: Output, state: Callable[[Workspace], str]) -> None:
    if output.json:
        readable = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        print(json.dumps(change.model_dump(mode="json"), ensure_ascii=not readable), flush=True)
        return
    stamp = time.strftime("%H:%M:%S", time.localtime(change.at))
    mark, one = _MARKS[change.change], change.workspace
    if one is not None:
        words = "is gone" if change.change == "gone" else state(one)
        output.line(f"{stamp} {mark} {one.key}  {words}{f'  ({one.node})' if one.node else ''}")
    elif change.change == "silent":
        output.line(f"{stamp} {mark} {change.place} does not answer: {change.why}")
    else:
        output.line(f"{stamp} {mark} {change.place} answers again")
