"""`homewright site export --encrypt FILE`, and `site import FILE` of what it made: a site moves to another machine."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path

from homewright.cli.output import Output
from homewright.errors import Cancelled, StateError, UsageError, addressed


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encrypt", metavar="FILE", type=Path, required=True, help="where it goes; it must not be there"
    )
    add_passphrase_arguments(parser)


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    said = "of a site export: the machine that it was made on is gone for good, whatever the servers say"
    parser.add_argument("--old-is-gone", action="store_true", help=said)
    parser.add_argument("--yes", action="store_true", help="do not ask about that")
    add_passphrase_arguments(parser)


def add_passphrase_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the passphrase comes from when it is not typed; never a word of the command line, which others can read."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--passphrase-file", metavar="FILE", type=Path, help="a private file whose first line it is")
    where.add_argument("--passphrase-fd", metavar="N", type=int, help="an open descriptor that it is read from")


def export(path: Path, args: argparse.Namespace, output: Output) -> int:
    """Write an export of the site. Raises what `packing.export` raises."""
    from homewright.cli.runs import place
    from homewright.site.passwords import generate
    from homewright.takeover.packing import export as pack
    from homewright.takeover.sealing import reason

    _, _, state = place(args)
    passphrase = given(args)
    made = False
    if passphrase is None:
        passphrase = _typed("Passphrase of the export (empty: one is made): ", "--passphrase-file FILE")
        made = not passphrase
        if made:
            passphrase = generate()
        elif (wrong := reason(passphrase)) != "":
            raise UsageError("This passphrase will not do.", f"It {wrong}.", ["type a longer one"])
        elif passphrase != _typed("The same again: ", "--passphrase-file FILE"):
            raise UsageError("The two passphrases differ.", "", ["type it again"])
    contents = pack(path, state, args.encrypt, passphrase)
    output.line(f"Written: {contents.file}")
    output.line(
        f"It holds {len(contents.members)} files: the answers, secrets, keys, certificate authority, trusted host"
    )
    output.line("keys, facts, plans, and what every run recorded, without log lines. Keep it away from this machine.")
    if made:
        output.progress(f"Its passphrase, shown this once: {passphrase}")
    if contents.run_state == "running":
        output.progress("A run goes on: export again when it has ended, since the journal is newer by then.")
    output.line(addressed("Elsewhere: homewright site import FILE"))
    output.document(contents)
    return 0


def named(args: argparse.Namespace) -> Path | None:
    """The site export that `site import` was given; None where it is a list of servers, or names of some."""
    from homewright.takeover.sealing import is_export

    words = [*map(Path, args.host), *([args.source] if args.source else [])]
    file = words[0].expanduser() if len(words) == 1 else None
    return file if file is not None and is_export(file) else None


def take_over(file: Path, args: argparse.Namespace, output: Output) -> int:
    """Take a site over from its export. Raises what `opening.read` and `opening.take_over` raise."""
    from homewright.site.paths import StateFolder
    from homewright.takeover import reminding
    from homewright.takeover.opening import read
    from homewright.takeover.opening import take_over as take

    if args.group:
        raise UsageError("A site export is taken over as a whole.", "", ["leave out --group"])
    passphrase = given(args)
    if passphrase is None:
        passphrase = _typed(f"Passphrase of {file}: ", "--passphrase-file FILE")
    opened = read(file, passphrase)
    site_file = Path(args.site).expanduser().absolute() if args.site else opened.target()
    state = StateFolder.of(opened.site.name, args.state, site_file)
    if not args.json:
        about = opened.contents
        output.line(f"Site {opened.site.name}, exported on {about.host} by {about.user}; it goes to {site_file}.")
    if args.old_is_gone and not output.confirm(
        "Is the old controller gone for good?", yes=args.yes, otherwise="say so: --old-is-gone --yes"
    ):
        raise Cancelled("Nothing was done.")
    taken = take(opened, site_file, state, gone=args.old_is_gone)
    output.line(f"Taken over: {taken.file}")
    if taken.fenced:
        output.line(f"The old controller is refused from now on by: {', '.join(taken.fenced)}")
    for host, error in taken.not_fenced.items():
        output.progress(f"{host} could not be told: {error.what} The next run here takes it over.")
    changed = [host for host in taken.fenced if host not in taken.old_key]
    if changed:
        output.line(f"The site has a new key; the old one opens no longer: {', '.join(changed)}")
    if reminding.old_key(taken.old_key):
        output.line(reminding.old_key(taken.old_key))
    if taken.old_certificate:
        output.line("LXD may still trust the old controller's certificate, until the next run that works with LXD.")
    output.line(addressed("The export that you have is of no use any more: homewright site export --encrypt FILE"))
    output.line(addressed("Next: homewright verify"))
    output.document(
        {
            "version": 1,
            "name": opened.site.name,
            "file": str(taken.file),
            "state": str(taken.state.root),
            "fenced": list(taken.fenced),
            "not_fenced": {host: error.what for host, error in taken.not_fenced.items()},
            "old_key": list(taken.old_key),
            "old_certificate": taken.old_certificate,
        }
    )
    return 0


def given(args: argparse.Namespace) -> str | None:
    """The passphrase from the file or the descriptor that was named; None where none was."""
    if args.passphrase_file is not None:
        return _first_line(_read_private(args.passphrase_file.expanduser()), str(args.passphrase_file))
    if args.passphrase_fd is not None:
        try:
            with os.fdopen(args.passphrase_fd, "rb") as handle:
                return _first_line(handle.read(65536), f"descriptor {args.passphrase_fd}")
        except OSError as error:
            raise UsageError(f"Descriptor {args.passphrase_fd} cannot be read.", f"{error.strerror}.") from error
    return None


def _read_private(file: Path) -> bytes:
    try:
        if file.stat().st_mode & 0o077:
            raise UsageError(
                f"Others can read {file}.", "A passphrase is nobody else's business.", [f"chmod 600 {file}"]
            )
        return file.read_bytes()
    except OSError as error:
        raise StateError(f"{file} cannot be read.", f"{error.strerror or error}.") from error


def _first_line(data: bytes, where: str) -> str:
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{where} is no text.", "It is not UTF-8.") from None
    if not lines or not lines[0]:
        raise UsageError(f"{where} holds no passphrase.", "Its first line is empty.")
    return lines[0]


def _typed(question: str, otherwise: str) -> str:
    """One line from the terminal, not echoed. Raises UsageError where nobody is there."""
    if not sys.stdin.isatty():
        raise UsageError(
            "What is the passphrase?", "There is no terminal to ask on.", [f"say where it is: {otherwise}"]
        )
    try:
        return getpass.getpass(question)
    except EOFError:
        raise UsageError("No passphrase was given.", "The input ended.") from None
