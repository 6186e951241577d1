"""Sudo: proved by its exit code, and made to need no password for as long as the engine works on a server."""

from __future__ import annotations

import shlex
from typing import Literal

from homewright.access.connection import Connection
from homewright.access.remote import Completed, last_lines
from homewright.errors import HomewrightError

Sudo = Literal["root", "passwordless", "sudoers-file"]
"""How commands become root's: the account is root, sudo asks for nothing, or our sudoers file sees to that."""

State = Literal["root", "passwordless", "sudoers-file", "password", "tty", "missing", "refused"]


_PROMPT = "homewright: password"


class SudoRefused(HomewrightError):
    """The account cannot use sudo."""

    code = "sudo"


class SudoPasswordRefused(SudoRefused):
    """Sudo does not take the password."""

    code = "sudo-password-refused"


class SudoPasswordNeeded(SudoRefused):
    """Sudo wants a password and none was given."""

    code = "sudo-password-needed"


def sudoers_file(user: str) -> str:
    """Where the sudoers file for this account lies. No dot in it: sudo passes over names with one."""
    return f"/etc/sudoers.d/homewright-{user}"


def sudoers_text(user: str) -> str:
    """Its content. Without a terminal too: a server with `requiretty` would refuse every step."""
    return (
        "# Written by Homewright at first contact, so that its runs need nobody to type a password.\n"
        f"# To take it away: homewright trust --remove, or sudo rm {sudoers_file(user)}\n"
        f"Defaults:{user} !requiretty\n"
        f"{user} ALL=(ALL:ALL) NOPASSWD: ALL\n"
    )


def judge(completed: Completed, ours: bool) -> State:
    """What `sudo -n true` has shown; `ours` says whether our sudoers file is there."""
    if completed.exit_code == 0:
        return "sudoers-file" if ours else "passwordless"
    said = completed.stderr.lower()
    if completed.exit_code == 127 or "not found" in said:
        return "missing"
    if "must have a tty" in said:
        return "tty"
    if "password is required" in said or "authentication is required" in said:
        return "password"
    return "refused"


def look(connection: Connection) -> State:
    """How sudo stands on this server now; nothing is changed and nothing waits for a password."""
    if connection.run(["id", "-u"]).stdout.strip() == "0":
        return "root"
    user = connection.endpoint.user
    # `sudo -n true` alone may succeed for a few minutes after a password was typed elsewhere: -k asks for real.
    completed = connection.run("sudo -k -n true", check=False, timeout=30)
    ours = completed.exit_code == 0 and (
        connection.run(["test", "-e", sudoers_file(user)], sudo=True, check=False).exit_code == 0
    )
    return judge(completed, ours)


def prove(connection: Connection, password: str | None) -> Sudo:
    """Prove that commands become root's without a password, putting our sudoers file where that is what it takes.

    Raises SudoPasswordNeeded where sudo wants a password and none is given, SudoRefused where it is wrong, where the
    account may not use sudo, or where sudo is missing.
    """
    state = look(connection)
    if state == "root" or state == "passwordless" or state == "sudoers-file":
        return state
    name, user = connection.endpoint.name, connection.endpoint.user
    if state == "missing":
        raise SudoRefused(
            f"{name} has no sudo.",
            f"{user} is not root there.",
            [f"on its console, as root: apt-get install sudo; adduser {user} sudo"],
        )
    if state == "refused":
        said = connection.run("sudo -k -n true", check=False, timeout=30).stderr
        raise may_not(name, user, said)
    if password is None and state == "password":
        raise _password_needed(name, user)
    completed = _as_root(connection, install_script(user), password, tty=state == "tty")
    if completed.exit_code != 0:
        raise _not_installed(name, user, completed, password)
    if look(connection) != "sudoers-file":
        _as_root(connection, f"rm -f -- {shlex.quote(sudoers_file(user))}", password, tty=state == "tty")
        raise SudoRefused(
            f"sudo on {name} still wants a password of {user}.",
            f"{sudoers_file(user)} was written, but a rule that comes later takes it back.",
            ["on its console: sudo visudo; look for rules after the line @includedir /etc/sudoers.d"],
        )
    return "sudoers-file"


def remove_sudoers(connection: Connection) -> bool:
    """Take our sudoers file away (for `sudo.keep: false`); False where there was none.

    Raises CommandFailed where sudo does not let us.
    """
    file = sudoers_file(connection.endpoint.user)
    script = (
        f"if [ -e {shlex.quote(file)} ]; then rm -f -- {shlex.quote(file)}; sync -- /etc/sudoers.d; echo removed; fi"
    )
    if look(connection) not in ("root", "passwordless", "sudoers-file"):
        return False
    return "removed" in connection.run(script, sudo=True).stdout


def install_script(user: str) -> str:
    """A script for root that puts the sudoers file in place, once visudo found it right. Nothing in it is secret."""
    file = sudoers_file(user)
    return (
        f"set -eu; umask 077; t=$(mktemp /etc/sudoers.d/.homewright.XXXXXXXX); trap 'rm -f -- \"$t\"' EXIT; "
        f'printf %s {shlex.quote(sudoers_text(user))} >"$t"; chmod 0440 "$t"; visudo -cqf "$t" || exit 65; '
        f'sync -- "$t"; mv -fT -- "$t" {shlex.quote(file)}; trap - EXIT; sync -- /etc/sudoers.d'
    )


def _as_root(connection: Connection, script: str, password: str | None, *, tty: bool) -> Completed:
    """Run a script by `sudo -S`: the password is the first line of its standard input and nowhere else.

    `-k` makes sudo ask even where it remembers an earlier sign-in, so that it always takes exactly that line.
    """
    words = f"-- sh -c {shlex.quote(script)}"
    if password is None:
        completed = connection.run(f"sudo -k -n {words}", check=False, prompt=b"" if tty else None)
    elif not tty:
        return connection.run(f"sudo -k -S -p '' {words}", stdin=password.encode() + b"\n", check=False)
    else:
        line = f"sudo -k -S -p {shlex.quote(_PROMPT)} {words}"
        completed = connection.run(line, stdin=password.encode() + b"\n", check=False, prompt=_PROMPT.encode())
    # A terminal has one output, and may have echoed what was typed.
    said = completed.stdout.replace(_PROMPT, "").replace(password or "\0", "").strip()
    return Completed("", completed.stderr + said, completed.exit_code)


def _password_needed(name: str, user: str) -> SudoPasswordNeeded:
    return SudoPasswordNeeded(
        f"sudo on {name} wants a password of {user}.",
        "It is needed once; after that a sudoers file of ours sees to it.",
        [f"homewright trust {name}   (asks for it)", f"from a script: homewright trust {name} --password-stdin < FILE"],
    )


def may_not(name: str, user: str, said: str) -> SudoRefused:
    return SudoRefused(
        f"{user} may not use sudo on {name}.",
        last_lines(said, 2) or "sudo refused.",
        [f"on its console, as root: adduser {user} sudo", "or name another account in the site's answers"],
    )


def _not_installed(name: str, user: str, completed: Completed, password: str | None) -> SudoRefused:
    said = completed.stderr.lower()
    if "sudoers file" in said or "may not run sudo" in said or "not allowed" in said:
        return may_not(name, user, completed.stderr)
    if password is None and "password is required" in said:
        return _password_needed(name, user)
    if password is not None and (
        "incorrect password" in said or "try again" in said or "no password was provided" in said
    ):
        return SudoPasswordRefused(
            f"sudo on {name} did not take the password.",
            f"It is not the one that sudo wants from {user} there, or the account is locked.",
            [f"try on its console: su - {user}, then sudo -k true", f"homewright trust {name}   (asks again)"],
        )
    return SudoRefused(
        f"The sudoers file could not be put on {name}.",
        last_lines(completed.stderr, 3) or f"The script ended with {completed.exit_code}.",
        [f"on its console: sudo visudo -f {sudoers_file(user)}, with the line: {user} ALL=(ALL:ALL) NOPASSWD: ALL"],
    )
