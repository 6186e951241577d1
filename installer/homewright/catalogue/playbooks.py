"""What a playbook says without being run: its plays, and what in it would go wrong unseen. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from homewright.catalogue.prompts import REMEDY as NO_PROMPT
from homewright.catalogue.prompts import asks


@dataclass(frozen=True)
class Play:
    """One play."""

    name: str
    hosts: str
    """Its pattern, as it is written."""
    line: int


@dataclass(frozen=True)
class Fault:
    """Something in a playbook that a run without anybody at it should not have."""

    line: int
    reason: str
    do: str


def plays(text: str) -> list[Play]:
    """The plays of a playbook. Raises YAMLError."""
    found = []
    for root in YAML(typ="safe", pure=True).compose_all(text):
        for node in root.value if isinstance(root, SequenceNode) else ():
            values = _values(node)
            if "hosts" in values:
                hosts = values["hosts"]
                names = [_text(one) for one in hosts.value] if isinstance(hosts, SequenceNode) else [_text(hosts)]
                name = _text(values["name"]) if "name" in values else ""
                found.append(Play(name, ":".join(names), node.start_mark.line + 1))
    return found


def faults(text: str) -> list[Fault]:
    """What is wrong in a playbook, line by line; that it is no YAML, where it is none."""
    try:
        found = [Fault(line, reason, NO_PROMPT) for line, reason in asks(text)]
        for root in YAML(typ="safe", pure=True).compose_all(text):
            found += _unseen(root) if root is not None else ()
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return [Fault(mark.line + 1 if mark else 1, f"it is no YAML: {getattr(error, 'problem', error)}", "mend it")]
    return sorted(found, key=lambda fault: fault.line)


def _unseen(node: Node) -> Iterator[Fault]:
    """Failures that nobody would hear of."""
    if isinstance(node, SequenceNode):
        for item in node.value:
            yield from _unseen(item)
    if not isinstance(node, MappingNode):
        return
    values = _values(node)
    for key, value in node.value:
        line = key.start_mark.line + 1
        name, said = _text(key), _text(value).lower()
        if name in ("ignore_errors", "ignore_unreachable") and said not in ("false", "no"):
            yield Fault(line, f"{name} hides a failure", "say with failed_when what is no failure")
        if name == "failed_when" and said in ("false", "no") and "register" not in values:
            yield Fault(line, "failed_when: false hides every failure", "register the result, and look at it beside")
        yield from _unseen(value)


def _values(node: Node) -> dict[str, Node]:
    return {_text(key): value for key, value in node.value} if isinstance(node, MappingNode) else {}


def _text(node: Node) -> str:
    return str(node.value) if isinstance(node, ScalarNode) else ""
