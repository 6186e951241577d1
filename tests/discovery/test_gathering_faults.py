"""Hosts that say nothing, hang half-way or flood us, beside one that answers: each ends in time and holds up nobody."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import paramiko
import pytest

from homewright.access import engine_key, known_hosts
from homewright.access.known_hosts import HostKey
from homewright.discovery import gather, recorded
from homewright.discovery.facts import HostFacts
from homewright.errors import HomewrightError
from homewright.site.models import Server, Site
from homewright.site.paths import StateFolder

Act = Callable[[paramiko.Channel], None]


class Doubles(paramiko.ServerInterface):
    """An sshd that lets everybody in and does what the test wants with a command."""

    def __init__(self, act: Act) -> None:
        self.act = act

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._run, args=(channel,), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel) -> None:
        with suppress(OSError, EOFError, paramiko.SSHException):
            channel.recv(1)  # the script comes once the command was let in: nothing may be said before
            self.act(channel)


@contextmanager
def sshd(name: str, address: str, state: StateFolder, act: Act | None) -> Iterator[Server]:
    """One at a port of its own, whose key is trusted; None accepts connections and says nothing."""
    key = paramiko.ECDSAKey.generate()
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server((address, 0)))
        port = listening.getsockname()[1]
        known_hosts.record(state.known_hosts, address, port, [HostKey.from_blob(key.get_name(), key.asbytes())])

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    stack.callback(client.close)
                    if act is not None:
                        transport = paramiko.Transport(client)
                        stack.callback(transport.close)
                        transport.add_server_key(key)
                        with suppress(paramiko.SSHException, EOFError):
                            transport.start_server(server=Doubles(act))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Server(name=name, address=address, port=port, user="lab")
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def answers(channel: paramiko.Channel) -> None:
    assert b"ource" in b"".join(iter(lambda: channel.recv(65536), b""))
    for source, text in {"os-release": "ID=debian\n", "meminfo": "MemTotal: 1024 kB\n", "done": ""}.items():
        channel.sendall(f"\n\036source {source}\n{text}\n\036exit 0\n".encode())
    channel.send_exit_status(0)
    channel.close()


def hangs(channel: paramiko.Channel) -> None:
    channel.sendall(b"\n\036source os-release\nID=debian\n\n\036exit 0\n\n\036source meminfo\nMemTotal: 1024 kB\n")


def says_nothing(channel: paramiko.Channel) -> None:
    channel.recv(1)


def floods(channel: paramiko.Channel) -> None:
    channel.sendall(b"\n\036source os-release\nID=debian\n\n\036exit 0\n\n\036source hosts\n")
    while True:
        channel.sendall(b"127.0.0.1 localhost\n" * 2000)


def is_no_shell(channel: paramiko.Channel) -> None:
    channel.sendall(b"This account is currently not available.\n")
    channel.send_exit_status(1)
    channel.close()


def test_each_ends_in_its_time_and_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homewright.discovery.probe.TIMEOUT_S", 5.0)
    monkeypatch.setattr("homewright.discovery.probe.MOST_BYTES", 1 << 20)
    state = StateFolder(tmp_path / "state").create()
    engine_key.ensure(state.key, "tests")
    acts: dict[str, Act | None] = {
        "silent": None, "hangs": hangs, "nothing": says_nothing, "floods": floods, "no-shell": is_no_shell,
        "answers": answers,
    }  # fmt: skip
    told: dict[str, float] = {}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(sshd(name, f"127.0.0.{number}", state, act))
            for number, (name, act) in enumerate(acts.items(), 1)
        ]
        began = time.monotonic()
        outcomes = gather(
            Site(name="attic", servers=tuple(servers)),
            state,
            on_event=lambda host, outcome: told.setdefault(host, time.monotonic() - began),
            timeout=5.0,
        )
    errors = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, HomewrightError)}
    facts = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, HostFacts)}
    assert set(errors) == {"silent", "nothing", "no-shell"}
    assert all(error.what and error.why for error in errors.values())
    assert "currently not available" in errors["no-shell"].why
    assert max(told.values()) < 30, told
    for name, reason in (
        ("hangs", "it gave no answer within 5 s, at meminfo"),
        ("floods", "it printed more than 1 MiB"),
    ):
        assert facts[name].system.os_id == "debian"
        assert reason in facts[name].why_unknown("probe")
    assert facts["answers"].why_unknown("probe") == "the server did not say"
    assert facts["answers"].memory.total == 1024 * 1024
    assert facts["hangs"].memory.total is None, "it was cut off there"
    assert recorded(state).keys() == set(facts)
