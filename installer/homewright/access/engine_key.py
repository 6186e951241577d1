"""The engine's own key: made once on this machine, installed at first contact, lying on no server."""

from __future__ import annotations

import shlex
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from homewright.errors import StateError
from homewright.site.locks import hold
from homewright.site.paths import make_folder, write_atomically


def ensure(file: Path, comment: str) -> str:
    """Make the key pair where it is missing; the public half, as one line for authorized_keys.

    The private file is 0600 and is never replaced. Raises StateError where it cannot be read or written.
    """
    text = _read(file)
    if text is None:
        make_folder(file.parent)
        # Several servers are trusted side by side: the one that comes second takes the first one's key.
        with hold(file.with_name(f".{file.name}.lock")):
            text = _read(file)
            if text is None:
                key = Ed25519PrivateKey.generate()
                text = key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
                )
                write_atomically(file, text)
    line = f"{_public(file, text)} {comment}"
    half = file.with_name(f"{file.name}.pub")
    if not half.exists() or half.read_text(encoding="utf-8").strip() != line:
        write_atomically(half, f"{line}\n".encode(), 0o644)
    return line


def public(file: Path) -> str:
    """The public half of a private key, without a comment. Raises StateError where it cannot be read."""
    text = _read(file)
    if text is None:
        raise StateError(f"The site's key {file} is not there.", "", ["restore it from a site export"])
    return _public(file, text)


def _public(file: Path, text: bytes) -> str:
    try:
        private = serialization.load_ssh_private_key(text, password=None)
    except (ValueError, TypeError) as error:
        raise StateError(
            f"The site's key {file} is damaged.",
            f"{error}.",
            ["restore it from a site export", "or remove it; then: homewright trust --all"],
        ) from error
    return (
        private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    )


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"The site's key {file} cannot be read.", f"{error.strerror or error}.") from error


def install_script(public: str) -> str:
    """A script for the account itself that lets this key in, keeps what else is there, and changes nothing twice.

    It prints `added` where the key was new. sshd ignores the file where others could write it or its folders, so
    those rights are taken back (StrictModes); the home is the one in the account database, wherever that is.
    """
    kind, blob = public.split()[:2]
    return (
        f"set -eu; umask 077; key={shlex.quote(public)}; plain={shlex.quote(f'{kind} {blob}')}; "
        'home=$(getent passwd "$(id -u)" | cut -d: -f6) || home=; [ -n "$home" ] || home=$HOME; '
        '[ -d "$home" ] || { echo "the home folder $home does not exist" >&2; exit 72; }; '
        'mkdir -p -- "$home/.ssh"; file=$(readlink -m -- "$home/.ssh/authorized_keys"); '
        'have() { [ -f "$file" ] && awk -v k="$plain" \'index($0, k) == 1 { f = 1 } END { exit !f }\' "$file"; }; '
        "if ! have; "
        'then t=$(mktemp -- "$home/.ssh/.homewright.XXXXXXXX"); trap \'rm -f -- "$t"\' EXIT; '
        # awk 1 ends a last line that has no line end, so that our key does not run into it
        '{ [ ! -f "$file" ] || awk 1 "$file"; printf "%s\\n" "$key"; } >"$t"; '
        'sync -- "$t"; mv -fT -- "$t" "$file"; trap - EXIT; echo added; fi; '
        'chmod go-w -- "$home"; chmod 700 -- "$home/.ssh"; chmod 600 -- "$file"'
    )


def removal_script(public: str) -> str:
    """A script for the account itself that lets this key in no longer, and keeps every other line."""
    kind, blob = public.split()[:2]
    return (
        f"set -eu; umask 077; plain={shlex.quote(f'{kind} {blob}')}; "
        'home=$(getent passwd "$(id -u)" | cut -d: -f6) || home=; [ -n "$home" ] || home=$HOME; '
        'file=$(readlink -m -- "$home/.ssh/authorized_keys"); [ -f "$file" ] || exit 0; '
        't=$(mktemp -- "$home/.ssh/.homewright.XXXXXXXX"); trap \'rm -f -- "$t"\' EXIT; '
        'awk -v k="$plain" \'index($0, k) != 1\' "$file" >"$t"; chmod 600 -- "$t"; sync -- "$t"; mv -fT -- "$t" "$file"'
    )
