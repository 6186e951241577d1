"""Every command of ours that a message, a remedy or a document names is one that there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from homewright.cli import VERBS, build_parser
from homewright.cli.completions import Level, tree

from .conftest import ROOT
from .test_tree import committed

NAMED = re.compile(r"(?<![\w/.~'@-])(?<!-c )(?<!profile )homewright((?: +(?!-- )[^\s`'\"|;&()<>{}…]+)+)")
"""Neither shells' completions for the command, nor LXD's profile of that name."""
SLOT = "X"
"""What stands for a value that only the running program knows."""
LEVELS = {level.path: level for level in tree(build_parser(), "")}


def spoken() -> Iterator[tuple[str, str]]:
    """Texts that a user may read, each with its place: strings of the program, its files of data, and documents."""
    for path in committed():
        name = str(path.relative_to(ROOT))
        top = path.relative_to(ROOT).parts[0]
        if path.suffix == ".py" and top in ("installer", "screens", "stages", "assets"):
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)) if NAMED.search(text) else ():
                if isinstance(node, ast.JoinedStr):
                    pieces = (one.value if isinstance(one, ast.Constant) else SLOT for one in node.values)
                    yield f"{name}:{node.lineno}", "".join(map(str, pieces))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield f"{name}:{node.lineno}", node.value
        elif path.suffix in (".yaml", ".yml", ".md") and top != "tests" and name != "CHANGELOG.md":
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                yield f"{name}:{number}", line


def wrong(words: list[str]) -> str:
    """The first word of a command line that is no verb, action or option there; empty where all are."""
    level: Level = LEVELS[""]
    rest = iter(words)
    for word in rest:
        ends = word[-1] in ".,:?!"
        word = word.rstrip(".,:?!").removesuffix(SLOT) or SLOT
        if word.startswith("-"):
            name, joined, _ = word.partition("=")
            known = {name: one for one in (*level.options, *LEVELS[""].options) for name in one.names}
            if name not in known:
                return word
            if known[name].valued and not joined:
                next(rest, None)
        elif f"{level.path} {word}".strip() in LEVELS:
            level = LEVELS[f"{level.path} {word}".strip()]
        elif any(path.rpartition(" ")[0] == level.path for path in LEVELS if path) and word[:1].islower():
            return word
        if ends:
            break
    return ""


def test_commands_that_are_named_exist() -> None:
    found = [(place, said.split()) for place, text in spoken() for said in NAMED.findall(text)]
    assert len(found) > 300, "the pattern finds them"
    assert {words[0] for _, words in found} >= set(VERBS) - {"completions"}, "each verb is told of somewhere"
    assert [f"{place}: homewright {' '.join(words)}" for place, words in found if wrong(words)] == []


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("trust --all", ""),
        ("--site FILE trust s1 --replace", ""),
        ("workspace open NAME", ""),
        ("trust --everybody", "--everybody"),
        ("mend s1", "mend"),
        ("workspace repair NAME", "repair"),
    ],
)
def test_a_command_that_does_not_exist_is_seen(line: str, word: str) -> None:
    assert wrong(line.split()) == word


def test_what_make_is_asked_for_in_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (path.name, word)
        for path in committed()
        if path.suffix == ".md"
        for word in re.findall(r"(?:^    |`)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(named) > 10, "the pattern finds them"
    assert {(file, word) for file, word in named if word not in targets} == set()
