"""The answers of a site as flat text: what a plan was made for, and what an edit changed. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from homewright.site.models import Site


def flattened(site: Site) -> dict[str, str]:
    """Every answer that is no default, by its dotted name; items of a list by their name where they have one."""
    return dict(sorted(_flat("", site.model_dump(mode="json", exclude_defaults=True))))


def answer(site: Site, path: str) -> Any:
    """The answer at a dotted path of site.yaml; None where there is none, and for what is beside `kind: none`."""
    value: Any = site.model_dump(mode="json")
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) and (name == "kind" or value.get("kind") != "none") else None
    return value


def belongs(answer: str, reads: Sequence[str]) -> bool:
    """Whether an answer is one of those that a step reads, or lies inside one."""
    return any(answer == read or answer.startswith(f"{read}.") or read.startswith(f"{answer}.") for read in reads)


def has_instances(site: Site) -> bool:
    """Whether LXD instances are the cluster's nodes; where they are not, no server needs LXD or a bridge for it."""
    return site.platform.nodes == "instances" and site.platform.cluster != "existing"


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), item)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        # A server is found by its name, so its place in the list is told apart from its answers.
        names = [
            str(item.get("name") or f"{item.get('host', '')}/{item.get('address', number)}")
            for number, item in enumerate(value)
        ]
        yield f"{prefix} (order)", " ".join(names)
        for name, item in zip(names, value, strict=True):
            yield from _flat(f"{prefix}.{name}", {key: inner for key, inner in item.items() if key != "name"})
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
