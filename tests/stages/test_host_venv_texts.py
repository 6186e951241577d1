"""What runs inside a server's virtual environment for the proof of step 00/40, on a tiny environment of our own."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import packaging
import pytest

from homewright.catalogue.loading import shipped
from homewright.engine.runners.source import loaded

STAGE = shipped() / "00_initial_setup"
NEEDS = (
    "Requires-Dist: world>=1",
    'Requires-Dist: never; extra == "more"',
    'Requires-Dist: nor-this; sys_platform == "win32"',
)


def put(folder: Path, name: str, version: str, files: dict[str, str], needs: tuple[str, ...] = ()) -> None:
    """A package as pip leaves it, its programs in the folder beside."""
    rows = []
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text)}")
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *needs])
    )
    (about / "RECORD").write_text("\n".join([*rows, f"{about.name}/METADATA,,", f"{name}/__pycache__/one.pyc,,"]))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    programs, folder = tmp_path / "bin", tmp_path / "lib"
    programs.mkdir()
    (programs / "python").symlink_to(sys.executable)
    greet = f"#!{programs}/python\nprint('hello')\n"
    put(folder, "hello", "1.0", {"hello/__init__.py": "ANSWER = 42\n", "../bin/greet": greet}, NEEDS)
    put(folder, "world", "1.2", {"world/__init__.py": "PLACE = 'here'\n"})
    (programs / "greet").chmod(0o755)
    vendored = folder / "pip" / "_vendor"
    vendored.mkdir(parents=True)
    (vendored / "packaging").symlink_to(Path(next(iter(packaging.__path__))))
    return folder


def pins(site: Path, *requirements: str) -> tuple[int, list[str]]:
    """As the environment's own Python runs it: nothing else than what is in it is seen."""
    text = f"import sys; sys.path.append({str(site)!r})\n" + (STAGE / "pins.py").read_text()
    words = [sys.executable, "-I", "-S", "-B", "-", *requirements]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def gone(path: str) -> Callable[[Path], None]:
    return lambda site: (site / path).unlink()


def cut(path: str) -> Callable[[Path], None]:
    return lambda site: os.truncate(site / path, 3)


def forgotten(site: Path) -> None:
    (site / "world-1.2.dist-info").rename(site / "world.kept")


def untouched(site: Path) -> None:
    pass


@pytest.mark.programs
@pytest.mark.parametrize(
    ("damage", "wanted", "code", "said", "again"),
    [
        (untouched, "hello==1.0", 0, "", ""),
        (untouched, "hello==1.1", 3, "hello is 1.0, not ==1.1", ""),
        (untouched, "other==1", 3, "other is missing", ""),
        (gone("hello/__init__.py"), "hello==1.0", 3, "hello lacks 1 files or parts of them", "hello==1.0"),
        (cut("world/__init__.py"), "hello==1.0", 3, "such as world/__init__.py", "world==1.2"),
        (gone("../bin/greet"), "hello==1.0", 3, "such as ../bin/greet", "hello==1.0"),
        (forgotten, "hello==1.0", 3, "world is missing, which hello needs", ""),
    ],
)
def test_what_is_not_there_or_not_whole_is_told(
    site: Path, damage: Callable[[Path], None], wanted: str, code: int, said: str, again: str
) -> None:
    damage(site)
    ended, lines = pins(site, wanted)
    assert (ended, lines[1]) == (code, again)
    assert said in lines[0] and bool(lines[0]) == (code != 0)


@pytest.fixture
def works(site: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = loaded(STAGE / "works.py")
    made.MODULES, made.PROGRAMS = {"hello": "hello"}, {"greet": "hello"}  # type: ignore[attr-defined]  # a file of its own
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(sys, "executable", str(site.parent / "bin" / "python"))
    monkeypatch.delitem(sys.modules, "hello", raising=False)
    return made


def changed(path: str, text: str) -> Callable[[Path], None]:
    """Other text of the same length: its size tells nothing."""

    def change(site: Path) -> None:
        before = (site / path).read_text()
        (site / path).write_text(text.ljust(len(before))[: len(before)])

    return change


def not_executable(site: Path) -> None:
    (site / "../bin/greet").chmod(0o644)


def by_a_shell(site: Path) -> None:
    """As pip writes a program whose Python's path is too long for a first line."""
    (site / "../bin/greet").write_text("#!/bin/sh\necho 'no such library' >&2; exit 1\n")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (untouched, ""),
        (changed("hello/__init__.py", "1 /"), "hello\nSyntaxError"),
        (changed("hello/__init__.py", "ANSWER = 41"), "greet\nValueError: hello/__init__.py is not what was installed"),
        (gone("../bin/greet"), "greet\nFileNotFoundError"),
        (not_executable, "greet\nPermissionError: it may not be executed"),
        (by_a_shell, "greet\nRuntimeError: no such library"),
    ],
)
def test_what_is_of_no_use_is_told(works: ModuleType, site: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(site)
    package, _, told = works.trouble(["Hello[more]==1.0", "world"]).partition("\n")
    assert told.startswith(said) and package == ("hello==1.0" if said else "")
    assert works.trouble(["Hello==1.0"]) == "" or said
    assert works.trouble(["world==1.2"]) == "", "what nobody asked for is not looked at"
