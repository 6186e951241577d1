"""Text that is cut off, mixed up or of another shape gives fewer facts, never an error."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from homewright.discovery import RawBundle, parse
from homewright.discovery.bundle import Source, load

from .running import here

SHAPES: list[Any] = [None, 0, -1, 1e400, "", "x", [], {}, [None], [[]], {"a": {}}, True, "9" * 5000]


def damaged(text: str, chance: random.Random) -> str:
    """The text cut, with lines lost, doubled or mixed, or with odd characters in it."""
    lines = text.splitlines(keepends=True)
    match chance.randrange(5):
        case 0:
            return text[: chance.randrange(len(text) + 1)]
        case 1:
            chance.shuffle(lines)
        case 2:
            lines = [line for line in lines if chance.random() < 0.7]
        case 3:
            lines = [line * chance.randrange(3) for line in lines]
        case _:
            return "".join(chance.choice("\0\x1e²٣,:|[]{}\"'") if chance.random() < 0.02 else one for one in text)
    return "".join(lines)


def damage(bundle: RawBundle, seed: int) -> RawBundle:
    chance = random.Random(seed)
    sources = {
        name: source.model_copy(
            update={"stdout": damaged(source.stdout, chance), "exit_code": chance.choice((0, 0, None, 1))}
        )
        for name, source in bundle.sources.items()
    }
    return bundle.model_copy(update={"sources": sources})


def test_what_this_machine_says_may_be_damaged() -> None:
    bundle = here()
    for seed in range(60):
        assert parse(damage(bundle, seed)).host == "here"


def test_recorded_machines_may_be_damaged(machines: Path) -> None:
    for bundle in load(machines):
        small = {name: source for name, source in bundle.sources.items() if len(source.stdout) < 30_000}
        for seed in range(6):
            parse(damage(bundle.model_copy(update={"sources": small}), seed))


def mutated(value: Any, chance: random.Random) -> Any:
    """The same JSON with parts of another shape."""
    if chance.random() < 0.12:
        return chance.choice(SHAPES)
    if isinstance(value, dict):
        return {key: mutated(part, chance) for key, part in value.items() if chance.random() < 0.95}
    if isinstance(value, list):
        return [mutated(part, chance) for part in value]
    return value


JSON = {
    "lsblk-json": {
        "blockdevices": [
            {"name": "sda", "type": "disk", "size": 1, "rota": True, "model": "m", "mountpoint": "/",
             "children": [{"name": "sda1", "mountpoint": "/x"}]},
        ]
    },
    "ip-addr-json": [
        {"ifname": "e0", "flags": ["UP"], "operstate": "UP", "link_type": "ether", "address": "02:00:00:00:00:01",
         "linkinfo": {"info_kind": "veth"}, "addr_info": [{"local": "192.0.2.1", "prefixlen": 24}]},
    ],
    "ip-route-json": [{"dst": "default", "dev": "e0"}],
}  # fmt: skip


@pytest.mark.parametrize("name", JSON)
def test_json_of_another_shape(name: str) -> None:
    for seed in range(300):
        text = json.dumps(mutated(JSON[name], random.Random(seed)))
        parse(RawBundle(host="s1", gathered_at=0, sources={name: Source(stdout=text, exit_code=0)}))


def test_numbers_beyond_reason() -> None:
    sources = {
        "meminfo": "MemTotal: " + "9" * 5000 + " kB\n",
        "nproc": "9" * 5000,
        "uptime": "9" * 5000,
        "sys-net": "e0|m|up|1|" + "9" * 5000 + "|\n",
        "sys-pci": "0000:01:00.0|0x030000|0x10de|0x1|x|" + "9" * 5000 + "\n",
        "lspci": "IOMMU group " + "9" * 5000 + " 01:00.0 VGA compatible controller [0300]: X [10de:0001]\n",
        "iommu-groups": "IOMMU group " + "9" * 5000 + " 01:00.0 VGA compatible controller [0300]: X [10de:0001]\n",
        "df": "Filesystem 1-blocks Used Available Capacity Mounted on\n/dev/a " + "9" * 5000 + " 1 1 1% /\n",
    }
    parse(RawBundle(host="s1", gathered_at=0, sources={name: Source(stdout=text) for name, text in sources.items()}))
