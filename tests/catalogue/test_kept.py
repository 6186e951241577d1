"""Trees of stages that are kept: the same as those that are read, and never in the way where they are not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from homewright.catalogue import kept, load, shipped, text
from homewright.site.document import DocumentError

STAGES = sorted(shipped().rglob("stage.yaml"))
LONG = "id: '90'\ntitle: Long\nsteps: [a, 1, true, null, 1.5, {b: 'no'}]\n" + "# nothing\n" * 200


@pytest.fixture(autouse=True)
def afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text.read.cache_clear()


def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing is read by the parser, as in another process."""
    text.read.cache_clear()
    monkeypatch.setattr(text, "_parsed", lambda words: pytest.fail("it was parsed again"))


@pytest.mark.parametrize(
    "words",
    [*(stage.read_text() for stage in STAGES), LONG],
    ids=[*("/".join(stage.parts[-3:-1]) for stage in STAGES), "long"],
)
def test_what_was_kept_is_what_was_read(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = text.read(words)
    unread(monkeypatch)
    again = text.read(words)
    assert again is not found and again == found
    assert again.plain() == found.plain() and again.at(("steps", 1)) == found.at(("steps", 1))


def test_a_whole_catalogue_is_loaded_without_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load([shipped()])
    unread(monkeypatch)
    assert load([shipped()]) == found


def test_another_text_is_another_tree() -> None:
    text.read(LONG)
    assert text.read(LONG.replace("Long", "Other")).plain()["title"] == "Other"  # type: ignore[call-overload, index]


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="another kind"),
        pytest.param(b"[1, 1, 0, 9]", id="cut off"),
        pytest.param(b'[1, 1, 0, 9, "dict", 3]', id="longer than said"),
        pytest.param(b'[1, 1, 0, 9, "dict", {"a": []}]', id="an entry of too few"),
        pytest.param(b'[1, 1, 0, 9, "dict", {"a": {}}]', id="an entry of another kind"),
        pytest.param(b"\0" * 4096, id="zeros"),
        pytest.param(b"[" * 99_999, id="deeper than can be read"),
    ],
)
def test_what_a_power_cut_left_of_it_is_read_anew(left: bytes) -> None:
    found = text.read(LONG)
    kept.place(LONG).write_bytes(left)
    text.read.cache_clear()
    assert text.read(LONG) == found
    assert json.loads(kept.place(LONG).read_bytes()), "it is whole again"


def test_where_nothing_can_be_kept_it_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "homewright").write_text("in the way")
    assert text.read(LONG).plain()


def test_what_is_wrong_or_short_is_not_kept() -> None:
    with pytest.raises(DocumentError):
        text.read(LONG + "- odd\n")
    text.read("id: '90'\n")
    assert not kept.folder().exists()


def test_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 2)
    texts = [f"{LONG}# {number}\n" for number in range(4)]
    for age, words in enumerate(texts):
        text.read(words)
        os.utime(kept.place(words), (age, age))
    assert sorted(kept.folder().iterdir()) == sorted(kept.place(words) for words in texts[2:])
    assert {file.stat().st_mode & 0o777 for file in kept.folder().iterdir()} == {0o600}
