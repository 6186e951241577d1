"""Command lines for servers, tried in the shells that people have."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from homewright.access.remote import CommandFailed, Completed, command_line, shortened, without_noise, write_script

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
