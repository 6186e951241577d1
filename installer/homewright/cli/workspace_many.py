"""Verbs on many workspaces at once: so many made, or one verb on several; each is told as it ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from homewright.cli.output import Output
from homewright.errors import Cancelled, HomewrightError, UsageError, visible

if TYPE_CHECKING:
    from homewright.workspaces.bulk import Outcome, Task
    from homewright.workspaces.bulk_file import Wanted
    from homewright.workspaces.models import BulkRow, Key, Specification
    from homewright.workspaces.one_manager import OneManager

MANY = ("start", "stop", "restart", "delete")
"""Verbs that take several workspaces."""


def add_create_arguments(create: argparse.ArgumentParser) -> None:
    create.add_argument("--dry-run", action="store_true", help="make nothing; say whether it would start, and why not")
    create.add_argument("--anyway", action="store_true", help="make it even where it is foreseen not to start")
    create.add_argument("--count", type=int, metavar="N", help="make N of them: NAME-1 and so on")
    create.add_argument("--from", dest="file", metavar="FILE", help="make those of a YAML or JSON list; - is stdin")
    add_parallel(create)


def add_parallel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parallel", type=_parallel, default=8, metavar="N", help="of several so many at a time (8)")


def _parallel(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 64")
    return int(text)


def wanted(args: argparse.Namespace) -> tuple[Wanted, ...] | None:
    """Those that are to be made at once; None where it is one. Raises UsageError."""
    from homewright.workspaces import bulk_file
    from homewright.workspaces.naming import parse_key

    if args.file is not None:
        if args.workspace is not None or args.count is not None:
            raise UsageError("--from says whose they are.", "USER and --count say so too.", ["leave one of them out"])
        return bulk_file.read(args.file)
    if args.workspace is None:
        raise UsageError("Whose workspace?", "", ["homewright workspace create USER", "or --from FILE"])
    if args.count is None:
        return None
    return bulk_file.numbered(parse_key(args.workspace, args.node), args.count)


def create(manager: OneManager, many: Sequence[Wanted], args: argparse.Namespace, output: Output) -> int:
    """Make all of them; those that are there stay as they are. Exit code: that of the failures, 0 without any."""
    from homewright.workspaces.bulk import Task

    specs = [_spec(manager, one, args) for one in many]
    if args.dry_run:
        return foresee(manager, specs, output)

    def made(spec: Specification) -> Callable[[], bool]:
        def work() -> bool:
            return manager.create(
                spec, lambda _: None, accept_shared_node=args.accept_shared_node,
                accept_open_network=args.accept_open_network, anyway=args.anyway,
            ).existed  # fmt: skip

        return work

    tasks = [Task(str(spec.key), made(spec)) for spec in specs]
    return _all("create", tasks, args.parallel, output, lambda existed: "was there already" if existed else "is ready")


def _spec(manager: OneManager, one: Wanted, args: argparse.Namespace) -> Specification:
    from homewright.workspaces.models import Specification
    from homewright.workspaces.repositories import parse
    from homewright.workspaces.templates import require

    template = require(manager.known_templates, one.template or args.template)
    url = one.repository or args.repo
    preset = one.preset or args.preset or template.default_preset
    template.preset(preset)  # a slip in a long file is told before the first one is made
    return Specification(
        key=one.key, template=template.name, preset=preset,
        repository=parse(url, one.branch or args.branch, full=args.full) if url else None,
    )  # fmt: skip


def foresee(manager: OneManager, specs: Sequence[Specification], output: Output) -> int:
    """Say what making them would do. 0 where all would start, else 1."""
    from homewright.workspaces.models import PreviewDocument

    documents = []
    for spec in specs:
        preview = manager.preview(spec)
        document = PreviewDocument(
            workspace=str(spec.key),
            node=preview.node,
            starts=not preview.problems,
            existing=preview.existing,
            problems=preview.problems,
            misses=preview.misses,
            must_accept=preview.must_accept,
            good=preview.good,
            warnings=preview.warnings,
            unknown=preview.unknown,
        )
        documents.append(document)
        _tell(document, output)
    if len(documents) == 1:
        output.document(documents[0])
    else:
        output.document({"version": 1, "previews": [one.model_dump(mode="json") for one in documents]})
    return 0 if all(one.starts and not one.misses for one in documents) else 1


def _tell(document: Any, output: Output) -> None:
    if document.existing is not None:
        output.line(f"{document.workspace} is there already ({document.existing.state}): nothing would be made.")
        return
    words = "would start" if document.starts else "would not start"
    output.line(f"{document.workspace} would go to {document.node}, and {words}.")
    for problem in (*document.problems, *document.misses):
        output.line(f"  ✗ {problem.reason}")
        output.line(f"    what to do: {problem.remedy}")
    for text in document.good:
        output.line(f"  ✓ {text}")
    for text in document.unknown:
        output.line(f"  ? {text}")
    if document.must_accept:
        output.line(f"  ! to be accepted: {document.must_accept}")
    for text in document.warnings:
        output.line(f"  ! {text}")


def run(manager: OneManager, keys: Sequence[Key], args: argparse.Namespace, output: Output) -> int:
    """One verb on several workspaces."""
    from homewright.workspaces.bulk import Task

    meant = _meant(manager, keys)
    yes = getattr(args, "yes", True)
    if args.action in ("stop", "restart", "delete") and not yes:
        _ask(manager, [meant.get(key, key) for key in keys], args, output)
    with_storage = getattr(args, "with_storage", False)
    verbs: dict[str, Callable[[Key, bool], object]] = {
        "start": lambda key, there: manager.start(key, in_cluster=there),
        "stop": lambda key, there: manager.stop(key, in_cluster=there),
        "restart": lambda key, there: manager.restart(key, in_cluster=there),
        "delete": lambda key, there: manager.delete(key, with_storage, in_cluster=there),
    }
    act = verbs[args.action]

    def work(key: Key) -> object:
        there = meant.get(key) or manager.meant(key).key
        return act(there, there.node is None)

    tasks = [Task(str(meant.get(key, key)), partial(work, key)) for key in keys]
    words = {"start": "runs", "stop": "is stopped", "restart": "runs", "delete": "is deleted"}[args.action]
    return _all(args.action, tasks, args.parallel, output, lambda _: words)


def _meant(manager: OneManager, keys: Sequence[Key]) -> dict[Key, Key]:
    """Of each that is found the one that is meant. The others say themselves why not, when it is their turn: one that
    is gone, as after a delete that was ended half-way, keeps nothing from the rest."""
    from homewright.workspaces.bulk import Task, each

    found = each([Task(str(number), partial(manager.meant, key)) for number, key in enumerate(keys)])
    return {keys[int(one.name)]: one.result.key for one in found if one.result is not None}


def _ask(manager: OneManager, keys: Sequence[Key], args: argparse.Namespace, output: Output) -> None:
    on = _on(manager, keys)
    who = f" May be open: {'; '.join(on)}." if on else ""
    if args.action == "stop" and not on:
        return
    names = ", ".join(str(key) for key in keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
    if args.action == "delete" and args.with_storage:
        type_the_name(f"{len(keys)} workspaces", f"Delete {names}?{who} Their storage goes too.")
        return
    stays = " Their data stays." if args.action == "delete" else ""
    if not output.confirm(f"{args.action.capitalize()} {names}?{who}{stays}", yes=False, otherwise="say --yes"):
        raise Cancelled("Nothing was done.")


def _on(manager: OneManager, keys: Sequence[Key]) -> list[str]:
    """Who may be on, of each; where that cannot be told, why."""
    from homewright.workspaces.bulk import Task, each
    from homewright.workspaces.errors import InstanceNotFound

    told = []
    for one in each([Task(str(key), partial(manager.sessions, key)) for key in keys]):
        told += [f"{one.name} on {session.address}" for session in one.result or ()]
        if one.error is not None and not isinstance(one.error, InstanceNotFound):
            told.append(f"{one.name}, which cannot be told: {one.error.what.rstrip('.')}")
    return told


def type_the_name(name: str, going: str) -> None:
    """Have typed what is deleted with its storage. Raises Cancelled, and UsageError where nobody is there to type."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"Delete {name} with all storage?", f"There is no terminal to type {name} on.", ["say --yes as well"]
        )
    print(visible(f"{going} Type {name} to delete: "), end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != name:
        raise Cancelled("Nothing was deleted.", f"What was typed is not {name}.")


def _all(verb: str, tasks: Sequence[Task[Any]], parallel: int, output: Output, words: Callable[[Any], str]) -> int:
    from homewright.workspaces.bulk import each
    from homewright.workspaces.models import BulkDocument

    outcomes: list[Outcome[Any]] = []

    def told(outcome: Outcome[Any], ended: int) -> None:
        outcomes.append(outcome)
        of = f"{ended:>{len(str(len(tasks)))}}/{len(tasks)}"
        if outcome.error is None:
            output.progress(f"{of} ✓ {outcome.name} {words(outcome.result)}")
        else:
            output.progress(f"{of} ✗ {outcome.name}: {outcome.error.what} {outcome.error.why}".rstrip())

    stopped = False
    try:
        each(tasks, told, parallel=parallel)
    except KeyboardInterrupt:
        stopped = True
    order = {task.name: number for number, task in enumerate(tasks)}
    outcomes.sort(key=lambda outcome: order[outcome.name])
    failures = [outcome.error for outcome in outcomes if outcome.error is not None]
    done = len(outcomes) - len(failures)
    rest = " The rest was not finished: do it again." if stopped else ""
    output.line(f"{done} of {len(tasks)} done, {len(failures)} failed.{rest}")
    for remedy in dict.fromkeys(step for error in failures for step in error.do):
        output.line(f"What to do: {remedy}")
    rows = tuple(_row(verb, outcome) for outcome in outcomes)
    output.document(BulkDocument(verb=verb, workspaces=rows, done=done, failed=len(failures)))
    if stopped:
        # Not raised on: with --json the document that was just printed is the only one.
        output.progress("Stopped by the keyboard.")
        return Cancelled.exit_code
    return _code(failures)


def _row(verb: str, outcome: Outcome[Any]) -> BulkRow:
    from homewright.workspaces.models import BulkRow

    return BulkRow(
        workspace=outcome.name,
        done=outcome.error is None,
        existed=outcome.result if verb == "create" and outcome.error is None else None,
        error=outcome.error.as_json() if outcome.error is not None else None,
    )


def _code(failures: Sequence[HomewrightError]) -> int:
    """The exit code that all failures have, else 1; 0 without any."""
    codes = {error.exit_code for error in failures}
    return 0 if not codes else codes.pop() if len(codes) == 1 else 1
