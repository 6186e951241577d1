"""The command line: one module a noun; each parses, calls and prints.

`main` imports the module of the verb that was asked for and no other: the command starts without a room that it
does not need.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

from homewright.errors import Cancelled, HomewrightError, UsageError, speak_of

PORTIONS = ("homewright.site", "homewright.screens", "homewright.stages", "homewright.assets")


class Verb(NamedTuple):
    """One verb: the module that holds `add_arguments(parser)` and `run(args, output) -> int`, and a line of help."""

    module: str
    help: str


VERBS: dict[str, Verb] = {
    "lab": Verb("homewright.cli.lab", "practice servers on this machine"),
    "site": Verb(
        "homewright.cli.site",
        "the answers: new, show, set, unset, add-server, remove-server, import, export, validate, inventory",
    ),
    "trust": Verb("homewright.cli.trust", "first contact with a server: host key, key, sudo"),
    "discover": Verb("homewright.cli.discover", "facts of every server"),
    "check": Verb("homewright.cli.check", "whether the servers can carry the platform, and putting right what cannot"),
    "plan": Verb("homewright.cli.plan", "what would be done, where, and for how long"),
    "apply": Verb("homewright.cli.apply", "do it"),
    "verify": Verb("homewright.cli.verify", "prove again everything that was done"),
    "rollback": Verb("homewright.cli.rollback", "take a stage back"),
    "receipts": Verb("homewright.cli.receipts", "what every step changed on each server, and what takes it back"),
    "status": Verb("homewright.cli.status", "what is going on, or how it ended"),
    "attach": Verb("homewright.cli.attach", "watch the run that is going on"),
    "cancel": Verb("homewright.cli.cancel", "end the run that is going on"),
    "pause": Verb("homewright.cli.pause", "begin no further step of the run that is going on"),
    "continue": Verb("homewright.cli.go_on", "let a paused run go on"),
    "resume": Verb("homewright.cli.resume", "go on with a run that was cut off or has failed"),
    "retry": Verb("homewright.cli.retry", "after a failure, try again"),
    "skip": Verb("homewright.cli.skip", "after a failure, go on without a step"),
    "stages": Verb("homewright.cli.stages", "catalogues of your own: new"),
    "cluster": Verb(
        "homewright.cli.cluster", "what the site's cluster is and lacks; snapshots of it, and the way back to one"
    ),
    "authority": Verb("homewright.cli.authority", "the site's certificate authority: save it, compare it, trust it"),
    "workspace": Verb("homewright.cli.workspace", "people's workspaces: create, list, show, start, stop, delete, …"),
    "mirror": Verb("homewright.cli.mirror", "what a cluster fetches: list it, have it in a folder, verify it"),
    "support-bundle": Verb("homewright.cli.support", "one file without secrets that shows what went wrong"),
    "schema": Verb("homewright.cli.schema", "JSON schema of what --json prints"),
    "completions": Verb("homewright.cli.completions", "completions for bash, zsh or fish"),
}

VALUED = ("--site", "--state", "--stages", "--rehearse")
"""Global options that take a value: the word after one is no verb."""


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("homewright")


def check_installation() -> None:
    """Every portion of the namespace package must be there. Raises UsageError with the missing ones."""
    from importlib.util import find_spec

    missing = [name for name in PORTIONS if find_spec(name) is None]
    if missing:
        raise UsageError(
            "This installation of Homewright is not whole.",
            f"Missing: {', '.join(missing)}.",
            ["install it again: pipx install --force homewright"],
        )


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors have our three parts and exit code 2. Options are never guessed from a part."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}.", "", [f"{self.prog} --help"])


def global_options(suppress: bool) -> Parser:
    """The options that every verb takes, before it or after it."""
    default = argparse.SUPPRESS if suppress else None
    options = Parser(add_help=False)
    options.add_argument("--site", metavar="FILE", default=default, help="the site file, or a site's name")
    options.add_argument("--state", metavar="DIR", default=default, help="the state folder")
    options.add_argument(
        "--stages", metavar="DIR", action="append", default=default, help="a further catalogue of stages"
    )
    options.add_argument(
        "--rehearse", metavar="DIR|NAME", default=default, help="recorded machines in place of real ones"
    )
    options.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS if suppress else False, help="print JSON"
    )
    options.add_argument(
        "--plain",
        action="store_true",
        default=argparse.SUPPRESS if suppress else False,
        help="line by line, as every verb is; without a verb: where things stand, in place of the wizard",
    )
    return options


def build_parser(only: str | None = None) -> Parser:
    """The parser; with `only`, just that verb's module is imported and filled in."""
    parser = Parser(
        prog="homewright",
        parents=[global_options(suppress=False)],
        description="Turns home servers into a Kubernetes platform for AI development. Without a verb: the wizard.",
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    shared = global_options(suppress=True)
    for name, verb in VERBS.items():
        child = verbs.add_parser(name, help=verb.help, description=verb.help, parents=[shared])
        if only is None or only == name:
            module(name).add_arguments(child)
    return parser


def wizard_parser() -> Parser:
    """What `homewright` alone needs: the global options at their defaults, and no verb."""
    parser = global_options(suppress=False)
    parser.set_defaults(verb=None, version=False)
    return parser


def module(verb: str) -> ModuleType:
    """The module of a verb."""
    return importlib.import_module(VERBS[verb].module)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the `homewright` command; returns the exit code (docs/decisions/0002-exit-codes.md)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    from homewright.cli.output import fit_streams

    fit_streams()
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`). What is still buffered must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        speak_of()
    return code


def _run(arguments: list[str]) -> int:
    try:
        speak_of(**options_of(arguments))
        if arguments[:1] == ["--version"]:
            print(f"homewright {version()}")
            return 0
        check_installation()
        return _dispatch(arguments)
    except KeyboardInterrupt:
        return _report(Cancelled("Stopped by the keyboard."), arguments)
    except HomewrightError as error:
        return _report(error, arguments)
    except BrokenPipeError:
        raise
    except Exception as error:
        from homewright.cli.defects import defect

        return _report(defect(error), arguments)


def split(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The verb, and the arguments with those before it moved behind it, where its own parser reads them all.

    Raises UsageError, with the nearest ones, where there is no such verb.
    """
    place = 0
    while place < len(arguments) and arguments[place].startswith("-") and arguments[place] != "--":
        place += 2 if arguments[place] in VALUED else 1
    if place >= len(arguments):
        return None, list(arguments)
    verb = arguments[place]
    if verb not in VERBS:
        from difflib import get_close_matches

        close = get_close_matches(verb, VERBS, n=2, cutoff=0.5)
        remedies = [f"did you mean: homewright {name}?" for name in close]
        raise UsageError(f"There is no verb {verb}.", "", [*remedies, "see them all: homewright --help"])
    return verb, [verb, *arguments[:place], *arguments[place + 1 :]]


def options_of(arguments: Sequence[str]) -> dict[str, Any]:
    """Which site the user named, read before anything is understood: what cannot be is answered with it too."""
    found: dict[str, list[str]] = {name: [] for name in VALUED}
    words = iter(arguments)
    for word in words:
        if word == "--":
            break
        name, joined, value = word.partition("=")
        if name in found:
            found[name] += [value] if joined else [following for following in [next(words, "")] if following]
    last = {name.removeprefix("--"): values[-1] if values else None for name, values in found.items()}
    return last | {"stages": found["--stages"]}


def _dispatch(arguments: list[str]) -> int:
    verb, ordered = split(arguments)
    # Without any argument there is no verb to look for, and the first frame does not wait for parsers of them all.
    parser = build_parser(only=verb or "") if arguments else wizard_parser()
    args = parser.parse_args(ordered)
    if args.version:
        print(f"homewright {version()}")
        return 0
    from homewright.cli.output import Output

    output = Output(json=args.json)
    with contextlib.ExitStack() as stack:
        if args.rehearse:
            from homewright.cli.rehearse import rehearsing

            stack.enter_context(rehearsing(args, output))
        if verb is None:
            return run_face(args, output)
        return int(module(verb).run(args, output))


def run_face(options: argparse.Namespace, output: Any) -> int:
    """The full-screen program, where the terminal can show it; else, or with --plain, where things stand in lines.

    Raises SiteError where a site was named that is not there: neither would show it, nor say so.
    """
    if options.site or os.environ.get("HOMEWRIGHT_SITE"):
        from homewright.site.paths import no_site, site_file

        file = site_file(options.site)
        try:
            file.stat()
        except FileNotFoundError:
            raise no_site(str(file), by_environment=not options.site) from None
        except OSError:
            pass  # whoever reads it says why that cannot be
    if (
        options.json
        or options.plain
        or not full_screen(sys.stdin.isatty() and sys.stdout.isatty(), os.environ.get("TERM", ""))
    ):
        from homewright.cli.standing import run

        return run(options, output)
    from importlib.metadata import distribution

    # Of our own distribution alone: asking all that are installed takes as long as a third of the first frame.
    for face in distribution("homewright").entry_points.select(group="homewright.faces", name="tui"):
        return int(face.load()(options))
    raise UsageError("The screens are not installed.", "", ["install Homewright again"])


def full_screen(terminal: bool, kind: str) -> bool:
    """Whether a terminal of this kind can show the full-screen program."""
    return terminal and kind not in ("", "dumb", "unknown")


def _report(error: HomewrightError, arguments: Sequence[str]) -> int:
    import json

    if "--json" in arguments:
        print(json.dumps(error.as_json()), flush=True)
    else:
        sys.stdout.flush()
        print(error.as_text(), file=sys.stderr, flush=True)
    return error.exit_code
