"""Every state as a glyph, a word and a tone (a colour of the theme), so that none of the three is needed alone."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How a state is shown. The tone is the suffix of a CSS class: ok, running, muted, failed, warning, plain."""

    glyph: str
    plain: str
    word: str
    tone: str

    def mark(self, ascii: bool) -> str:
        """The glyph, or its two ASCII characters."""
        return self.plain if ascii else self.glyph


LOOKS: dict[str, Look] = {
    "done": Look("✓", "ok", "done", "ok"),
    "running": Look("▶", ">>", "running", "running"),
    "pending": Look("·", "..", "pending", "muted"),
    "failed": Look("✗", "XX", "failed", "failed"),
    "warning": Look("!", "!!", "warning", "warning"),
    "unknown": Look("?", "??", "unknown", "warning"),
    "interrupted": Look("↺", "<>", "interrupted", "warning"),
    "skipped": Look("⊘", "--", "skipped", "muted"),
    "cancelled": Look("◌", "~~", "cancelled", "warning"),
    "incomplete": Look("!", "!!", "incomplete", "warning"),
    "rolled-back": Look("⊘", "--", "taken back", "muted"),
    "stopped": Look("·", "..", "stopped", "muted"),
    "starting": Look("▶", ">>", "starting", "running"),
    "stopping": Look("▶", ">>", "stopping", "running"),
    "passed": Look("✓", "ok", "passed", "ok"),
    "accepted": Look("!", "!!", "accepted", "muted"),
    "unreached": Look("?", "??", "unknown", "muted"),
}

_ALIASES = {"succeeded": "done", "ok": "done", "proved": "done", "broken": "failed", "cannot-tell": "unknown"}


def look(state: str) -> Look:
    """The look of a state of a run, step, host, proof or workspace; an unknown name is shown as unknown."""
    return LOOKS.get(_ALIASES.get(state, state), LOOKS["unknown"])


_DRAWN = str.maketrans(
    {
        **dict.fromkeys("─━═╌┄▔▁", "-"),
        **dict.fromkeys("│┃║▏▎▍▌▐▕", "|"),
        **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯", "+"),
        **dict.fromkeys("█▉▊▋▇▆▅", "#"),
        **dict.fromkeys("░▒▓▂▃▄▀", "."),
        **dict.fromkeys("·•–—", "-"),
        "…": "~",
        "▸": ">",
        "▶": ">",
        "→": ">",
        "‹": "<",
        "›": ">",
        "✓": "+",
        "✗": "x",
        "×": "x",
        "’": "'",
        "“": '"',
        "”": '"',
        "≥": ">",
        "≤": "<",
    }
)


def to_ascii(text: str) -> str:
    """The text with every character beyond ASCII replaced by one that stands for it, cell for cell."""
    if text.isascii():
        return text
    text = text.translate(_DRAWN)
    if text.isascii():
        return text
    return "".join(_one(character) for character in text)


def _one(character: str) -> str:
    if character.isascii():
        return character
    base = unicodedata.normalize("NFKD", character)[0]
    plain = base if base.isascii() else "?"
    if unicodedata.combining(character):
        return ""
    return plain * (2 if unicodedata.east_asian_width(character) in "WF" else 1)
