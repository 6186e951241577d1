"""Layouts that no recording has: tables of text and what it means."""

from __future__ import annotations

import pytest

from homewright.discovery import RawBundle, parse
from homewright.discovery.bundle import Source
from homewright.discovery.parsers import gpu, network, nvidia, pci, processor, storage, system
from homewright.discovery.parsers.sizes import size, whole

GIB = 1024**3


def bundle(**sources: str | Source) -> RawBundle:
    return RawBundle(
        host="s1",
        gathered_at=1.0,
        sources={
            name.replace("_", "-"): value if isinstance(value, Source) else Source(stdout=value, exit_code=0)
            for name, value in sources.items()
        },
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0B", 0), ("0", 0), ("64M", 64 * 1024**2), ("58.2G", round(58.2 * GIB)), ("58,2G", round(58.2 * GIB)),
        ("3,8Gi", round(3.8 * GIB)), ("1007K", 1007 * 1024), ("1.8T", round(1.8 * 1024 * GIB)),
        ("-", None), ("", None), ("1.2.3G", None), ("many", None),
    ],
)  # fmt: skip
def test_sizes(text: str, number: int | None) -> None:
    assert size(text) == number


@pytest.mark.parametrize("text", ["[N/A]", "ERR!", "-", "", "²", "1.5", "[Unknown Error]"])
def test_what_is_no_number_is_unknown(text: str) -> None:
    assert whole(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04 LTS"\n', ("ubuntu", "24.04")),
        ("# a comment\nID='debian'\nVERSION_ID=12\n", ("debian", "12")),
        ('ID=arch\nNAME="unbalanced\n', ("arch", "")),
        ("", ("", "")),
    ],
)
def test_os_release(text: str, expected: tuple[str, str]) -> None:
    found = system.parse(bundle(os_release=text))
    assert (found.os_id, found.os_version) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Linux s1 6.1.0-18-amd64 #1 SMP Debian 6.1.76-1 x86_64 GNU/Linux", ("s1", "6.1.0-18-amd64", "x86_64")),
        ("Linux s1 5.15.0-91-generic #101 x86_64 x86_64 x86_64 GNU/Linux\n", ("s1", "5.15.0-91-generic", "x86_64")),
        ("Linux box 6.6.0 #1 SMP aarch64", ("box", "6.6.0", "aarch64")),
        ("Darwin mac 23.0", ("", "", "")),
        ("", ("", "", "")),
    ],
)  # fmt: skip
def test_uname(text: str, expected: tuple[str, str, str]) -> None:
    assert system.uname(text) == expected


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"systemd_detect_virt": Source(stdout="none\n", exit_code=1)}, "none"),
        ({"systemd_detect_virt": Source(stdout="kvm\n", exit_code=0)}, "kvm"),
        ({"systemd_detect_virt": Source(exit_code=127), "dmi": "QEMU\nStandard PC (Q35 + ICH9, 2009)\n"}, "kvm"),
        ({"dmi": "innotek GmbH\nVirtualBox\n"}, "oracle"),
        ({"cpuinfo": "processor : 0\nflags\t\t: fpu hypervisor sse\n"}, "vm-other"),
        ({"dmi": "ASUS\nPRIME X570\n", "cpuinfo": "processor : 0\nflags : fpu\n"}, "none"),
        ({}, "unknown"),
    ],
)
def test_virtualization_is_found_without_systemd_too(sources: dict[str, str | Source], expected: str) -> None:
    assert system.parse(bundle(**sources)).virtualization == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, True), (1, False), (127, False), (None, None)],
    ids=["works", "refused", "missing", "unknown"],
)
def test_sudo_is_known_by_its_exit_code(code: int | None, expected: bool | None) -> None:
    assert system.parse(bundle(sudo=Source(exit_code=code))).sudo is expected


CPUINFO = "".join(
    f"processor\t: {n}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R)\nphysical id\t: {n // 4}\n"
    f"core id\t\t: {n % 4 // 2}\nflags\t\t: fpu\n\n"
    for n in range(8)
)


def test_cpuinfo_counts_sockets_cores_and_threads() -> None:
    found = processor.cpuinfo(CPUINFO)
    assert (found.model, found.sockets, found.cores, found.threads) == ("Intel(R) Xeon(R)", 2, 4, 8)


def test_a_translated_lscpu_does_not_matter_where_the_kernel_answers() -> None:
    german = "Architektur:          x86_64\nCPU(s):               8\nModellname:           Intel(R) Xeon(R)\n"
    found = processor.parse_cpu(bundle(cpuinfo=CPUINFO, lscpu=german, nproc="6\n"))
    assert (found.model, found.cores, found.threads) == ("Intel(R) Xeon(R)", 4, 6)


def test_meminfo_is_in_units_of_1024() -> None:
    found = processor.meminfo("MemTotal:       32768000 kB\nMemAvailable:   1024 kB\nSwapTotal:      0 kB\n")
    assert (found.total, found.available, found.swap) == (32768000 * 1024, 1024 * 1024, 0)


LSBLK = """{"blockdevices": [
 {"name":"sda", "type":"disk", "size":"500107862016", "rota":"1", "model":"WDC  WD5000 ", "mountpoint":null,
  "children": [
   {"name":"sda1", "type":"part", "size":"1", "rota":"1", "model":null, "mountpoint":"/boot"},
   {"name":"md0", "type":"raid1", "size":"1", "rota":"1", "model":null, "mountpoint":"/"}]},
 {"name":"nvme0n1", "type":"disk", "size":1000204886016, "rota":false, "model":"Samsung", "mountpoints":["/srv", null]},
 {"name":"sdb", "type":"disk", "size":8, "rota":false, "model":null, "mountpoint":null},
 {"name":"vda", "type":"disk", "size":8, "rota":true, "model":null, "mountpoint":null},
 {"name":"sdc", "type":"disk", "size":0, "rota":true, "model":"Card Reader", "mountpoint":null},
 {"name":"loop0", "type":"loop", "size":9, "rota":false, "model":null, "mountpoint":"/snap/x"},
 {"name":"zram0", "type":"disk", "size":9, "rota":false, "model":null, "mountpoint":"[SWAP]"}]}"""


def test_lsblk_of_old_and_new_versions() -> None:
    assert [(disk.name, disk.size, disk.kind, disk.model, disk.mounts) for disk in storage.lsblk_json(LSBLK)] == [
        ("sda", 500107862016, "hdd", "WDC WD5000", ("/boot", "/")),
        ("nvme0n1", 1000204886016, "nvme", "Samsung", ("/srv",)),
        ("sdb", 8, "ssd", "", ()),
        ("vda", 8, "unknown", "", ()),
    ]


@pytest.mark.parametrize("text", ["", "lsblk: unknown option", "{}", '{"blockdevices": null}', "[]", "{"])
def test_lsblk_that_says_nothing(text: str) -> None:
    assert storage.lsblk_json(text) == []


def test_df_with_types_drops_what_is_no_disk_and_survives_an_error() -> None:
    text = (
        "Filesystem     Type   1-blocks       Used  Available Capacity Mounted on\n"
        "/dev/sda2      ext4   1000           400   600       40% /\n"
        "tmpfs          tmpfs  99             0     99        0% /run\n"
        "/dev/sda1      vfat   50             5     45        10% /boot/efi\n"
        "/dev/sda2      ext4   1000           400   600       40% /var/lib/docker\n"
        "/dev/sdb1      xfs    2000           0     2000      0% /srv/my data\n"
        "overlay        overlay 1 1 0 100% /var/lib/docker/overlay2/x/merged\n"
    )
    found = parse(bundle(df=Source(stdout=text, stderr="df: /mnt: Stale file handle", exit_code=1))).file_systems
    assert [(one.mount, one.size, one.free, one.kind) for one in found] == [
        ("/", 1000, 600, "ext4"),
        ("/boot/efi", 50, 45, "vfat"),
        ("/var/lib/docker", 1000, 600, "ext4"),
        ("/srv/my data", 2000, 2000, "xfs"),
    ]


IP_JSON = """[
 {"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"operstate":"UNKNOWN","link_type":"loopback",
  "address":"00:00:00:00:00:00","addr_info":[{"local":"127.0.0.1","prefixlen":8}]},
 {"ifname":"enp3s0","flags":["UP","LOWER_UP"],"operstate":"UP","link_type":"ether","address":"02:00:00:00:00:01","addr_info":[]},
 {"ifname":"lan","flags":["UP"],"operstate":"UP","link_type":"ether","address":"02:00:00:00:00:01",
  "linkinfo":{"info_kind":"bridge"},"addr_info":[{"local":"192.168.1.10","prefixlen":24},{"local":"fd00::1","prefixlen":64}]},
 {"ifname":"enp3s0.7","operstate":"DOWN","flags":[],"link_type":"ether","address":"02:00:00:00:00:01",
  "linkinfo":{"info_kind":"vlan"},"addr_info":[]},{}]"""
SYS_NET = """lo|00:00:00:00:00:00|unknown|772||
enp3s0|02:00:00:00:00:01|up|1|2500|device
lan|02:00:00:00:00:01|up|1|-1|bridge
wlan0|02:00:00:00:00:09|down|1||wifi,device
"""


def test_interfaces_are_put_together_from_two_sources() -> None:
    found = network.parse(
        bundle(
            ip_addr_json=IP_JSON, sys_net=SYS_NET, ip_route_json='[{"dst":"default","dev":"lan"},{"dst":"10.0.0.0/8"}]'
        )
    )
    assert [(nic.name, nic.kind, nic.up, nic.speed_mbps, nic.default_route) for nic in found] == [
        ("lo", "loopback", True, None, False),
        ("enp3s0", "ethernet", True, 2500, False),
        ("lan", "bridge", True, None, True),
        ("enp3s0.7", "vlan", False, None, False),
        ("wlan0", "wifi", False, None, False),
    ]
    assert found[2].addresses == ("192.168.1.10/24", "fd00::1/64")


def test_without_ip_the_kernels_own_list_is_enough() -> None:
    found = network.parse(bundle(sys_net=SYS_NET, ip_addr_json=Source(exit_code=127), ip_addr=Source(exit_code=127)))
    assert [nic.name for nic in found] == ["lo", "enp3s0", "lan", "wlan0"]


VGA, NVIDIA = "01:00.0 VGA compatible controller", "NVIDIA Corporation"
GPU_LINES = [
    (f"{VGA} [0300]: {NVIDIA} GA106 [RTX 3060] [10de:2503] (rev a1)", "0300", "10de", "2503"),
    (f"0000:{VGA} [0300]: {NVIDIA} GA106 [10de:2503] (rev a1) (prog-if 00 [VGA controller])", "0300", "10de", "2503"),
    (f"{VGA}: {NVIDIA} GA106 [RTX 3060] (rev a1)", "0300", "10de", ""),
    (f"{VGA}: {NVIDIA} Device 2503 (rev a1)", "0300", "10de", "2503"),
    ("01:00.0 0300: 10de:2503 (rev a1)", "0300", "10de", "2503"),
    (f"01:00.0 3D controller [0302]: {NVIDIA} Device [10de:2330] (rev a1)", "0302", "10de", "2330"),
    ("01:00.0 Display controller: Advanced Micro Devices, Inc. [AMD/ATI] Navi 21", "0380", "1002", ""),
]


@pytest.mark.parametrize(("line", "kind", "vendor", "device"), GPU_LINES)
def test_one_function_in_every_layout_of_lspci(line: str, kind: str, vendor: str, device: str) -> None:
    found = pci.lspci(f"{line}\n\tSubsystem: Some Board [1043:87ca]\n\tKernel driver in use: vfio-pci\n")[
        "0000:01:00.0"
    ]
    assert (found.class_id, found.vendor_id, found.device_id) == (kind, vendor, device)
    assert found.driver == "vfio-pci"


def test_lines_that_a_terminal_wrapped_are_put_together() -> None:
    found = pci.lspci(
        "01:00.0 VGA compatible controller [0300]: NVIDIA Corporation GA106 [GeForce\n"
        "RTX 3060] [10de:2503] (rev a1)\n\tKernel driver in use: nvidia\n"
        "01:00.1 Audio device [0403]: NVIDIA Corporation GA106 [10de:228e] (rev a1)\n"
    )
    assert [(one.device_id, one.name) for one in found.values()] == [
        ("2503", "NVIDIA Corporation GA106 [GeForce RTX 3060]"),
        ("228e", "NVIDIA Corporation GA106"),
    ]


def test_a_listing_that_was_cut_off_keeps_what_is_whole() -> None:
    found = pci.lspci("00:00.0 Host bridge [0600]: Intel Corporation [8086:3e1f]\n01:00.0 VGA compat")
    assert list(found) == ["0000:00:00.0"]


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("01:00.0", "0000:01:00.0"),
        ("00000000:01:00.0", "0000:01:00.0"),
        ("0008:01:00.0", "0008:01:00.0"),
        ("00010000:E1:00.0", "10000:e1:00.0"),
    ],
)
def test_addresses_are_full(text: str, full: str) -> None:
    assert pci.full_address(text) == full


def test_the_kernel_wins_over_lspci_and_lspci_gives_the_names() -> None:
    found = pci.parse(
        bundle(
            sys_pci="0000:01:00.0|0x030000|0x10de|0x2503|vfio-pci|14\n0000:00:00.0|0x060000|0x8086|0x3e1f||\n",
            lspci_Dnnk="0000:01:00.0 VGA compatible controller [0300]: NVIDIA Corporation GA106 [10de:2503]\n"
            "\tKernel driver in use: nouveau\n",
        )
    )
    assert [(one.address, one.driver, one.iommu_group, one.name) for one in found] == [
        ("0000:00:00.0", None, None, ""),
        ("0000:01:00.0", "vfio-pci", 14, "NVIDIA Corporation GA106"),
    ]


def test_nvidia_smi_csv_with_values_that_are_not_known() -> None:
    smi = nvidia.csv(
        "00000000:01:00.0, NVIDIA GeForce RTX 3060, 12288, 580.65.06\n"
        "00000000:02:00.0, NVIDIA A100, 80GB, [N/A], 580.65.06\n00000000:03:00.0, [Unknown Error], ERR!, [N/A]\n"
    )
    assert [(one.bus, one.name, one.memory, one.driver_version) for one in smi] == [
        ("0000:01:00.0", "NVIDIA GeForce RTX 3060", 12 * GIB, "580.65.06"),
        ("0000:02:00.0", "NVIDIA A100, 80GB", None, "580.65.06"),
        ("0000:03:00.0", "[Unknown Error]", None, ""),
    ]


def test_a_driver_that_does_not_answer_is_said_to_be_so() -> None:
    said = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
    facts = parse(
        bundle(sys_pci="0000:01:00.0|0x030000|0x10de|0x2503||3\n", nvidia_smi_csv=Source(stdout=said, exit_code=9))
    )
    assert [(one.address, one.memory, one.iommu_group) for one in facts.gpus] == [("0000:01:00.0", None, 3)]
    assert {gap.source: gap.reason for gap in facts.missing}["nvidia-smi"].endswith("NVIDIA driver.")


def test_a_gpu_that_only_nvidia_smi_sees_counts() -> None:
    found = gpu.parse([], [nvidia.Smi("0000:01:00.0", "NVIDIA L4", 1, "580.1")])
    assert [(one.address, one.vendor, one.driver) for one in found] == [("0000:01:00.0", "nvidia", "nvidia")]


def test_no_iommu_groups_are_unknown_and_not_none_of_them() -> None:
    facts = parse(bundle(sys_pci="0000:01:00.0|0x030000|0x10de|0x2503|nvidia|\n"))
    assert facts.gpus[0].iommu_group is None
    assert "IOMMU" in {gap.source: gap.reason for gap in facts.missing}["iommu"]


def test_an_empty_bundle_is_all_unknown_and_no_error() -> None:
    facts = parse(bundle())
    assert {gap.source for gap in facts.missing} >= {"os", "kernel", "cpu", "memory", "disks", "network", "pci"}
    assert facts.system.virtualization == "unknown"
