"""Encryption of an export: the age format with a passphrase, so that age(1) opens one without Homewright."""

from __future__ import annotations

from pathlib import Path

from homewright.errors import StateError, UsageError

HEADER = b"age-encryption.org/v1\n"
LEAST = 12
"""Characters of a passphrase. scrypt makes each guess take a second; a short word is guessed all the same."""


class WrongPassphrase(UsageError):
    """The file does not open with it."""

    code = "passphrase"


def reason(passphrase: str) -> str:
    """Why a passphrase is refused; empty where it is not."""
    if len(passphrase) < LEAST:
        return f"must have at least {LEAST} characters"
    if len(set(passphrase)) < 5:
        return "must have more than a few different characters"
    if passphrase != passphrase.strip():
        return "must not begin or end with a blank"
    return ""


def seal(data: bytes, passphrase: str) -> bytes:
    """Encrypt. Raises UsageError for a passphrase that is too short. Takes a second: that is what guessing costs."""
    wrong = reason(passphrase)
    if wrong:
        raise UsageError("This passphrase will not do.", f"It {wrong}.", ["take a longer one, or let one be made"])
    import pyrage

    return bytes(pyrage.passphrase.encrypt(data, passphrase))


def is_export(file: Path) -> bool:
    """Whether this is a file in the age format."""
    try:
        with file.open("rb") as handle:
            return handle.read(len(HEADER)) == HEADER
    except OSError:
        return False


def unseal(data: bytes, passphrase: str, name: str) -> bytes:
    """Decrypt. Raises WrongPassphrase, and StateError where the file is damaged or none of ours."""
    if not data.startswith(HEADER):
        raise StateError(f"{name} is no site export.", "It is not in the age format.", ["homewright site export …"])
    import pyrage

    try:
        return bytes(pyrage.passphrase.decrypt(data, passphrase))
    except pyrage.DecryptError as error:
        if "decryption failed" in str(error).lower():
            raise WrongPassphrase(
                "The passphrase is another one.", f"It does not open {name}.", ["type it again"]
            ) from None
        raise StateError(
            f"{name} is damaged.", f"It cannot be decrypted to its end ({error}).", ["take another copy of it"]
        ) from None
