"""`homewright workspace` with a cluster: many at once, their use, title and size, and every change as it happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from api_stand_in import StandIn
from cli.conftest import COMMAND

from homewright.cli import main
from homewright.cli.workspace_watch import changes
from homewright.workspaces.manager import Listing
from homewright.workspaces.models import (
    BulkDocument,
    Key,
    PreviewDocument,
    UsageDocument,
    Workspace,
    WorkspaceChange,
    WorkspaceDocument,
    WorkspacesDocument,
    WorkspaceState,
)

SPACE = "codeserver-instances"
Words = Callable[..., tuple[int, str, str]]


@pytest.fixture
def homewright(options: list[str], cluster: StandIn, capsys: pytest.CaptureFixture[str]) -> Words:
    """`homewright workspace …`: exit code, output, errors."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main([*options, "workspace", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def create(homewright: Words, *words: str) -> tuple[int, str, str]:
    return homewright("create", *words, "--template", "code-server")


def test_many_are_made_told_and_made_again(homewright: Words, cluster: StandIn) -> None:
    code, said, told = create(homewright, "alice/lab", "--count", "3")
    assert code == 0 and "3 of 3 done, 0 failed." in said
    assert "3/3 ✓ alice/lab-" in told and "is ready" in told
    code, said, told = create(homewright, "alice/lab", "--count", "4", "--json")
    found = BulkDocument.model_validate_json(said)
    assert (code, found.verb, found.done, found.failed) == (0, "create", 4, 0)
    assert [(one.workspace, one.existed) for one in found.workspaces] == [
        ("alice/lab-1", True), ("alice/lab-2", True), ("alice/lab-3", True), ("alice/lab-4", False),
    ]  # fmt: skip
    assert len(cluster.all("StatefulSet")) == 4


def test_a_list_is_made_and_one_that_would_not_start_keeps_nothing_from_the_rest(
    homewright: Words, cluster: StandIn, tmp_path: Path
) -> None:
    foreign = {"kind": "Service", "metadata": {"name": "code-server-bob", "namespace": SPACE}, "spec": {}}
    create(homewright, "zoe")
    cluster.put(foreign)
    file = tmp_path / "class.yaml"
    file.write_text("- alice\n- bob\n- user: carol@corp.com\n  preset: large\n  template: code-server\n")
    code, said, _ = create(homewright, "--from", str(file), "--json", "--parallel", "2")
    found = BulkDocument.model_validate_json(said)
    assert code == 1 and (found.done, found.failed) == (2, 1)
    [failure] = [one for one in found.workspaces if not one.done]
    assert failure.workspace == "bob" and failure.error is not None and "code-server-bob" in repr(failure.error)
    shown = WorkspacesDocument.model_validate_json(homewright("list", "--json")[1])
    assert [(one.key.user, one.preset) for one in shown.workspaces] == [
        ("alice", "standard"), ("carol@corp.com", "large"), ("zoe", "standard"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- alice\n- bob\n- alice\n", "Entries 1 and 3 are the same: alice"),
        ("- user: alice\n  size: large\n", "Entry 1, size"),
        ("- user: alice\n  preset: vast\n", "has no preset vast"),
        ("alice: large\n", "It holds no list"),
        ("[]\n", "It has 0 entries"),
    ],
)
def test_a_slip_in_a_list_is_told_before_the_first_is_made(
    homewright: Words, cluster: StandIn, tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "class.yaml"
    file.write_text(text)
    code, _, told = create(homewright, "--from", str(file))
    assert code == 2 and says in told and "\n  do:  " in told
    assert cluster.all("ConfigMap") == []


def test_a_trial_of_many_makes_none(homewright: Words, cluster: StandIn) -> None:
    cluster.put({"kind": "Node", "metadata": {"name": "n1"}, "spec": {}, "status": {"allocatable": {"cpu": "100m"}}})
    code, said, _ = create(homewright, "alice", "--count", "2", "--dry-run", "--json")
    found = [PreviewDocument.model_validate(one) for one in json.loads(said)["previews"]]
    assert code == 1 and [(one.workspace, one.starts) for one in found] == [
        ("alice/workspace-1", False), ("alice/workspace-2", False),
    ]  # fmt: skip
    assert "too few processors" in found[0].problems[0].reason
    assert cluster.all("ConfigMap") == []


def test_one_verb_on_several_of_the_cluster(homewright: Words, cluster: StandIn) -> None:
    create(homewright, "alice/lab", "--count", "3")
    keys = [f"alice/lab-{number}" for number in (1, 2, 3)]
    code, said, _ = homewright("stop", *keys, "--yes")
    assert code == 0 and "3 of 3 done" in said and cluster.all("Pod") == []
    code, said, _ = homewright("start", *keys, "nobody", "--json")
    found = BulkDocument.model_validate_json(said)
    assert code == 2 and (found.done, found.failed) == (3, 1), "all failures have the code of no such workspace"
    assert len(cluster.all("Pod")) == 3
    code, said, _ = homewright("delete", *keys[:2], "--with-storage", "--yes")
    assert code == 0 and "2 of 2 done" in said
    [left] = cluster.all("StatefulSet")
    assert left["metadata"]["annotations"]["homewright.dev/name"] == "lab-3"


def test_use_is_told_with_what_is_allowed(homewright: Words, cluster: StandIn) -> None:
    create(homewright, "alice")
    code, said, _ = homewright("usage")
    assert code == 0 and "alice" in said and "? " in said, "this cluster does not measure, and that is said"
    cluster.metrics = [{
        "metadata": {"name": "code-server-alice-0", "namespace": SPACE},
        "containers": [{"name": "workspace", "usage": {"cpu": "250m", "memory": "512Mi"}}],
    }]  # fmt: skip
    code, said, _ = homewright("usage", "--json")
    found = UsageDocument.model_validate_json(said)
    [row] = found.workspaces
    assert (code, found.unmeasured, row.workspace, row.cpu, row.memory) == (0, "", "alice", 0.25, 512 << 20)
    assert row.cpu_limit and row.memory_limit and row.cpu_limit > 0.25
    code, said, _ = homewright("usage", "alice")
    assert code == 0 and "0.25" in said and "512 MiB" in said
    assert homewright("usage", "nobody")[0] == 2


def test_a_title_is_shown_and_taken_away_and_names_nothing(homewright: Words, cluster: StandIn) -> None:
    create(homewright, "alice")
    code, said, _ = homewright("rename", "alice", "Thesis of 2027")
    assert code == 0 and "alice is called 'Thesis of 2027'." in said
    assert "Thesis of 2027" in homewright("show", "alice")[1]
    shown = WorkspaceDocument.model_validate_json(homewright("show", "alice", "--json")[1]).workspace
    assert (shown.title, shown.slug, str(shown.key)) == ("Thesis of 2027", "alice", "alice")
    assert homewright("show", "Thesis of 2027")[0] == 2
    code, said, _ = homewright("rename", "alice", "", "--json")
    assert code == 0 and WorkspaceDocument.model_validate_json(said).workspace.title == ""
    assert homewright("rename", "nobody", "x")[0] == 2


def test_another_size_is_for_the_next_start(homewright: Words, cluster: StandIn) -> None:
    create(homewright, "alice")
    code, said, _ = homewright("set", "alice", "--preset", "large")
    assert code == 0 and "alice is a code-server, large." in said
    assert "It runs as standard: its next start or restart makes it large." in said
    assert [pod["metadata"]["annotations"]["homewright.dev/preset"] for pod in cluster.all("Pod")] == ["standard"]
    homewright("restart", "alice", "--yes")
    code, said, _ = homewright("set", "alice", "--template-version", "current", "--json")
    assert code == 0 and WorkspaceDocument.model_validate_json(said).workspace.notes == ()
    assert [pod["metadata"]["annotations"]["homewright.dev/preset"] for pod in cluster.all("Pod")] == ["large"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["alice"], "What is to be set?"), (["alice", "--preset", "vast"], "has no preset vast"),
        (["alice", "--template-version", "3"], "There is no template version 3"),
        (["nobody", "--preset", "large"], "There is no workspace nobody"),
        (["alice", "--node", "s1", "--preset", "large"], "is on a server, and keeps its size"),
    ],
)  # fmt: skip
def test_what_cannot_be_set_is_told(homewright: Words, options: list[str], words: list[str], says: str) -> None:
    site = Path(options[1])
    site.write_text(site.read_text() + "servers:\n  - {name: s1, address: 192.168.1.11, user: me}\n")
    create(homewright, "alice")
    code, _, told = homewright("set", *words)
    assert code == 2 and says in told


@contextmanager
def watching(options: list[str], environment: dict[str, str], *more: str) -> Iterator[subprocess.Popen[str]]:
    """`homewright workspace list --watch` as a process of its own."""
    words = [*COMMAND, *options, "workspace", "list", "--watch", *more]
    with subprocess.Popen(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.programs
def test_every_change_is_a_line_until_ctrl_c(
    homewright: Words, options: list[str], cluster: StandIn, environment: dict[str, str]
) -> None:
    create(homewright, "alice")
    with watching(options, environment, "--json") as process:
        assert process.stdout is not None and process.stderr is not None
        lines = (WorkspaceChange.model_validate_json(line) for line in process.stdout)

        def until(change: str, state: str = "") -> WorkspaceChange:
            return next(
                one for one in lines
                if one.change == change and (not state or (one.workspace is not None and one.workspace.state == state))
            )  # fmt: skip

        first = until("there", "running")
        assert first.workspace is not None and str(first.workspace.key) == "alice"
        homewright("stop", "alice", "--yes")
        until("changed", "stopped")
        create(homewright, "bob")
        seen = until("there")
        assert seen.workspace is not None and str(seen.workspace.key) == "bob"
        homewright("rename", "alice", "Thesis")
        assert any(one.workspace is not None and one.workspace.title == "Thesis" for one in lines)
        homewright("delete", "bob", "--yes")
        gone = until("gone")
        assert gone.workspace is not None and str(gone.workspace.key) == "bob"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 4
        assert "Traceback" not in process.stderr.read()


def test_a_place_that_is_silent_takes_nothing_away_and_figures_of_use_are_no_change() -> None:
    def seen(user: str, **more: Any) -> Workspace:
        return Workspace(
            key=Key(user=user), slug=user, template="t", preset="p",
            **{"state": WorkspaceState.RUNNING, "node": "s2"} | more,
        )  # fmt: skip

    def told(listing: Listing, silent: dict[str, str]) -> list[tuple[str, str]]:
        found = changes({"alice": seen("alice", memory=1)}, silent, listing, 1.0)
        return [(one.change, one.place or str(one.workspace and one.workspace.key)) for one in found]

    assert told(Listing((seen("alice", memory=2, cpu=0.5, connections=3),), {}, 1.0), {}) == []
    assert told(Listing((), {"s2": "no route"}, 1.0), {}) == [("silent", "s2")], "what was there stays"
    assert told(Listing((), {"s2": "no route"}, 1.0), {"s2": "no route"}) == []
    assert told(Listing((seen("alice", state=WorkspaceState.STOPPED),), {}, 1.0), {"s2": "no route"}) == [
        ("answers", "s2"), ("changed", "alice"),
    ]  # fmt: skip
    assert told(Listing((), {"s3": "no route"}, 1.0), {}) == [("silent", "s3"), ("gone", "alice")]


@pytest.mark.programs
def test_a_pipe_that_is_closed_ends_it(
    homewright: Words, options: list[str], cluster: StandIn, environment: dict[str, str]
) -> None:
    create(homewright, "alice")
    words = [*COMMAND, *options, "workspace", "list", "--watch"]
    reader, writer = os.pipe()
    with subprocess.Popen(words, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True) as process:
        os.close(writer)
        assert b"+ alice  \xe2\x9c\x93 running" in os.read(reader, 4096)
        os.close(reader)
        homewright("stop", "alice", "--yes")
        process.wait(60)
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
