"""The one connection layer: strict about host keys, signed in by the engine's own key and nothing else."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import paramiko

from homewright.access import carrier, engine_key, key_change
from homewright.access.carrier import Carrier
from homewright.access.endpoint import Endpoint
from homewright.access.handshake import hang_up, is_silent, no_answer, open_strict
from homewright.access.remote import (
    CommandFailed,
    Completed,
    last_lines,
    sent,
    shortened,
    without_noise,
    write_script,
)
from homewright.errors import HostKeyError, StateError, Unreachable
from homewright.site.rehearsed import refuse

__all__ = [
    "CommandFailed",
    "Completed",
    "Connection",
    "Endpoint",
    "HostKeyError",
    "KeyRefused",
    "NoFirstContact",
    "Unreachable",
]

_CHUNK = 32_768
_CARRIED = 1 << 16
"""A command with more than this to read gets a channel of its own, in bytes."""
_UPLOAD_CHUNK = 1 << 17
_STALLED_S = 60.0
_SETTLE_S = 300.0
"""How long a slow disk may take to sync what was uploaded."""


class KeyRefused(Unreachable):
    """The server is there, but the engine's key does not open it."""

    code = "key-refused"


class NoFirstContact(Unreachable):
    """The site has no key of its own yet, so no server can know it."""

    code = "no-first-contact"


class Connection:
    """A signed-in connection to one server. Its methods may be called from several threads at once."""

    def __init__(self, endpoint: Endpoint, transport: paramiko.Transport, below: Connection | None = None) -> None:
        self.endpoint = endpoint
        self._transport = transport
        self._below = below
        """To the server that it is reached through."""
        self._carriers: dict[tuple[bool, str], Carrier] = {}
        self._starting = threading.Lock()

    @classmethod
    def open(cls, endpoint: Endpoint, timeout: float = 10.0, below: Connection | None = None) -> Connection:
        """Connect within about `timeout` seconds a phase (TCP, handshake, sign-in).

        `below` is a connection to the server that this one is reached through, if there is one; it outlives this one.

        Raises HostKeyError where the host key is not the trusted one, Unreachable where the server is down, closed or
        does not accept our key, NoFirstContact where we have none yet, StateError where it cannot be read,
        RehearsalOnly in a rehearsal.
        """
        refuse(endpoint.key_file.parent, f"{endpoint.name} was not contacted.")
        if key_change.is_owed(endpoint.key_file, endpoint.name, key_change.place(endpoint.address, endpoint.port)):
            return cls._with_key_changed(endpoint, timeout)
        return cls._enter(endpoint, endpoint.key_file, timeout, below)

    @classmethod
    def _with_key_changed(cls, endpoint: Endpoint, timeout: float) -> Connection:
        """The same, and from now on the server lets the site's new key in, and the one before it no longer."""
        olds = key_change.publics(endpoint.key_file)
        public = engine_key.public(endpoint.key_file)
        try:
            connection = cls._enter(endpoint, endpoint.key_file, timeout)
        except KeyRefused:
            if not olds:
                raise
            cls._let_in(endpoint, public, olds, timeout)
            connection = cls._enter(endpoint, endpoint.key_file, timeout)
        # The new key has just opened it: only now may the old ones go.
        try:
            for old in olds.values():
                connection.run(engine_key.removal_script(old))
            key_change.done(endpoint.key_file, endpoint.name, key_change.place(endpoint.address, endpoint.port))
        except CommandFailed:
            pass  # it stays owed: the next connection tries again
        except BaseException:
            connection.close()
            raise
        return connection

    @classmethod
    def _let_in(cls, endpoint: Endpoint, public: str, olds: Iterable[Path], timeout: float) -> None:
        """Put the new key there by whichever old one still opens it.

        Where none does, the new one decides: another connection may have finished the change meanwhile.
        """
        for old in olds:
            try:
                with cls._enter(endpoint, old, timeout) as guest:
                    guest.run(engine_key.install_script(public))
                return
            except (KeyRefused, NoFirstContact):
                continue

    @classmethod
    def _enter(cls, endpoint: Endpoint, file: Path, timeout: float, shared: Connection | None = None) -> Connection:
        key = private_key(file)
        with contextlib.ExitStack() as stack:
            below = None
            if endpoint.through is not None and shared is None:
                below = stack.enter_context(cls.open(endpoint.through, timeout))
            way = below or shared
            transport = open_strict(endpoint, timeout, way._transport if way is not None else None)
            try:
                transport.auth_publickey(endpoint.user, key)
            except (paramiko.SSHException, OSError, EOFError) as error:
                said, gone, silent = _banner(transport), not transport.is_active(), is_silent(transport)
                hang_up(transport)
                if silent:
                    raise no_answer(endpoint.name, endpoint.address, endpoint.user) from error
                raise _key_refused(endpoint, said, error, gone=gone) from error
            stack.pop_all()
            return cls(endpoint, transport, below)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; harmless when done twice."""
        for kept in list(self._carriers.values()):  # a command that is sent meanwhile may start one more
            with contextlib.suppress(Exception):
                kept.close()
        hang_up(self._transport)
        if self._below is not None:
            self._below.close()

    @property
    def alive(self) -> bool:
        """False once the connection is known to be lost."""
        return bool(self._transport.is_active())

    @property
    def _is_root(self) -> bool:
        return self.endpoint.user == "root"

    def run(
        self,
        command: str | Sequence[str],
        *,
        sudo: bool = False,
        stdin: bytes | None = None,
        timeout: float | None = 60.0,
        check: bool = True,
        prompt: bytes | None = None,
        most: int | None = None,
    ) -> Completed:
        """Run a command (a string for sh, or words) to its end.

        `timeout` is in seconds for the whole of it. With `prompt` the command gets a terminal (both outputs are then
        stdout) and `stdin` is sent once the prompt was printed; a second prompt ends it with exit code -1.
        One that prints more than `most` bytes on either output is hung up on: exit code -1.
        Raises CommandFailed where time runs out, or where `check` is set and the exit code is not 0; Unreachable where
        the connection is lost meanwhile.
        """
        shown = command if isinstance(command, str) else shlex.join(command)
        with self._start(command, sudo, tty=prompt is not None) as channel:
            completed, in_time = _exchange(channel, stdin, timeout, prompt, most)
        if not in_time:
            raise CommandFailed(
                self.endpoint.name, shown, completed, f"It did not end within {timeout:g} s and may still be running."
            )
        if completed.exit_code == -1 and not self.alive:
            raise self._lost(shown)
        if check and completed.exit_code != 0:
            raise CommandFailed(self.endpoint.name, shown, completed)
        return completed

    def carry(
        self, command: str, *, mark: str, sudo: bool = False, stdin: bytes | None = None, timeout: float | None = 60.0
    ) -> Completed:
        """As `run` without `check`, for one of many commands: by a process there that is kept as long as this
        connection (`access.carrier`), which has `mark` in its environment, and so has all that it starts.

        Where there is no Python, or sudo says no, the command is run by itself, and tells why; so is one with much to
        read, which would hold up the others. Raises as `run` does.
        """
        kept = None if len(stdin or b"") > _CARRIED else self._carrier(mark, sudo)
        if kept is None or (not kept.of_use and not kept.started):
            return self.run(
                f"env {mark} sh -c {shlex.quote(command)}", sudo=sudo, stdin=stdin, timeout=timeout, check=False
            )
        try:
            return kept.run(command, stdin, timeout)
        except TimeoutError:
            why = f"It did not end within {timeout:g} s and may still be running."
            raise CommandFailed(self.endpoint.name, command, Completed("", "", -1), why) from None
        except carrier.Gone as error:
            raise self._lost(command) from error

    def _carrier(self, mark: str, sudo: bool) -> Carrier:
        """The one that is kept; a new one where it has ended. What was sent to that one is not sent again."""
        with self._starting:
            kept = self._carriers.get((sudo, mark))
            if kept is None or (kept.started and not kept.of_use):
                words = ["env", mark, "python3", "-I", "-S", "-c", carrier.SCRIPT]
                kept = self._carriers[sudo, mark] = Carrier(self._start(words, sudo))
        return kept

    def stream(
        self, command: str | Sequence[str], *, sudo: bool = False, timeout: float | None = None, check: bool = True
    ) -> Iterator[str]:
        """The lines of a command as they come, both its outputs together, without their line ends.

        Closing the iterator hangs up on the command. Raises what `run` raises, after the last line.
        """
        shown = command if isinstance(command, str) else shlex.join(command)
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._start(command, sudo, combined=True) as channel:
            pending = b""
            marked = False
            while True:
                channel.settimeout(None if deadline is None else max(0.01, deadline - time.monotonic()))
                try:
                    data = channel.recv(_CHUNK)
                except TimeoutError:
                    ended = Completed("", "", -1)
                    why = f"It did not end within {timeout:g} s and may still be running."
                    raise CommandFailed(self.endpoint.name, shown, ended, why) from None
                pending += data
                if not marked and (own := without_noise(pending)) is not pending:
                    pending, marked = own, True
                if marked:
                    *lines, pending = pending.split(b"\n")
                    for line in lines:
                        yield line.decode(errors="replace").rstrip("\r")
                if not data:
                    break
            if pending:
                yield from pending.decode(errors="replace").splitlines()
            code = channel.recv_exit_status()
        if code == -1 and not self.alive:
            raise self._lost(shown)
        if check and code != 0:
            raise CommandFailed(self.endpoint.name, shown, Completed("", "", code), "Its output is above.")

    def read(self, path: str, sudo: bool = False) -> bytes:
        """The content of a file. Raises CommandFailed where it is not there or may not be read."""
        return self.run(["cat", "--", path], sudo=sudo, timeout=120).stdout_bytes

    def write(
        self, path: str, data: bytes, *, mode: int = 0o644, owner: str | None = "root:root", sudo: bool = True
    ) -> None:
        """Replace a file atomically and durably; the content travels on stdin, never in a command line.

        Without `sudo` the file belongs to the user that we sign in as, and `owner` is not looked at.
        Raises CommandFailed, with the server's reason (disk full, read-only, no such folder); the old file is then
        still there.
        """
        privileged = sudo or self._is_root
        script = write_script(path, len(data), mode, owner if privileged else None)
        self.run(script, sudo=sudo, stdin=data, timeout=120)

    def upload(
        self,
        local: Path,
        remote: str,
        *,
        progress: Callable[[int, int], None] | None = None,
        mode: int = 0o644,
        owner: str | None = "root:root",
        sudo: bool = False,
    ) -> None:
        """Send a big file, atomically; `progress` gets bytes sent and bytes in all.

        Raises StateError where the local file cannot be read, CommandFailed as `write` does, Unreachable where the
        connection breaks or takes nothing for a minute.
        """
        try:
            source = local.open("rb")
        except OSError as error:
            raise StateError(f"{local} cannot be read.", f"{error.strerror or error}.") from error
        what = f"upload of {local.name} to {remote}"
        with source:
            size = local.stat().st_size
            script = write_script(remote, size, mode, owner if sudo or self._is_root else None)
            with self._start(script, sudo) as channel:
                channel.settimeout(_STALLED_S)
                try:
                    sent = 0
                    while data := source.read(_UPLOAD_CHUNK):
                        channel.sendall(data)
                        sent += len(data)
                        if progress is not None:
                            progress(sent, size)
                except TimeoutError as error:
                    raise self._lost(what, f"It took nothing for {_STALLED_S:g} s.") from error
                except (OSError, EOFError):
                    pass  # the script has ended: its exit code and its message say why
                completed, in_time = _exchange(channel, None, _SETTLE_S)
        if completed.exit_code == -1 and not self.alive:
            raise self._lost(what)
        if not in_time or completed.exit_code != 0:
            why = "" if in_time else f"The server did not write it to its disk within {_SETTLE_S:g} s."
            raise CommandFailed(self.endpoint.name, what, completed, why)

    def _start(
        self, command: str | Sequence[str], sudo: bool, combined: bool = False, tty: bool = False
    ) -> paramiko.Channel:
        line, first = sent(command, sudo=sudo and not self._is_root, tty=tty)
        try:
            channel = self._transport.open_session(timeout=30)
            channel.set_combine_stderr(combined)
            if tty:
                channel.get_pty(width=1000)
            channel.exec_command(line)
            if first:
                with contextlib.suppress(OSError):  # sudo said no and has ended: its exit code and its message say why
                    channel.sendall(first)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._lost(command if isinstance(command, str) else shlex.join(command), str(error)) from error
        return channel

    def _lost(self, what: str, why: str = "") -> Unreachable:
        return Unreachable(
            f"The connection to {self.endpoint.name} was lost.",
            why or f"It broke off during: {shortened(what)}",
            [f"see whether {self.endpoint.name} ({self.endpoint.address}) is on and reachable, then try again"],
        )


def private_key(file: Path) -> paramiko.PKey:
    """The engine's private key. Raises NoFirstContact where there is none yet, StateError where it cannot be used."""
    try:
        return paramiko.Ed25519Key.from_private_key_file(str(file))
    except FileNotFoundError as error:
        raise NoFirstContact(
            "This site has no key of its own yet.", f"{file} is made at first contact.", ["homewright trust --all"]
        ) from error
    except (OSError, paramiko.SSHException) as error:
        raise StateError(
            f"The site's key {file} cannot be used.",
            f"{error}.",
            ["give it back to its owner, mode 0600", "or remove it and make a new one: homewright trust --all"],
        ) from error


def _exchange(
    channel: paramiko.Channel,
    stdin: bytes | None,
    timeout: float | None,
    prompt: bytes | None = None,
    most: int | None = None,
) -> tuple[Completed, bool]:
    """Feed and empty a channel; the two outputs share one window, so each has a reader of its own."""
    deadline = None if timeout is None else time.monotonic() + timeout
    stdout, stderr = bytearray(), bytearray()
    prompted = threading.Event()
    if not prompt:
        prompted.set()

    def drain(receive: Callable[[int], bytes], into: bytearray) -> None:
        while data := receive(_CHUNK):
            into += data
            if prompt and prompt in into:
                prompted.set()
            if most is not None and len(into) > most:
                channel.close()
            if prompt and into.count(prompt) > 1:
                channel.close()  # it asks again: what it got was not what it wanted
        prompted.set()

    def feed() -> None:
        prompted.wait()
        _send(channel, stdin or b"")

    channel.settimeout(None)
    readers = [
        threading.Thread(target=drain, args=(receive, into), daemon=True)
        for receive, into in ((channel.recv, stdout), (channel.recv_stderr, stderr))
    ]
    for thread in (*readers, threading.Thread(target=feed, daemon=True)):
        thread.start()

    def remaining() -> float | None:
        return None if deadline is None else max(0.0, deadline - time.monotonic())

    in_time = True
    for reader in readers:
        reader.join(remaining())
        in_time = in_time and not reader.is_alive()
    in_time = in_time and channel.status_event.wait(remaining())
    code = channel.recv_exit_status() if in_time else -1
    if not in_time:
        channel.close()
    raw = bytes(stdout) if prompt is None else bytes(stdout).replace(b"\r\n", b"\n")
    own = without_noise(raw)
    return Completed(own.decode(errors="replace"), bytes(stderr).decode(errors="replace"), code, own), in_time


def _send(channel: paramiko.Channel, data: bytes) -> None:
    try:
        offset = 0
        while offset < len(data):
            offset += channel.send(data[offset : offset + _CHUNK])
        channel.shutdown_write()
    except (OSError, EOFError):
        pass  # the command does not read (any more): its exit code says the rest


def _banner(transport: paramiko.Transport) -> str:
    # Of its handler, in bytes: the transport itself tells nothing any more once the server has hung up.
    said: bytes = getattr(transport.auth_handler, "banner", None) or b""
    return said.decode(errors="replace").strip()


def _key_refused(endpoint: Endpoint, said: str, error: BaseException, *, gone: bool) -> Unreachable:
    """What a sign-in that failed means; `gone` where the server hung up, which a mere refusal of a key does not do.

    A server that boots or shuts down accepts the key, lets only root in (pam_nologin), and hangs up.
    """
    where = f"{endpoint.name} ({endpoint.address})"
    if "expired" in said.lower():
        return Unreachable(
            f"{where} does not let {endpoint.user} in: the account has expired.",
            last_lines(said, 2),
            [f"on its console: sudo chage -E -1 {endpoint.user}"],
        )
    if isinstance(error, paramiko.AuthenticationException) and not gone and "nologin" not in said:
        return KeyRefused(
            f"{where} does not accept Homewright's key for {endpoint.user}.",
            "There was no first contact yet, or the key was taken out of authorized_keys (as another machine does that "
            "takes the site over), or the account is locked or expired."
            + (f" It says: {last_lines(said, 2)}" if said else ""),
            [
                f"homewright trust {endpoint.name}",
                f"if that is refused too, on its console: sudo passwd -S {endpoint.user}; "
                f"sudo chage -l {endpoint.user}; sudo journalctl -u ssh -n 20",
            ],
        )
    return Unreachable(
        f"{where} hung up while we signed in.",
        f"It says: {last_lines(said, 2)}"
        if said
        else "It may be starting or shutting down, or its rules keep this account out.",
        [
            "wait until it is up, then try again",
            f"if it is up, on its console: sudo chage -l {endpoint.user}; sudo journalctl -u ssh -n 20",
        ],
    )
