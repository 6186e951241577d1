"""Command lines for servers, tried in the shells that people have."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from homewright.access.remote import (
    LOGGED,
    CommandFailed,
    Completed,
    command_line,
    sent,
    shortened,
    without_noise,
    write_script,
)

AWKWARD = """printf '%s|' "it's" '"$HOME"' 'a\\b' '!x' 'tab\there'; echo; echo to-stderr >&2; exit 7"""


def in_shell(shell: str, line: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """As sshd does it: the account's shell gets the line after -c."""
    return subprocess.run([shell, "-c", line], input=stdin, capture_output=True, timeout=20)


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "fish"])
def test_a_command_means_the_same_whatever_the_login_shell_is(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    completed = in_shell(shell, command_line(AWKWARD, sudo=False))
    assert without_noise(completed.stdout) == b'it\'s|"$HOME"|a\\b|!x|tab\there|\n'
    assert (completed.stderr, completed.returncode) == (b"to-stderr\n", 7)


def test_words_are_kept_apart() -> None:
    completed = in_shell("sh", command_line(["printf", "<%s>", "a b", "$x", "'"], sudo=False))
    assert without_noise(completed.stdout) == b"<a b><$x><'>"


def test_sbin_is_found_and_messages_are_english() -> None:
    completed = in_shell("sh", command_line("echo $PATH; echo $LC_ALL", sudo=False))
    path, locale = without_noise(completed.stdout).decode().split()
    assert "/usr/sbin" in path.split(":")
    assert locale == "C.UTF-8"


def test_what_a_start_up_file_prints_is_dropped() -> None:
    completed = in_shell("bash", f"echo welcome; echo more; {command_line('echo mine', sudo=False)}")
    assert completed.stdout.startswith(b"welcome")
    assert without_noise(completed.stdout) == b"mine\n"


def test_a_shell_that_never_ran_the_command_is_heard() -> None:
    assert without_noise(b"This account is currently not available.\n").startswith(b"This account")


def test_sudo_never_waits_for_a_password() -> None:
    assert "sudo -n -- " in command_line("true", sudo=True)


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a sudo that lets everybody in writes what it is asked for, as sudo itself does into the server's log."""
    file, program = tmp_path / "log", tmp_path / "bin" / "sudo"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf \'%s\\n\' "$*" >>{file}\nshift 2\nexec "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return file


LONG = f"""first='a\\nb\\\\c' # {"long " * 100}
cat <<'END'
%s $first \t it's "more" {"".join(map(chr, range(0x80, 0x250)))}
END
printf '%s|' "$first" "$0" "$#"; cat; echo to-stderr >&2; exit 7"""


@pytest.mark.parametrize("shell", ["sh", "bash", "busybox"])
def test_a_long_command_of_roots_means_the_same_and_is_not_in_the_servers_log(
    shell: str, logged: Path, tmp_path: Path
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "bin" / "sh").symlink_to(str(shutil.which(shell)))
    given = b"the command's own\n" + bytes(range(256)) * 1000
    line, first = sent(LONG, sudo=True)
    by_input = in_shell("sh", line, first + given)
    by_line = in_shell("sh", command_line(LONG, sudo=True), given)
    assert by_input.stdout == by_line.stdout and by_input.stdout.endswith(given)
    assert (by_input.stderr, by_input.returncode) == (by_line.stderr, by_line.returncode) == (b"to-stderr\n", 7)
    (first_logged, *rest) = logged.read_text().splitlines()
    assert "Homewright" in first_logged and "first=" in first_logged and "to-stderr" not in first_logged
    assert len(first_logged) < LOGGED < len("\n".join(rest)), "by its line all of it is in the log"


def test_a_short_command_stays_where_the_log_tells_of_it() -> None:
    assert sent("systemctl restart ssh", sudo=True) == (command_line("systemctl restart ssh", sudo=True), b"")
    assert sent("x" * LOGGED, sudo=True)[1] == b"" != sent("x" * (LOGGED + 1), sudo=True)[1]
    for kind in ({"sudo": False}, {"sudo": True, "tty": True}):
        assert sent(LONG, **kind) == (command_line(LONG, sudo=kind["sudo"]), b"")


def test_a_long_command_that_breaks_off_is_not_begun(logged: Path) -> None:
    line, first = sent(LONG, sudo=True)
    done = in_shell("sh", line, first[:-1])
    assert (without_noise(done.stdout), done.stderr, done.returncode) == (b"", b"", 1)


def test_write_replaces_a_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "it's a file"
    file.write_text("old")
    completed = in_shell("sh", write_script(str(file), 3, 0o640, None), b"new")
    assert (completed.returncode, file.read_bytes()) == (0, b"new")
    assert file.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_content_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    completed = in_shell("sh", write_script(str(file), 10, 0o644, None), b"half")
    assert completed.returncode != 0
    assert b"only 4 of 10 bytes" in completed.stderr
    assert file.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_failed_command_says_where_what_and_why() -> None:
    error = CommandFailed("s1", "do something", Completed("", "first\nit is broken\n", 3))
    assert "s1" in error.what
    assert "do something" in error.what
    assert "it is broken" in error.why


def test_long_commands_are_shortened_for_messages() -> None:
    assert len(shortened("x " * 500)) == 160
    assert shortened("a\n  b") == "a b"
