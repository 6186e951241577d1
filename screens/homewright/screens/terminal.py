"""What this terminal can show, decided from the environment before the toolkit is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

SLOW_FPS = "30"
"""Frames a second over SSH; what a key changes waits for none. A heavy log makes few: `feed.SLOW_INTERVAL_S`."""


@dataclass(frozen=True)
class Terminal:
    """`ascii`: no glyph beyond ASCII. `slow`: few frames, no animation. `colours`: whether colour may be used."""

    ascii: bool = False
    slow: bool = False
    colours: bool = True

    @classmethod
    def look(cls, environ: Mapping[str, str] = os.environ) -> Terminal:
        """Decide from TERM, the locale, SSH_CONNECTION and NO_COLOR."""
        locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C"
        utf8 = "utf8" in locale.lower().replace("-", "")
        return cls(
            ascii=environ.get("TERM") == "linux" or not utf8,
            slow=bool(environ.get("SSH_CONNECTION")),
            colours=not environ.get("NO_COLOR"),
        )

    def prepare(self) -> None:
        """Tell the toolkit, unless the operator has told it already."""
        if self.slow:
            os.environ.setdefault("TEXTUAL_FPS", SLOW_FPS)
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
