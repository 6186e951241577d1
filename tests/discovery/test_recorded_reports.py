"""Every recorded machine: what it printed, in whatever layout, and the facts that this gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from homewright.discovery import RawBundle, parse
from homewright.discovery.bundle import load, of_texts
from homewright.discovery.facts import HostFacts

GIB = 1024**3


def gib(value: int | None) -> float | None:
    return None if value is None else round(value / GIB, 2)


def told(facts: HostFacts) -> dict[str, Any]:
    """What a machine tells, short; what it does not tell is left out."""
    system, cpu, kernel = facts.system, facts.cpu, facts.kernel
    shown = {
        "os": system.os_name,
        "kernel": system.kernel,
        "architecture": system.architecture,
        "product": system.product,
        "chassis": system.chassis,
        "virtual": "" if system.virtualization == "unknown" else system.virtualization,
        "desktop": system.desktop,
        "secure boot": system.secure_boot,
        "cpu": (cpu.model, cpu.sockets, cpu.cores, cpu.threads) if cpu.model or cpu.threads else None,
        "flag": kernel.virtualization_flag,
        "memory": gib(facts.memory.total),
        "swap": gib(facts.memory.swap),
        "disks": [(disk.name, disk.kind, gib(disk.size), disk.mounts) for disk in facts.disks],
        "root": next((gib(one.free) for one in facts.file_systems if one.mount == "/"), None),
        "nics": [(nic.name, nic.kind, nic.up, nic.driver, nic.pci_address) for nic in facts.nics],
        "way out": [(nic.name, nic.gateway, nic.dhcp) for nic in facts.nics if nic.default_route],
        "pci": len(facts.pci),
        "groups": len({one.iommu_group for one in facts.pci if one.iommu_group is not None}),
        "gpus": [(gpu.driver, gpu.device_id, gpu.displays, gpu.mig, gpu.processes) for gpu in facts.gpus],
        "iommu": kernel.iommu,
        "option": [word for word in kernel.cmdline if "iommu" in word],
    }
    return {name: value for name, value in shown.items() if value is False or value not in (None, "", [], 0)}


MACHINES: dict[str, dict[str, Any]] = {
    "a100-pcie-mig-seven-slices": {
        "gpus": [("nvidia", "", False, True, 0)],
    },
    "cloud-vm-tesla-t4-smi-xml": {
        "gpus": [("nvidia", "", False, None, 2)],
    },
    "dell-two-tesla-p100-matrox": {
        "pci": 201,
        "gpus": [("nvidia", "", False, None, 0), ("mgag200", "", None, None, None), ("nvidia", "", False, None, 0)],
    },
    "dual-xeon-e5-three-geforce-aspeed": {
        "pci": 148,
        "groups": 53,
        "gpus": [
            (None, "10de:1b81", None, None, None),
            (None, "10de:1184", None, None, None),
            (None, "1a03:2000", None, None, None),
            (None, "10de:13c2", None, None, None),
        ],
        "iommu": True,
    },
    "epyc-genoa-two-h100-aspeed-rocky9": {
        "kernel": "5.14.0-570.23.1.el9_6.x86_64",
        "architecture": "x86_64",
        "product": "Supermicro AS -4125GS-TNRT/H13DSG-O-CPU",
        "secure boot": False,
        "cpu": ("AMD EPYC 9654 96-Core Processor", None, None, 384),
        "memory": 1510.7,
        "pci": 149,
        "groups": 81,
        "gpus": [(None, "", None, None, None), (None, "", None, None, None), (None, "", None, None, None)],
        "iommu": True,
    },
    "grace-blackwell-gb200-arm64": {
        "pci": 87,
        "gpus": [
            (None, "", None, None, None),
            (None, "10de:2941", None, None, None),
            (None, "10de:2941", None, None, None),
            (None, "10de:2941", None, None, None),
            (None, "10de:2941", None, None, None),
        ],
    },
    "hp-pavilion-ryzen-gtx1650-comma-decimals": {
        "os": "Deepin 20 Beta",
        "kernel": "5.3.0-3-amd64",
        "architecture": "x86_64",
        "product": "HP Pavilion Gaming Laptop 15-ec0xxx",
        "chassis": "laptop",
        "virtual": "none",
        "desktop": True,
        "cpu": ("AMD Ryzen 7 3750H with Radeon Vega Mobile Gfx", 1, 4, 8),
        "flag": "svm",
        "memory": 5.79,
        "disks": [("nvme0n1", "nvme", 476.94, ("/",))],
        "root": 23.34,
        "nics": [
            ("wlo1", "wifi", True, "rtw_pci", "0000:03:00.0"),
            ("eno1", "ethernet", False, "r8169", "0000:04:00.0"),
        ],
        "pci": 30,
        "gpus": [("nouveau", "10de:1f91", None, None, None), ("amdgpu", "1002:15d8", None, None, None)],
    },
    "intel-b760-desktop-single-rtx3050": {
        "os": "Linux Mint 22.1 Xia",
        "kernel": "6.8.0-55-generic",
        "architecture": "x86_64",
        "product": "ASRock B760M Pro RS",
        "chassis": "desktop",
        "virtual": "none",
        "desktop": True,
        "cpu": ("12th Gen Intel Core i5-12400F", 1, 6, 12),
        "flag": "vmx",
        "memory": 62.51,
        "swap": 2.0,
        "disks": [("nvme0n1", "nvme", 465.76, ("/", "/boot/efi"))],
        "root": 219.53,
        "nics": [
            ("wlp0s20f3", "wifi", False, "iwlwifi", "0000:00:14.3"),
            ("enp3s0", "ethernet", True, "r8169", "0000:03:00.0"),
        ],
        "pci": 21,
        "gpus": [("nvidia", "10de:2507", True, None, 7)],
    },
    "intel-n100-som-no-device-names": {
        "kernel": "5.15.0-91-generic",
        "architecture": "x86_64",
        "product": "ADL-N",
        "chassis": "desktop",
        "cpu": ("Intel(R) N100", 1, 4, 4),
        "flag": "vmx",
        "memory": 8.0,
        "disks": [("mmcblk0", "ssd", 58.2, ("/boot/efi", "/"))],
        "nics": [("enp1s0", "ethernet", True, "r8169", "0000:01:00.0")],
        "pci": 19,
        "gpus": [(None, "8086:46d1", None, None, None)],
    },
    "intel-z370-desktop-gpu-with-root-port": {
        "os": "Linux Mint 22.1 Xia",
        "kernel": "6.8.0-55-generic",
        "architecture": "x86_64",
        "product": "ASRock Z370M-ITX/ac",
        "chassis": "desktop",
        "virtual": "none",
        "desktop": True,
        "cpu": ("Intel Core i5-9400", 1, 6, 6),
        "flag": "vmx",
        "memory": 31.27,
        "swap": 2.0,
        "disks": [("nvme0n1", "nvme", 465.76, ("/", "/boot/efi"))],
        "root": 400.98,
        "nics": [
            ("eno1", "ethernet", True, "e1000e", "0000:00:1f.6"),
            ("enp3s0", "ethernet", False, "igb", "0000:03:00.0"),
            ("wlp4s0", "wifi", True, "iwlwifi", "0000:04:00.0"),
        ],
        "pci": 21,
        "groups": 15,
        "gpus": [(None, "8086:3e92", None, None, None), ("nvidia", "10de:2584", True, None, 4)],
        "iommu": True,
    },
    "jetson-agx-orin-in-container": {
        "kernel": "5.15.148-tegra",
        "architecture": "aarch64",
        "cpu": ("Cortex-A78AE", None, 12, 12),
        "memory": 29.0,
        "swap": 15.0,
        "root": 815.0,
    },
    "kvm-guest-q35-nvidia-a10": {
        "pci": 20,
        "gpus": [(None, "1af4:1050", None, None, None), (None, "10de:2236", None, None, None)],
    },
    "kvm-guest-two-nics-probe-json": {
        "disks": [("vda", "unknown", 0.0, ()), ("vdb", "unknown", 12.0, ())],
        "nics": [
            ("ens3", "ethernet", True, "virtio_net", "0000:00:03.0"),
            ("ens4", "ethernet", False, "virtio_net", "0000:00:04.0"),
            ("lo", "loopback", True, "", ""),
        ],
        "way out": [("ens3", "", True)],
    },
    "laptop-ivy-bridge-quadro-k2000m": {
        "pci": 19,
        "groups": 15,
        "gpus": [(None, "8086:0166", None, None, None), (None, "10de:0ffb", None, None, None)],
        "iommu": True,
    },
    "laptop-msi-gf72-gtx1060-no-audio-function": {
        "product": "GF72 8RE (179E.1)",
        "cpu": ("Intel(R) Core(TM) i7-8750H CPU @ 2.20GHz", None, None, None),
        "memory": 8.0,
        "disks": [("sdb", "unknown", 114.55, ()), ("sdc", "unknown", 59.6, ()), ("sda", "unknown", 931.32, ())],
        "nics": [
            ("wlo1", "wifi", False, "", ""),
            ("enp2s0", "ethernet", False, "", ""),
            ("tap0", "virtual", False, "", ""),
            ("virbr0", "bridge", False, "", ""),
            ("virbr0-nic", "bridge", False, "", ""),
        ],
        "pci": 17,
        "groups": 11,
        "gpus": [(None, "8086:3e9b", None, None, None), (None, "10de:1c20", None, None, None)],
        "iommu": True,
    },
    "proxmox-laptop-usb-nic-ip-addr": {
        "nics": [
            ("lo", "loopback", True, "", ""),
            ("enx020000000001", "ethernet", True, "", ""),
            ("wlp0s20f3", "wifi", False, "", ""),
            ("vmbr0", "bridge", True, "", ""),
        ],
    },
    "proxmox-ryzen-5700u-minipc-acs-override-no-nvidia": {
        "kernel": "6.5.13-1-pve",
        "architecture": "x86_64",
        "cpu": ("AMD Ryzen 7 5700U with Radeon Graphics", None, None, 16),
        "memory": 30.62,
        "pci": 35,
        "groups": 25,
        "gpus": [(None, "1002:164c", None, None, None)],
        "iommu": True,
        "option": ["amd_iommu=on", "iommu=pt"],
    },
    "proxmox-supermicro-c242-aspeed-no-nvidia": {
        "kernel": "6.5.11-8-pve",
        "product": "Supermicro Super Server",
        "chassis": "server",
        "cpu": ("Intel(R) Core(TM) i3-8100 CPU @ 3.60GHz", 1, 4, 4),
        "memory": 64.0,
        "disks": [("nvme0n1", "nvme", 465.8, ("/boot/efi", "/"))],
        "pci": 27,
        "groups": 19,
        "gpus": [("ast", "1a03:2000", None, None, None)],
        "iommu": True,
        "option": ["intel_iommu=on", "iommu=pt"],
    },
    "raspberry-pi-5-in-container": {
        "kernel": "6.6.51+rpt-rpi-2712",
        "architecture": "aarch64",
        "cpu": ("Cortex-A76", None, 4, 4),
        "root": 104.0,
    },
    "ryzen-5900x-single-rtx3090-in-container": {
        "kernel": "6.8.0-57-generic",
        "architecture": "x86_64",
        "cpu": ("AMD Ryzen 9 5900X 12-Core Processor", 1, 12, 24),
        "flag": "svm",
        "memory": 62.0,
        "swap": 2.0,
        "root": 646.0,
        "gpus": [("nvidia", "", True, None, 0)],
    },
    "ryzen-b350-gpu-shares-group-with-nic": {
        "pci": 38,
        "groups": 20,
        "gpus": [(None, "10de:128b", None, None, None), (None, "1002:67b1", None, None, None)],
        "iommu": True,
    },
    "ryzen-b550-gt710-shares-group-with-nic": {
        "pci": 38,
        "groups": 20,
        "gpus": [(None, "10de:128b", None, None, None), (None, "10de:1e84", None, None, None)],
        "iommu": True,
    },
    "ryzen-x570-gt710-and-rx580-dmesg": {
        "pci": 47,
        "groups": 32,
        "gpus": [(None, "10de:128b", None, None, None), (None, "1002:67df", None, None, None)],
        "iommu": True,
    },
    "ryzen-x570-gtx1080-acs-override": {
        "pci": 52,
        "groups": 44,
        "gpus": [(None, "1002:67df", None, None, None), (None, "10de:1b80", None, None, None)],
        "iommu": True,
    },
    "ryzen-x670-two-identical-rtx4090": {
        "pci": 2,
        "groups": 2,
        "gpus": [("nvidia", "", False, None, 5), ("nvidia", "", False, None, 5)],
        "iommu": True,
    },
    "supermicro-arm64-server-aspeed-inxi": {
        "os": "NixOS 25.11 (Xantusia)",
        "kernel": "6.12.66",
        "architecture": "aarch64",
        "product": "Supermicro ARS-211M-NR",
        "cpu": ("", 1, 192, 192),
        "memory": 502.24,
        "disks": [("nvme0n1", "nvme", 3573.76, ())],
        "root": 1833.35,
        "nics": [
            ("eno1np0", "ethernet", False, "bnxt_en", "0003:02:00.0"),
            ("br-dba150ad8df7", "bridge", False, "", ""),
            ("docker0", "bridge", False, "", ""),
            ("eno2np1", "ethernet", True, "", ""),
            ("enP3s1u3u4u1c2", "ethernet", False, "", ""),
            ("tinc.retiolum", "other", False, "", ""),
        ],
        "pci": 3,
        "gpus": [("ast", "1a03:2000", True, None, None)],
    },
    "thinkpad-p52-hybrid-quadro-p1000": {
        "os": "Linux Mint 22.3 Zena",
        "kernel": "6.14.0-37-generic",
        "architecture": "x86_64",
        "product": "LENOVO 20M9CTO1WW",
        "chassis": "laptop",
        "virtual": "none",
        "desktop": True,
        "cpu": ("Intel Core i7-8750H", 1, 6, 12),
        "flag": "vmx",
        "memory": 30.99,
        "swap": 2.0,
        "disks": [("nvme0n1", "nvme", 931.51, ("/", "/boot/efi")), ("sda", "ssd", 931.51, ())],
        "root": 607.24,
        "nics": [
            ("enp0s31f6", "ethernet", False, "e1000e", "0000:00:1f.6"),
            ("wlp111s0", "wifi", True, "iwlwifi", "0000:6f:00.0"),
        ],
        "pci": 26,
        "gpus": [("i915", "8086:3e9b", True, None, None), ("nvidia", "10de:1cbb", False, None, 7)],
    },
    "virtualbox-guest-docker-ip-addr": {
        "nics": [
            ("lo", "loopback", True, "", ""),
            ("eth0", "ethernet", True, "", ""),
            ("eth1", "ethernet", True, "", ""),
            ("docker0", "bridge", False, "", ""),
            ("br-c61eeada0e35", "bridge", True, "", ""),
            ("vethde08214", "virtual", True, "", ""),
        ],
        "way out": [("eth0", "10.0.2.2", True)],
    },
    "xen-hvm-aws-g2-grid-k520": {
        "product": "Xen HVM domU",
        "chassis": "vm",
        "virtual": "xen",
        "memory": 15.0,
        "pci": 7,
        "gpus": [("cirrus", "", None, None, None), ("nvidia", "", None, None, None)],
    },
}


@pytest.mark.parametrize(
    ("recorded_machine", "expected"), MACHINES.items(), indirect=["recorded_machine"], ids=list(MACHINES)
)
def test_what_a_recorded_machine_tells(recorded_machine: RawBundle, expected: dict[str, Any]) -> None:
    assert told(parse(recorded_machine)) == expected


def test_every_machine_of_the_folder_is_in_the_table(machines: Path) -> None:
    assert {bundle.host for bundle in load(machines)} == set(MACHINES)


def test_every_group_that_a_listing_names_is_found(machines: Path) -> None:
    for file in sorted(machines.glob("*/iommu-groups.txt")):
        named = {int(number) for number in re.findall(r"(?i)iommu group (\d+)", file.read_text(errors="replace"))}
        found = parse(of_texts(file.parent)).pci
        assert {one.iommu_group for one in found if one.iommu_group is not None} == named, file
