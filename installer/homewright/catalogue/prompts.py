"""Nothing in a catalogue may wait for somebody at a keyboard: a run has a terminal of its own and nobody at it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from homewright.catalogue.models import Stage

REMEDY = "make it an answer of site.yaml, or a variable with a default"
_PAUSE = ("pause", "ansible.builtin.pause")


def prompting(stage: Stage, folder: Path) -> Iterator[tuple[Path, int, str]]:
    """File, line and reason of everything in a stage's playbooks that would ask or that is no YAML."""
    own = {(folder / name).resolve() for step in stage.steps for name in (step.run, step.rollback)}
    for file in sorted(path for path in folder.rglob("*.y*ml") if path.name != "stage.yaml"):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # a missing file is told by the rules
        try:
            yield from ((file, line, reason) for line, reason in asks(text))
        except MarkedYAMLError as error:
            if file.resolve() in own:
                mark = error.problem_mark or error.context_mark
                yield file, mark.line + 1 if mark else 1, f"it is no YAML: {error.problem or error.context}"
        except YAMLError as error:
            if file.resolve() in own:
                yield file, 1, f"it is no YAML: {error}"


@lru_cache(maxsize=64)
def asks(text: str) -> tuple[tuple[int, str], ...]:
    """Line and reason of each place in a playbook that would wait for a person. Raises YAMLError."""
    roots = YAML(typ="safe", pure=True).compose_all(text)
    return tuple(found for root in roots if root is not None for found in _walk(root))


def _walk(node: Node) -> Iterator[tuple[int, str]]:
    if isinstance(node, SequenceNode):
        for item in node.value:
            yield from _walk(item)
    if not isinstance(node, MappingNode):
        return
    for key, value in node.value:
        name = key.value if isinstance(key, ScalarNode) else ""
        line = key.start_mark.line + 1
        if name == "vars_prompt":
            yield line, "vars_prompt asks on a terminal"
        elif name in _PAUSE and not _timed(value):
            yield line, "pause without seconds or minutes waits for a key"
        yield from _walk(value)


def _timed(value: Node) -> bool:
    if not isinstance(value, MappingNode):
        return isinstance(value, ScalarNode) and ("seconds=" in value.value or "minutes=" in value.value)
    names = {key.value for key, _ in value.value if isinstance(key, ScalarNode)}
    return bool(names & {"seconds", "minutes"})
