"""Which calls the campaign of killed managers goes to, and where it writes what it has proved."""

from __future__ import annotations

from pathlib import Path

import pytest
from call_table import HEAD, REPOSITORY, CallTable

CALLS = ("GET configmaps", "POST configmaps", "GET secrets", "PATCH secrets", "DELETE pods")


def test_writes_are_killed_at_each_time_and_what_is_new_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEWRIGHT_CALLS_TABLE", str(tmp_path / "calls.tsv"))
    table = CallTable("here", "create")
    assert table.due(CALLS) == (1, 2, 3, 4, 5)
    for number in (1, 2, 4):
        table.add(number, CALLS[number - 1], True)
    assert CallTable("here", "create").due(CALLS) == (3, 5, 2, 4)
    assert CallTable("here", "stop").due(CALLS) == CallTable("there", "create").due(CALLS) == (1, 2, 3, 4, 5)
    assert CallTable("here", "create").due(("GET pods", *CALLS)) == (1, 2, 3, 4, 5, 6), "by number too"
    full = CallTable("here", "create")
    for number, what in enumerate(CALLS, 1):
        full.add(number, what, True)
    assert CallTable("here", "create").due(CALLS) == (2, 4, 5), "and never at nothing"
    lines = (tmp_path / "calls.tsv").read_text().splitlines()
    assert lines[0] == "\t".join(HEAD) and len(lines) == 6, "one row for each call"


def test_the_checkout_s_own_table_is_written_only_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = REPOSITORY / "docs" / "api-calls.tsv"
    assert own.read_text().startswith("\t".join(HEAD))
    (tmp_path / "docs").mkdir()
    copy = tmp_path / "docs" / "api-calls.tsv"
    copy.write_bytes(own.read_bytes())
    monkeypatch.setattr("call_table.REPOSITORY", tmp_path)
    monkeypatch.delenv("HOMEWRIGHT_CALLS_TABLE", raising=False)
    monkeypatch.setattr("call_table.subprocess.run", lambda *_, **__: Described())
    table = CallTable("control plane", "none such")
    assert table.file == copy
    table.add(1, "GET pods", True)
    assert copy.read_bytes() == own.read_bytes()


class Described:
    stdout = "abc1234\n"
