"""YAML that people write: positions, limits, and nothing that expands."""

from __future__ import annotations

import contextlib
import time

import pytest

from homewright.site.document import MAX_BYTES, MAX_DEPTH, MAX_VALUES, DocumentError, read


def test_types_are_those_of_yaml_1_2() -> None:
    text = 'a: no\nb: true\nc: 0x1F\nd: 010\ne: ~\nf:\ng: "1"\nh: 1.5\ni: .inf\nj: [x, {k: on}]\nl: |\n  two\n  lines\n'
    assert read(text).plain() == {
        "a": "no", "b": True, "c": 31, "d": 10, "e": None, "f": None, "g": "1", "h": 1.5, "i": ".inf",
        "j": ["x", {"k": "on"}], "l": "two\nlines\n",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("block", "text"),
    [(">-", "two lines: and more"), (">", "two lines: and more\n"), ("|", "two\nlines:\nand more\n")],
)
def test_a_text_over_several_lines_is_what_yaml_says(block: str, text: str) -> None:
    assert read(f"a: {block}\n  two\n  lines:\n  and more\nb: 1\n").plain() == {"a": text, "b": 1}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("name",), (1, 1)),
        (("servers",), (3, 1)),
        (("servers", 0), (4, 5)),
        (("servers", 0, "address"), (5, 5)),
        (("servers", 0, "nothing"), (4, 5)),
        (("servers", 1, "name"), (6, 6)),
        ((), (1, 1)),
    ],
)
def test_every_value_knows_its_line_and_column(path: tuple[str | int, ...], place: tuple[int, int]) -> None:
    tree = read("name: attic\n# comment\nservers:\n  - name: s1\n    address: 10.0.0.1\n  - {name: s2}\n")
    assert tree.at(path) == place


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "empty"),
        ("# only a comment\n", 1, "no value"),
        ("a: 1\nb: &x 2\n", 2, "anchors"),
        ("a: 1\nb: *x\n", 2, "anchors"),
        ("a: !!python/object/apply:os.system [x]\n", 1, "tags"),
        ("a: 1\nb: 2\na: 3\n", 3, "twice: on line 1"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 1\n\tb: 2\n", 2, "YAML"),
        ("a: 'open\n", 2, "YAML"),
        ("a: 1\nb: \x07\n", 2, "character"),
        ("a: 1\nb: 2\x85c: 3\n", 2, "line break"),
        ("a: 1\rb: 2\r", 1, "line break"),
        ("a: 2001-01-01\n", 1, "date"),
        ("1: a\n", 1, "no text"),
        ("? [a]\n: b\n", 1, "key must be text"),
        ("a: " + "9" * 5000 + "\n", 1, "too long"),
        ("[" * (MAX_DEPTH + 1), 1, "deeper"),
        ("- " * (MAX_DEPTH + 1), 1, "deeper"),
        ("- 1\n" * (MAX_VALUES + 1), MAX_VALUES, "more than"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_refused_says_where_and_why(text: str, line: int, reason: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read(text)
    assert caught.value.line == line
    assert reason in caught.value.reason
    assert caught.value.remedy


def test_a_bomb_is_refused_before_it_grows() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12))
    started = time.process_time()
    with pytest.raises(DocumentError, match="anchors"):
        read(f"l0: &l0 [lol]\n{levels}\n")
    assert time.process_time() - started < 1


@pytest.mark.parametrize("unit", ["x ", "\n", "# c\n", "a: |\n x\n", "{a: ", "'", "a: b: ", "? ", "- ", "[a,"])
def test_the_largest_texts_take_no_time(unit: str) -> None:
    text = (unit * MAX_BYTES)[:MAX_BYTES]
    started = time.process_time()
    with contextlib.suppress(DocumentError):
        read(text)
    assert time.process_time() - started < 10  # about 0.5 s on two cores; an expansion would take for ever
