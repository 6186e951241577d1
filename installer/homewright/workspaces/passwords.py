"""Passwords of workspaces, and their hashes as code-server checks them: Argon2id (RFC 9106), salted."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from homewright.site.secrets import generate_password


def hashed(password: str) -> str:
    """The hash of any password, with the second recommended choice of memory (RFC 9106, 4): 0.17 processor seconds."""
    return _argon2(password, memory_kib=64 * 1024, passes=3)


def generated() -> tuple[str, str]:
    """A new password and its hash, in 1.5 processor milliseconds.

    What a slow hash adds is time for each guess, which only a password that can be guessed needs. These are drawn here
    and have 138 bits; from 112 on one pass of any approved one-way function will do (NIST SP 800-63B, 5.1.2.2).
    """
    password = generate_password()
    return password, _argon2(password, memory_kib=1024, passes=1)


def _argon2(password: str, *, memory_kib: int, passes: int) -> str:
    made = Argon2id(salt=os.urandom(16), length=32, iterations=passes, lanes=1, memory_cost=memory_kib)
    return made.derive_phc_encoded(password.encode())
