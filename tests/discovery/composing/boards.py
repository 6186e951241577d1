"""PCI functions of mainboards, chipsets and cards. Names and ids: pci.ids; which driver binds them: modules.alias.

Which functions share an IOMMU group follows from PCIe's access control services: a root port that has them gives
what hangs on it a group of its own, a chipset switch that lacks them puts everything behind it into one
(docs.kernel.org/driver-api/vfio.html).
"""

from __future__ import annotations

from .hardware import Pci, functions

NVIDIA = "nvidiafb,nouveau,nvidia_drm,nvidia"


def vermeer(*, after: str, group: int) -> str:
    """AMD Ryzen 3000 and 5000 (Zen 2 and 3) on AM4. `after` and `group`: the first bus and group after the cards."""
    last = f"{int(after, 16) + 1:02x}"
    fabric = "\n".join(
        f"00:18.{number} 0600 1022:144{number} - {'k10temp' if number == 3 else '-'} 14 "
        f"{'k10temp' if number == 3 else '-'}"
        for number in range(8)
    )
    return f"""
        00:00.0 0600 1022:1480 1043:8808 - 0 -
        00:00.2 0806 1022:1481 1043:8808 - - -
        00:01.0 0600 1022:1482 - - 0 -
        00:01.1 0604 1022:1483 - pcieport 1 -
        00:01.2 0604 1022:1483 - pcieport 2 -
        00:02.0 0600 1022:1482 - - 3 -
        00:03.0 0600 1022:1482 - - 4 -
        00:03.1 0604 1022:1483 - pcieport 5 -
        00:04.0 0600 1022:1482 - - 6 -
        00:05.0 0600 1022:1482 - - 7 -
        00:07.0 0600 1022:1482 - - 8 -
        00:07.1 0604 1022:1484 - pcieport 9 -
        00:08.0 0600 1022:1482 - - 10 -
        00:08.1 0604 1022:1484 - pcieport 11 -
        00:14.0 0c05 1022:790b/61 1043:87c0 piix4_smbus 13 i2c_piix4,sp5100_tco
        00:14.3 0601 1022:790e/51 1043:87c0 - 13 -
        {fabric}
        {after}:00.0 1300 1022:148a 1043:8808 - {group} -
        {last}:00.0 1300 1022:1485 1043:8808 - {group + 1} -
        {last}:00.1 1080 1022:1486 1043:8808 ccp {group + 2} ccp
        {last}:00.3 0c03 1022:149c 1043:87c0 xhci_hcd {group + 3} xhci_pci
        {last}:00.4 0403 1022:1487 1043:87fb snd_hda_intel {group + 4} snd_hda_intel
    """


def milan(slots: dict[str, str]) -> str:
    """AMD EPYC 7002 and 7003, one socket: four root complexes. `slots` are root ports (`40:01.1`) and the rows of what
    hangs on each, with `{group}` where its group belongs."""
    rows, group = [], 0

    def row(text: str) -> None:
        nonlocal group
        rows.append(text.replace("{group}", str(group)))
        group += 1

    for bus in ("c0", "80", "40", "00"):
        rows.append(f"{bus}:00.0 0600 1022:1480 15d9:1b95 - {group} -")
        rows.append(f"{bus}:00.2 0806 1022:1481 15d9:1b95 - - -")
        for device in ("01", "02", "03", "04", "05"):
            row(f"{bus}:{device}.0 0600 1022:1482 - - {{group}} -")
            for port, cards in slots.items():
                if port.startswith(f"{bus}:{device}."):
                    row(f"{port} 0604 1022:1483 - pcieport {{group}} -")
                    row(cards)
        row(f"{bus}:07.0 0600 1022:1482 - - {{group}} -")
        row(f"{bus}:07.1 0604 1022:1484 - pcieport {{group}} -")
        row(f"{bus}:08.0 0600 1022:1482 - - {{group}} -")
        row(f"{bus}:08.1 0604 1022:1484 - pcieport {{group}} -")
        first = int(bus, 16) + (5 if bus == "00" else 0x10)
        row(f"{first:02x}:00.0 1300 1022:148a 15d9:1b95 - {{group}} -")
        row(f"{first + 1:02x}:00.0 1300 1022:1485 15d9:1b95 - {{group}} -")
        if bus == "00":
            row(f"{first + 1:02x}:00.3 0c03 1022:148c 15d9:1b95 xhci_hcd {{group}} xhci_pci")
    rows.append(f"00:14.0 0c05 1022:790b/61 15d9:1b95 - {group} i2c_piix4,sp5100_tco")
    row("00:14.3 0601 1022:790e/51 15d9:1b95 - {group} -")
    watch = {3: "k10temp"}
    rows += [f"00:18.{n} 0600 1022:165{n} - {watch.get(n, '-')} {group} {watch.get(n, '-')}" for n in range(8)]
    return "\n".join(rows)


ASPEED = """
    02:00.0 0604 1a03:1150/04 - - {group} -
    03:00.0 0300 1a03:2000/41 15d9:1b95 ast {group} ast
"""
"""The graphics of a board's management controller, behind its bridge."""


B550 = """
    02:00.0 0c03 1022:43ee 1b21:1142 xhci_hcd 15 xhci_pci
    02:00.1 0106 1022:43eb 1b21:1062 ahci 15 ahci
    02:00.2 0604 1022:43e9 - pcieport 15 -
    03:04.0 0604 1022:43ea - pcieport 15 -
    03:08.0 0604 1022:43ea - pcieport 15 -
    03:09.0 0604 1022:43ea - pcieport 15 -
"""
"""AMD's B550 chipset: everything behind it is in one group."""

B450 = """
    02:00.0 0c03 1022:43d5/01 1b21:1142 xhci_hcd 15 xhci_pci
    02:00.1 0106 1022:43c8/01 1b21:1062 ahci 15 ahci
    02:00.2 0604 1022:43c6/01 - pcieport 15 -
    03:00.0 0604 1022:43c7/01 - pcieport 15 -
    03:01.0 0604 1022:43c7/01 - pcieport 15 -
    03:04.0 0604 1022:43c7/01 - pcieport 15 -
"""
"""AMD's B450 chipset: everything behind it is in one group."""

SKYLAKE = """
    00:00.0 0600 8086:191f/07 1043:8694 skl_uncore 0 -
    00:01.0 0604 8086:1901/07 1043:8694 pcieport 1 -
    00:14.0 0c03 8086:a12f/31 1043:8694 xhci_hcd 2 xhci_pci
    00:16.0 0780 8086:a13a/31 1043:8694 mei_me 3 mei_me
    00:17.0 0106 8086:a102/31 1043:8694 ahci 4 ahci
    00:1c.0 0604 8086:a110/f1 1043:8694 pcieport 5 -
    00:1f.0 0601 8086:a148/31 1043:8694 - 6 -
    00:1f.2 0580 8086:a121/31 1043:8694 - 6 -
    00:1f.3 0403 8086:a170/31 1043:8698 snd_hda_intel 6 snd_hda_intel
    00:1f.4 0c05 8086:a123/31 1043:8694 i801_smbus 6 i2c_i801
    00:1f.6 0200 8086:15b8/31 1043:8672 e1000e 7 e1000e
"""
"""Intel's 6th generation on a B150 board."""

RAPTOR_LAKE = """
    00:00.0 0600 8086:a704/01 1462:7d25 - 0 -
    00:01.0 0604 8086:a70d/01 1462:7d25 pcieport 1 -
    00:06.0 0604 8086:a74d/01 1462:7d25 pcieport 2 -
    00:0a.0 1180 8086:a77d/01 1462:7d25 intel_vsec 3 intel_vsec
    00:14.0 0c03 8086:7ae0/11 1462:7d25 xhci_hcd 4 xhci_pci
    00:14.2 0500 8086:7aa7/11 - - 4 -
    00:15.0 0c80 8086:7acc/11 1462:7d25 intel-lpss 5 intel_lpss_pci
    00:16.0 0780 8086:7ae8/11 1462:7d25 mei_me 6 mei_me
    00:17.0 0106 8086:7ae2/11 1462:7d25 ahci 7 ahci
    00:1c.0 0604 8086:7ab8/11 1462:7d25 pcieport 8 -
    00:1c.2 0604 8086:7aba/11 1462:7d25 pcieport 9 -
    00:1f.0 0601 8086:7a84/11 1462:7d25 - 10 -
    00:1f.3 0403 8086:7ad0/11 1462:9d25 snd_hda_intel 10 snd_hda_intel,snd_sof_pci_intel_tgl
    00:1f.4 0c05 8086:7aa3/11 1462:7d25 i801_smbus 10 i2c_i801
    00:1f.5 0c80 8086:7aa4/11 1462:7d25 intel-spi 10 spi_intel_pci
"""
"""Intel's 13th generation on a Z690 board."""


def nvidia(
    slot: str, device: str, audio: str, subsystem: str, group: int | str = "{group}", driver: str = "nvidia"
) -> str:
    """A GeForce or RTX card: the GPU and its audio function, in one group."""
    vga = driver or "-"
    sound = "vfio-pci" if driver == "vfio-pci" else "snd_hda_intel"
    return f"""
        {slot}.0 0300 10de:{device}/a1 {subsystem} {vga} {group} {NVIDIA}
        {slot}.1 0403 10de:{audio}/a1 {subsystem} {sound} {group} snd_hda_intel
    """


Z170 = SKYLAKE.replace("8086:a148/31", "8086:a145/31")
"""The same processors on a Z170 board."""

HASWELL = """
    00:00.0 0600 8086:0c00/06 1458:5000 hsw_uncore - -
    00:01.0 0604 8086:0c01/06 - pcieport - -
    00:14.0 0c03 8086:8c31/05 1458:5007 xhci_hcd - xhci_pci
    00:16.0 0780 8086:8c3a/04 1458:1c3a mei_me - mei_me
    00:19.0 0200 8086:153b/05 1458:e000 e1000e - e1000e
    00:1b.0 0403 8086:8c20/05 1458:a002 snd_hda_intel - snd_hda_intel
    00:1c.0 0604 8086:8c10/d5 1458:5001 pcieport - -
    00:1f.0 0601 8086:8c4a/05 1458:5001 lpc_ich - lpc_ich
    00:1f.2 0106 8086:8c02/05 1458:b005 ahci - ahci
    00:1f.3 0c05 8086:8c22/05 1458:5001 i801_smbus - i2c_i801
"""
"""Intel's 4th generation on an H87 board."""

ALDER_LAKE_B660 = """
    00:00.0 0600 8086:4660/05 1849:4660 - 0 -
    00:01.0 0604 8086:460d/05 1849:460d pcieport 1 -
    00:06.0 0604 8086:464d/05 - pcieport 2 -
    00:0a.0 1180 8086:467d/01 - intel_vsec 3 intel_vsec
    00:14.0 0c03 8086:7ae0/11 1849:7ae0 xhci_hcd 4 xhci_pci
    00:14.2 0500 8086:7aa7/11 - - 4 -
    00:15.0 0c80 8086:7acc/11 1849:7acc intel-lpss 5 intel_lpss_pci
    00:16.0 0780 8086:7ae8/11 1849:7ae8 mei_me 6 mei_me
    00:17.0 0106 8086:7ae2/11 1849:7ae2 ahci 7 ahci
    00:1c.0 0604 8086:7ab8/11 1849:7ab8 pcieport 8 -
    00:1f.0 0601 8086:7a86/11 1849:7a86 - 9 -
    00:1f.3 0403 8086:7ad0/11 1849:1897 snd_hda_intel 9 snd_hda_intel,snd_sof_pci_intel_tgl
    00:1f.4 0c05 8086:7aa3/11 1849:7aa3 i801_smbus 9 i2c_i801
    00:1f.5 0c80 8086:7aa4/11 1849:7aa4 intel-spi 9 spi_intel_pci
"""
"""Intel's 12th generation on a B660 board."""

TIGER_LAKE_H = """
    00:00.0 0600 8086:9a36/05 17aa:3801 - 0 -
    00:01.0 0604 8086:9a01/05 - pcieport 1 -
    00:06.0 0604 8086:9a0f/05 - pcieport 2 -
    00:0d.0 0c03 8086:9a17/05 17aa:3801 xhci_hcd 3 xhci_pci
    00:14.0 0c03 8086:43ed/11 17aa:3801 xhci_hcd 4 xhci_pci
    00:14.2 0500 8086:43ef/11 - - 4 -
    00:14.3 0280 8086:43f0/11 8086:0074 iwlwifi 5 iwlwifi
    00:16.0 0780 8086:43e0/11 17aa:3801 mei_me 6 mei_me
    00:1d.0 0604 8086:43b0/11 - pcieport 7 -
    00:1f.0 0601 8086:438b/11 17aa:3801 - 8 -
    00:1f.3 0403 8086:43c8/11 17aa:3801 snd_hda_intel 8 snd_hda_intel,snd_sof_pci_intel_tgl
    00:1f.4 0c05 8086:43a3/11 17aa:3801 i801_smbus 8 i2c_i801
    00:1f.5 0c80 8086:43a4/11 17aa:3801 intel-spi 8 spi_intel_pci
"""
"""Intel's 11th generation for large laptops."""

ALDER_LAKE_N = """
    00:00.0 0600 8086:461c - - 0 -
    00:02.0 0300 8086:46d1 8086:7270 i915 1 i915,xe
    00:0d.0 0c03 8086:464e - xhci_hcd 2 xhci_pci
    00:14.0 0c03 8086:54ed 8086:7270 xhci_hcd 3 xhci_pci
    00:14.2 0500 8086:54ef - - 3 -
    00:16.0 0780 8086:54e0 8086:7270 mei_me 4 mei_me
    00:17.0 0106 8086:54d3 8086:7270 ahci 5 ahci
    00:1d.0 0604 8086:54b0 - pcieport 6 -
    00:1f.0 0601 8086:5481 8086:7270 - 7 -
    00:1f.3 0403 8086:54c8 8086:7270 snd_hda_intel 7 snd_hda_intel,snd_sof_pci_intel_tgl
    00:1f.4 0c05 8086:54a3 8086:7270 i801_smbus 7 i2c_i801
    00:1f.5 0c80 8086:54a4 8086:7270 intel-spi 7 spi_intel_pci
"""
"""Intel's N100 and its like."""


def board(*tables: str) -> tuple[Pci, ...]:
    return functions("\n".join(tables))
