"""All hardware reports of a bundle put together, and how they fill what better sources left open."""

from __future__ import annotations

from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import HostFacts
from homewright.discovery.parsers import bootlog, dmi, installer, inxi, lshw
from homewright.discovery.parsers.report import Report, filled, merged


def read(bundle: RawBundle) -> Report | None:
    """What the reports in a bundle tell, the best first; None where it has none."""
    found = [inxi.parse(bundle.text(name)) for name in bundle.all("inxi")]
    for name in bundle.all("lshw"):
        text = bundle.text(name)
        found += [lshw.tree(text), lshw.short(text), lshw.business(text)]
    found += [installer.parse(bundle.text(name)) for name in ("probe",) if name in bundle.sources]
    found += [dmi.parse(bundle.text(name)) for name in bundle.all("dmidecode")]
    found += [bootlog.parse(bundle.text(name)) for name in bundle.all("dmesg")]
    return merged(found) if found else None


def completed(facts: HostFacts, report: Report) -> HostFacts:
    """The facts, with what they lack taken from the reports. PCI functions are merged where they are parsed."""
    system, kernel = facts.system, facts.kernel
    cmdline = kernel.cmdline or report.cmdline
    told = {
        "os_name": report.os_name,
        "kernel": report.kernel or _booted(cmdline),
        "architecture": report.architecture,
        "hostname": report.hostname,
        "product": report.product,
        "chassis": report.chassis,
        "desktop": report.desktop,
        "secure_boot": report.secure_boot,
    }
    update = {name: value for name, value in told.items() if getattr(system, name) in (None, "")}
    if system.virtualization == "unknown" and report.virtualization:
        update["virtualization"] = report.virtualization
    return facts.model_copy(
        update={
            "system": system.model_copy(update=update),
            "cpu": filled(facts.cpu, report.cpu),
            "memory": filled(facts.memory, report.memory),
            "disks": facts.disks or report.disks,
            "file_systems": facts.file_systems or report.file_systems,
            "nics": facts.nics or report.nics,
            "kernel": kernel.model_copy(
                update={
                    "cmdline": cmdline,
                    "swaps": kernel.swaps or report.swaps,
                    "virtualization_flag": report.flag
                    if kernel.virtualization_flag is None
                    else kernel.virtualization_flag,
                }
            ),
            "gpus": tuple(
                gpu.model_copy(update={"displays": report.displays.get(gpu.address)}) if gpu.displays is None else gpu
                for gpu in facts.gpus
            ),
        }
    )


def _booted(cmdline: tuple[str, ...]) -> str:
    """The version in the name of the kernel that the boot loader has loaded: BOOT_IMAGE=/vmlinuz-6.8.0-49-generic."""
    image = next((word for word in cmdline if word.startswith("BOOT_IMAGE=")), "")
    name = image.rsplit("/", 1)[-1]
    return name.removeprefix("vmlinuz-") if name.startswith("vmlinuz-") and name[8:9].isdigit() else ""
