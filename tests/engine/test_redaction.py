"""What is taken out of texts before they are written: tables of control sequences and of the forms of secrets."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

from homewright.access import engine_key, key_change
from homewright.engine.context import SecretsWatch
from homewright.engine.redaction import MASK, LineAssembler, Redactor, printable
from homewright.site.paths import StateFolder
from homewright.support import packing

SECRET = 'pa"ss/wörd+hunter2'
KEY = "-----BEGIN KEY-----\nbase64lineonebase64lineone\nsecondlineofthekeysecond\n-----END KEY-----\n"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain äöü ✓", "plain äöü ✓"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#payload\x1b\\after", "after"),
        ("\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor"),
        ("\x9b2Jc1\x9d0;title\x9ctext", "c1text"),
        ("bell\x07back\x08\x00null", "bellbacknull"),
        ("10 %\r50 %\r100 %", "100 %"),
        ("windows\r", "windows"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("\x1b7saved\x1b8\x1b(B", "saved"),
        ("\x1b]unfinished title", ""),
        ("\x1b", ""),
        ("\x1b[31;1;38:5:3mx", "\x1b[31;1;38:5:3mx"),
    ],
)
def test_control_sequences(raw: str, shown: str) -> None:
    assert printable(raw) == shown


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps({"a": [SECRET]}),
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"ab{SECRET}zz".encode()).decode(),
        base64.urlsafe_b64encode(f"x{SECRET}".encode()).decode(),
        f"\x1b[1m{SECRET[:5]}\x1b[0m{SECRET[5:]}",
        SECRET[:4] + "\x07\x1b[K" + SECRET[4:],
    ],
)
def test_every_form_of_a_secret_is_masked(form: str) -> None:
    shown = Redactor([SECRET]).text(f"before {form} after")
    assert MASK in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    for offset in range(3):
        blob = base64.b64encode(b"\0" * offset + SECRET.encode()).decode()
        assert blob[4:-4] not in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_a_secret_that_a_line_break_cuts_leaves_no_long_piece(cut: int) -> None:
    redactor = Redactor([SECRET])
    pieces = [redactor.text(f"x={SECRET[:cut]}"), redactor.text(f"{SECRET[cut:]} rest")]
    shown = "\n".join(pieces)
    for start in range(len(SECRET) - 6):
        assert SECRET[start : start + 7] not in shown


def test_keys_are_masked_line_by_line() -> None:
    shown = Redactor([KEY]).text("x\n" + KEY)
    assert "base64lineone" not in shown
    assert "secondlineofthekey" not in shown


def test_data_is_masked_all_the_way_down() -> None:
    data = Redactor([SECRET]).data({"a": [1, None, {"b": SECRET}], SECRET: True})
    assert data == {"a": [1, None, {"b": MASK}], MASK: True}


def test_short_secrets_do_not_mask_every_other_word() -> None:
    assert Redactor(["a", "ok", "yes"]).text("ok: yes a") == "ok: yes a"


def test_other_text_is_left_alone() -> None:
    text = "TASK [copy the file] ok=3 changed=1 https://example.org/a+b"
    assert Redactor([SECRET, KEY]).text(text) == text


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_lines_are_put_together_from_chunks(size: int) -> None:
    whole = "one\ntwo wörds\n\nlast without end".encode()
    lines = LineAssembler()
    found = [line for start in range(0, len(whole), size) for line in lines.feed(whole[start : start + size])]
    assert [*found, *lines.rest()] == [b"one", "two wörds".encode(), b"", b"last without end"]


def test_a_line_without_end_is_cut_and_memory_stays_bounded() -> None:
    lines = LineAssembler(longest=100)
    for _ in range(10_000):
        assert list(lines.feed(b"x" * 1000)) == []
    assert len(lines._held) == 100
    assert list(lines.feed(b"\nnext\n")) == [b"x" * 100 + " … (9999900 more bytes)".encode(), b"next"]


@pytest.mark.parametrize("by", ["run", "support bundle"])
def test_every_key_that_a_server_may_still_know_is_masked(tmp_path: Path, by: str) -> None:
    state = StateFolder(tmp_path / "state").create()
    engine_key.ensure(state.key, "x")
    texts = [state.key.read_text()]
    for _ in range(2):
        key_change.begin(state.key, ["s1"], "x")
        texts.append(state.key.read_text())
    writer: Any = SimpleNamespace(redactor=None)
    SecretsWatch(state, writer)
    redactor = writer.redactor if by == "run" else packing._redactor(state)
    for text in texts:
        assert text.splitlines()[3] not in redactor.text(text)
