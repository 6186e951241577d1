"""Our own playbooks and deploys: nothing hides a failure, nothing waits for a person, nothing is silent for minutes."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from homewright.catalogue import load, rules, shipped
from homewright.catalogue.loading import STAGE_FILE
from homewright.catalogue.playbooks import faults

LONG_S = 180
"""A command that may take longer than this shows its lines (`Host.show`), or is split."""
BAD = """\
- name: What the linter has to find, or it has not looked
  hosts: servers
  tasks:
    - name: A module would do it, and its name is short for another
      shell: apt-get install -y python3
"""
FOUND = {"command-instead-of-module", "command-instead-of-shell", "no-changed-when", "fqcn"}


def playbooks() -> list[Path]:
    return sorted(path for path in shipped().rglob("*.y*ml") if path.name != STAGE_FILE)


def test_ansible_lint_finds_nothing_at_its_strictest(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Offline, on copies: it writes beside what it reads. What has passed once is not looked at again (6 s of CPU)."""
    found = playbooks()
    digest = hashlib.sha256(version("ansible-lint").encode() + BAD.encode())
    for path in found:
        digest.update(path.read_bytes())
    assert pytestconfig.cache is not None
    if pytestconfig.cache.get("homewright/ansible-lint", "") == digest.hexdigest():
        return
    names = {}
    for number, path in enumerate(found):
        names[f"{number:02d}_{path.name}"] = path
        shutil.copyfile(path, tmp_path / f"{number:02d}_{path.name}")
    (tmp_path / "bad.yaml").write_text(f"---\n{BAD}")
    own = {"HOME": str(tmp_path), "ANSIBLE_HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    own["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [
        sys.executable,
        "-m",
        "ansiblelint",
        "--offline",
        "--profile",
        "production",
        "--format",
        "json",
        "-q",
    ]
    done = subprocess.run(
        [*command, "bad.yaml", *names], cwd=tmp_path, env=os.environ | own, capture_output=True, text=True, timeout=300
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    wrong = [
        f"{names[one['location']['path']]}: {one['check_name']}: {one['description']} {one['location']}"
        for one in told
        if one["location"]["path"] != "bad.yaml"
    ]
    assert wrong == []
    assert {one["check_name"].partition("[")[0] for one in told} >= FOUND, done.stderr
    pytestconfig.cache.set("homewright/ansible-lint", digest.hexdigest())


def test_no_playbook_hides_a_failure_or_asks() -> None:
    wrong = [f"{path}:{one.line}: {one.reason}" for path in playbooks() for one in faults(path.read_text())]
    assert wrong == []


def test_every_step_has_a_proof_in_python_and_a_way_back() -> None:
    catalogue = load([shipped()])
    assert [step.id for step in catalogue.steps() if not step.verify.endswith(".py")] == []
    folders = sorted({path.parent for path in shipped().rglob("*") if path.suffix in (".py", ".yaml")})
    assert [
        (folder.name, *missing)
        for folder in folders
        for missing in rules.unproved(path.name for path in folder.iterdir() if path.is_file())
    ] == []
    listed = {
        catalogue.file(step, part).resolve()
        for step in catalogue.steps()
        for part in ("run", "verify", "rollback", *(("recover",) if step.recover else ()))
    }
    numbered = {path.resolve() for path in shipped().rglob("[0-9][0-9]_*") if path.is_file() and path.suffix != ".pyc"}
    assert numbered == listed, "a numbered file that no step names is never run"


def silent(tree: ast.AST) -> Iterator[tuple[int, float]]:
    """Calls of `run` with a longer timeout than `LONG_S`: line and seconds. A stream of lines is `show`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "run":
            for word in node.keywords:
                value = word.value.value if isinstance(word.value, ast.Constant) else 0
                if word.arg == "timeout" and isinstance(value, int | float) and value > LONG_S:
                    yield node.lineno, value


QUIET = {
    "lxd init --preseed": "it reads its orders on standard input and prints nothing; LXD's events are shown beside"
}
"""Commands that have nothing to show, and why."""


def test_what_may_take_minutes_shows_its_lines() -> None:
    wrong = []
    for path in sorted(shipped().rglob("*.py")):
        text = path.read_text()
        for line, seconds in silent(ast.parse(text)):
            if not any(command in text.splitlines()[line - 1] for command in QUIET):
                wrong.append(f"{path}:{line}: {seconds:g} s without a line")
    assert wrong == []
    assert list(silent(ast.parse("host.run('x', timeout=900)\nhost.run('y', timeout=60)"))) == [(1, 900)]
