"""Signing in without the engine's key, for first contact alone: a password, a key that the operator names, an agent.

A password lives in memory only and goes nowhere but into the encrypted connection, after the host key was judged.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko.pkey import UnknownKeyType

from homewright.access.endpoint import Endpoint
from homewright.access.handshake import is_silent, no_answer
from homewright.access.remote import last_lines
from homewright.errors import StateError, Unreachable

_RENEWAL = re.compile(r"expired|change|current|new", re.IGNORECASE)


class SignInRefused(Unreachable):
    """The server does not take what was offered."""

    code = "sign-in"


class PasswordRefused(SignInRefused):
    """The server does not take the password, and does not say why."""

    code = "password-refused"


class PasswordNeeded(Unreachable):
    """Nothing that we hold opens this server: its password (or a key, or an agent) has to be given."""

    code = "password-needed"


@dataclass(frozen=True)
class Means:
    """What the operator gave for first contact; none of it is kept."""

    password: str | None = field(default=None, repr=False)
    identity: Path | None = None
    agent: bool = False

    def __bool__(self) -> bool:
        return self.password is not None or self.identity is not None or self.agent


def sign_in(transport: paramiko.Transport, endpoint: Endpoint, means: Means) -> None:
    """Sign in by the given means: the named key first, then the agent's keys, then the password.

    Raises SignInRefused with what the server says, PasswordNeeded where nothing was given, StateError where the named
    key cannot be used.
    """
    if not means:
        raise password_needed(endpoint)
    allowed = _allowed(transport, endpoint)
    if allowed is None:
        return
    with contextlib.ExitStack() as held:
        keys = [_identity(means.identity)] if means.identity else []
        if means.agent:
            keys += _agent_keys(held)
        for key in keys if "publickey" in allowed else ():
            with contextlib.suppress(paramiko.AuthenticationException):
                left = _attempt(transport, endpoint, functools.partial(transport.auth_publickey, endpoint.user, key))
                _finished(endpoint, left)
                return
    if means.password is None:
        raise _keys_refused(endpoint, means, len(keys))
    _by_password(transport, endpoint, means.password, allowed)


def password_needed(endpoint: Endpoint) -> PasswordNeeded:
    where = f"{endpoint.name} ({endpoint.address})"
    return PasswordNeeded(
        f"{where} does not know Homewright's key yet.",
        f"First contact needs the password of {endpoint.user} there, once.",
        [
            f"homewright trust {endpoint.name}   (asks for it)",
            f"from a script: homewright trust {endpoint.name} --password-stdin < FILE",
            f"or with a key that it knows already: homewright trust {endpoint.name} --identity FILE, or --agent",
        ],
    )


def answers(password: str, prompts: Sequence[tuple[str, bool]]) -> list[str] | None:
    """What to answer to a keyboard-interactive question: the password to one hidden prompt, nothing to none.

    None where it asks for anything else (a code, a new password): we have no answer to that.
    """
    if not prompts:
        return []
    if len(prompts) == 1 and not prompts[0][1] and "new" not in prompts[0][0].lower():
        return [password]
    return None


def _by_password(transport: paramiko.Transport, endpoint: Endpoint, password: str, allowed: Sequence[str]) -> None:
    asked: list[str] = []
    given = False

    def respond(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        nonlocal given
        reply = answers(password, prompts)
        if reply is None or (reply and given):
            asked.extend(prompt for prompt, _ in prompts)
            raise paramiko.SSHException("a question without an answer")
        given = given or bool(reply)
        return reply

    try:
        if "password" in allowed:
            left = _attempt(
                transport, endpoint, lambda: transport.auth_password(endpoint.user, password, fallback=False)
            )
        elif "keyboard-interactive" in allowed:
            left = _attempt(transport, endpoint, lambda: transport.auth_interactive(endpoint.user, respond))
        else:
            raise _no_passwords(endpoint, allowed)
    except paramiko.AuthenticationException as error:
        if any("password" in prompt.lower() and _RENEWAL.search(prompt) for prompt in asked):
            raise password_expired(endpoint, last_lines(asked[0], 3)) from error
        if asked:
            raise _more_than_a_password(endpoint, asked[0].strip()) from error
        raise refused(endpoint, server_says(transport)) from error
    _finished(endpoint, left)


def _allowed(transport: paramiko.Transport, endpoint: Endpoint) -> Sequence[str] | None:
    """The ways in that the server offers; None where it asks for nothing at all."""
    try:
        _attempt(transport, endpoint, lambda: transport.auth_none(endpoint.user))
    except paramiko.BadAuthenticationType as error:
        return list(error.allowed_types)
    except paramiko.AuthenticationException as error:
        raise refused(endpoint, server_says(transport)) from error
    return None


def _attempt(transport: paramiko.Transport, endpoint: Endpoint, attempt: Callable[[], Sequence[str]]) -> Sequence[str]:
    """One way in; what is still wanted after it. A server that hangs up (too many attempts) is said as such."""
    try:
        return attempt()
    except paramiko.AuthenticationException:
        if not transport.is_active():
            raise refused(endpoint, server_says(transport)) from None
        if is_silent(transport):
            raise no_answer(endpoint.name, endpoint.address, endpoint.user) from None
        raise
    except (paramiko.SSHException, OSError, EOFError) as error:
        if "question without an answer" in str(error):
            raise paramiko.AuthenticationException(str(error)) from error
        raise refused(endpoint, server_says(transport) or f"It hung up: {error}") from error


def _finished(endpoint: Endpoint, left: Sequence[str]) -> None:
    if left:
        raise _more_than_a_password(endpoint, ", ".join(left))


def _identity(file: Path) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(file.expanduser())
    except paramiko.PasswordRequiredException as error:
        raise StateError(
            f"The key {file} has a passphrase.", "", ["ssh-add it, then: homewright trust … --agent"]
        ) from error
    except (OSError, ValueError, TypeError, paramiko.SSHException, UnknownKeyType) as error:
        if "encrypted" in str(error).lower() or "protected" in str(error).lower():
            raise StateError(
                f"The key {file} has a passphrase.", "", ["ssh-add it, then: homewright trust … --agent"]
            ) from error
        raise StateError(
            f"The key {file} cannot be used.",
            f"{str(getattr(error, 'strerror', None) or error or type(error).__name__).rstrip('.')}.",
            ["name the private half of an SSH key that the server knows"],
        ) from error


def _agent_keys(held: contextlib.ExitStack) -> Sequence[paramiko.PKey]:
    try:
        agent = paramiko.Agent()
    except (paramiko.SSHException, OSError):
        return ()
    held.callback(agent.close)
    return agent.get_keys()


def server_says(transport: paramiko.Transport) -> str:
    """What the server says while signing in: an expired account, a machine that is going down."""
    said = transport.get_banner()
    return last_lines(said.decode(errors="replace"), 2) if said else ""


def refused(endpoint: Endpoint, said: str) -> SignInRefused:
    """The error for a password that is not taken. A server hardly ever tells which of the reasons it is."""
    where = f"{endpoint.name} ({endpoint.address})"
    if "expired" in said.lower():
        return SignInRefused(
            f"{where} does not let {endpoint.user} in: the account has expired.",
            said,
            [f"on its console: sudo chage -E -1 {endpoint.user}"],
        )
    return PasswordRefused(
        f"{where} does not let {endpoint.user} in.",
        "The password is wrong, or there is no such account, or it is locked, expired or may not sign in over SSH."
        + (f" It says: {said}" if said else ""),
        [
            "try the password again",
            f"on its console: sudo passwd -S {endpoint.user}; sudo chage -l {endpoint.user}   (L: locked)",
            "on its console: sudo journalctl -u ssh -n 20",
        ],
    )


def _keys_refused(endpoint: Endpoint, means: Means, offered: int) -> SignInRefused:
    what = f"the key {means.identity}" if means.identity else f"any of the agent's {offered} keys"
    why = "It is not in that account's authorized_keys, or others may write to that account's home or ~/.ssh."
    if means.agent and not offered:
        what, why = "the agent", "No agent answers, or it holds no key."
    return SignInRefused(
        f"{endpoint.name} ({endpoint.address}) does not take {what} for {endpoint.user}.",
        why,
        [f"homewright trust {endpoint.name}   (asks for the password)"],
    )


def password_expired(endpoint: Endpoint, said: str) -> SignInRefused:
    return SignInRefused(
        f"The password of {endpoint.user} on {endpoint.name} has expired.",
        said,
        [f"set a new one: ssh -t {endpoint.user}@{endpoint.address}", f"then: homewright trust {endpoint.name}"],
    )


def _no_passwords(endpoint: Endpoint, allowed: Sequence[str]) -> SignInRefused:
    return SignInRefused(
        f"{endpoint.name} ({endpoint.address}) takes no passwords over SSH.",
        f"It offers {', '.join(allowed) or 'nothing'} for {endpoint.user}.",
        [
            f"with a key that it knows: homewright trust {endpoint.name} --identity FILE, or --agent",
            f"or on its console put this line into ~{endpoint.user}/.ssh/authorized_keys: {_public_line(endpoint)}",
        ],
    )


def _more_than_a_password(endpoint: Endpoint, asked: str) -> SignInRefused:
    return SignInRefused(
        f"{endpoint.name} ({endpoint.address}) wants more than one thing to sign in.",
        f"It asks for: {asked}",
        [f"on its console put this line into ~{endpoint.user}/.ssh/authorized_keys: {_public_line(endpoint)}"],
    )


def _public_line(endpoint: Endpoint) -> str:
    try:
        return endpoint.key_file.with_suffix(".pub").read_text(encoding="utf-8").strip()
    except OSError:
        return f"the content of {endpoint.key_file}.pub"
