"""Encryption of an export: the age format with a passphrase, so that age(1) opens one without Homewright."""

from __future__ import annotations

from pathlib import Path

from homewright.errors import StateError, UsageError

HEADER = b"age-encryption.org/v1\n"
LEAST = 12
"""Characters of a passphrase. scrypt makes each guess take a second; a short word is guessed all the same."""

LEAST_WORK = 17
"""The logarithm of a guess's cost, of which age makes 18 where it is not told: half of that, 128 MiB for each guess."""
TRIES = 4
"""The library measures what a second is worth while it seals. On a machine with a load of 15 it once made 14 of it, a
thirtieth; the next time 19. While it opens, it refuses what costs sixteen times more than a second is worth then."""


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
    """Encrypt. Raises UsageError for a passphrase that is too short. Takes a second: that is what guessing costs.

    Of a machine that is too busy, or too slow, to make guessing dear enough, the dearest of a few is taken.
    """
    wrong = reason(passphrase)
    if wrong:
        raise UsageError("This passphrase will not do.", f"It {wrong}.", ["take a longer one, or let one be made"])
    import pyrage

    sealed = b""
    for _ in range(TRIES):
        sealed = max(sealed, bytes(pyrage.passphrase.encrypt(data, passphrase)), key=work)
        if work(sealed) >= LEAST_WORK:
            break
    return sealed


def work(sealed: bytes) -> int:
    """The logarithm of what each guess costs, as its header says it; 0 where it says none."""
    words = sealed[:200].split(b"\n", 2)[1:2]
    last = words[0].rpartition(b" ")[2] if words else b""
    return int(last) if last.isdigit() else 0


def is_export(file: Path) -> bool:
    """Whether this is a file in the age format."""
    try:
        with file.open("rb") as handle:
            return handle.read(len(HEADER)) == HEADER
    except OSError:
        return False


def unseal(data: bytes, passphrase: str, name: str) -> bytes:
    """Decrypt. Raises WrongPassphrase, and StateError where the file is damaged, none of ours, or costs more than this
    machine allows for it in any of a few tries."""
    if not data.startswith(HEADER):
        raise StateError(f"{name} is no site export.", "It is not in the age format.", ["homewright site export …"])
    import pyrage

    for _ in range(TRIES):
        try:
            return bytes(pyrage.passphrase.decrypt(data, passphrase))
        except pyrage.DecryptError as error:
            said = str(error).lower()
            if "excessive work" in said:
                continue
            if "decryption failed" in said:
                raise WrongPassphrase(
                    "The passphrase is another one.", f"It does not open {name}.", ["type it again"]
                ) from None
            raise StateError(
                f"{name} is damaged.", f"It cannot be decrypted to its end ({error}).", ["take another copy of it"]
            ) from None
    raise StateError(
        f"{name} cannot be opened on this machine now.",
        "Trying its passphrase once costs more work than this machine allows itself: it is too busy, or too slow.",
        ["try again when the machine is idle", "or open it on a faster machine"],
    )
