"""Verbs inside of a workspace in the cluster: shell, sync, credentials, and the way there through the API."""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import select
import shlex
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import HomewrightError, UsageError, addressed

if TYPE_CHECKING:
    from homewright.workspaces.backends.kubernetes.streams import Command
    from homewright.workspaces.models import Key
    from homewright.workspaces.one_manager import OneManager

_PIECE = 16 << 10


def add_actions(action: Callable[..., argparse.ArgumentParser]) -> None:
    shell = action("shell", "a terminal inside of one in the cluster, or a command there")
    shell.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD")
    sync = action("sync", "bring its repository up to date; what is not committed stays as it is")
    sync.add_argument("--look", action="store_true", help="only say how it is: dirty, ahead, behind; ask no server")
    credentials = action("credentials", "what a user's git signs in with in the cluster", key=False)
    credentials.add_argument("user", metavar="USER")
    credentials.add_argument("--server", metavar="URL", help="keep some for this git server: https://git.example.org")
    credentials.add_argument("--name", metavar="NAME", help="the user's name there (by default USER)")
    what = credentials.add_mutually_exclusive_group()
    what.add_argument("--forget", action="store_true", help="forget those for that server")
    what.add_argument("--test", action="store_true", help="ask that server, or all, whether it accepts those there are")
    listing = action("repositories", "what a user may clone, as their git servers tell by their credentials", key=False)
    listing.add_argument("user", metavar="USER")
    listing.add_argument("--server", metavar="URL", help="of this server alone; by default all that there are some for")
    listing.add_argument("--check", metavar="URL", help="only say whether this one can be cloned")
    listing.add_argument("--branch", metavar="NAME", default="", help="with --check: and has this branch")


def run(manager: OneManager, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces.naming import parse_key

    if args.action == "credentials":
        return _credentials(manager, args, output)
    if args.action == "repositories":
        return _repositories(manager, args, output)
    return ACTIONS[args.action](manager, parse_key(args.workspace, args.node), args, output)


# A terminal


def _shell(manager: OneManager, key: Key, args: argparse.Namespace, output: Output) -> int:
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not words and not terminal:
        raise UsageError(
            "There is no terminal for a shell.",
            "Neither end of it may be a file or a pipe.",
            ["name a command: homewright workspace shell USER -- CMD"],
        )
    return talk(manager, key, words)


def talk(manager: OneManager, key: Key, words: Sequence[str]) -> int:
    """A command there, or its user's shell, with this terminal where there is one; its exit code.

    Raises HomewrightErrors, also where the connection ends before the command does.
    """
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    with (
        manager.shell(key, words, terminal=terminal, stdin=True) as command,
        _raw() if terminal else contextlib.nullcontext(),
    ):
        code = _carried(command, terminal)
    if command.why:
        raise HomewrightError(
            f"What ran in {key} is over.",
            f"{command.why[:1].upper()}{command.why[1:]}.",
            [f"see whether it still runs: homewright workspace show {shlex.quote(str(key))}"],
        )
    return code


def _carried(command: Command, terminal: bool) -> int:
    """Carry what is typed there and what is printed back, until it ends; its exit code."""
    woken, wake = os.pipe()
    before = signal.getsignal(signal.SIGWINCH)
    if terminal:
        _resize(command)
        signal.signal(signal.SIGWINCH, lambda *_: os.write(wake, b"r"))
    typing = threading.Thread(target=_carry, args=(command, woken), daemon=True)
    typing.start()
    try:
        while (piece := command.read()) is not None:
            channel, data = piece
            stream = sys.stdout.buffer if channel == 1 else sys.stderr.buffer
            stream.write(data)
            stream.flush()
    finally:
        os.write(wake, b"e")
        typing.join(2.0)
        signal.signal(signal.SIGWINCH, before)
        os.close(wake)
        os.close(woken)
    assert command.code is not None
    return command.code


def _carry(command: Command, woken: int) -> None:
    """What is typed, and every new size, in a thread of its own: only it writes."""
    with contextlib.suppress(HomewrightError, OSError):  # it has ended, and the other side says how
        stdin = sys.stdin.fileno()
        sources = [stdin, woken]
        while True:
            ready, _, _ = select.select(sources, [], [])
            if woken in ready:
                if b"e" in os.read(woken, 64):
                    return
                _resize(command)
            if stdin in ready:
                data = os.read(stdin, _PIECE)
                if data:
                    command.write(data)
                else:
                    command.end_input()
                    sources = [woken]


def _resize(command: Command) -> None:
    size = shutil.get_terminal_size()
    command.resize(size.columns, size.lines)


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """The terminal as the other side's: every key goes there, ctrl+c too. SIGTERM leaves it as it was, and ends us."""
    stdin = sys.stdin.fileno()
    before = termios.tcgetattr(stdin)

    def ended(number: int, _: object) -> None:
        with contextlib.suppress(termios.error):  # it is gone
            termios.tcsetattr(stdin, termios.TCSANOW, before)  # at once: what is still to be shown may never be
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    former = signal.signal(signal.SIGTERM, ended)
    try:
        tty.setraw(stdin)
        yield
    finally:
        termios.tcsetattr(stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, former)


# The way to it


def forward(manager: OneManager, key: Key, port: int, output: Output, *, why: str = "") -> int:
    """Lead a port of this machine to its editor, until ctrl+c."""
    with manager.forwarder(key, port) as forwarder:
        address = f"http://localhost:{forwarder.port}/"
        if why:
            output.line(why)
        output.line(addressed(f"Its password: homewright workspace show --password {shlex.quote(str(key))}"))
        output.line("It is open as long as this runs: ctrl+c ends it.")
        output.line(address)
        output.document({"version": 1, "address": address})
        with contextlib.suppress(KeyboardInterrupt):
            forwarder.serve()
    for trouble in dict.fromkeys(forwarder.trouble[-3:]):
        output.progress(f"a connection failed: {trouble}")
    return 0


# Repository


def _sync(manager: OneManager, key: Key, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces import repositories
    from homewright.workspaces.models import SyncDocument

    repository, synced = manager.sync(key, "look" if args.look else "pull")
    output.line(f"{key}: {repositories.words(synced)}   {repository.url}")
    if not args.look:
        output.line(repositories.done(synced))
    if "access is denied" in synced.problem:
        user, url = shlex.quote(key.user), shlex.quote(repository.url)
        output.line(addressed(f"Give its user's: homewright workspace credentials {user} --server {url}"))
    output.document(
        SyncDocument(
            workspace=str(key),
            repository=repository,
            branch=synced.branch,
            cloned=not synced.missing,
            pulled=synced.pulled,
            dirty=synced.dirty,
            ahead=synced.ahead,
            behind=synced.behind,
            problem=synced.problem,
        )
    )
    return 1 if synced.problem else 0


def _credentials(manager: OneManager, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces import repositories
    from homewright.workspaces.models import CredentialsDocument, ServerTold

    if args.server is not None:
        repositories.server(args.server)  # refused before a token is asked for
    if args.forget and args.server is None:
        raise UsageError("Which are to be forgotten?", "", ["name the server: --server URL"])
    tested: tuple[ServerTold, ...] = ()
    if args.test:
        hosts = manager.credentials(args.user)
        tested = manager.repositories_of(args.user, args.server)
    elif args.server is None:
        hosts = manager.credentials(args.user)
    elif args.forget:
        hosts = manager.give_credentials(args.user, args.server, "", None)
    else:
        name = args.name or args.user
        hosts = manager.give_credentials(args.user, args.server, name, _token(name, args.server))
    output.line(f"{args.user}: {', '.join(hosts) if hosts else 'no credentials for git are kept'}")
    for one in tested:
        output.line(f"{one.server}: {one.words}")
    without = tuple(one.model_copy(update={"repositories": ()}) for one in tested)
    output.document(CredentialsDocument(user=args.user, servers=hosts, tested=without))
    return 1 if any(one.accepted is False for one in tested) else 0


def _repositories(manager: OneManager, args: argparse.Namespace, output: Output) -> int:
    from homewright.workspaces import repositories
    from homewright.workspaces.models import RepositoriesDocument

    if args.check:
        checked = manager.check_repository(args.user, repositories.parse(args.check, args.branch))
        output.line(f"{checked.words[:1].upper()}{checked.words[1:]}.")
        if checked.remedy:
            output.line(f"What to do: {checked.remedy}")
        output.document(RepositoriesDocument(user=args.user, checked=checked))
        return 0 if checked.state == "good" else 1
    servers = manager.repositories_of(args.user, args.server)
    if not servers:
        output.line(f"{args.user}: no credentials for git are kept, so no server tells")
    for one in servers:
        output.line(f"{one.server}: {one.words}")
        for each in one.repositories:
            output.line(f"  {each.name}  {each.url}{f'  ({each.marks})' if each.marks else ''}")
    output.document(RepositoriesDocument(user=args.user, servers=servers))
    return 1 if any(one.accepted is False for one in servers) else 0


def _token(name: str, server: str) -> str:
    """Typed unseen, or the first line of what is piped in; never an argument, which everybody here could read."""
    if sys.stdin.isatty():
        return getpass.getpass(f"Token (or password) of {name} at {server}: ", stream=sys.stderr).strip()
    return sys.stdin.readline().strip()


ACTIONS = {"shell": _shell, "sync": _sync}
VERBS = (*ACTIONS, "credentials", "repositories")
