"""`homewright discover`: facts of every server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import HomewrightError, StateError, UsageError

if TYPE_CHECKING:
    from homewright.discovery.bundle import RawBundle
    from homewright.discovery.facts import HostFacts

GIB = 1024**3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", nargs="*", help="servers of the site (all of them by default)")
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--save", metavar="DIR", type=Path, help="keep what each server literally said, one file a server"
    )
    group.add_argument("--from", dest="source", metavar="DIR", type=Path, help="read recorded machines, contact nobody")


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.discovery.facts import FactsDocument, Failure, HostFacts

    outcomes = _ask(args, output) if args.source is None else dict(_read(args.source, args.host))
    facts = [outcome for outcome in outcomes.values() if isinstance(outcome, HostFacts)]
    for one in facts:
        _show(one, output)
    failures = [
        Failure(host=name, code=outcome.code, what=outcome.what, why=outcome.why, do=outcome.do)
        for name, outcome in outcomes.items()
        if isinstance(outcome, HomewrightError)
    ]
    output.document(FactsDocument(hosts=tuple(facts), failures=tuple(failures)))
    return max((outcome.exit_code for outcome in outcomes.values() if isinstance(outcome, HomewrightError)), default=0)


def _read(folder: Path, hosts: list[str]) -> dict[str, HostFacts]:
    """Recorded machines, those of these names where some are given. Raises UsageError."""
    from homewright.discovery import bundle as bundles
    from homewright.discovery.parsing import parse

    try:
        found = {one.host: parse(one) for one in bundles.load(folder)}
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be read.",
            f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.",
            ["name a folder that `homewright discover --save` wrote"],
        ) from error
    for host in hosts:
        if host not in found:
            raise UsageError(f"{folder} has no machine {host}.", "", [f"name one of: {', '.join(found)}"])
    return {name: facts for name, facts in found.items() if not hosts or name in hosts}


def _ask(args: argparse.Namespace, output: Output) -> dict[str, HostFacts | HomewrightError]:
    from homewright.cli.servers import chosen
    from homewright.discovery.gathering import gather
    from homewright.site import files
    from homewright.site.paths import StateFolder, site_file, write_atomically

    site = files.load(site_file(args.site))
    names = [server.name for server in chosen(site, args.host)]
    state = StateFolder.of(site.name, args.state).create()
    if args.save is not None:
        try:
            args.save.mkdir(parents=True, exist_ok=True)  # somebody's own folder: its mode is theirs
        except OSError as error:
            raise StateError(
                f"{args.save} cannot be made.", f"{error.strerror or error}.", ["name another folder"]
            ) from error

    def keep(bundle: RawBundle) -> None:
        if args.save is not None:
            write_atomically(args.save / f"{bundle.host}.json", bundle.model_dump_json(indent=1).encode())

    def tell(host: str, outcome: HostFacts | HomewrightError) -> None:
        if isinstance(outcome, HomewrightError):
            output.progress(outcome.as_text())
        else:
            output.progress(f"{host}: facts are here")

    return gather(site, state, names, tell, on_bundle=keep)


def _show(facts: HostFacts, output: Output) -> None:
    system, cpu, memory = facts.system, facts.cpu, facts.memory
    output.line(facts.host)
    output.line(f"  system   {system.os_name or '?'} · kernel {system.kernel or '?'} · {system.architecture or '?'}")
    output.line(f"  runs on  {_virtualization(system.virtualization)}{' · /dev/kvm' if system.kvm else ''}")
    output.line(f"  cpu      {cpu.model or '?'} · {_number(cpu.cores)} cores · {_number(cpu.threads)} threads")
    output.line(f"  memory   {_gib(memory.total)} · available {_gib(memory.available)}")
    for disk in facts.disks:
        output.line(f"  disk     {disk.name} · {_gib(disk.size)} · {disk.kind}{_tail(disk.model)}{_tail(*disk.mounts)}")
    for system_ in facts.file_systems:
        output.line(
            f"  storage  {system_.mount} · {_gib(system_.free)} free of {_gib(system_.size)}{_tail(system_.kind)}"
        )
    for nic in facts.nics:
        if nic.kind != "loopback":
            state = "up" if nic.up else "down"
            route = " · default route" if nic.default_route else ""
            output.line(f"  network  {nic.name} · {nic.kind} · {state}{_tail(*nic.addresses)}{route}")
    for gpu in facts.gpus:
        group = "unknown" if gpu.iommu_group is None else str(gpu.iommu_group)
        output.line(
            f"  gpu      {gpu.address} · {gpu.name or gpu.vendor} · IOMMU group {group}{_tail(gpu.driver or '')}"
        )
    for gap in facts.missing:
        output.line(f"  unknown  {gap.source}: {gap.reason}")


def _virtualization(name: str) -> str:
    return {"none": "bare metal", "unknown": "bare metal or a guest: unknown"}.get(name, name)


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)


def _gib(value: int | None) -> str:
    return "?" if value is None else f"{value / GIB:.1f} GiB"


def _tail(*parts: str) -> str:
    text = " ".join(part for part in parts if part)
    return f" · {text}" if text else ""
