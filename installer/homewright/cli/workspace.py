"""`homewright workspace …`: people's workspaces."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from homewright.cli import workspace_cluster, workspace_inside, workspace_many, workspace_watch
from homewright.cli.output import Output
from homewright.errors import Cancelled, addressed

if TYPE_CHECKING:
    from homewright.workspaces.models import Key, Session, Workspace
    from homewright.workspaces.one_manager import OneManager as Manager

READS = ("list", "show", "logs", "open", "events", "usage", "repositories")
"""What changes nothing, and so works where nothing can be recorded."""
_GLYPHS = {
    "pending": "·",
    "starting": "▶",
    "running": "✓",
    "stopping": "▶",
    "stopped": "·",
    "error": "✗",
    "unknown": "?",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str, *, key: bool = True, nargs: str | None = None) -> argparse.ArgumentParser:
        child: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text, parents=[_shared()])
        if key:
            child.add_argument(
                "workspace", nargs=nargs, metavar="USER[/NAME]", help="whose, and which: alice, or alice/train"
            )
            child.add_argument("--node", metavar="NODE", help="the server that it is on")
        return child

    create = action("create", "make a workspace and wait until it answers; one that is there is shown", nargs="?")
    create.add_argument("--template", default="node", metavar="TEMPLATE", help="what it is made from (node)")
    create.add_argument("--preset", metavar="PRESET", help="its size; by default the template's")
    create.add_argument(
        "--accept-shared-node",
        action="store_true",
        help="accept a second owner on a node that is opened by its address",
    )
    create.add_argument(
        "--accept-open-network",
        action="store_true",
        help="accept that workspaces reach one another, in a cluster whose network keeps nobody apart",
    )
    create.add_argument("--repo", metavar="URL", help="what is cloned into one in the cluster before it starts")
    create.add_argument("--branch", metavar="BRANCH", default="", help="which branch of it")
    create.add_argument("--full", action="store_true", help="its whole history, not the newest commit alone")
    workspace_many.add_create_arguments(create)
    listing = action("list", "all workspaces of all nodes", key=False)
    listing.add_argument("-w", "--watch", action="store_true", help="and every change, until ctrl+c")
    show = action("show", "one workspace as it is now")
    show.add_argument("--password", action="store_true", help="its password, and nothing else")
    workspace_many.add_parallel(action("start", "start it and wait until it answers", nargs="+"))
    stop = action("stop", "stop it; its data stays", nargs="+")
    workspace_many.add_parallel(stop)
    stop.add_argument("--yes", action="store_true", help="even while somebody is on")
    delete = action("delete", "take it away; its data stays for the next workspace of this name", nargs="+")
    workspace_many.add_parallel(delete)
    delete.add_argument("--with-storage", action="store_true", help="move its data aside too")
    delete.add_argument("--yes", action="store_true", help="ask nothing")
    logs = action("logs", "its log")
    logs.add_argument("-n", "--lines", type=_count, default=100, metavar="N", help="how many lines (100)")
    logs.add_argument("-f", "--follow", action="store_true", help="and what comes, until ctrl+c")
    way = action("open", "where to open it, and how to get there; without an address through the cluster's API")
    way.add_argument("--forward", action="store_true", help="lead a port of this machine there, until ctrl+c")
    way.add_argument("--port", type=_port, default=0, metavar="N", help="which port of this machine (any that is free)")
    workspace_inside.add_actions(action)
    workspace_cluster.add_actions(action)
    action("templates", "what workspaces can be made from", key=False)


def _shared() -> argparse.ArgumentParser:
    from homewright.cli import global_options

    return global_options(suppress=True)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) > 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of lines")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.site import files
    from homewright.site.paths import StateFolder, site_file
    from homewright.workspaces.naming import parse_key
    from homewright.workspaces.one_manager import OneManager

    if args.action == "templates":
        return _templates(args, output)
    file = site_file(args.site)
    site = files.load(file)
    state = StateFolder.of(site.name, args.state, file)
    if args.action in READS:
        state.require_own()
    else:
        state.create()
    with OneManager(site, state) as manager:
        if args.action == "list":
            return workspace_watch.run(manager, output, _state) if args.watch else _list(manager, output)
        if args.action == "create" and (many := workspace_many.wanted(args)) is not None:
            return workspace_many.create(manager, many, args, output)
        if args.action in workspace_many.MANY:
            if len(args.workspace) > 1:
                keys = [parse_key(text, args.node) for text in dict.fromkeys(args.workspace)]
                return workspace_many.run(manager, keys, args, output)
            args.workspace = args.workspace[0]
        if args.action in workspace_inside.VERBS:
            return workspace_inside.run(manager, args, output)
        if args.action in workspace_cluster.ACTIONS:
            return workspace_cluster.run(manager, args, output)
        key = parse_key(args.workspace, args.node)
        return int(_ACTIONS[args.action](manager, key, args, output))


def _create(manager: Manager, key: Key, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.models import Specification, WorkspaceDocument
    from homewright.workspaces.naming import require_makeable
    from homewright.workspaces.repositories import parse
    from homewright.workspaces.templates import require

    require_makeable(key)
    template = require(manager.known_templates, args.template)
    repository = parse(args.repo, args.branch, full=args.full) if args.repo else None
    spec = Specification(
        key=key, template=template.name, preset=args.preset or template.default_preset, repository=repository
    )
    if args.dry_run:
        return workspace_many.foresee(manager, [spec], output)
    began = time.monotonic()
    said: set[str] = set()

    def say(text: str) -> None:
        said.add(text)
        output.progress(text)

    created = manager.create(
        spec, say, accept_shared_node=args.accept_shared_node, accept_open_network=args.accept_open_network,
        anyway=args.anyway,
    )  # fmt: skip
    workspace = created.workspace
    if created.existed:
        output.line(f"{workspace.key} is there already: {_state(workspace)}.")
        if workspace.preset != spec.preset:
            output.progress(f"warning: it keeps its preset {workspace.preset}; {spec.preset} was not applied")
    else:
        output.line(f"{workspace.key} is ready after {time.monotonic() - began:.0f} s.")
    for warning in created.warnings:
        if f"warning: {warning}" not in said:
            output.line(f"warning: {warning}")
    for note in workspace.notes:
        output.line(f"note: {note}")
    output.line(_password_command(workspace))
    output.line(workspace.address)
    output.document(WorkspaceDocument(workspace=workspace, existed=created.existed, warnings=created.warnings))
    return 0


def _list(manager: Manager, output: Output) -> int:
    listing = manager.list()
    if listing.workspaces:
        rows = [("user", "name", "template", "node", "preset", "state", "memory", "address")]
        rows += [
            (
                one.key.user,
                one.key.name,
                one.template,
                one.node,
                one.preset,
                _state(one),
                _size(one.memory),
                one.address,
            )
            for one in listing.workspaces
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            output.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    elif not listing.unreachable:
        output.line(addressed("There are no workspaces yet: homewright workspace create USER"))
    for node, why in listing.unreachable.items():
        output.line(f"? {node} does not answer, so what lives there is not in this list: {why}")
    output.document(listing.document())
    return 5 if listing.unreachable and len(listing.unreachable) == manager.places else 0


def _show(manager: Manager, key: Key, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.models import WorkspaceDocument

    if args.password:
        password = manager.password(key)
        output.line(password)
        output.document({"version": 1, "password": password})
        return 0
    workspace = manager.show(key)
    sessions = manager.sessions(workspace.key) if workspace.connections else ()
    rows = {
        "workspace": str(workspace.key),
        "state": _state(workspace),
        "whose": f"{workspace.whose_words} problem" if workspace.whose else "",
        "what to do": workspace.remedy,
        "address": workspace.address,
        "by name": "" if workspace.by_name == workspace.address else workspace.by_name,
        "route": workspace.route,
        "sign-in": "by a password of its own: --password shows it",
        "title": workspace.title,
        "template": f"{workspace.template}, {workspace.preset}",
        "memory": _size(workspace.memory),
        "open on": _who(sessions),
        "created": _moment(workspace.created_at),
        "started": _moment(workspace.started_at),
        "last active": _moment(workspace.last_active_at),
    }
    for name, value in rows.items():
        if value:
            output.line(f"{name:12} {value}")
    for note in workspace.notes:
        output.line(f"{'note':12} {note}")
    output.document(WorkspaceDocument(workspace=workspace, sessions=sessions))
    return 0


def _start(manager: Manager, key: Key, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.models import WorkspaceDocument

    workspace = manager.start(key, output.progress)
    output.line(f"{workspace.key}: {_state(workspace)}")
    output.line(workspace.address)
    output.document(WorkspaceDocument(workspace=workspace))
    return 0


def _stop(manager: Manager, key: Key, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.models import WorkspaceDocument

    _ask_who_is_on(manager, key, args.yes, output, "Stop it all the same?")
    workspace = manager.stop(key)
    output.line(f"{workspace.key}: {_state(workspace)}")
    output.document(WorkspaceDocument(workspace=workspace))
    return 0


def _delete(manager: Manager, key: Key, args: argparse.Namespace, output: Output) -> int:
    workspace = manager.meant(key)
    _ask_who_is_on(manager, workspace.key, args.yes, output, "Delete it all the same?")
    if args.with_storage and not args.yes:
        workspace_many.type_the_name(f"{workspace.key.user}/{workspace.key.name}", "Its storage goes too.")
    elif not output.confirm(f"Delete {workspace.key}? Its data stays.", yes=args.yes, otherwise="say --yes"):
        raise Cancelled(f"{workspace.key} was not deleted.")
    storage = manager.delete(workspace.key, args.with_storage, in_cluster=workspace.key.node is None)
    output.line(f"{workspace.key} is deleted.")
    if storage and workspace.key.node is None:
        output.line(f"Its data stays in the cluster: {storage}")
        if args.with_storage:
            whose = shlex.quote(str(workspace.key))
            output.line(addressed(f"It is kept for seven days: homewright workspace undelete {whose} takes it back."))
    elif storage and args.with_storage:
        output.line(f"Its data was moved aside on {workspace.node}: {storage}")
        output.line(f"To be rid of it for good: sudo rm -r {shlex.quote(storage)}")
    elif storage:
        output.line(f"Its data stays on {workspace.node}: {storage}")
    output.document({"version": 1, "deleted": str(workspace.key), "storage": storage, "moved": args.with_storage})
    return 0


def _logs(manager: Manager, key: Key, args: argparse.Namespace, output: Output) -> int:
    lines = manager.logs(key, args.lines, args.follow)
    if output.json and not args.follow:
        output.document({"version": 1, "lines": list(lines)})
        return 0
    for line in lines:
        print(json.dumps({"version": 1, "line": line}) if output.json else line, flush=True)
    return 0


def _open(manager: Manager, key: Key, args: argparse.Namespace, output: Output) -> int:
    if args.forward:
        return workspace_inside.forward(manager, key, args.port, output)
    workspace = manager.show(key)
    if not workspace.address and not output.json:
        why = "There is no address that leads to it: the site has no zone."
        return workspace_inside.forward(manager, key, args.port, output, why=why)
    local, command = manager.forward(workspace)
    if workspace.state.value != "running":
        output.line(f"{workspace.key} is {_state(workspace)}.")
    output.line(_password_command(workspace))
    place = workspace.node or "the cluster"
    output.line(f"Where the browser's computer does not reach {place}, run this and open {local} instead:")
    output.line(f"  {shlex.join(command)}")
    if workspace.by_name not in ("", workspace.address):
        output.line(f"Where the browser's computer asks the site's DNS server: {workspace.by_name}")
    output.line(workspace.address)
    output.document(
        {
            "version": 1,
            "address": workspace.address,
            "by_name": workspace.by_name,
            "forward": {"address": local, "command": command},
        }
    )
    return 0


def _templates(args: argparse.Namespace, output: Output) -> int:
    from homewright.errors import SiteError
    from homewright.site.paths import site_file
    from homewright.workspaces.templates import TemplatesDocument, folder_of, load

    try:
        folder = folder_of(site_file(args.site))
    except SiteError:
        folder = None  # what comes with Homewright needs no site
    templates = load(folder)
    for template in templates.values():
        output.line(f"{template.name}: {template.title}")
        output.line(f"  {template.summary}")
        if template.warning:
            output.line(f"  {template.warning}")
        for name, preset in template.presets.items():
            default = " (default)" if name == template.default_preset else ""
            output.line(f"  preset {name}: {preset.title}{default}")
    output.document(TemplatesDocument(templates=tuple(templates.values())))
    return 0


_ACTIONS = {
    "create": _create,
    "show": _show,
    "start": _start,
    "stop": _stop,
    "delete": _delete,
    "logs": _logs,
    "open": _open,
}


def _ask_who_is_on(manager: Manager, key: Key, yes: bool, output: Output, question: str) -> None:
    """What ends a live session asks first, and says who is on."""
    if yes:
        return
    sessions = manager.sessions(key)
    known = any(session.connections for session in sessions)
    question = f"{key} {'is' if known else 'may be'} open on {_who(sessions)}. {question}"
    if sessions and not output.confirm(question, yes=False, otherwise="say --yes"):
        raise Cancelled(f"{key} goes on.")


def _who(sessions: Sequence[Session]) -> str:
    return ", ".join(
        f"{session.address} (connections: {session.connections})" if session.connections else session.address
        for session in sessions
    )


def _password_command(workspace: Workspace) -> str:
    return addressed(f"Its password: homewright workspace show --password {shlex.quote(str(workspace.key))}")


def _state(workspace: Workspace) -> str:
    reason = f" · {workspace.reason}" if workspace.reason else ""
    return f"{_GLYPHS[workspace.state]} {workspace.state}{reason}"


def _size(size: int | None) -> str:
    return "–" if size is None else f"{size / (1 << 20):.0f} MiB"


def _moment(moment: float | None) -> str:
    return "" if moment is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
