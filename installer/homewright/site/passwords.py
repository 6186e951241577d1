"""How strong a password is, and why one is refused. Pure; nothing here keeps or prints what it is given."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from homewright.site.secrets import generate_password

LEAST_LENGTH, MOST_LENGTH = 12, 128
"""Harbor takes 128 at most (its documentation of the administrator's password); 12 is ours."""
LEAST_BITS, STRONG_BITS = 50.0, 75.0
"""Guessed at 10^10 a second, 50 bits last about a day and 75 a hundred thousand years."""

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "1234567890")
_WORDS = (
    "password", "passwort", "changeme", "homewright", "thinkube", "kubernetes", "microk8s", "welcome", "letmein",
    "dragon", "monkey", "secret", "master", "admin", "root", "ubuntu", "server", "login", "summer", "winter",
    "iloveyou", "football", "hello", "test", "default", "homelab",
)  # fmt: skip
"""What is tried first by everybody who guesses."""
_LEET = str.maketrans("013457@$!", "oleastasi")


@dataclass(frozen=True)
class Strength:
    """How hard a password is to guess. `reason` says why it is refused, and is empty where it is not."""

    bits: float
    """An estimate, from below: what repeats, follows or is a well-known word counts little."""
    word: Literal["weak", "fair", "strong"]
    reason: str = ""


def strength(text: str, names: Iterable[str] = ()) -> Strength:
    """The strength of a password. `names` are words that somebody would guess here: the site's, the user's."""
    bits = _effective_length(text, names) * math.log2(_pool(text)) if text else 0.0
    word: Literal["weak", "fair", "strong"] = (
        "weak" if bits < LEAST_BITS else "fair" if bits < STRONG_BITS else "strong"
    )
    return Strength(bits, word, _reason(text, bits))


def generate() -> str:
    """A password that nobody has to think of, and that every rule here lets through."""
    while True:
        made = generate_password()
        if not strength(made).reason:
            return made


def _reason(text: str, bits: float) -> str:
    if not text:
        return "this is needed"
    if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", text):
        return "has a character that some service refuses: use letters, digits and signs of ASCII, no blank at the ends"
    if len(text) < LEAST_LENGTH:
        return f"has {len(text)} characters: at least {LEAST_LENGTH} are needed"
    if len(text) > MOST_LENGTH:
        return f"has {len(text)} characters: {MOST_LENGTH} are the most that every service takes"
    wanting = [
        words
        for pattern, words in (("[A-Z]", "a capital"), ("[a-z]", "a small letter"), ("[0-9]", "a digit"))
        if not re.search(pattern, text)
    ]
    if wanting:
        return f"needs {' and '.join(wanting)}: Harbor, the image registry, wants them"
    if bits < LEAST_BITS:
        return "is easy to guess: it repeats, follows the alphabet or keyboard, or is made of well-known words"
    return ""


def _pool(text: str) -> int:
    kinds = (("[a-z]", 26), ("[A-Z]", 26), ("[0-9]", 10), ("[^a-zA-Z0-9]", 33))
    return max(sum(size for pattern, size in kinds if re.search(pattern, text)), 2)


def _effective_length(text: str, names: Iterable[str]) -> float:
    """Its length with what is guessed at once counted as little: a known word as 1.5 characters, again as 0.5."""
    plain, length = text.lower(), 0.0
    known = sorted({*_WORDS, *(name.lower() for name in names if len(name) > 2)}, key=len, reverse=True)
    for word in known:
        cost = 1.5
        while (at := max(plain.find(word), plain.translate(_LEET).find(word))) >= 0:
            plain = f"{plain[:at]}\n{plain[at + len(word) :]}"
            length += cost
            cost = 0.5
    seen: set[str] = set()
    for at, character in enumerate(plain):
        if character == "\n":
            continue
        before = plain[at - 1] if at else ""
        length += 0.25 if before and _follows(before, character) else 0.7 if character in seen else 1.0
        seen.add(character)
    return length


def _follows(before: str, character: str) -> bool:
    if abs(ord(character) - ord(before)) <= 1:
        return True
    return any(before + character in row or character + before in row for row in _ROWS)
