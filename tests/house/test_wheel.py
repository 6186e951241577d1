"""The wheel: what is in it, and that it runs in environments that hold nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import wheelhouse

from .conftest import ROOT

PIPX = "pipx==1.18.4"
SOURCES = ("installer", "screens", "stages", "assets")
LEFT_OUT = ("__pycache__",)


@pytest.mark.programs
def test_the_wheel_holds_every_file_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"homewright", next(top for top in tops if top.endswith(".dist-info"))}
    assert "homewright/__init__.py" not in names
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *SOURCES],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=30,
    ).stdout.split("\0")  # fmt: skip
    expected = {name.partition("/")[2] for name in listed if name and (ROOT / name).exists()}
    assert {name for name in names if name.startswith("homewright/")} == expected
    assert any(name.endswith(".tcss") for name in names) and any(name.endswith("/stage.yaml") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # The environment of somebody who has nothing of ours; how packages are reached is the machine's business.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG", "TMPDIR")
        or name.lower().endswith("_proxy")
        or name.startswith(("PIP_", "UV_", "SSL_", "REQUESTS_"))
    }
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True, text=True, timeout=400, check=False, env={**kept, **environment}, cwd=Path.home(),
    )  # fmt: skip


def with_pip(wheel: Path, folder: Path, uv: str, wheels: Path) -> Path:
    """Install with pip, from wheels that were fetched before. Byte code is left out: it takes four times the rest."""
    made = run(sys.executable, "-m", "venv", "--without-pip", folder)
    assert made.returncode == 0, made.stderr
    [pip] = wheels.glob("pip-*.whl")
    command = (folder / "bin" / "python", pip / "pip", "install", "--quiet", "--disable-pip-version-check")
    added = run(*command, "--no-index", "--find-links", wheels, "--no-compile", wheel)
    assert added.returncode == 0, added.stderr
    return folder / "bin"


def with_uv(wheel: Path, folder: Path, uv: str, wheels: Path) -> Path:
    """Install with uv, which asks the index."""
    made = run(uv, "venv", "--quiet", "--python", sys.executable, folder)
    assert made.returncode == 0, made.stderr
    added = run(uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", wheel)
    assert added.returncode == 0, added.stderr
    return folder / "bin"


def with_pipx(wheel: Path, folder: Path, uv: str, wheels: Path) -> Path:
    """Install with pipx, which uv runs without installing it, and which has uv make the environment."""
    command = (uv, "tool", "run", "--quiet", PIPX, "install", "--quiet", "--backend", "uv")
    places = {"PIPX_HOME": str(folder), "PIPX_BIN_DIR": str(folder / "bin")}
    path = os.pathsep.join((str(Path(uv).parent), os.environ["PATH"]))
    added = run(*command, "--python", sys.executable, wheel, **places, PATH=path)
    assert added.returncode == 0, added.stderr
    return folder / "bin"


WAYS = {"pip": with_pip, "uv": with_uv, "pipx": with_pipx}


@pytest.fixture(scope="module")
def installed(wheel: Path, uv: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of commands of all three installations, made at the same time."""
    folder = tmp_path_factory.mktemp("installed")
    wheels = wheelhouse.for_interpreter(sys.executable, ROOT / "uv.lock", wheel)
    with ThreadPoolExecutor() as pool:
        futures = {name: pool.submit(way, wheel, folder / name, uv, wheels) for name, way in WAYS.items()}
        return {name: future.result() for name, future in futures.items()}


@pytest.mark.install
@pytest.mark.parametrize("way", WAYS)
def test_it_runs_where_nothing_else_is(way: str, installed: dict[str, Path], tmp_path: Path) -> None:
    homes = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "STATE", "CACHE")}
    site = str(tmp_path / "site.yaml")

    def homewright(*arguments: str) -> str:
        result = run(installed[way] / "homewright", *arguments, **homes)
        assert (result.returncode, result.stderr) == (0, ""), (arguments, result.stdout, result.stderr)
        return result.stdout

    assert homewright("--version").startswith("homewright ")
    assert json.loads(homewright("schema", "site"))["title"] == "Site"
    assert "There is no site yet" in homewright()
    homewright("--site", site, "site", "new", "attic", "--server", "s1=ann@10.0.0.1", "--server", "s2=ann@10.0.0.2")
    plan = json.loads(homewright("--site", site, "plan", "--json"))
    assert plan["stages"][0]["id"] == "00"
    assert "complete -F _homewright" in homewright("completions", "bash")


@pytest.mark.install
def test_the_screens_are_found_and_other_peoples_packages_are_left_alone(installed: dict[str, Path]) -> None:
    code = (
        "from importlib.metadata import entry_points, files; import homewright.screens as s\n"
        "[face] = entry_points(group='homewright.faces'); assert face.load() is s.run\n"
        "print(*{str(file).split('/')[0] for file in files('homewright') if not str(file).startswith('.')})"
    )
    result = run(installed["uv"] / "python", "-c", code)
    assert result.returncode == 0, result.stderr
    tops = {top for top in result.stdout.split() if not top.endswith(".dist-info")}
    assert tops == {"homewright"}
