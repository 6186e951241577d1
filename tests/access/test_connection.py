"""The connection layer against a real sshd: outputs, inputs, files, and what happens when it breaks."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from homewright.access.connection import CommandFailed, Connection, Endpoint
from homewright.discovery.probe import probe
from homewright.errors import StateError, Unreachable

from .conftest import Account

pytestmark = pytest.mark.lab


@pytest.fixture
def account(shared_account: Account) -> Account:
    return shared_account


@pytest.fixture
def connection(shared_endpoint: Endpoint) -> Iterator[Connection]:
    with Connection.open(shared_endpoint) as opened:
        yield opened


def test_a_command_with_everything(connection: Connection) -> None:
    completed = connection.run("cat; echo on stderr >&2; exit 7", stdin=b"from stdin\n", check=False)
    assert (completed.stdout, completed.stderr, completed.exit_code) == ("from stdin\n", "on stderr\n", 7)
    assert connection.run(["id", "-u"], sudo=True).stdout == "0\n"
    with pytest.raises(CommandFailed) as caught:
        connection.run("echo broken >&2; exit 3")
    assert caught.value.completed.exit_code == 3
    assert "broken" in caught.value.why


def test_the_servers_log_has_a_short_line_for_each_program_of_roots(connection: Connection, account: Account) -> None:
    def logged() -> list[str]:
        lines = account.practice.sh("journalctl --sync; journalctl -t sudo -o cat --no-pager").splitlines()
        return [line for line in lines if f"{account.user} : " in line]

    before = len(logged())
    program = f"a='{'x' * 5000}'\nprintf '%s\\n' \"${{#a}}\""
    assert connection.run(f"{program}; cat", sudo=True, stdin=b"and its input").stdout == "5000\nand its input"
    assert connection.carry("id -u", mark="HOMEWRIGHT_TEST=1", sudo=True).stdout == "0\n"
    assert list(connection.stream(program, sudo=True, timeout=60)) == ["5000"]
    told = logged()[before:]
    assert len(told) == 3 and all("# by Homewright, on standard input: " in line and len(line) < 400 for line in told)
    assert "env HOMEWRIGHT_TEST=1 python3" in told[1]
    assert probe(connection).source("sudo").exit_code == 0
    (line,) = logged()[before + 3 :]
    assert line.endswith("COMMAND=/usr/bin/sh -s -- homewright discover")


def test_large_outputs_on_both_sides_do_not_block(connection: Connection) -> None:
    completed = connection.run(
        "head -c 9000000 /dev/zero >&2; head -c 9000000 /dev/zero; wc -c >&2", stdin=b"x" * 9_000_000
    )
    assert len(completed.stdout) == 9_000_000
    assert completed.stderr.strip("\0 \n") == "9000000"


def test_input_that_nobody_reads_does_not_block(connection: Connection) -> None:
    assert connection.run("exec <&-; echo done", stdin=b"x" * 9_000_000).stdout == "done\n"


def test_a_command_that_takes_too_long_is_given_up(connection: Connection) -> None:
    started = time.monotonic()
    with pytest.raises(CommandFailed) as caught:
        connection.run("sleep 60", timeout=0.5)
    assert time.monotonic() - started < 30
    assert "0.5 s" in caught.value.why
    assert connection.run(["true"]).exit_code == 0, "the connection goes on"


def test_a_command_that_a_signal_ended_is_no_lost_connection(connection: Connection) -> None:
    assert connection.run("kill -9 $$", check=False).exit_code == -1


def test_many_commands_at_once_on_one_connection(connection: Connection) -> None:
    outputs: dict[int, str] = {}

    def ask(number: int) -> None:
        outputs[number] = connection.run(f"echo {number}").stdout

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert outputs == {number: f"{number}\n" for number in range(8)}


def test_lines_come_as_they_are_printed(connection: Connection, account: Account) -> None:
    gate = f"{account.home}/gate"
    lines = connection.stream(
        f"echo first; echo second >&2; until [ -e {gate} ]; do sleep 0.05; done; printf last; exit 4"
    )
    assert [next(lines), next(lines)] == ["first", "second"]
    account.practice.sh(f"touch {gate}")
    assert next(lines) == "last"
    with pytest.raises(CommandFailed) as caught:
        next(lines)
    assert caught.value.completed.exit_code == 4


def test_nobody_watching_ends_an_endless_command(connection: Connection, account: Account) -> None:
    lines = connection.stream(["sh", "-c", "while echo tick; do sleep 0.1; done"])
    assert next(lines) == "tick"
    lines.close()  # type: ignore[attr-defined]  # it is a generator
    deadline = time.monotonic() + 10
    while account.practice.sh(f"pgrep -u {account.user} -f 'echo tick'"):
        assert time.monotonic() < deadline


def test_files_are_written_whole_with_owner_and_mode(connection: Connection, account: Account) -> None:
    path = f"/etc/{account.user} it's.conf"
    try:
        connection.write(path, b"secret \x00 bytes\n", mode=0o640, owner=f"root:{account.user}")
        assert account.practice.sh(f'stat -c "%a %U:%G" "{path}"').strip() == f"640 root:{account.user}"
        assert connection.read(path, sudo=True) == b"secret \x00 bytes\n"
        connection.write(path, b"", mode=0o600)
        assert account.practice.sh(f'stat -c "%a %U:%G %s" "{path}"').strip() == "600 root:root 0"
    finally:
        account.practice.sh(f'rm -f "{path}"')
    connection.write(f"{account.home}/own", b"mine", sudo=False)
    assert account.practice.sh(f"stat -c %U {account.home}/own").strip() == account.user
    with pytest.raises(CommandFailed):
        connection.read("/no/such/file")
    with pytest.raises(CommandFailed):
        connection.write("/no/such/folder/file", b"x")


def test_a_full_disk_leaves_the_old_file_and_says_so(connection: Connection, account: Account) -> None:
    folder = f"{account.home}/small"
    connection.run(f"mkdir {folder} && mount -t tmpfs -o size=256k tmpfs {folder}", sudo=True)
    try:
        connection.write(f"{folder}/file", b"old")
        with pytest.raises(CommandFailed) as caught:
            connection.write(f"{folder}/file", b"x" * 1_000_000)
        assert "No space left on device" in caught.value.as_text()
        assert connection.read(f"{folder}/file", sudo=True) == b"old"
        assert connection.run(["ls", "-A", folder], sudo=True).stdout == "file\n"
    finally:
        account.practice.sh(f"umount {folder}")


def test_a_big_file_arrives_whole(connection: Connection, account: Account, tmp_path: Path) -> None:
    content = hashlib.sha256(b"seed").digest() * 2_000_000  # 64 MB
    (tmp_path / "big").write_bytes(content)
    seen: list[tuple[int, int]] = []
    started = time.monotonic()
    connection.upload(tmp_path / "big", f"{account.home}/big", progress=lambda *step: seen.append(step))
    seconds = time.monotonic() - started
    print(f"upload: {len(content) / 1e6 / seconds:.0f} MB/s")
    assert seen[-1] == (len(content), len(content))
    assert account.practice.sh(f"sha256sum {account.home}/big").split()[0] == hashlib.sha256(content).hexdigest()
    with pytest.raises(CommandFailed):
        connection.upload(tmp_path / "big", "/no/such/folder/big")
    with pytest.raises(StateError):
        connection.upload(tmp_path / "missing", f"{account.home}/big")


def test_a_connection_that_breaks_is_said_to_be_lost(connection: Connection, account: Account) -> None:
    threading.Timer(0.5, account.practice.sh, [f"pkill -KILL -u {account.user} sshd"]).start()
    started = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        connection.run("sleep 60")
    assert time.monotonic() - started < 40
    assert "lost" in caught.value.what
    assert not connection.alive
    with pytest.raises(Unreachable):
        connection.run(["true"])


def test_an_account_that_expired_meanwhile_is_said(shared_endpoint: Endpoint, account: Account) -> None:
    account.practice.sh(f"chage -E 0 {account.user}")
    try:
        with pytest.raises(Unreachable) as caught:
            Connection.open(shared_endpoint)
    finally:
        account.practice.sh(f"chage -E -1 {account.user}")
    assert "chage" in caught.value.as_text()
