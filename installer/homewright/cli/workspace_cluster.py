"""Verbs that came with workspaces in the cluster: restart, set, rename, usage, undelete, purge, events, export."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from homewright.cli import workspace_many
from homewright.cli.output import Output
from homewright.errors import Cancelled, UsageError

if TYPE_CHECKING:
    from homewright.workspaces.models import Key
    from homewright.workspaces.one_manager import OneManager


def add_actions(action: Callable[..., argparse.ArgumentParser]) -> None:
    restart = action("restart", "end it, start it again, and wait until it answers", nargs="+")
    restart.add_argument("--yes", action="store_true", help="even while somebody is on")
    workspace_many.add_parallel(restart)
    change = action("set", "another size, or its template as it is now, for one in the cluster")
    change.add_argument("--preset", metavar="PRESET", help="its size from its next start or restart on")
    change.add_argument(
        "--template-version", metavar="VERSION", help="`current`: its template as it is now, from then on"
    )
    rename = action("rename", "another title for one in the cluster; its name and its address stay")
    rename.add_argument("title", metavar="TITLE", help="what people call it; '' for none")
    usage = action("usage", "processors and memory that they use now, and may", key=False)
    usage.add_argument("workspace", nargs="?", metavar="USER[/NAME]", help="this one's alone")
    undelete = action("undelete", "storage in the cluster that was given up: take it back, or list it", key=False)
    undelete.add_argument("workspace", nargs="?", metavar="USER[/NAME]", help="whose to take back")
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


def _set(manager: OneManager, key: Key | None, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.models import WorkspaceDocument

    assert key is not None
    if args.preset is None and args.template_version is None:
        raise UsageError("What is to be set?", "", ["--preset PRESET", "--template-version current"])
    if args.template_version not in (None, "current"):
        raise UsageError(
            f"There is no template version {args.template_version}.",
            "Older ones are not kept: a workspace has what its last start brought, or what the template says now.",
            ["--template-version current"],
        )
    key = key.model_copy(update={"node": key.node or args.node})
    workspace = manager.set(key, preset=args.preset, template_now=args.template_version is not None)
    output.line(f"{workspace.key} is a {workspace.template}, {workspace.preset}.")
    for note in workspace.notes:
        output.line(f"note: {note}")
    output.document(WorkspaceDocument(workspace=workspace))
    return 0


def _rename(manager: OneManager, key: Key | None, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.models import WorkspaceDocument

    assert key is not None
    key = key.model_copy(update={"node": key.node or args.node})
    workspace = manager.rename(key, args.title)
    output.line(f"{workspace.key} is called {workspace.title!r}." if workspace.title else f"{key} has no title.")
    output.document(WorkspaceDocument(workspace=workspace))
    return 0


def _usage(manager: OneManager, key: Key | None, args: argparse.Namespace, output: Output) -> int:
    document = manager.usage(key)
    rows = [("workspace", "template", "preset", "cpu", "of", "memory", "of")]
    for one in document.workspaces:
        cpu = ("–" if one.cpu is None else f"{one.cpu:.2f}", "–" if one.cpu_limit is None else f"{one.cpu_limit:g}")
        rows.append((one.workspace, one.template, one.preset, *cpu, _mib(one.memory), _mib(one.memory_limit)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows if document.workspaces else ():
        output.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if document.unmeasured:
        output.line(f"? {document.unmeasured}")
    output.document(document)
    return 0


def _mib(size: int | None) -> str:
    return "–" if size is None else f"{size / (1 << 20):.0f} MiB"


def _undelete(manager: OneManager, key: Key | None, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.models import GivenUpDocument

    if key is None:
        found = manager.given_up()
        for one in found:
            due = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.due))
            output.line(f"{one.key}: {', '.join(one.claims)}, kept until {due}")
        if not found:
            output.line("No storage was given up.")
        output.document(GivenUpDocument(given_up=found))
        return 0
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


ACTIONS = {
    "restart": _restart,
    "set": _set,
    "rename": _rename,
    "usage": _usage,
    "undelete": _undelete,
    "purge": _purge,
    "events": _events,
    "export": _export,
}
