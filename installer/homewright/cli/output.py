"""What a verb prints: text for people, or one JSON document for programs."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from homewright.errors import UsageError, visible

if TYPE_CHECKING:
    from pydantic import BaseModel

ASCII = {
    "✓": "ok", "▶": ">>", "·": "..", "✗": "XX", "!": "!!", "?": "??", "↺": "<>", "⊘": "--", "◌": "~~",
    "…": "...", "→": "->", "←": "<-", "–": "-", "—": "-", "×": "x", "≥": ">=", "≤": "<=", "•": "*", "█": "#", "░": ".",
    "“": '"', "”": '"', "‘": "'", "’": "'",
}  # fmt: skip
"""What stands for a glyph where the terminal's encoding has none."""


def fit_streams(environment: Mapping[str, str] = os.environ) -> None:
    """Let no character end the program: one that the terminal's encoding lacks is shown by others.

    With LC_ALL=C Python writes UTF-8 regardless; who sets that wants ASCII.
    """
    if sys.stdin is None:  # started with standard input closed
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    codecs.register_error("homewright", _replace)
    plain = environment.get("LC_ALL") in ("C", "POSIX")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="ascii" if plain else None, errors="homewright")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ASCII.get(character, "?") for character in error.object[error.start : error.end]), error.end


def as_text(model: BaseModel | dict[str, Any], *, readable: bool) -> str:
    """A document as JSON; with every character that is not ASCII's escaped where it is not to be `readable`."""
    if isinstance(model, dict):
        data = model
    else:
        if readable:
            with contextlib.suppress(ValueError):  # a name of bytes that are no text, which pydantic does not print
                return model.model_dump_json(indent=2)  # a twelfth of the time: 0.1 s less for fifty servers
        data = model.model_dump(mode="json")
    return json.dumps(data, ensure_ascii=not readable, indent=2)


class Output:
    """Standard output of one verb. Progress goes to standard error, so that `--json` stays one document."""

    def __init__(self, json: bool = False) -> None:
        self.json = json

    def line(self, text: str = "") -> None:
        """A line for people; nothing with --json."""
        if not self.json:
            print(visible(text), flush=True)

    def progress(self, text: str) -> None:
        """What is going on, on standard error."""
        print(visible(text), file=sys.stderr, flush=True)

    def document(self, model: BaseModel | dict[str, Any]) -> None:
        """The verb's JSON document; nothing without --json."""
        if self.json:
            readable = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
            print(as_text(model, readable=readable), flush=True)

    def confirm(self, question: str, *, yes: bool, otherwise: str) -> bool:
        """Ask on the terminal; `yes` answers beforehand. Raises UsageError, with `otherwise`, where nobody is there."""
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError(question, "There is no terminal to ask on.", [otherwise])
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
