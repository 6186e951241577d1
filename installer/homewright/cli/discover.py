"""`homewright discover`: facts of every server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli.output import Output
from homewright.errors import HomewrightError, StateError, UsageError

if TYPE_CHECKING:
    from homewright.discovery.bundle import RawBundle
    from homewright.discovery.facts import Clock, Gpu, HostFacts, Nic, Software

GIB = 1024**3
NOT_ASKED = "was not asked"
"""As discovery.gaps has it, which is not imported for a program that only asks for help."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", nargs="*", help="servers of the site (all of them by default)")
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--save", metavar="DIR", type=Path, help="keep what each server literally said, one file a server"
    )
    group.add_argument(
        "--from", dest="source", metavar="DIR|NAME", help="read recorded machines (or shipped ones), contact nobody"
    )


def run(args: argparse.Namespace, output: Output) -> int:
    outcomes = _ask(args, output) if args.source is None else dict(_read(args.source, args.host))
    from homewright.discovery.facts import FactsDocument, Failure, HostFacts

    facts = [outcome for outcome in outcomes.values() if isinstance(outcome, HostFacts)]
    for one in facts if not output.json else ():
        _show(one, output)
    failures = [
        Failure(host=name, code=outcome.code, what=outcome.what, why=outcome.why, do=outcome.do)
        for name, outcome in outcomes.items()
        if isinstance(outcome, HomewrightError)
    ]
    output.document(FactsDocument(hosts=tuple(facts), failures=tuple(failures)))
    return max((outcome.exit_code for outcome in outcomes.values() if isinstance(outcome, HomewrightError)), default=0)


def _read(source: str, hosts: list[str]) -> dict[str, HostFacts]:
    """Recorded machines of a folder, or shipped ones by name (as in a rehearsal, a folder of that name is ./NAME).

    Where hosts are named, those alone. Raises UsageError, SiteError.
    """
    from homewright.discovery import bundle as bundles
    from homewright.discovery import machines
    from homewright.discovery.parsing import parse

    folder = Path(source).expanduser()
    shipped = "/" not in source and source in machines.names()
    if not shipped and not folder.exists():
        raise UsageError(
            f"There is nothing recorded under {source}.",
            "It is neither a folder nor the name of recorded machines that travel with Homewright.",
            ["name a folder that `homewright discover --save` wrote", f"or one of: {', '.join(machines.names())}"],
        )
    try:
        found = machines.load(source).facts() if shipped else {one.host: parse(one) for one in bundles.load(folder)}
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

    file = site_file(args.site)
    site = files.load(file)
    names = [server.name for server in chosen(site, args.host)]
    state = StateFolder.of(site.name, args.state, file).create()
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
    """The facts of one host, terse: one line a thing, what is not known last."""
    system, cpu, memory, kernel = facts.system, facts.cpu, facts.memory, facts.kernel
    output.line(facts.host)

    def show(title: str, *parts: str) -> None:
        text = " · ".join(part for part in parts if part)
        if text:
            output.line(f"  {title:<8} {text}")

    show("system", system.os_name or "?", f"kernel {system.kernel or '?'}", system.architecture or "?")
    show("machine", system.product, system.chassis, _yes(system.desktop, "desktop session"))
    show(
        "runs on",
        _virtualization(system.virtualization),
        "/dev/kvm" if system.kvm else "",
        {True: "IOMMU on", False: "IOMMU off", None: ""}[kernel.iommu],
        {True: "Secure Boot on", False: "Secure Boot off", None: ""}[system.secure_boot],
    )
    show("cpu", cpu.model or "?", f"{_number(cpu.cores)} cores", f"{_number(cpu.threads)} threads")
    swap = f"swap {_gib(memory.swap)}" if memory.swap else ""
    show("memory", _gib(memory.total), f"available {_gib(memory.available)}", swap)
    for disk in facts.disks:
        show("disk", disk.name, _gib(disk.size), disk.kind, disk.model, " ".join(disk.mounts))
    for one in facts.file_systems:
        show("storage", one.mount, f"{_gib(one.free)} free of {_gib(one.size)}", one.kind)
    for nic in facts.nics:
        if nic.kind != "loopback":
            show("network", *_nic(nic))
    for gpu in facts.gpus:
        show("gpu", *_gpu(gpu))
    show("clock", *_clock(facts.clock))
    show("names", " ".join(facts.names.resolvers), _yes(facts.names.wildcard, "any name resolves"))
    show("software", *_software(facts.software))
    ports = sorted({(one.port, one.protocol) for one in facts.listeners or () if not one.address.startswith("127.")})
    show("ports", " ".join(f"{port}/{protocol}" for port, protocol in ports))
    for name, value in system.proxies.items():
        show("proxy", f"{name} {value}")
    unasked = [gap.source for gap in facts.missing if gap.reason == NOT_ASKED]
    for gap in facts.missing:
        if gap.reason != NOT_ASKED:
            show("unknown", f"{gap.source}: {gap.reason}")
    show("unasked", ", ".join(unasked))


def _nic(nic: Nic) -> list[str]:
    speed = f"{nic.speed_mbps} Mb/s" if nic.speed_mbps else ""
    route = "default route" if nic.default_route else ""
    lease = "DHCP" if nic.dhcp else ""
    return [nic.name, nic.kind, "up" if nic.up else "down", speed, " ".join(nic.addresses), lease, route]


def _gpu(gpu: Gpu) -> list[str]:
    group = f"IOMMU group {'unknown' if gpu.iommu_group is None else gpu.iommu_group}"
    version = f"driver {gpu.driver_version}" if gpu.driver_version else ""
    memory = _gib(gpu.memory) if gpu.memory else ""
    screen = _yes(gpu.displays or gpu.boot_display, "screen")
    return [gpu.address, gpu.name or gpu.vendor, memory, group, gpu.driver or "", version, screen,
            _yes(gpu.mig, "MIG"), gpu.error]  # fmt: skip


def _clock(clock: Clock) -> list[str]:
    if clock.offset_s is None:
        return [clock.service]
    state = {True: "synchronised", False: "not synchronised", None: ""}[clock.synchronised]
    return [f"{clock.offset_s:+.2f} s from ours (±{clock.uncertainty_s or 0:.2f} s)", state, clock.service]


def _software(software: Software) -> list[str]:
    return [
        f"snapd {software.snapd}" if software.snapd else "",
        f"LXD {software.lxd}" if software.lxd else "",
        f"MicroK8s {software.microk8s}" if software.microk8s else "",
        f"ZeroTier {software.zerotier}" if software.zerotier else "",
        _yes(software.docker, "Docker"),
        _yes(software.ufw, "ufw on"),
        "forwarding dropped" if software.forward_policy == "drop" else "",
        "packages locked" if software.package_locks else "",
        _yes(software.packages_broken, "packages half installed"),
    ]


def _virtualization(name: str) -> str:
    return {"none": "bare metal", "unknown": "bare metal or a guest: unknown"}.get(name, name)


def _yes(value: bool | None, text: str) -> str:
    return text if value else ""


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)


def _gib(value: int | None) -> str:
    return "?" if value is None else f"{value / GIB:.1f} GiB"
