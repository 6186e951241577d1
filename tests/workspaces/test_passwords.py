"""Passwords that were drawn here, and hashes that code-server takes."""

from __future__ import annotations

import re

import pytest
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from homewright.workspaces.passwords import generated, hashed


def cost(digest: str) -> tuple[int, int, int]:
    """KiB, passes and lanes."""
    found = re.fullmatch(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$[\w+/]{22}\$[\w+/]{43}", digest)
    assert found is not None, digest
    memory, passes, lanes = map(int, found.groups())
    return memory, passes, lanes


def test_any_password_is_slow_to_guess() -> None:
    digest = hashed("a-secret-password")
    assert cost(digest) == (65536, 3, 1)
    assert digest != hashed("a-secret-password"), "salted"
    Argon2id.verify_phc_encoded(b"a-secret-password", digest)


def test_only_what_cannot_be_guessed_is_hashed_fast() -> None:
    password, digest = generated()
    assert re.fullmatch(r"[2-9A-Za-z]{6}(-[2-9A-Za-z]{6}){3}", password), "drawn here, 138 bits"
    assert cost(digest) == (1024, 1, 1)
    Argon2id.verify_phc_encoded(password.encode(), digest)
    with pytest.raises(InvalidKey):
        Argon2id.verify_phc_encoded(b"another", digest)
    again, other = generated()
    assert again != password and other != digest
