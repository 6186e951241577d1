"""Every recorded machine whose commands we read, replayed: what people's machines really print."""

from __future__ import annotations

from pathlib import Path

import pytest

from homewright.discovery import RawBundle, parse
from homewright.discovery.bundle import load

GIB = 1024**3

GPUS: dict[str, list[tuple[str, str, str, int | None]]] = {
    "a100-pcie-mig-seven-slices": [("0000:61:00.0", "nvidia", "A100-PCIE-40GB", None)],
    "cloud-vm-tesla-t4-smi-xml": [("0000:00:1e.0", "nvidia", "Tesla T4", None)],
    "dell-two-tesla-p100-matrox": [
        ("0000:04:00.0", "nvidia", "Tesla P100", None),
        ("0000:0a:00.0", "other", "G200eR2", None),
        ("0000:82:00.0", "nvidia", "Tesla P100", None),
    ],
    "dual-xeon-e5-three-geforce-aspeed": [
        ("0000:04:00.0", "nvidia", "GTX 1070", 20),
        ("0000:05:00.0", "nvidia", "GTX 770", 21),
        ("0000:0a:00.0", "other", "ASPEED", 24),
        ("0000:82:00.0", "nvidia", "GTX 970", 41),
    ],
    "epyc-genoa-two-h100-aspeed-rocky9": [
        ("0000:62:00.0", "other", "ASPEED", 9),
        ("0000:c1:00.0", "nvidia", "H100L", 65),
        ("0000:e1:00.0", "nvidia", "H100L", 55),
    ],
    "grace-blackwell-gb200-arm64": [
        ("0005:07:00.0", "other", "ASPEED", None),
        *((f"{domain}:01:00.0", "nvidia", "Device 2941", None) for domain in ("0008", "0009", "0018", "0019")),
    ],
    "hp-pavilion-ryzen-gtx1650-comma-decimals": [
        ("0000:01:00.0", "nvidia", "Device 1f91", None),
        ("0000:05:00.0", "amd", "Device 15d8", None),
    ],
    "intel-b760-desktop-single-rtx3050": [("0000:01:00.0", "nvidia", "RTX 3050", None)],
    "intel-n100-som-no-device-names": [("0000:00:02.0", "intel", "Device 46d1", None)],
    "intel-z370-desktop-gpu-with-root-port": [
        ("0000:00:02.0", "intel", "UHD Graphics 630", 0),
        ("0000:01:00.0", "nvidia", "RTX 3050", 2),
    ],
    "jetson-agx-orin-in-container": [],
    "kvm-guest-q35-nvidia-a10": [
        ("0000:00:01.0", "other", "Virtio GPU", None),
        ("0000:06:00.0", "nvidia", "A10", None),
    ],
    "laptop-ivy-bridge-quadro-k2000m": [
        ("0000:00:02.0", "intel", "3rd Gen", 2),
        ("0000:01:00.0", "nvidia", "K2000M", 1),
    ],
    "laptop-msi-gf72-gtx1060-no-audio-function": [
        ("0000:00:02.0", "intel", "UHD Graphics 630", 2),
        ("0000:01:00.0", "nvidia", "GTX 1060", 1),
    ],
    "proxmox-ryzen-5700u-minipc-acs-override-no-nvidia": [("0000:05:00.0", "amd", "Lucienne", 15)],
    "proxmox-supermicro-c242-aspeed-no-nvidia": [("0000:06:00.0", "other", "ASPEED", 17)],
    "raspberry-pi-5-in-container": [],
    "ryzen-5900x-single-rtx3090-in-container": [("0000:08:00.0", "nvidia", "RTX 3090", None)],
    "ryzen-b350-gpu-shares-group-with-nic": [
        ("0000:06:00.0", "nvidia", "GT 710B", 12),
        ("0000:07:00.0", "amd", "R9 290", 13),
    ],
    "ryzen-b550-gt710-shares-group-with-nic": [
        ("0000:04:00.0", "nvidia", "GT 710", 13),
        ("0000:2b:00.0", "nvidia", "RTX 2070 SUPER", 14),
    ],
    "ryzen-x570-gt710-and-rx580-dmesg": [
        ("0000:24:00.0", "nvidia", "GT 710", 23),
        ("0000:2d:00.0", "amd", "RX 470", 27),
    ],
    "ryzen-x570-gtx1080-acs-override": [
        ("0000:0a:00.0", "amd", "RX 470", 33),
        ("0000:0b:00.0", "nvidia", "GTX 1080", 35),
    ],
    "ryzen-x670-two-identical-rtx4090": [
        ("0000:01:00.0", "nvidia", "RTX 4090", 15),
        ("0000:03:00.0", "nvidia", "RTX 4090", 17),
    ],
    "thinkpad-p52-hybrid-quadro-p1000": [
        ("0000:00:02.0", "intel", "UHD Graphics 630", None),
        ("0000:01:00.0", "nvidia", "Quadro P1000", None),
    ],
    "xen-hvm-aws-g2-grid-k520": [
        ("0000:00:02.0", "other", "Cirrus", None),
        ("0000:00:03.0", "nvidia", "K520", None),
    ],
}


@pytest.mark.parametrize(("recorded_machine", "expected"), GPUS.items(), indirect=["recorded_machine"], ids=list(GPUS))
def test_the_gpus_of_a_recorded_machine(
    recorded_machine: RawBundle, expected: list[tuple[str, str, str, int | None]]
) -> None:
    found = parse(recorded_machine).gpus
    assert [(gpu.address, gpu.vendor, gpu.iommu_group) for gpu in found] == [
        (address, vendor, group) for address, vendor, _, group in expected
    ]
    for gpu, (_, _, name, _) in zip(found, expected, strict=True):
        assert name in gpu.name


MEMORY_MIB = {
    "a100-pcie-mig-seven-slices": [40536],
    "cloud-vm-tesla-t4-smi-xml": [15360],
    "dell-two-tesla-p100-matrox": [12198, None, 12198],
    "ryzen-x670-two-identical-rtx4090": [24564, 24564],
    "thinkpad-p52-hybrid-quadro-p1000": [None, 4096],
}


@pytest.mark.parametrize(
    ("recorded_machine", "expected"), MEMORY_MIB.items(), indirect=["recorded_machine"], ids=list(MEMORY_MIB)
)
def test_nvidia_smi_in_every_recorded_form_gives_the_memory(
    recorded_machine: RawBundle, expected: list[int | None]
) -> None:
    found = parse(recorded_machine).gpus
    assert [gpu.memory for gpu in found] == [None if mib is None else mib * 1024**2 for mib in expected]
    assert all(gpu.driver_version for gpu in found if gpu.memory)


CPUS = {
    "hp-pavilion-ryzen-gtx1650-comma-decimals": ("AMD Ryzen 7 3750H with Radeon Vega Mobile Gfx", 1, 4, 8),
    "intel-n100-som-no-device-names": ("Intel(R) N100", 1, 4, 4),
    "jetson-agx-orin-in-container": ("Cortex-A78AE", None, 12, 12),
    "raspberry-pi-5-in-container": ("Cortex-A76", None, 4, 4),
    "ryzen-5900x-single-rtx3090-in-container": ("AMD Ryzen 9 5900X 12-Core Processor", 1, 12, 24),
}


@pytest.mark.parametrize(("recorded_machine", "expected"), CPUS.items(), indirect=["recorded_machine"], ids=list(CPUS))
def test_the_cpu_of_a_recorded_machine(recorded_machine: RawBundle, expected: tuple[str, int | None, int, int]) -> None:
    cpu = parse(recorded_machine).cpu
    assert (cpu.model, cpu.sockets, cpu.cores, cpu.threads) == expected


@pytest.mark.parametrize("recorded_machine", ["intel-n100-som-no-device-names"], indirect=True)
def test_card_readers_without_a_card_and_boot_areas_are_no_disks(recorded_machine: RawBundle) -> None:
    disks = parse(recorded_machine).disks
    assert [(disk.name, disk.mounts) for disk in disks] == [("mmcblk0", ("/boot/efi", "/"))]
    assert disks[0].size == round(58.2 * GIB)


@pytest.mark.parametrize("recorded_machine", ["proxmox-supermicro-c242-aspeed-no-nvidia"], indirect=True)
def test_volumes_on_a_disk_are_no_disks(recorded_machine: RawBundle) -> None:
    disks = parse(recorded_machine).disks
    assert [(disk.name, disk.kind, disk.mounts) for disk in disks] == [("nvme0n1", "nvme", ("/boot/efi", "/"))]


@pytest.mark.parametrize("recorded_machine", ["proxmox-laptop-usb-nic-ip-addr"], indirect=True)
def test_a_bridge_a_usb_adapter_and_wireless(recorded_machine: RawBundle) -> None:
    nics = {nic.name: (nic.kind, nic.up, nic.addresses) for nic in parse(recorded_machine).nics}
    assert nics["enx020000000001"] == ("ethernet", True, ())
    assert nics["wlp0s20f3"] == ("wifi", False, ())
    assert nics["vmbr0"] == ("bridge", True, ("10.118.1.254/24", "fe80::ff:fe00:1/64"))


@pytest.mark.parametrize("recorded_machine", ["virtualbox-guest-docker-ip-addr"], indirect=True)
def test_the_default_route_leads_through_one_interface(recorded_machine: RawBundle) -> None:
    nics = parse(recorded_machine).nics
    assert [nic.name for nic in nics if nic.default_route] == ["eth0"]
    assert {nic.name: nic.kind for nic in nics}["br-c61eeada0e35"] == "bridge"


@pytest.mark.parametrize("recorded_machine", ["raspberry-pi-5-in-container"], indirect=True)
def test_missing_commands_are_said_to_be_missing(recorded_machine: RawBundle) -> None:
    facts = parse(recorded_machine)
    reasons = {gap.source: gap.reason for gap in facts.missing}
    for source in ("os", "memory", "network", "pci"):
        assert "command not found" in reasons[source]
    assert "nvidia-smi" not in reasons, "a tool that is not installed is no news where there is no NVIDIA GPU"
    assert facts.memory.total is None
    assert facts.system.kernel == "6.6.51+rpt-rpi-2712"


@pytest.mark.parametrize("recorded_machine", ["jetson-agx-orin-in-container"], indirect=True)
def test_a_gpu_without_a_pci_bus_is_said_and_not_invented(recorded_machine: RawBundle) -> None:
    facts = parse(recorded_machine)
    assert facts.gpus == ()
    assert any(gap.source == "gpu" and "Orin" in gap.reason for gap in facts.missing)
    assert facts.memory.total == 29 * GIB


def test_every_recorded_machine_is_read_and_none_is_an_error(machines: Path) -> None:
    bundles = load(machines)
    assert len(bundles) >= 28
    for bundle in bundles:
        facts = parse(bundle)
        assert facts.host == bundle.host
        for function in facts.pci:
            assert len(function.address) == 12, "a full address"


def test_every_pci_function_of_every_recording_is_found(machines: Path) -> None:
    for file in sorted(machines.glob("*/lspci*.txt")):
        text = file.read_text(errors="replace")
        lines = [line for line in text.splitlines() if line[:1].isalnum() and line[4:5] != " " and ": " in line]
        expected = sum(1 for line in lines if line.split()[0][-2:-1] == ".")
        found = parse(RawBundle(host="x", gathered_at=0, sources={"lspci": {"stdout": text}})).pci  # type: ignore[dict-item]
        assert len(found) == expected, file
