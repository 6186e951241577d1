"""Answers about instances and GPUs that contradict one another, blamed on the one to correct."""

from __future__ import annotations

from typing import Any

import pytest

from homewright.errors import SiteError
from homewright.site import files

SERVERS = (
    "name: attic\nservers:\n  - {name: s1, address: 192.0.2.1, user: a}\n  - {name: s2, address: 192.0.2.2, user: a}\n"
)


def problems(text: str) -> list[tuple[str, str]]:
    try:
        files.parse((SERVERS + text).encode(), "site.yaml")
    except SiteError as error:
        assert all(problem.line and problem.remedy for problem in error.problems)
        return [(problem.field, problem.reason) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("nodes", "field", "words"),
    [
        ("{name: n1, host: s9}", "instances.nodes.n1.host", "s9 is no server"),
        ("{name: s2, host: s1}", "instances.nodes.s2.name", "a server is called s2"),
        ("{name: n1, host: s1, address: 192.0.2.2}", "instances.nodes.n1.address", "address of s2"),
        ("{name: n1, host: s1}, {name: n1, host: s2}", "instances.nodes.n1.name", "two instances have the name n1"),
        (
            "{name: n1, host: s1, address: 10.0.0.5}, {name: n2, host: s2, address: 10.0.0.5}",
            "instances.nodes.n2.address",
            "two instances have the address 10.0.0.5",
        ),
        ("{name: n1, host: s1}, {name: n2, host: s1}", "", ""),
        ("", "", ""),
    ],
)
def test_instances(nodes: str, field: str, words: str) -> None:
    found = problems(f"instances:\n  nodes: [{nodes}]\n")
    assert [name for name, _ in found] == ([field] if field else [])
    assert all(words in reason for _, reason in found)


@pytest.mark.parametrize(
    ("gpus", "more", "field", "words"),
    [
        ("{host: s9, address: '0000:01:00.0', use: desktop}", "", "gpus.0.host", "s9 is no server"),
        (
            "{host: s1, address: '0000:01:00.0', use: desktop}, {host: s1, address: '0000:01:00.0', use: containers}",
            "",
            "gpus.1.address",
            "is there twice",
        ),
        (
            "{host: s1, address: '0000:01:00.0', use: containers, instance: n1}",
            "",
            "gpus.0.instance",
            "only a GPU that is passed through",
        ),
        (
            "{host: s1, address: '0000:01:00.0', use: passthrough, instance: n9}",
            "instances:\n  nodes: [{name: n1, host: s1}]\n",
            "gpus.0.instance",
            "n9 is no instance",
        ),
        ("{host: s1, address: '0000:01:00.0', use: passthrough, instance: n9}", "", "", ""),
        (
            "{host: s1, address: '0000:01:00.0', use: desktop}, {host: s2, address: '0000:01:00.0', use: desktop}",
            "",
            "",
            "",
        ),
    ],
)
def test_gpus(gpus: str, more: str, field: str, words: str) -> None:
    found = problems(f"gpus: [{gpus}]\n{more}")
    assert [name for name, _ in found] == ([field] if field else [])
    assert all(words in reason for _, reason in found)


@pytest.mark.parametrize(
    "answers",
    ["network: {overlay: {kind: zerotier}}\n", "network: {pods: 10.1.0.0/16, services: 10.1.0.0/16}\n"],
)
def test_what_planning_tells_may_be_saved(answers: Any) -> None:
    assert problems(answers) == []
