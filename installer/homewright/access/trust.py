"""First contact: from an address to a server that the engine can work on with nobody there.

The order is fixed. The host key is judged before anything is sent; then somebody signs in once, the engine's own key
is installed, and sudo is proved. From then on only that host key and only that key are used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from homewright.access import engine_key, known_hosts, sudo
from homewright.access.connection import CommandFailed, Connection, KeyRefused
from homewright.access.endpoint import Endpoint
from homewright.access.handshake import (
    KEY_TYPES,
    console_command,
    dial,
    hang_up,
    negotiate,
    not_trusted,
    open_strict,
    seen_key,
)
from homewright.access.known_hosts import HostKey
from homewright.access.sign_in import Means, PasswordNeeded, PasswordRefused, SignInRefused, password_expired, sign_in
from homewright.access.sudo import Sudo, SudoPasswordNeeded, SudoPasswordRefused, SudoRefused, remove_sudoers
from homewright.errors import HomewrightError, HostKeyError, Unreachable

if TYPE_CHECKING:
    from homewright.site.models import Server
    from homewright.site.paths import StateFolder

__all__ = [
    "HostKeyOffer",
    "Means",
    "PasswordNeeded",
    "PasswordRefused",
    "SignInRefused",
    "SudoPasswordNeeded",
    "SudoPasswordRefused",
    "SudoRefused",
    "Trusted",
    "accept",
    "console_command",
    "each",
    "first_contact",
    "remove_sudoers",
    "scan",
    "scan_all",
    "untrust",
    "verify",
]

HostKeyOffer = HostKey
"""A host key that a server shows, before anybody trusts it: `key_type`, `public`, `fingerprint`."""

_FAMILIES = (KEY_TYPES[:1], KEY_TYPES[1:4], KEY_TYPES[4:])


@dataclass(frozen=True)
class Trusted:
    """A server on which the engine can work."""

    host: str
    address: str
    key_type: str
    fingerprint: str
    sudo: Sudo
    already: bool
    """It was trusted before, which has just been proved again."""


def scan(address: str, port: int = known_hosts.STANDARD_PORT, timeout: float = 10.0, name: str = "") -> HostKeyOffer:
    """The host key that a server shows first (Ed25519 where it has one). Nobody signs in and nothing is trusted.

    Raises Unreachable where no SSH server answers within about `timeout` seconds.
    """
    transport = negotiate(dial(name or address, address, port, timeout), name or address, timeout)
    try:
        return seen_key(transport)
    finally:
        hang_up(transport)


def scan_all(
    address: str, port: int = known_hosts.STANDARD_PORT, timeout: float = 10.0, name: str = ""
) -> tuple[HostKeyOffer, ...]:
    """Every host key of a server, one a kind. Raises Unreachable where no SSH server answers."""
    offers: list[HostKeyOffer] = []
    failed: Unreachable | None = None
    for family in _FAMILIES:
        try:
            transport = negotiate(dial(name or address, address, port, timeout), name or address, timeout, only=family)
        except Unreachable as error:
            failed = error
            continue
        offers.append(seen_key(transport))
        hang_up(transport)
    if not offers and failed is not None:
        raise failed
    return tuple(offers)


def matching(offers: Sequence[HostKeyOffer], wanted: str) -> HostKeyOffer | None:
    """The offer that `wanted` means: a fingerprint (SHA256:…) or a public key; None where none is that one."""
    words = wanted.split()
    for offer in offers:
        if words[0].startswith("SHA256:"):
            if words[0].rstrip("=") == offer.fingerprint:
                return offer
        elif offer.public.split() == words[:2]:
            return offer
    return None


def verify(server: Server, wanted: str, timeout: float = 10.0) -> HostKeyOffer:
    """The server's key that has the wanted fingerprint (or is the wanted public key).

    Raises HostKeyError where the server has no such key, Unreachable where it does not answer.
    """
    offers = scan_all(server.address, server.port, timeout, server.name)
    offer = matching(offers, wanted)
    if offer is None:
        seen = ", ".join(f"{shown.fingerprint} ({shown.key_type})" for shown in offers)
        raise HostKeyError(
            f"{server.name} ({server.address}) does not have the host key that was given.",
            f"Given: {_as_fingerprint(wanted)}. It shows: {seen}. Nothing was sent to it.",
            [
                f"on its console: {console_command(offers[0].key_type)}",
                "if that prints what was given, another machine answers at this address: find it",
                "if it prints what is shown here, correct host_key in the site's answers (or --fingerprint)",
            ],
        )
    return offer


def accept(state: StateFolder, server: Server, offer: HostKeyOffer) -> None:
    """Trust this host key, and no other, for this server from now on. Raises StateError where it cannot be recorded."""
    known_hosts.record(state.known_hosts, server.address, server.port, [offer])


def first_contact(
    server: Server,
    state: StateFolder,
    password: str | None = None,
    *,
    means: Means | None = None,
    say: Callable[[str], None] = lambda line: None,
    timeout: float = 10.0,
) -> Trusted:
    """Make a server one that the engine can work on, or prove that it already is.

    The host key must have been accepted before, or be given in the site's answers (`host_key`), which win over what
    was recorded. `password` (or `means`: also a key, an agent) is only used where the engine's key does not open the
    server yet, or where sudo wants it.

    Raises HostKeyError (not trusted, changed), PasswordNeeded or SudoPasswordNeeded (ask, then call again),
    SignInRefused, SudoRefused, Unreachable, StateError.
    """
    means = means or Means(password=password)
    endpoint = Endpoint.of(server, state)
    public = engine_key.ensure(state.key, f"homewright@{state.root.name}")
    _settle_host_key(server, state, say, timeout)
    already = True
    try:
        connection = Connection.open(endpoint, timeout)
    except KeyRefused:
        already = False
        with _bootstrap(endpoint, means, timeout) as guest:
            say(f"{server.name}: signed in as {server.user}")
            _install_key(guest, public)
        say(f"{server.name}: Homewright's own key is installed")
        connection = _open_again(endpoint, timeout)
    with connection:
        way = sudo.prove(connection, means.password)
        _complete_host_keys(server, state, connection, timeout)
    say(f"{server.name}: {_SUDO_WORDS[way].format(user=server.user)}")
    key = known_hosts.lookup(state.known_hosts, server.address, server.port)[0]
    return Trusted(server.name, server.address, key.key_type, key.fingerprint, way, already)


def untrust(server: Server, state: StateFolder, timeout: float = 10.0) -> None:
    """Take away what first contact left on a server (sudoers file, our key), then forget its host key.

    Raises what `Connection.open` and `Connection.run` raise; nothing is forgotten then.
    """
    public = engine_key.ensure(state.key, f"homewright@{state.root.name}")
    with Connection.open(Endpoint.of(server, state), timeout) as connection:
        remove_sudoers(connection)
        connection.run(engine_key.removal_script(public))
    known_hosts.forget(state.known_hosts, server.address, server.port)


def each(servers: Sequence[Server], act: Callable[[Server], Trusted]) -> dict[str, Trusted | HomewrightError]:
    """Do something with several servers side by side; one that fails holds up no other."""

    def attempt(server: Server) -> Trusted | HomewrightError:
        try:
            return act(server)
        except HomewrightError as error:
            return error

    with ThreadPoolExecutor(max_workers=min(16, len(servers) or 1), thread_name_prefix="trust") as pool:
        return dict(zip([server.name for server in servers], pool.map(attempt, servers), strict=True))


_SUDO_WORDS = {
    "root": "{user} is root",
    "passwordless": "sudo works for {user} without a password",
    "sudoers-file": "sudo works for {user} by Homewright's sudoers file",
}


def _settle_host_key(server: Server, state: StateFolder, say: Callable[[str], None], timeout: float) -> None:
    recorded = known_hosts.lookup(state.known_hosts, server.address, server.port)
    if server.host_key is not None and matching(recorded, server.host_key) is None:
        offer = verify(server, server.host_key, timeout)
        accept(state, server, offer)
        say(f"{server.name}: host key {offer.fingerprint}, as the site's answers say")
    elif not recorded:
        offer = scan(server.address, server.port, timeout, server.name)
        raise not_trusted(server.name, server.address, offer, ())


def _complete_host_keys(server: Server, state: StateFolder, connection: Connection, timeout: float) -> None:
    """Where an RSA or ECDSA key was verified, also record the Ed25519 key that other tools ask for first.

    pyinfra does not ask for the kind that is on record and would take the other one for a changed key. It is believed
    because the server itself lists it over the connection that was verified.
    """
    recorded = known_hosts.lookup(state.known_hosts, server.address, server.port)
    if any(key.key_type == KEY_TYPES[0] for key in recorded):
        return
    shown = scan(server.address, server.port, timeout, server.name)
    listed = connection.run("cat /etc/ssh/*.pub", check=False).stdout.splitlines()
    if shown not in recorded and shown.public.split() in [line.split()[:2] for line in listed]:
        known_hosts.record(state.known_hosts, server.address, server.port, [*recorded, shown])


@contextlib.contextmanager
def _bootstrap(endpoint: Endpoint, means: Means, timeout: float) -> Iterator[Connection]:
    """A connection that somebody else's means opened, and on which commands really run."""
    transport = open_strict(endpoint, timeout)
    try:
        sign_in(transport, endpoint, means)
        guest = Connection(endpoint, transport)
        _runs_commands(guest)
        yield guest
    finally:
        hang_up(transport)


def _runs_commands(guest: Connection) -> None:
    completed = guest.run("echo it runs", check=False, timeout=30)
    if completed.exit_code == 0 and "it runs" in completed.stdout:
        return
    name, user = guest.endpoint.name, guest.endpoint.user
    said = " ".join(f"{completed.stdout} {completed.stderr}".split())
    lower = said.lower()
    if "password" in lower and ("expired" in lower or "change" in lower):
        raise password_expired(guest.endpoint, said)
    raise SignInRefused(
        f"{user} may sign in on {name}, but may not run commands.",
        said or f"Its shell ended with {completed.exit_code}.",
        [f"on its console: getent passwd {user}; sudo chsh -s /bin/bash {user}"],
    )


def _install_key(guest: Connection, public: str) -> None:
    try:
        guest.run(engine_key.install_script(public))
    except CommandFailed as error:
        raise SignInRefused(
            f"Homewright's key could not be installed on {guest.endpoint.name}.",
            error.why,
            [
                f"see on its console that {guest.endpoint.user} owns its home and can write to ~/.ssh",
                "and that its disk is not full: df -h",
            ],
        ) from error


def _open_again(endpoint: Endpoint, timeout: float) -> Connection:
    try:
        return Connection.open(endpoint, timeout)
    except KeyRefused as error:
        raise SignInRefused(
            f"{endpoint.name} does not take Homewright's key although it was installed.",
            error.why,
            [
                "on its console: sudo sshd -T | grep -iE 'pubkeyauth|authorizedkeysfile|allowusers|denyusers'",
                "on its console: sudo journalctl -u ssh -n 20",
            ],
        ) from error


def _as_fingerprint(wanted: str) -> str:
    key = HostKey.from_line(wanted)
    return key.fingerprint if key is not None else wanted
