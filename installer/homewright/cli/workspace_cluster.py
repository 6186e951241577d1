"""Verbs on workspaces that came with those in the cluster: restart, undelete, purge, events, export."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import Cancelled, UsageError

if TYPE_CHECKING:
    from homewright.workspaces.models import Key
    from homewright.workspaces.one_manager import OneManager


def add_actions(action: Callable[..., argparse.ArgumentParser]) -> None:
    restart = action("restart", "end it, start it again, and wait until it answers")
    restart.add_argument("--yes", action="store_true", help="even while somebody is on")
    action("undelete", "take back storage in the cluster that was given up by a deletion")
    purge = action("purge", "remove storage in the cluster that was given up seven days ago", key=False)
    purge.add_argument("workspace", nargs="?", metavar="USER[/NAME]", help="this one's, however long ago")
    purge.add_argument("--yes", action="store_true", help="ask nothing")
    action("events", "what the cluster said about it, and who did what")
    export = action("export", "the objects in the cluster that it is made of, as JSON for kubectl", key=False)
    export.add_argument("workspace", nargs="?", metavar="USER[/NAME]", help="whose, and which")
    export.add_argument("--setup", action="store_true", help="what an administrator makes once for all of them")


def run(manager: OneManager, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.naming import parse_key

    key = parse_key(args.workspace) if args.workspace is not None else None
    return ACTIONS[args.action](manager, key, args, output)


def _restart(manager: OneManager, key: Key | None, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.models import WorkspaceDocument

    assert key is not None
    key = key.model_copy(update={"node": key.node or args.node})
    if not output.confirm(f"Restart {key}? What runs in its terminals ends.", yes=args.yes, otherwise="say --yes"):
        raise Cancelled(f"{key} goes on.")
    workspace = manager.restart(key, output.progress)
    output.line(f"{workspace.key}: {workspace.state}")
    output.line(workspace.address)
    output.document(WorkspaceDocument(workspace=workspace))
    return 0


def _undelete(manager: OneManager, key: Key | None, args: argparse.Namespace, output: Output) -> int:
    assert key is not None
    claims = manager.undelete(key)
    output.line(f"The storage of {key} is taken back: {', '.join(claims)}.")
    output.line(f"The next workspace of that name gets it: homewright workspace create {shlex.quote(str(key))}")
    output.document({"version": 1, "workspace": str(key), "claims": list(claims)})
    return 0


def _purge(manager: OneManager, key: Key | None, args: argparse.Namespace, output: Output) -> int:
    what = f"the storage of {key}" if key is not None else "all storage that was given up seven days ago"
    if not args.yes:
        _type_what(str(key) if key is not None else "purge", what)
    purged = manager.purge(key)
    for claim in purged.removed:
        output.line(f"removed: {claim}")
    for claim in purged.kept:
        output.line(f"kept, not due yet: {claim}")
    if not purged.removed and not purged.kept:
        output.line("Nothing was given up.")
    output.document({"version": 1, "removed": list(purged.removed), "kept": list(purged.kept)})
    return 0


def _events(manager: OneManager, key: Key | None, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.models import EventsDocument

    assert key is not None
    events = manager.events(key)
    for event in events:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
        many = f" (x{event.count})" if event.count > 1 else ""
        output.line(f"{at}  {'!' if event.warning else ' '} {event.about} {event.what}{many}: {event.message}")
    if not events:
        output.line("Nothing is known: the cluster forgets events after an hour.")
    output.document(EventsDocument(workspace=str(key), events=events))
    return 0


def _export(manager: OneManager, key: Key | None, args: argparse.Namespace, output: Output) -> int:
    if (key is None) is not args.setup:
        raise UsageError(
            "What is to be exported?", "A workspace, or --setup.", ["homewright workspace export USER", "or --setup"]
        )
    objects = manager.export(None if args.setup else key)
    # Objects are JSON for people and programs alike.
    Output(json=True).document({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    return 0


def _type_what(word: str, what: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"Remove {what} for good?", "There is no terminal to type on.", ["say --yes"])
    print(f"This removes {what} for good. Type {word} to do so: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != word:
        raise Cancelled("Nothing was removed.", "What was typed is something else.")


ACTIONS = {"restart": _restart, "undelete": _undelete, "purge": _purge, "events": _events, "export": _export}
