"""What `homewright trust` does: apart from its options, so that reading those needs no SSH library."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Sequence

from pydantic import TypeAdapter, ValidationError

from homewright.access import known_hosts, trust
from homewright.access.handshake import not_trusted
from homewright.access.report import document, removal
from homewright.access.trust import Means, Trusted
from homewright.cli.output import Output
from homewright.cli.servers import chosen
from homewright.errors import Cancelled, HomewrightError, HostKeyError, UsageError
from homewright.site import files
from homewright.site.models import Server
from homewright.site.paths import StateFolder, site_file
from homewright.site.values import HostKey

TRIES = 3
"""How often a password is asked for on a terminal."""


def run(args: argparse.Namespace, output: Output) -> int:
    if not args.host and not args.all:
        raise UsageError("Which server?", "", ["homewright trust HOST …", "or all of them: homewright trust --all"])
    if args.host and args.all:
        raise UsageError("--all means every server.", "Some are named too.", ["leave out the names, or --all"])
    if args.fingerprint is not None and (args.all or len(args.host) != 1):
        raise UsageError("A fingerprint is that of one server.", "", ["homewright trust HOST --fingerprint F"])
    if args.fingerprint is not None:
        _require_fingerprint(args.fingerprint)
    if args.identity is not None and not args.identity.expanduser().is_file():
        raise UsageError(f"There is no key {args.identity}.", "", ["--identity names the private half of an SSH key"])
    file = site_file(args.site)
    site = files.load(file)
    servers = chosen(site, args.host)
    state = StateFolder.of(site.name, args.state, file).create()
    if args.remove:
        return _remove(servers, state, output)
    asks = sys.stdin.isatty() and not args.json and not args.password_stdin
    given = _password_line() if args.password_stdin else None
    passwords = {
        server.name: _practice_password(site.name, server.name) if args.practice else given for server in servers
    }

    def means(server: Server) -> Means:
        return Means(password=passwords[server.name], identity=args.identity, agent=args.agent)

    outcomes: dict[str, Trusted | HomewrightError] = {}
    for server in servers:
        try:
            _settle_host_key(server, state, args, output, asks)
        except HomewrightError as error:
            outcomes[server.name] = error
    ready = [server for server in servers if server.name not in outcomes]
    outcomes |= trust.each(ready, lambda one: trust.first_contact(one, state, means=means(one), say=output.progress))
    if asks:
        _ask_passwords(servers, outcomes, state, args, output)
    return _report({server.name: outcomes[server.name] for server in servers}, output)


def _require_fingerprint(text: str) -> None:
    try:
        TypeAdapter(HostKey).validate_python(text)
    except ValidationError:
        raise UsageError(
            f"--fingerprint {text!r} is no host key.",
            "It must be a fingerprint (SHA256:…) or a public host key (ssh-ed25519 AAAA…).",
            [f"on the server's console: {trust.console_command('ssh-ed25519')}"],
        ) from None


def _settle_host_key(server: Server, state: StateFolder, args: argparse.Namespace, output: Output, asks: bool) -> None:
    """Have a trusted host key for this server before anything else, by asking where nobody has said it beforehand."""
    recorded = known_hosts.lookup(state.known_hosts, server.address, server.port)
    if args.fingerprint:
        if trust.matching(recorded, args.fingerprint):
            return
        offer = trust.verify(server, args.fingerprint)
        if recorded and not args.replace:
            raise not_trusted(server.name, server.address, offer, recorded)
        trust.accept(state, server, offer)
        return
    if server.host_key is not None or (recorded and not args.replace):
        return  # first contact compares it
    offer = trust.scan(server.address, server.port, name=server.name)
    if offer in recorded:
        return
    if not asks:
        raise not_trusted(server.name, server.address, offer, recorded)
    output.progress(f"{server.name} ({server.address}) shows this host key:")
    output.progress(f"    {offer.fingerprint}  ({offer.key_type})")
    for key in recorded:
        output.progress(f"    trusted until now: {key.fingerprint}  ({key.key_type})")
    output.progress(f"On its console this prints it: {trust.console_command(offer.key_type)}")
    if not output.confirm("Are they the same?", yes=False, otherwise=f"homewright trust {server.name} --fingerprint F"):
        raise HostKeyError(
            f"The host key of {server.name} was not accepted.",
            "Nothing was sent to it.",
            [f"compare it on its console: {trust.console_command(offer.key_type)}"],
        )
    trust.accept(state, server, offer)


def _ask_passwords(
    servers: Sequence[Server],
    outcomes: dict[str, Trusted | HomewrightError],
    state: StateFolder,
    args: argparse.Namespace,
    output: Output,
) -> None:
    """Ask on the terminal for what is missing: once for all servers, then again where it was wrong."""

    def contact(password: str) -> Callable[[Server], Trusted]:
        means = Means(password=password, identity=args.identity, agent=args.agent)
        return lambda server: trust.first_contact(server, state, means=means, say=output.progress)

    needed = (trust.PasswordNeeded, trust.SudoPasswordNeeded)
    waiting = [server for server in servers if isinstance(outcomes[server.name], needed)]
    if not waiting:
        return
    who = ", ".join(f"{server.user} on {server.name}" for server in waiting)
    outcomes |= trust.each(waiting, contact(_ask(f"Password of {who}: ")))
    wrong = (trust.PasswordRefused, trust.SudoPasswordRefused)
    for server in waiting:
        for _ in range(TRIES - 1):
            outcome = outcomes[server.name]
            if not isinstance(outcome, wrong):
                break
            output.progress(f"{outcome.what} {outcome.why}")
            outcomes |= trust.each([server], contact(_ask(f"Password of {server.user} on {server.name}: ")))


def _ask(question: str) -> str:
    try:
        return getpass.getpass(question)
    except EOFError:
        raise Cancelled("No password was given.", "", ["homewright trust HOST   (asks again)"]) from None


def _remove(servers: Sequence[Server], state: StateFolder, output: Output) -> int:
    left: dict[str, HomewrightError] = {}
    for server in servers:
        try:
            trust.untrust(server, state)
        except HomewrightError as error:
            left[server.name] = error
            if not output.json:
                output.progress(error.as_text())
        else:
            output.line(f"{server.name}: our key and our sudoers file are gone, and its host key is forgotten")
    output.document(removal([server.name for server in servers], left))
    return max((error.exit_code for error in left.values()), default=0)


def _report(outcomes: dict[str, Trusted | HomewrightError], output: Output) -> int:
    errors = [outcome for outcome in outcomes.values() if isinstance(outcome, HomewrightError)]
    for name, outcome in outcomes.items():
        if isinstance(outcome, Trusted):
            again = "already trusted, proved again" if outcome.already else "trusted"
            output.line(f"{name}: {again} · {outcome.fingerprint} · sudo: {outcome.sudo}")
        elif not output.json:
            output.progress(outcome.as_text())
    output.document(document(outcomes))
    return max((error.exit_code for error in errors), default=0)


def _password_line() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise UsageError("No password came on standard input.", "", ["homewright trust HOST --password-stdin < FILE"])
    try:
        password.encode()
    except UnicodeEncodeError:
        raise UsageError("The password on standard input is no UTF-8 text.", "", ["save FILE as UTF-8"]) from None
    return password


def _practice_password(site: str, host: str) -> str:
    from homewright import lab

    password = lab.password(site, host)
    if password is None:
        raise UsageError(
            f"{host} is no practice server of this machine.",
            "Only those have a password that Homewright knows.",
            [f"homewright trust {host}", "or make practice servers: homewright lab up"],
        )
    return str(password)
