"""What must not be in any committed file, and what must be there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT

# In pieces, so that this file does not find itself. Docker's with a slash: Debian's package of it has that name.
REGISTRIES = (
    "pypi" + ".org", "python" + "hosted.org", "debian" + ".org/debian", "deb.debian" + ".org", "npmjs" + ".org",
    "archive.ubuntu" + ".com", "proxy.golang" + ".org", "docker" + ".io/", "ghcr" + ".io",
)  # fmt: skip
MACHINE = ("/wo" + "rk/", "/tmp/h" + "w", "/home/" + "runner")
IMAGES = "installer/homewright/site/mirrored.py"
"""The one table of what a cluster fetches: a site without a mirror gets an image from the one place where it is."""
LOCKS = ("uv.lock",)
"""Written by a package manager, addresses and all."""

DECISION = re.compile(r"\d{4}-[a-z0-9-]+\.md")


def committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout.split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in committed():
        try:
            found.append((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize("words", [REGISTRIES, MACHINE], ids=["registries", "paths"])
def test_no_file_names_a_registry_or_a_machine(words: tuple[str, ...]) -> None:
    named = [
        f"{name}: {word}"
        for name, text in texts()
        if Path(name).name not in LOCKS
        for word in words
        if word in text and (name, word) != (IMAGES, REGISTRIES[-1])
    ]
    assert not named


def test_the_top_level_is_the_one_that_was_decided() -> None:
    fixed = {
        "installer", "screens", "stages", "assets", "tests", "docs", "benchmarks", "pyproject.toml", "README.md",
        "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "uv.lock",
    }  # fmt: skip
    tops = {path.relative_to(ROOT).parts[0] for path in committed()}
    assert {top for top in tops if not top.startswith(".")} <= fixed


def test_no_module_is_a_catch_all_or_too_long() -> None:
    ours = [path for path in committed() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] != "tests"]
    assert not [path for path in ours if path.stem in ("utils", "helpers", "common", "util", "misc")]
    assert not [path for path in ours if len(path.read_text().splitlines()) > 500]


def test_decisions_are_numbered_once_and_short() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert all(DECISION.fullmatch(path.name) for path in files)
    numbers = [path.name[:4] for path in files]
    assert len(numbers) == len(set(numbers))
    assert all(len(path.read_text().splitlines()) <= 80 for path in files)


def test_every_folder_that_is_imported_from_is_a_package() -> None:
    for root in ("installer", "screens", "stages", "assets"):
        assert not (ROOT / root / "homewright" / "__init__.py").exists(), "the namespace has no __init__.py"
        for portion in (ROOT / root / "homewright").iterdir():
            if portion.is_dir() and portion.name != "__pycache__":
                assert (portion / "__init__.py").exists(), portion
