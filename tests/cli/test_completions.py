"""Completions, asked of the real shells."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest

from homewright.cli import completions
from homewright.cli.completions import bash, fish, tree, zsh


def parser() -> argparse.ArgumentParser:
    """A small tree with every kind of thing that a verb can have."""
    root = argparse.ArgumentParser(prog="homewright")
    root.add_argument("--site", metavar="FILE", help="the site's file, 100 %%")
    root.add_argument("--json", action="store_true", help="print 'JSON'")
    verbs = root.add_subparsers()
    site = verbs.add_parser("site", help="answers: all of them").add_subparsers()
    new = site.add_parser("new", help="start one")
    new.add_argument("--zone", metavar="DOMAIN")
    new.add_argument("--profile", choices=["home", "lab"])
    new.add_argument("--secret", help=argparse.SUPPRESS)
    site.add_parser("show", help="show it")
    verbs.add_parser("schema", help="schemas").add_argument("name", choices=["site", "plan"])
    verbs.add_parser("load", help="load").add_argument("file", metavar="FILE")
    return root


LEVELS = tuple(tree(parser(), ""))

CASES = [
    ((), {"site", "schema", "load"}),
    (("s",), {"site", "schema"}),
    (("--site", "schema", "site", ""), {"new", "show"}),
    (("site", "--json", "n"), {"new"}),
    (("site", "new", "--"), {"--help", "--zone", "--profile"}),
    (("site", "new", "--profile", ""), {"home", "lab"}),
    (("site", "new", "--profile", "l"), {"lab"}),
    (("site", "new", "--zone", "x", "--pro"), {"--profile"}),
    (("schema", ""), {"site", "plan"}),
    (("schema", "p"), {"plan"}),
    (("load", "readm"), {"readme.txt"}),
    (("--site", "readm"), {"readme.txt"}),
    (("--j",), {"--json"}),
]


def ask_bash(words: tuple[str, ...], script: Path) -> set[str]:
    program = (
        f'source {script}; COMP_WORDS=(homewright "$@"); COMP_CWORD=$#; COMPREPLY=();'
        " _homewright; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    command = ["bash", "--norc", "-c", program, "bash", *(words or ("",))]
    result = subprocess.run(command, capture_output=True, text=True, cwd=script.parent, timeout=30, check=True)
    assert result.stderr == ""
    return {line for line in result.stdout.splitlines() if line}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "readme.txt").write_text("x")
    for name, script in (("bash", bash(LEVELS)), ("zsh", zsh(LEVELS)), ("fish", fish(LEVELS))):
        (tmp_path / name).write_text(script)
    return tmp_path


@pytest.mark.parametrize(("words", "offered"), CASES)
def test_bash_offers(words: tuple[str, ...], offered: set[str], folder: Path) -> None:
    assert ask_bash(words, folder / "bash") == offered


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(("words", "offered"), CASES)
def test_fish_offers(words: tuple[str, ...], offered: set[str], folder: Path) -> None:
    line = " ".join(["homewright", *words]) if words else "homewright "
    program = f"source {folder}/fish; complete --do-complete '{line}'"
    result = subprocess.run(
        ["fish", "--no-config", "-c", program],
        capture_output=True, text=True, cwd=folder, timeout=30, check=True,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert result.stderr == ""
    found = {line.split("\t")[0] for line in result.stdout.splitlines()}
    if words[-1:] == ("--",):
        # --help is one for every command in fish; what the parser has must be there.
        assert offered <= found | {"--help"}
    else:
        assert found == offered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize(("words", "offered"), [case for case in CASES if "readm" not in case[0]])
def test_zsh_offers(words: tuple[str, ...], offered: set[str], folder: Path) -> None:
    """zsh's completion runs inside its line editor only, so `_describe` and `compadd` are asked what they are given."""
    program = f"""
        compdef() {{ : }}
        _describe() {{
            [[ $1 == -o ]] && shift 2 || shift
            for entry in "${{(@P)1}}"; do print -r -- "${{entry%%:*}}"; done
        }}
        compadd() {{ shift; print -rl -- "$@" }}
        _files() {{ print -r -- FILES }}
        source {folder}/zsh
        words=(homewright "$@"); CURRENT=${{#words}}; _homewright
    """
    command = ["zsh", "-f", "-c", program, "zsh", *(words or ("",))]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=30, check=False)
    assert result.stderr == ""
    found = {line for line in result.stdout.splitlines() if line.startswith(words[-1] if words else "")}
    assert found - {"-h"} == offered


def test_the_real_tree_is_completed(tmp_path: Path) -> None:
    from homewright.cli import VERBS, build_parser

    levels = tuple(tree(build_parser(), ""))
    (tmp_path / "bash").write_text(bash(levels))
    assert ask_bash((), tmp_path / "bash") == set(VERBS)
    assert {"new", "show", "set", "validate", "inventory"} <= ask_bash(("--site", "lab", "site", ""), tmp_path / "bash")
    assert ask_bash(("completions", ""), tmp_path / "bash") == set(completions.SHELLS)
    for shell, script in (("zsh", zsh(levels)), ("fish", fish(levels))):
        if shutil.which(shell):
            (tmp_path / shell).write_text(script)
            subprocess.run([shell, "-n", str(tmp_path / shell)], check=True, timeout=30)
