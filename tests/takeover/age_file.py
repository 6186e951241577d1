"""An age file with a passphrase, written by age's own description (https://age-encryption.org/v1) and quick to open."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

WORK = 4
"""The logarithm of what a guess costs; an export of ours takes about 18, which is a second."""


def sealed(data: bytes, passphrase: str) -> bytes:
    """At most 64 KiB, which is one piece of the format."""
    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrap = hashlib.scrypt(
        passphrase.encode(), salt=b"age-encryption.org/v1/scrypt" + salt, n=2**WORK, r=8, p=1, dklen=32
    )
    body = ChaCha20Poly1305(wrap).encrypt(bytes(12), file_key, None)
    header = f"age-encryption.org/v1\n-> scrypt {_text(salt)} {WORK}\n{_text(body)}\n---".encode()
    mac = hmac.digest(_key(file_key, b"", b"header"), header, "sha256")
    piece = ChaCha20Poly1305(_key(file_key, nonce, b"payload")).encrypt(bytes(11) + b"\1", data, None)
    return header + f" {_text(mac)}\n".encode() + nonce + piece


def _key(secret: bytes, salt: bytes, what: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, what).derive(secret)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
