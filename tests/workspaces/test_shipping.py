"""A request reaches `nodeside` as one program on stdin."""

from __future__ import annotations

import ast
import json
import platform
import subprocess
import sys

import pytest

from homewright.access.connection import Completed
from homewright.workspaces import shipping
from homewright.workspaces.errors import InstanceNotFound, NotOurs, WorkspaceError
from homewright.workspaces.observation import NodeReport


def test_the_program_runs_where_homewright_is_not_installed() -> None:
    place = {"address": "127.0.0.1", "authority": "", "data_root": "/srv/homewright/data"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-"], input=shipping.program({"action": "look", "place": place, "slug": "nobody"}),
        capture_output=True, check=False, cwd="/", env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    report = NodeReport.model_validate(json.loads(done.stdout)["ok"])
    assert report.architecture == platform.machine()
    assert report.workspaces == ()


def test_only_the_standard_library_is_used_on_a_node() -> None:
    for module in (*shipping._MODULES, "inside"):
        for statement in ast.walk(ast.parse(shipping.source(module))):
            names = []
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom):
                names = [statement.module or ""]
            for name in names:
                assert (
                    name.startswith("homewright.workspaces.nodeside") or name.split(".")[0] in sys.stdlib_module_names
                )


@pytest.mark.parametrize(
    ("code", "kind"),
    [("instance-not-found", InstanceNotFound), ("not-ours", NotOurs), ("something-new", WorkspaceError)],
)
def test_a_node_s_refusal_becomes_our_error(code: str, kind: type[WorkspaceError]) -> None:
    said = {"error": {"code": code, "what": "No.", "why": "Because.", "do": ["this"]}}
    with pytest.raises(kind) as refused:
        shipping.answer(Completed(json.dumps(said), "", 0), "s2")
    assert (refused.value.what, refused.value.why, refused.value.do) == ("s2: No.", "Because.", ("this",))


@pytest.mark.parametrize("printed", ["", "garbage", "\n\n"])
def test_an_answer_that_is_none_says_so(printed: str) -> None:
    with pytest.raises(WorkspaceError, match="no answer that can be understood"):
        shipping.answer(Completed(printed, "bash: no", 0), "s2")


def test_a_node_s_words_hold_no_escape_sequences() -> None:
    said = {"code": "instance-failed", "what": "taken by \x1b[2J", "why": "\x1b]0;x\x07", "do": ["end \x1b[1m"]}
    with pytest.raises(WorkspaceError) as raised:
        shipping.answer(Completed(json.dumps({"error": said}), "", 0), "s2")
    assert "\x1b" not in raised.value.as_text()
