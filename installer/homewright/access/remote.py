"""The command lines that are sent to a server, and what comes back from them. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from homewright.errors import HomewrightError

MARKER = b"\x1ehomewright\x1e\n"
"""Printed right before a command's own output: what a talkative start-up file prints before it is dropped."""

_PREFACE = (
    "printf '\\036homewright\\036\\n'; "
    "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin LC_ALL=C.UTF-8; export PATH LC_ALL; "
)  # sshd gives users no sbin; messages that we match must not be translated

LOGGED = 500
"""Bytes of a command of root's that may stand in the server's log, where sudo writes all of it: half of one message
(sudoers(5), syslog_maxlen: 980)."""


@dataclass(frozen=True)
class Completed:
    """A command that ended on a server."""

    stdout: str
    stderr: str
    exit_code: int
    """-1 where a signal ended it."""
    stdout_bytes: bytes = field(default=b"", repr=False)


class CommandFailed(HomewrightError):
    """A command on a server ended with another exit code than 0, or did not end in time."""

    code = "command"

    def __init__(self, host: str, command: str, completed: Completed, why: str = "") -> None:
        super().__init__(
            f"A command failed on {host} (exit code {completed.exit_code}): {shortened(command)}",
            why or last_lines(completed.stderr or completed.stdout, 5),
        )
        self.completed = completed


def command_line(command: str | Sequence[str], *, sudo: bool) -> str:
    """The line for the user's login shell, whatever shell that is: it only has to start `sh -c` with one word.

    `sudo` asks for no password and so never hangs.
    """
    words = command if isinstance(command, str) else shlex.join(command)
    if sudo:
        return f"exec sh -c {shlex.quote(_PREFACE + f'exec sudo -n -- sh -c {shlex.quote(words)}')}"
    return f"exec sh -c {shlex.quote(_PREFACE + words)}"


def sent(command: str | Sequence[str], *, sudo: bool, tty: bool = False) -> tuple[str, bytes]:
    """The line for the login shell, and what the command has to be given first on its standard input.

    A long command of root's goes by the latter: a shell reads a pipe byte by byte, and so leaves what comes after it to
    the command. One that breaks off is not begun. A terminal would show it, and so gets none.
    """
    words = command if isinstance(command, str) else shlex.join(command)
    if not sudo or tty or len(words.encode()) <= LOGGED:
        return command_line(words, sudo=sudo), b""
    reader = 'IFS= read -r given && exec sh -c "$(printf %b "$given")"'
    given = words.replace("\\", r"\\").replace("\n", r"\n")
    line = command_line(f"{reader} # by Homewright, on standard input: {shortened(words)}", sudo=True)
    return line, f"{given}\n".encode()


def without_noise(stdout: bytes) -> bytes:
    """A command's own output: everything after the marker (all of it where the shell never got that far)."""
    _, marker, own = stdout.partition(MARKER)
    return own if marker else stdout


def write_script(path: str, size: int, mode: int, owner: str | None) -> str:
    """A script that replaces `path` by what comes on stdin, whole or not at all.

    The size is checked before the rename: a connection that breaks off looks like the end of the content.
    """
    owned = f'chown -- {shlex.quote(owner)} "$t"; ' if owner else ""
    return (
        f'set -eu; umask 077; p={shlex.quote(path)}; d=$(dirname -- "$p"); '
        f't=$(mktemp -- "$d/.homewright.XXXXXXXX"); trap \'rm -f -- "$t"\' EXIT HUP INT TERM; cat >"$t"; '
        f's=$(stat -c %s -- "$t"); [ "$s" -eq {size} ] || '
        f'{{ echo "only $s of {size} bytes of $p arrived" >&2; exit 74; }}; '
        f'{owned}chmod {mode:04o} -- "$t"; sync -- "$t"; mv -fT -- "$t" "$p"; trap - EXIT; sync -- "$d"'
    )


def shortened(command: str, limit: int = 160) -> str:
    """One line of a command, for messages."""
    line = " ".join(command.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def last_lines(text: str, count: int) -> str:
    return "\n".join(text.strip().splitlines()[-count:])
