"""From a raw bundle to the facts of a host. Pure: what was not there to read is listed, never guessed."""

from __future__ import annotations

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import HostFacts
from homewright.discovery.gaps import missing
from homewright.discovery.parsers import (
    clock,
    gpu,
    kernel,
    listeners,
    names,
    network,
    nvidia,
    pci,
    processor,
    reports,
    software,
    storage,
    system,
)
from homewright.discovery.plausible import plausible


def parse(bundle: RawBundle) -> HostFacts:
    """The facts in a bundle. Never raises: text that is not understood counts as missing, with the reason."""
    report = reports.read(bundle)
    functions = pci.parse(bundle, report.pci if report else ())
    smi = nvidia.listed(bundle)
    running = kernel.parse(bundle, functions)
    programs = software.parse(bundle)
    facts = HostFacts(
        host=bundle.host,
        gathered_at=bundle.gathered_at,
        system=system.parse(bundle),
        cpu=processor.parse_cpu(bundle),
        memory=processor.parse_memory(bundle),
        disks=storage.parse_disks(bundle),
        file_systems=storage.parse_file_systems(bundle),
        nics=network.parse(bundle),
        pci=functions,
        gpus=gpu.parse(functions, smi, bundle, running.xid or ()),
        kernel=running,
        software=programs,
        clock=clock.parse(bundle, programs.services),
        names=names.parse(bundle),
        listeners=listeners.parse(bundle),
    )
    if report is not None:
        facts = reports.completed(facts, report)
    facts = plausible(facts)
    return facts.model_copy(update={"missing": tuple(missing(bundle, facts, smi))})
