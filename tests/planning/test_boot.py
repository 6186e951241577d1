"""What reserving GPUs changes in how a server starts, file by file."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from homewright.discovery.facts import HostFacts
from homewright.planning.boot import DRACUT, GRUB, HOOK, LOADER, MODPROBE, MODULES, SCRIPT, kernel_arguments, preview

from .composed import NVIDIA, card, function, gpu, host, site

RESERVED = site(1, gpus=[{"host": "s1", "address": NVIDIA, "use": "passthrough"}])


def of(one: HostFacts) -> dict[str, str]:
    return {change.path: change.after or "" for change in preview(RESERVED, {"s1": one}, "s1").files}


@pytest.mark.parametrize(
    ("kernel", "system", "vendor", "wanted"),
    [
        ({"virtualization_flag": "vmx"}, {}, "GenuineIntel", ("intel_iommu=on", "iommu=pt")),
        ({"virtualization_flag": "svm"}, {}, "AuthenticAMD", ("iommu=pt",)),
        ({"virtualization_flag": None}, {}, "GenuineIntel", ("intel_iommu=on", "iommu=pt")),
        ({"cmdline": ("quiet", "intel_iommu=on")}, {}, "GenuineIntel", ("iommu=pt",)),
        ({"virtualization_flag": None}, {"architecture": "aarch64"}, "ARM", ("iommu.passthrough=1",)),
    ],
)
def test_the_kernels_arguments(kernel: dict[str, Any], system: dict[str, Any], vendor: str, wanted: Any) -> None:
    one = host(kernel=kernel, system=system)
    assert kernel_arguments(one.model_copy(update={"cpu": one.cpu.model_copy(update={"vendor": vendor})})) == wanted


def test_an_ubuntu_with_initramfs_tools() -> None:
    one = host(gpus=[gpu()], pci=card(), kernel={"cmdline": ("quiet", "splash")})
    found = preview(RESERVED, {"s1": one}, "s1")
    assert (found.gpus, found.kernel_before, found.kernel_added) == (
        (NVIDIA,),
        "quiet splash",
        ("intel_iommu=on", "iommu=pt"),
    )
    assert found.commands == ("update-grub", "update-initramfs -u -k all")
    assert found.reboot and not found.packages
    files = of(one)
    assert set(files) == {GRUB, SCRIPT, HOOK, MODULES}
    assert files[GRUB].endswith('GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT intel_iommu=on iommu=pt"\n')
    assert all(change.before is None for change in found.files)


@pytest.mark.parametrize(
    ("system", "version", "dracut"),
    [("ubuntu", "24.04", False), ("ubuntu", "25.10", True), ("ubuntu", "26.04", True), ("debian", "13", False)],
)
def test_which_program_makes_the_initial_file_system(system: str, version: str, dracut: bool) -> None:
    one = host(gpus=[gpu()], pci=card(), system={"os_id": system, "os_version": version})
    files = of(one)
    assert ({DRACUT, MODPROBE, LOADER} <= set(files)) is dracut and (SCRIPT in files) is not dracut
    commands = preview(RESERVED, {"s1": one}, "s1").commands
    assert commands[-1] == ("dracut --regenerate-all --force" if dracut else "update-initramfs -u -k all")


def test_cards_are_bound_by_slot_and_only_the_chosen_of_two_identical_ones() -> None:
    one = host(gpus=[gpu(), gpu("0000:02:00.0", 2)], pci=[*card(), *card("0000:02:00.0", 2)])
    text = of(one)[SCRIPT]
    assert "0000:01:00.0 0000:01:00.1" in text and "0000:02:00" not in text and "10de" not in "".join(of(one).values())


def test_every_function_of_its_groups_is_bound_and_no_root_port() -> None:
    pci = [function("0000:00:01.0", "0604", 1), *card(), function("0000:01:00.2", "0c03", 5)]
    text = of(host(gpus=[gpu()], pci=pci))[SCRIPT]
    assert "0000:01:00.0 0000:01:00.1 0000:01:00.2" in text and "0000:00:01.0" not in text


def test_without_groups_the_slot_is_bound() -> None:
    text = of(host(gpus=[gpu(group=None)], pci=card(group=None)))[SCRIPT]
    assert "0000:01:00.0 0000:01:00.1" in text


@pytest.mark.parametrize("version", ["24.04", "26.04"])
def test_the_scripts_are_shell(version: str) -> None:
    scripts = list(of(host(gpus=[gpu()], pci=card(), system={"os_version": version})).values())
    shell = [text for text in scripts if text.startswith("#!/bin/sh")]
    assert shell
    for text in shell:
        assert subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True).stderr == ""


def test_what_is_reserved_already_needs_no_restart() -> None:
    bound = [f.model_copy(update={"driver": "vfio-pci"}) for f in card()]
    one = host(gpus=[gpu()], pci=bound, kernel={"cmdline": ("intel_iommu=on", "iommu=pt")})
    found = preview(RESERVED, {"s1": one}, "s1")
    assert not found.reboot and not found.kernel_added and "already" in found.why


def test_without_a_reserved_gpu_or_facts_nothing_changes() -> None:
    for given, known in ((site(1), {"s1": host()}), (RESERVED, {})):
        found = preview(given, known, "s1")
        assert (found.files, found.commands, found.reboot) == ((), (), False) and found.why
    with pytest.raises(KeyError):
        preview(site(1), {}, "s9")
