"""What is taken out of every text before it is written anywhere: secrets, and control sequences other than colours.

Pure. A secret is known in its plain, JSON-escaped, URL-quoted and base64 forms (base64 at any offset inside a longer
blob), and when a line break cuts it in two.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4
"""Secrets with fewer characters are not searched for: every other word would be masked."""
FRAGMENT = 6
"""A piece of a secret at a line's end or beginning counts from this many characters on."""
LONGEST_LINE = 16 * 1024
"""Characters of a line that are kept; what is beyond is cut, and said."""

_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI, of which SGR is put back below
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC, DCS, SOS, PM, APC with their payload
    r"|\x1b[ -/]*[0-~]"  # two-character escapes
    r"|\x9b[0-?]*[ -/]*[@-~]|[\x90\x98\x9d\x9e\x9f].*?(?:\x9c|\x07|$)"  # the same as C1 bytes
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]",
    re.DOTALL,
)
_NO_TEXT = re.compile("[\ud800-\udfff]")
"""Halves of a character, which stand for bytes that were no UTF-8 and can be written nowhere."""
_SGR = re.compile(r"\x1b\[[0-9;:]*m")


def printable(text: str) -> str:
    """The text without control characters and escape sequences, but for tabs, line feeds and SGR (colours).

    A carriage return ends a progress bar's frame: only what follows the last one of a line is kept. Bytes that were no
    UTF-8 become replacement characters.
    """
    text = _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROL.sub(lambda match: match[0] if _SGR.fullmatch(match[0]) else "", text)


class Redactor:
    """Masks known secrets in text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        plain = {part for secret in secrets for part in _parts(secret)}
        forms = sorted({form for secret in plain for form in _forms(secret)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, forms))) if forms else None
        self._fragments = [form for form in forms if len(form) > FRAGMENT]
        self._heads = _any_of(form[:FRAGMENT] for form in self._fragments)
        self._tails = _any_of(form[-FRAGMENT:] for form in self._fragments)
        self.longest = max(map(len, forms), default=0)

    def text(self, text: str) -> str:
        """The text as it may be written: printable, and with every secret masked."""
        text = printable(text)
        if self._pattern is None:
            return text
        if "\x1b" in text:
            bare = _SGR.sub("", text)
            masked = self._mask(bare)
            return self._mask(text) if masked == bare else masked  # a colour inside a secret must not hide it
        return self._mask(text)

    def data(self, value: Any) -> Any:
        """The same for every string inside a JSON value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        return value

    def holds_secret(self, text: str) -> bool:
        """Whether a known secret is in the text, in any of its forms."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def _mask(self, text: str) -> str:
        assert self._pattern is not None
        text = self._pattern.sub(MASK, text)
        return "\n".join(self._ends(line) for line in text.split("\n")) if self._fragments else text

    def _ends(self, line: str) -> str:
        """Masks a secret's beginning at the line's end, and its end at the line's beginning."""
        for match in self._heads.finditer(line, max(0, len(line) - self.longest)):
            rest = line[match.start() :]
            if any(form.startswith(rest) for form in self._fragments):
                line = line[: match.start()] + MASK
                break
        for match in self._tails.finditer(line, 0, self.longest):
            start = line[: match.end()]
            if any(form.endswith(start) for form in self._fragments):
                return MASK + line[match.end() :]
        return line


class LineAssembler:
    """Makes lines of the chunks of one stream. Bounded: of a line without an end only so much is kept.

    Bytes that are no UTF-8 become replacement characters. A line that was cut says so.
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._held = bytearray()
        self._over = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Complete lines, without their line feeds."""
        while chunk:
            head, found, chunk = chunk.partition(b"\n")
            room = self._longest - len(self._held)
            self._held += head[:room]
            self._over += max(0, len(head) - room)
            if found:
                yield self._take()

    def rest(self) -> Iterator[bytes]:
        """What is left when the stream ended without a line feed."""
        if self._held or self._over:
            yield self._take()

    def _take(self) -> bytes:
        line = bytes(self._held)
        if self._over:
            line += f" … ({self._over} more bytes)".encode()
        self._held.clear()
        self._over = 0
        return line


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Matches any of them, also where they overlap with an earlier match that led nowhere."""
    return re.compile("|".join(sorted({re.escape(text) for text in texts})) or r"(?!)")


def _parts(secret: str) -> Iterator[str]:
    """A secret, and the lines of one that has several (private keys)."""
    if len(secret) >= SHORTEST:
        yield secret
    lines = secret.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= 16 and not line.startswith("-----"))


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield repr(secret)[1:-1]
    data = secret.encode()
    if len(data) < 6:
        return  # too little of it is left in base64 to be told from other text
    for offset in range(3):
        blob = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        first = -(-offset * 8 // 6)  # characters that also hold bits of what stands before
        last = len(blob) - (1 if (offset + len(data)) % 3 else 0)  # and of what stands behind
        yield blob[first:last]
        yield blob[first:last].replace("+", "-").replace("/", "_")
