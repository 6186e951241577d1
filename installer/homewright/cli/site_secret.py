"""`homewright site secret …`: passwords and tokens, typed hidden or read from standard input, never shown again.

The cluster's kubeconfig is one of them, and always comes as a file on standard input.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import UsageError

if TYPE_CHECKING:
    from homewright.site.accounts import Account
    from homewright.site.secrets import Secrets


def add_arguments(parser: argparse.ArgumentParser, shared: list[argparse.ArgumentParser]) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=text, parents=shared)

    verb("list", "what can be kept, what is kept, and what is left out without it; never a value")
    put = verb("set", "keep one: typed hidden, or the first line of standard input; a kubeconfig is all of it")
    put.add_argument("name", metavar="NAME", help="as `secret list` has it, such as accounts/github-token")
    put.add_argument(
        "--generate", action="store_true", help="make the administrator's password instead; it is printed once"
    )
    take = verb("unset", "forget one")
    take.add_argument("name", metavar="NAME", help="as `secret list` has it")


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.site import files
    from homewright.site.paths import StateFolder, site_file
    from homewright.site.secrets import Secrets

    file = site_file(args.site)
    state = StateFolder.of(files.load(file).name, args.state, file)
    secrets = Secrets(state.secrets)
    if args.verb == "list":
        return _list(secrets, output)
    one = _named(args.name)
    if args.verb == "unset":
        there = secrets.delete(one.name)
        output.line(f"{one.name}: forgotten" if there else f"{one.name}: there was none")
        output.document({"version": 1, "name": one.name, "kept": False})
        return 0
    state.create()
    return _set(one, secrets, args.generate, output)


def _list(secrets: Secrets, output: Output) -> int:
    kept = set(secrets.names())
    for one in _known():
        output.line(f"{one.name}: {'kept' if one.name in kept else f'none, so {one.without}'}")
        output.line(f"  for {one.purpose}")
    output.document(
        {
            "version": 1,
            "secrets": [
                {"name": one.name, "kept": one.name in kept, "purpose": one.purpose, "without": one.without}
                for one in _known()
            ],
        }
    )
    return 0


def _known() -> tuple[Account, ...]:
    """All secrets that are given or forgotten here."""
    from homewright.cluster.kubeconfig import SECRET
    from homewright.site.accounts import TYPED, Account

    cluster = Account(
        name=SECRET,
        title="kubeconfig",
        purpose="the cluster's API; stage 40/core/cluster keeps that of the cluster that it makes",
        without="no cluster is asked for anything",
        where="kubectl config view --flatten --minify",
        looks="a kubeconfig that names no other files",
    )
    return (*TYPED, cluster)


def _named(name: str) -> Account:
    found = next((one for one in _known() if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in _known())
        raise UsageError(f"There is no secret {name} to type.", f"There are: {known}.", ["homewright site secret list"])
    return found


def _set(one: Account, secrets: Secrets, generate: bool, output: Output) -> int:
    from homewright.cluster import kubeconfig
    from homewright.site.accounts import ADMINISTRATORS_PASSWORD, reason
    from homewright.site.passwords import generate as made

    if generate and one is not ADMINISTRATORS_PASSWORD:
        raise UsageError(f"{one.name} cannot be made here.", f"It comes from {one.where}.", ["leave out --generate"])
    if one.name == kubeconfig.SECRET:
        value, wrong = _file(one), ""
        kubeconfig.read(value)
    else:
        value = made() if generate else _read(one)
        wrong = reason(one, value)
    if wrong:
        do = [f"make one at {one.where}"] if one.where else [f"homewright site secret set {one.name} --generate"]
        raise UsageError(f"This is no {one.title}.", f"It {wrong}.", [*do, "type it again"])
    secrets.set(one.name, value)
    if generate:
        output.line(value)
        output.progress("Shown this once. It is kept, and replaces the one before.")
    else:
        output.line(f"{one.name}: kept")
    output.document({"version": 1, "name": one.name, "kept": True, **({"value": value} if generate else {})})
    return 0


def _file(one: Account) -> str:
    """All of standard input. Raises UsageError where it is a terminal, or empty."""
    text = "" if sys.stdin.isatty() else sys.stdin.read()
    if not text.strip():
        raise UsageError(
            f"No {one.title} was given.",
            "It is a file, and is not typed.",
            [f"homewright site secret set {one.name} < FILE"],
        )
    return text


def _read(one: Account) -> str:
    """One line, not echoed on a terminal. Raises UsageError where the input ended."""
    import getpass

    if sys.stdin.isatty():
        return getpass.getpass(f"{one.title} ({one.looks}): ")
    line = sys.stdin.readline()
    if not line:
        raise UsageError(
            f"No {one.title} was given.", "Standard input is empty.", [f"homewright site secret set {one.name} < FILE"]
        )
    return line.rstrip("\r\n")
