"""Writes the composed machines: `make machines`."""

from __future__ import annotations

import sys
from pathlib import Path

from homewright.discovery import machines

from .catalogue import EVERY, Composed
from .writing import bundle


def described(machine: Composed) -> str:
    """machine.yaml."""

    def folded(text: str) -> str:
        return ">-\n" + "\n".join(f"  {line}" for line in _wrapped(text)) + "\n"

    text = f"version: 1\ntitle: {_quoted(machine.title)}\nkind: [{', '.join(machine.kind)}]\norigin: composed\n"
    text += f"how: {folded(machine.how)}"
    text += "sources:\n" + "".join(f"  - {source}\n" for source in machine.sources)
    if machine.broken:
        text += "broken:\n" + "".join(f"  - {_quoted(one)}\n" for one in machine.broken)
    if machine.unreachable:
        text += "unreachable:\n" + "".join(
            f"  {name}: {_quoted(why)}\n" for name, (_, why) in machine.unreachable.items()
        )
    return text


def site(machine: Composed) -> str:
    """site.yaml."""
    text = f"version: 1\nname: {machine.name}\nservers:\n"
    addresses = {
        host.name: next(one for nic in host.nics for one in nic.addresses if nic.gateway) for host in machine.hosts
    }
    for host in machine.hosts:
        address = addresses[host.name].partition("/")[0]
        text += f"  - name: {host.name}\n    address: {address}\n    user: {host.user}\n"
    for name, (address, _) in machine.unreachable.items():
        text += f"  - name: {name}\n    address: {address}\n    user: ann\n"
    return text + machine.settings


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > 114:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def write(folder: Path, wanted: list[str]) -> None:
    for machine in EVERY:
        if wanted and machine.name not in wanted:
            continue
        place = folder / machine.name
        place.mkdir(parents=True, exist_ok=True)
        (place / machines.DESCRIPTION).write_text(described(machine), encoding="utf-8")
        (place / machines.SITE).write_text(site(machine), encoding="utf-8")
        for host in machine.hosts:
            made = bundle(host)
            (place / f"{made.host}.json").write_text(made.model_dump_json(indent=1), encoding="utf-8")


if __name__ == "__main__":
    write(machines.folder(), sys.argv[1:])
