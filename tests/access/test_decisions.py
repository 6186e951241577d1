"""What first contact decides, without a server: which key is meant, what to answer, how sudo stands."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import pytest

from homewright.access import engine_key
from homewright.access.handshake import console_command, not_trusted
from homewright.access.known_hosts import HostKey
from homewright.access.remote import Completed
from homewright.access.sign_in import Means, answers
from homewright.access.sudo import install_script, judge, sudoers_file, sudoers_text
from homewright.access.trust import matching
from homewright.errors import StateError


def key(kind: str = "ssh-ed25519", seed: bytes = b"a") -> HostKey:
    blob = struct.pack(">I", len(kind)) + kind.encode() + struct.pack(">I", 32) + seed * 32
    return HostKey.from_blob(kind, blob)


OFFERS = (key(), key("ecdsa-sha2-nistp256"), key("ssh-rsa"))


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.key_type)
def test_a_fingerprint_or_a_public_key_means_one_offer(offer: HostKey) -> None:
    assert matching(OFFERS, offer.fingerprint) == offer
    assert matching(OFFERS, f"{offer.fingerprint}=") == offer
    assert matching(OFFERS, offer.public) == offer
    assert matching(OFFERS, f"{offer.public} root@s1") == offer


@pytest.mark.parametrize("wanted", [key(seed=b"b").fingerprint, key(seed=b"b").public, "SHA256:", "ssh-ed25519 AAAA"])
def test_any_other_key_means_none(wanted: str) -> None:
    assert matching(OFFERS, wanted) is None


@pytest.mark.parametrize(
    ("prompts", "reply"),
    [
        ([("Password: ", False)], ["secret"]),
        ([], []),
        ([("Verification code: ", True)], None),
        ([("New password: ", False)], None),
        ([("Password: ", False), ("Verification code: ", False)], None),
    ],
)
def test_only_one_hidden_question_is_answered_with_the_password(
    prompts: list[tuple[str, bool]], reply: list[str] | None
) -> None:
    assert answers("secret", prompts) == reply


@pytest.mark.parametrize(
    ("code", "stderr", "ours", "state"),
    [
        (0, "", False, "passwordless"),
        (0, "", True, "sudoers-file"),
        (1, "sudo: a password is required\n", False, "password"),
        (1, "sudo: interactive authentication is required\n", False, "password"),
        (1, "sudo: sorry, you must have a tty to run sudo\n", False, "tty"),
        (1, "lab is not in the sudoers file.\n", False, "refused"),
        (1, "Sorry, user lab may not run sudo on s1.\n", False, "refused"),
        (127, "sh: 1: sudo: not found\n", False, "missing"),
    ],
)
def test_sudo_is_judged_by_its_exit_code(code: int, stderr: str, ours: bool, state: str) -> None:
    assert judge(Completed("", stderr, code), ours) == state


def test_the_sudoers_file_has_a_name_that_sudo_reads() -> None:
    assert sudoers_file("lab") == "/etc/sudoers.d/homewright-lab"
    assert "." not in Path(sudoers_file("lab")).name
    assert "lab ALL=(ALL:ALL) NOPASSWD: ALL\n" in sudoers_text("lab")
    assert install_script("lab").index("visudo -cqf") < install_script("lab").index("mv -fT")


def test_a_changed_key_is_shown_with_both_fingerprints_and_the_way_on() -> None:
    error = not_trusted("s1", "192.0.2.7", key(seed=b"b"), [key()])
    text = error.as_text()
    assert error.exit_code == 5
    assert key().fingerprint in text
    assert key(seed=b"b").fingerprint in text
    assert f"homewright trust s1 --replace --fingerprint {key(seed=b'b').fingerprint}" in text
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in text


@pytest.mark.parametrize(
    ("kind", "file"),
    [("ssh-ed25519", "ed25519"), ("ecdsa-sha2-nistp256", "ecdsa"), ("ssh-rsa", "rsa")],
)
def test_the_console_command_names_the_file_of_that_kind(kind: str, file: str) -> None:
    assert console_command(kind) == f"ssh-keygen -lf /etc/ssh/ssh_host_{file}_key.pub"


def test_the_engines_key_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "state" / "id_ed25519"
    first = engine_key.ensure(file, "homewright@attic")
    content = file.read_bytes()
    assert engine_key.ensure(file, "homewright@attic") == first
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o600
    assert first == file.with_name("id_ed25519.pub").read_text().strip()
    kind, blob, comment = first.split()
    assert (kind, comment) == ("ssh-ed25519", "homewright@attic")
    assert base64.b64decode(blob)


def test_a_lost_public_half_is_made_again(tmp_path: Path) -> None:
    first = engine_key.ensure(tmp_path / "key", "c")
    (tmp_path / "key.pub").unlink()
    assert engine_key.ensure(tmp_path / "key", "c") == first
    assert (tmp_path / "key.pub").read_text().strip() == first


def test_a_damaged_key_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    with pytest.raises(StateError):
        engine_key.ensure(tmp_path / "key", "c")
    assert (tmp_path / "key").read_text() == "no key"


def test_a_password_does_not_show_when_its_means_are_printed() -> None:
    assert "secret" not in repr(Means(password="secret"))
