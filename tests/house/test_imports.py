"""Who imports whom at run time: the core knows no terminal toolkit, the first frame none of the heavy rooms."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

CORE = (
    "errors", "site", "access", "discovery", "catalogue", "planning", "checks", "workspaces", "lab", "cli", "engine",
)  # fmt: skip
"""Everything that is no screen. Runners are left to processes of their own: pyinfra's changes its whole process."""

WALK = """
import importlib, pkgutil, sys
names = [sys.argv[1]]
package = importlib.import_module(sys.argv[1])
for found in pkgutil.walk_packages(package.__path__, sys.argv[1] + "."):
    if ".runners." not in found.name and not found.name.endswith("__main__"):
        importlib.import_module(found.name)
        names.append(found.name)
assert len(names) > (1 if sys.argv[1] != "homewright.errors" else 0), names
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""

FIRST_FRAME = """
import argparse, asyncio, sys
from homewright.screens.app import HomewrightApp
from homewright.screens.terminal import Terminal

async def first_frame():
    options = argparse.Namespace(site=None, state=None, stages=None, json=False, verb=None)
    app = HomewrightApp(options, terminal=Terminal.look())
    async with app.run_test(size=(80, 24)):
        shown = app.screen
        app.exit(0)
    return type(shown).__name__

name = asyncio.run(first_frame())
print(name, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def loaded(code: str, *arguments: str, **environment: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("room", CORE)
def test_the_core_imports_no_terminal_toolkit(room: str) -> None:
    modules = loaded(WALK, f"homewright.{room}")
    assert "homewright" in modules
    assert not modules & {"textual", "rich"}


@pytest.mark.parametrize("runner", ["ansible", "pyinfra", "python", "request"])
def test_runners_import_no_terminal_toolkit(runner: str) -> None:
    code = f"import homewright.engine.runners.{runner}, sys; print(*{{n.partition('.')[0] for n in sys.modules}})"
    modules = loaded(code)
    assert not modules & {"textual", "rich"}


@pytest.mark.parametrize(
    "module", ["homewright.engine.journal", "homewright.engine.events", "homewright.engine.states"]
)
def test_what_the_screens_read_needs_no_pydantic(module: str) -> None:
    assert not loaded(f"import {module}, sys; print(*{{n.partition('.')[0] for n in sys.modules}})") & {
        "pydantic", "paramiko", "pyinfra", "ansible", "ruamel",
    }  # fmt: skip


def test_whoever_reads_the_last_checks_loads_nothing_that_checks() -> None:
    """Each apply does, before its engine starts: what signs in to servers is a third of what it would load."""
    code = "import homewright.cli.preflight, homewright.checks.reports, sys; print(*sys.modules)"
    modules = loaded(code)
    assert "homewright.checks.models" in modules
    assert not modules & {"paramiko", "homewright.checks.running", "homewright.discovery.parsing"}


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what is before its last dot is none with modules in it
        return False


def named_within(module: str) -> set[str]:
    """The modules that functions of a module import when they are called."""
    found = importlib.util.find_spec(module)
    assert found is not None and found.origin is not None
    named = set[str]()
    for function in ast.walk(ast.parse(Path(found.origin).read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    named |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    named |= {node.module, *filter(_is_module, (f"{node.module}.{alias.name}" for alias in node.names))}
    return named


@pytest.mark.parametrize("verb", ["resume", "retry", "attach", "apply", "verify"])
def test_whoever_starts_and_watches_an_engine_loads_none_of_what_it_works_with(verb: str) -> None:
    """SSH and asyncio were a third of what `resume` loaded, while its engine and the servers needed the machine."""
    named = named_within(f"homewright.cli.{verb}") | named_within("homewright.cli.runs")
    assert "homewright.engine.documents" in named
    rooms = ["homewright.engine.remains", "homewright.engine.client", "homewright.planning", *sorted(named)]
    modules = loaded(f"import homewright.cli.{verb}, {', '.join(rooms)}, sys; print(*sys.modules)")
    assert "homewright.engine.launch" in modules
    assert not modules & {"paramiko", "asyncio", "homewright.engine.fence"}


def test_the_first_frame_imports_no_heavy_room(tmp_path: Path) -> None:
    site = tmp_path / "CONFIG" / "homewright" / "attic" / "site.yaml"
    site.parent.mkdir(parents=True)
    site.write_text("version: 1\nname: attic\n")
    homes = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "STATE", "CACHE")}
    modules = loaded(FIRST_FRAME, **homes, TERM="xterm-256color")
    assert "WelcomeScreen" in modules or "Welcome" in modules
    heavy = {
        "pydantic",
        "paramiko",
        "pyinfra",
        "ansible",
        "ansible_runner",
        "kubernetes",
        "ruamel",
        "cryptography",
        "pylxd",
    }
    assert not modules & heavy
