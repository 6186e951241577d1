"""One verb on several workspaces by command."""

from __future__ import annotations

import io
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from homewright.cli import main
from homewright.errors import Unreachable
from homewright.workspaces.errors import InstanceNotFound
from homewright.workspaces.models import BulkDocument, Key, Session, Workspace, WorkspaceState
from homewright.workspaces.one_manager import OneManager

Typed = Callable[[str], None]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "site.yaml").write_text("version: 1\nname: attic\n")
    return ["--site", str(tmp_path / "site.yaml"), "--state", str(tmp_path / "state"), "workspace"]


@pytest.fixture
def deleted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """alice and carol are there, bob is gone, dave's node is silent. What is deleted, and whether with its storage."""
    gone: list[tuple[str, bool]] = []

    def meant(_: OneManager, key: Key) -> Workspace:
        if key.user == "bob":
            raise InstanceNotFound("There is no workspace bob.")
        if key.user == "dave":
            raise Unreachable("s3 does not answer.")
        return Workspace(
            key=Key(user=key.user, node="s2"), slug=key.user, template="node", preset="small",
            state=WorkspaceState.RUNNING,
        )  # fmt: skip

    def sessions(manager: OneManager, key: Key) -> tuple[Session, ...]:
        meant(manager, key)
        return ()

    def delete(_: OneManager, key: Key, with_storage: bool, *, in_cluster: bool) -> str:
        gone.append((str(key), with_storage))
        return ""

    monkeypatch.setattr(OneManager, "meant", meant)
    monkeypatch.setattr(OneManager, "sessions", sessions)
    monkeypatch.setattr(OneManager, "delete", delete)
    return gone


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(text))


def test_one_that_is_gone_and_one_that_is_silent_keep_nothing_from_the_rest(
    words: list[str], deleted: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    typed(monkeypatch, "y\n")
    assert main([*words, "delete", "alice", "bob", "carol", "dave"]) == 1
    assert sorted(deleted) == [("alice/default@s2", False), ("carol/default@s2", False)]
    said = capsys.readouterr()
    assert "dave, which cannot be told: s3 does not answer" in said.err and "bob, which" not in said.err
    assert "There is no workspace bob." in said.err and "2 of 4 done, 2 failed." in said.out


@pytest.mark.parametrize(
    ("text", "code"), [("y\n", 4), ("\n", 4), ("3 workspaces\n", 4), ("2 workspaces\n", 0)], ids=repr
)
def test_many_that_go_with_their_storage_are_typed(
    words: list[str], deleted: list[tuple[str, bool]], text: str, code: int, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    typed(monkeypatch, text)
    assert main([*words, "delete", "alice", "carol", "--with-storage"]) == code
    said = capsys.readouterr().err
    assert "alice/default@s2, carol/default@s2" in said and "storage" in said and "Type 2 workspaces" in said
    assert sorted(deleted) == ([("alice/default@s2", True), ("carol/default@s2", True)] if not code else [])


def test_the_keyboard_leaves_a_summary_and_one_document(
    words: list[str], deleted: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    hangs = threading.Event()

    def delete(_: OneManager, key: Key, with_storage: bool, *, in_cluster: bool) -> str:
        if key.user == "carol":
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            hangs.wait(30.0)
        return ""

    monkeypatch.setattr(OneManager, "delete", delete)
    for more in ([], ["--json"]):
        assert main([*words, "delete", "alice", "carol", "erin", "--parallel", "1", "--yes", *more]) == 4
        said = capsys.readouterr()
        assert "Stopped by the keyboard" in said.err
        if more:
            document = BulkDocument.model_validate(json.loads(said.out))
            assert [(one.workspace, one.done) for one in document.workspaces] == [("alice/default@s2", True)]
        else:
            assert "1 of 3 done, 0 failed. The rest was not finished: do it again." in said.out
    hangs.set()
