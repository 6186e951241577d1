"""The recorded machines that travel with Homewright: what they are, what is read of them, and that all of it fits."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from homewright.cli import main
from homewright.discovery import machines
from homewright.discovery.bundle import RawBundle
from homewright.discovery.facts import HostFacts
from homewright.discovery.machines import Machine
from homewright.discovery.parsers import network, pci
from homewright.discovery.probe import script
from homewright.errors import SiteError
from homewright.site import files

from .composing.__main__ import write
from .composing.catalogue import EVERY as COMPOSED

MACHINES = {name: machines.load(name) for name in machines.names()}
BUNDLES = {f"{machine.name}/{bundle.host}": bundle for machine in MACHINES.values() for bundle in machine.bundles}
FACTS = {f"{machine.name}/{host}": facts for machine in MACHINES.values() for host, facts in machine.facts().items()}

every_machine = pytest.mark.parametrize("machine", MACHINES.values(), ids=list(MACHINES))
every_host = pytest.mark.parametrize("host", BUNDLES)

KINDS = {
    "desktop", "headless", "two-identical-gpus", "gpu-shares-group", "gpu-functions-apart", "amd", "intel", "no-iommu",
    "proxmox", "laptop", "bmc-graphics", "cloud", "old-kernel", "arm64", "mig", "lost-gpu", "busybox", "other-language",
    "many-nics", "wifi", "docker", "healthy", "unreachable", "one-server", "two-servers", "recorded", "finished",
}  # fmt: skip
"""What must always be found among them: checks, planning and screens are tried on these."""


def test_every_kind_is_there() -> None:
    assert {kind for machine in MACHINES.values() for kind in machine.kind} >= KINDS


@every_machine
def test_a_machine_says_what_it_is_and_where_it_comes_from(machine: Machine) -> None:
    assert machine.sources.strip() and machine.title
    if machine.origin == "composed":
        assert all(source.startswith("https://") for source in machine.description.sources)
    else:
        assert machine.name == "practice", "a machine is called recorded when our probe has run on it, and only then"
    assert ("broken" not in machine.kind) or machine.description.broken


@every_machine
def test_its_site_names_the_hosts_that_answered_and_those_that_did_not(machine: Machine) -> None:
    site = files.parse(machine.site, f"{machine.name}/site.yaml")
    assert site.name == machine.name
    answered = {bundle.host for bundle in machine.bundles}
    assert {server.name for server in site.servers} == answered | machine.unreachable.keys()
    assert not answered & machine.unreachable.keys()
    for bundle in machine.bundles:
        held = {one.partition("/")[0] for nic in machine.facts()[bundle.host].nics for one in nic.addresses}
        assert site.server(bundle.host).address in held


def test_a_machine_that_is_not_there_is_said_with_the_names_of_those_that_are() -> None:
    with pytest.raises(SiteError, match="no recorded machine cellar") as error:
        machines.load("cellar")
    assert "attic" in error.value.do[0] and "trouble" in error.value.do[0]


GOOD = "version: 1\ntitle: a machine of a test\nkind: [test]\norigin: recorded\nhow: written by the test that has it\n"


@pytest.mark.parametrize(
    ("description", "bundle", "said"),
    [
        (None, "{}", "cannot be read"),
        ("title: [", "{}", "is no YAML"),
        ("version: 1\ntitle: \x00", "{}", "is no YAML"),
        ("- a list", "{}", "describes no machine"),
        (GOOD + "owner: somebody\n", "{}", "describes no machine"),
        (GOOD.replace("recorded", "found"), "{}", "describes no machine"),
        (GOOD.replace("recorded", "composed"), "{}", "describes no machine"),
        (GOOD.replace("version: 1", "version: 9"), "{}", "describes no machine"),
        (GOOD, "{}", "is no recorded machine"),
        (GOOD, '{"host": "x", "gathered_at": 1, "sources": {"df": {"stdout": "cut o', "is no recorded machine"),
        (GOOD, None, "holds no recorded machine"),
        (GOOD, '{"host": "x", "gathered_at": 1}', "site.yaml cannot be read"),
    ],
)
def test_a_damaged_folder_is_an_error_that_says_which_file(
    tmp_path: Path, description: str | None, bundle: str | None, said: str
) -> None:
    if description is not None:
        (tmp_path / "machine.yaml").write_text(description)
    if bundle is not None:
        (tmp_path / "x.json").write_text(bundle)
    with pytest.raises(SiteError) as error:
        machines.of_folder(tmp_path)
    assert said in error.value.what and str(tmp_path) in error.value.what


def test_discover_takes_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["discover", "--from", "trouble", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [host["host"] for host in document["hosts"]] == ["elder", "pine"]
    assert main(["discover", "--from", "cellar"]) == 2
    said = capsys.readouterr().err
    assert "There is nothing recorded under cellar" in said and "attic" in said


@dataclass(frozen=True)
class Expected:
    """What a host's facts must be; a GPU is address, maker, IOMMU group, driver and MiB."""

    virtualization: str
    kernel: str
    threads: int
    gib: float
    iommu: bool
    gpus: tuple[tuple[str, str, int | None, str | None, int | None], ...]
    disks: tuple[str, ...]
    nics: int = 2
    cores: int = 0
    unknown: tuple[str, ...] = ()
    chassis: str = "desktop"


NOBLE, HWE = "6.8.0-87-generic", "6.14.0-36-generic"
ROOTLESS = ("sudo", "kernel-log", "firewall", "netplan")
EXPECTED = {
    "arm64/grace": Expected(
        "none", "6.8.0-1043-nvidia-64k", 72, 478.5, True,
        (("0002:02:00.0", "other", 4, "ast", None), ("0009:01:00.0", "nvidia", 9, "nvidia", 97871)),
        ("nvme0n1",), 3, 72, chassis="server",
    ),
    "attic/birch": Expected(
        "none", NOBLE, 32, 125.7, True, (("0000:07:00.0", "nvidia", 17, "nvidia", 24576),), ("nvme0n1",), 3, 16
    ),
    "attic/cedar": Expected(
        "none", NOBLE, 24, 62.5, True,
        (("0000:00:02.0", "intel", 0, "i915", None), ("0000:01:00.0", "nvidia", 11, "nvidia", 12282)),
        ("nvme0n1",), 2, 16,
    ),
    "attic/maple": Expected(
        "none", NOBLE, 32, 251.6, True,
        (
            ("0000:03:00.0", "other", 49, "ast", None), ("0000:81:00.0", "nvidia", 15, "nvidia", 16376),
            ("0000:c1:00.0", "nvidia", 2, "nvidia", 16376),
        ),
        ("nvme0n1", "nvme1n1"), 3, 16, chassis="server",
    ),
    "busybox/pebble": Expected(
        "none", "6.12.58-0-lts", 4, 7.7, False, (("0000:01:00.0", "nvidia", None, None, None),), ("sda",),
        unknown=("iommu", "names", "services", "package-locks"),
    ),
    "cloud-t4/cloud": Expected(
        "amazon", "6.14.0-1015-aws", 4, 15.3, False,
        (("0000:00:03.0", "other", None, None, None), ("0000:00:1e.0", "nvidia", None, "nvidia", 15360)),
        ("nvme0n1", "nvme1n1"), cores=2, unknown=("iommu",), chassis="vm",
    ),
    "desktop/linden": Expected(
        "none", HWE, 16, 31.2, True, (("0000:01:00.0", "nvidia", 10, "nvidia", 8192),), ("nvme0n1",), cores=10
    ),
    "docker/harbour": Expected(
        "none", NOBLE, 12, 31.3, True, (("0000:07:00.0", "nvidia", 17, "nvidia", 12288),), ("nvme0n1",), 5
    ),
    "gallery/gallery": Expected(
        "none", NOBLE, 128, 503.5, True,
        (
            ("0000:03:00.0", "other", 25, "ast", None), ("0000:31:00.0", "nvidia", 6, "nvidia", 46068),
            ("0000:4b:00.0", "nvidia", 9, "nvidia", 46068), ("0000:98:00.0", "nvidia", 16, "nvidia", 46068),
            ("0000:b1:00.0", "nvidia", 19, "nvidia", 46068),
        ),
        ("nvme0n1",), 3, 64, chassis="server",
    ),
    "german/berg": Expected(
        "none", NOBLE, 12, 31.3, True, (("0000:07:00.0", "nvidia", 17, "nvidia", 12288),), ("nvme0n1",),
        unknown=("secure-boot", *ROOTLESS),
    ),
    "headless/hazel": Expected(
        "none", "6.1.0-41-amd64", 12, 62.7, True, (("0000:07:00.0", "nvidia", 17, "nvidia", 16380),),
        ("nvme0n1", "sda"),
    ),
    "laptop/aspen": Expected(
        "none", HWE, 16, 31.1, True,
        (("0000:00:02.0", "intel", 0, "i915", None), ("0000:01:00.0", "nvidia", 9, "nvidia", 6144)),
        ("nvme0n1",), 3, chassis="laptop",
    ),
    "lost-gpu/wreck": Expected(
        "none", NOBLE, 32, 124.8, True,
        (
            ("0000:01:00.0", "nvidia", 15, "nvidia", 24576), ("0000:03:00.0", "nvidia", 17, "nvidia", None),
            ("0000:0a:00.0", "amd", 19, "amdgpu", None),
        ),
        ("nvme0n1",), unknown=("nvidia-smi",),
    ),
    "many-nics/crowd": Expected(
        "none", NOBLE, 12, 62.7, True, (("0000:07:00.0", "nvidia", 17, "nvidia", 12288),), ("nvme0n1",), 203
    ),
    "mig/slicer": Expected(
        "none", "5.15.0-160-generic", 32, 251.6, True,
        (("0000:03:00.0", "other", 45, "ast", None), ("0000:c1:00.0", "nvidia", 2, "nvidia", 40960)),
        ("nvme0n1",), chassis="server",
    ),
    "no-iommu/willow": Expected(
        "none", NOBLE, 4, 15.6, False, (("0000:01:00.0", "nvidia", None, "nvidia", 8192),), ("sda",), unknown=("iommu",)
    ),
    "old-kernel/veteran": Expected(
        "none", "5.4.0-216-generic", 8, 31.3, True, (("0000:01:00.0", "nvidia", 1, "nvidia", 11178),), ("sda",)
    ),
    "pair/ash": Expected("none", NOBLE, 8, 31.3, True, (("0000:00:02.0", "intel", 8, "i915", None),), ("sda",)),
    "pair/oak": Expected(
        "none", NOBLE, 12, 62.7, True, (("0000:07:00.0", "nvidia", 17, "nvidia", 12288),), ("nvme0n1",)
    ),
    **{
        f"practice/{name}": Expected(
            "lxc", "6.18.44-fc-v669", 2, 23.5, False, (), ("vda",), unknown=("kernel-log", "iommu"),
            chassis="container",
        )
        for name in ("s1", "s2", "s3")
    },
    "proxmox-guest/tenant": Expected(
        "kvm", NOBLE, 8, 31.3, False,
        (("0000:00:01.0", "other", None, "bochs-drm", None), ("0000:01:00.0", "nvidia", None, "nvidia", 6138)),
        ("sda",), unknown=("iommu",), chassis="vm",
    ),
    "proxmox-host/cradle": Expected(
        "none", "6.8.12-15-pve", 32, 125.7, True, (("0000:07:00.0", "nvidia", 17, "vfio-pci", None),), ("nvme0n1",), 4
    ),
    "ready/ready": Expected(
        "none", NOBLE, 32, 125.7, True, (("0000:07:00.0", "nvidia", 17, "vfio-pci", None),), ("nvme0n1", "sda"), 5
    ),
    "shared-group/alder": Expected(
        "none", NOBLE, 12, 31.3, True, (("0000:06:00.0", "nvidia", 15, "nvidia", 8192),), ("nvme0n1",), 4
    ),
    "single/beech": Expected(
        "none", NOBLE, 32, 125.7, True,
        (("0000:06:00.0", "nvidia", 17, "nvidia", 4096), ("0000:07:00.0", "nvidia", 18, "nvidia", 24576)), ("nvme0n1",),
    ),
    "split-functions/larch": Expected(
        "none", NOBLE, 8, 31.3, True,
        (("0000:00:02.0", "intel", 8, "i915", None), ("0000:01:00.0", "nvidia", 12, "vfio-pci", None)), ("sda",),
    ),
    "trouble/elder": Expected(
        "none", NOBLE, 12, 31.3, True,
        (("0000:06:00.0", "nvidia", 15, "nvidia", 2048), ("0000:07:00.0", "nvidia", 17, "nvidia", None)),
        ("nvme0n1",), 3, unknown=("nvidia-smi",),
    ),
    "trouble/pine": Expected(
        "none", "5.15.0-160-generic", 8, 7.7, False, (("0000:01:00.0", "nvidia", None, "nouveau", None),), ("sda",), 3,
        unknown=("iommu",),
    ),
    "twins/twin": Expected(
        "none", NOBLE, 32, 124.8, True,
        (
            ("0000:01:00.0", "nvidia", 15, "nvidia", 24564), ("0000:03:00.0", "nvidia", 17, "nvidia", 24564),
            ("0000:0a:00.0", "amd", 19, "amdgpu", None),
        ),
        ("nvme0n1",),
    ),
    "wifi-only/fern": Expected(
        "none", NOBLE, 4, 15.4, True, (("0000:00:02.0", "intel", 1, "i915", None),), ("sda",), unknown=ROOTLESS
    ),
}  # fmt: skip
NEVER_ASKED = {"nvidia-smi"}
"""Among what is missing although nothing is wrong: the driver is not installed, because the GPU is given away."""


def test_every_host_has_its_expected_facts() -> None:
    assert EXPECTED.keys() == FACTS.keys()


@every_host
def test_the_facts_of_a_host(host: str) -> None:
    facts, expected = FACTS[host], EXPECTED[host]
    assert (facts.system.virtualization, facts.system.kernel) == (expected.virtualization, expected.kernel)
    assert facts.system.architecture == ("aarch64" if host.startswith("arm64") else "x86_64")
    assert facts.system.chassis == expected.chassis
    assert facts.cpu.threads == expected.threads and expected.cores in (0, facts.cpu.cores)
    assert facts.memory.total is not None and round(facts.memory.total / 2**30, 1) == expected.gib
    assert facts.kernel.iommu is expected.iommu
    found = [
        (gpu.address, gpu.vendor, gpu.iommu_group, gpu.driver, gpu.memory and gpu.memory >> 20) for gpu in facts.gpus
    ]
    assert tuple(found) == expected.gpus
    assert tuple(disk.name for disk in facts.disks) == expected.disks
    assert len(facts.nics) == expected.nics
    missing = {gap.source for gap in facts.missing}
    assert missing - NEVER_ASKED == set(expected.unknown) - NEVER_ASKED
    assert "/" in {system.mount for system in facts.file_systems}
    assert sum(nic.default_route for nic in facts.nics) == 1


def gpu(host: str, address: str) -> object:
    return next(one for one in FACTS[host].gpus if one.address == address)


def test_what_the_kinds_promise() -> None:
    """The one fact that each of these machines is there for."""
    groups = {one.address: one.iommu_group for one in FACTS["shared-group/alder"].pci}
    assert groups["0000:06:00.0"] == groups["0000:05:00.0"], "GPU and network card"
    groups = {one.address: one.iommu_group for one in FACTS["split-functions/larch"].pci}
    assert groups["0000:01:00.0"] != groups["0000:01:00.1"], "the GPU's own functions"
    ids = {one.address: one.device_id for one in FACTS["twins/twin"].gpus}
    assert ids["0000:01:00.0"] == ids["0000:03:00.0"] == "10de:2684"
    [cut] = [one for one in FACTS["mig/slicer"].gpus if one.vendor == "nvidia"]
    assert cut.mig and cut.compute_capability == "8.0"
    [lost] = [one for one in FACTS["lost-gpu/wreck"].gpus if one.error]
    assert (lost.address, lost.error) == ("0000:03:00.0", "GPU is lost")
    assert any(": 79," in line for line in FACTS["lost-gpu/wreck"].kernel.xid or ())
    panel, card = FACTS["laptop/aspen"].gpus
    assert panel.boot_display and panel.displays and not card.displays
    [only] = FACTS["desktop/linden"].gpus
    assert only.displays and only.processes == 3 and FACTS["desktop/linden"].system.desktop
    assert (
        FACTS["no-iommu/willow"].kernel.iommu is False and "intel_iommu=on" in FACTS["no-iommu/willow"].kernel.cmdline
    )
    assert [nic.kind for nic in FACTS["wifi-only/fern"].nics if nic.default_route] == ["wifi"]
    assert FACTS["busybox/pebble"].software.python is None and not FACTS["busybox/pebble"].system.systemd
    assert FACTS["docker/harbour"].software.docker and FACTS["docker/harbour"].software.forward_policy == "drop"
    assert Counter(nic.kind for nic in FACTS["many-nics/crowd"].nics)["vlan"] == 48
    assert FACTS["ready/ready"].software.lxd_clustered and FACTS["attic/birch"].software.lxd is None
    assert FACTS["german/berg"].system.sudo is False and FACTS["wifi-only/fern"].system.sudo is False
    assert FACTS["old-kernel/veteran"].gpus[0].driver_version == "470.256.02"
    skew = FACTS["trouble/pine"].clock.offset_s
    assert skew is not None and round(skew) == -90_000
    assert FACTS["trouble/pine"].system.hostname == "Pine_01" and FACTS["trouble/pine"].kernel.swaps
    assert FACTS["trouble/pine"].names.wildcard and not FACTS["attic/birch"].names.wildcard
    assert FACTS["trouble/elder"].software.package_locks and not FACTS["attic/birch"].software.package_locks


@every_host
def test_every_source_tells_of_the_same_pci_functions(host: str) -> None:
    bundle = BUNDLES[host]
    kernel = pci.sysfs(bundle.text("sys-pci"))
    for address, function in pci.lspci(bundle.text("lspci-Dnnk")).items():
        own = kernel[address]
        assert (function.vendor_id, function.device_id) == (own.vendor_id, own.device_id)
        assert (function.class_id, function.driver) == (own.class_id, own.driver)
    if bundle.text("lspci-Dnnk"):
        assert pci.lspci(bundle.text("lspci-Dnnk")).keys() == kernel.keys()
    for line in bundle.source("nvidia-smi-query").stdout.splitlines():
        if re.match(r"[0-9a-f]{8}:", line):
            address = pci.full_address(line.partition(",")[0])
            assert kernel[address].driver == "nvidia"
    for line in bundle.text("drm").splitlines():
        assert kernel[line.partition("|")[0]].class_id == "0300"
    assert len({one.iommu_group is None for one in kernel.values() if one.class_id != "0806"}) <= 1


@every_host
def test_every_source_tells_of_the_same_network(host: str) -> None:
    bundle, facts = BUNDLES[host], FACTS[host]
    listed = network.addresses_json(bundle.text("ip-addr-json")) or network.addresses_text(bundle.text("ip-addr"))
    kernel = network.sysfs(bundle.text("sys-net"))
    assert listed.keys() == kernel.keys()
    functions = {one.address: one for one in facts.pci}
    for name, nic in listed.items():
        assert nic.mac == kernel[name].mac
        if facts.system.virtualization != "lxc" and name != "lo":
            assert nic.up == kernel[name].up
    for nic in facts.nics:
        if nic.pci_address:
            own = functions[nic.pci_address]
            # a virtio card's driver sits one level below the PCI function's
            assert own.class_id.startswith("02") and nic.driver in (own.driver, "virtio_net")
        if nic.gateway:
            assert any(ip_address(nic.gateway) in ip_interface(one).network for one in nic.addresses if ":" not in one)
        assert not nic.master or nic.master in listed


@every_host
def test_every_source_tells_of_the_same_disks(host: str) -> None:
    facts = FACTS[host]
    mounts = {mount for disk in facts.disks for mount in disk.mounts}
    shown = {system.mount for system in facts.file_systems if system.kind not in ("tmpfs", "devtmpfs")}
    tree = BUNDLES[host].text("lsblk-json")
    if tree:
        assert shown <= mounts | {"/"}
        for line in BUNDLES[host].text("df").splitlines():
            if line.startswith("/dev/"):
                assert f'"name": "{line.split()[0].rpartition("/")[2]}"' in tree, line
    for system in facts.file_systems:
        assert 0 <= system.free <= system.size
    assert sum(one.size for one in facts.file_systems if one.mount != "/dev") <= sum(disk.size for disk in facts.disks)


@every_host
def test_its_clock_fits_the_question(host: str) -> None:
    bundle = BUNDLES[host]
    assert bundle.answered_at is not None and bundle.gathered_at < bundle.answered_at < bundle.gathered_at + 30
    start, end = float(bundle.text("clock-start")), float(bundle.text("clock-end"))
    assert 0 < end - start < bundle.answered_at - bundle.gathered_at
    assert FACTS[host].system.uptime_s == float(bundle.text("uptime")) > 0


SECRETS = re.compile(
    r"PRIVATE KEY|(?<![a-z])(password|passwd|token|secret)\s*[=:]\s*[^*\s]|[Ss]erial( ?[Nn]umber)?\s*[:=]|://[^/\s*]+@|GPU-[0-9a-f]{8}|"
    r"[\w.]+@[\w-]+\.(?:com|org|net|de)\b"
)
SHOWS_ADDRESSES = (
    "ip-addr-json", "ip-addr", "ip-route-json", "ip-route", "resolv-conf", "resolv-conf-uplink", "hosts", "ss",
    "netplan", "getent", "proxies", "firewall",
)  # fmt: skip
DOTTED = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")


@every_host
def test_nobody_is_named_and_no_secret_is_kept(host: str) -> None:
    bundle = BUNDLES[host]
    for name, source in bundle.sources.items():
        found = SECRETS.search(source.stdout + source.stderr)
        assert found is None, (name, found)
    for name in SHOWS_ADDRESSES:
        for text in DOTTED.findall(bundle.source(name).stdout):
            address = ip_address(text)
            # is_private holds documentation's ranges (RFC 5737) and the ones for benchmarks (RFC 2544) too
            assert address.is_private or address.is_multicast or text.startswith("255."), (name, text)


@every_host
def test_hardware_addresses_are_nobodys(host: str) -> None:
    for nic in FACTS[host].nics:
        if nic.mac:
            documentation = nic.mac.startswith("00:00:5e:00:53:")  # RFC 7042, 2.1.1
            local = bool(int(nic.mac[:2], 16) & 2)
            instance = nic.mac.startswith("00:16:3e:")  # what LXD gives its instances
            assert documentation or local or instance, (nic.name, nic.mac)


def test_hosts_are_told_apart() -> None:
    def twice(values: list[str]) -> set[str]:
        return {value for value, count in Counter(values).items() if count > 1}

    cloned = {FACTS["trouble/pine"].system.machine_id}
    assert twice([facts.system.machine_id for facts in FACTS.values()]) == cloned, "elder and pine, on purpose"
    assert not twice([facts.system.boot_id for facts in FACTS.values()])
    macs = [mac for facts in FACTS.values() for mac in {nic.mac for nic in facts.nics if nic.mac}]
    assert not twice(macs)


def sources_of(text: str) -> set[str]:
    """The names of the sources in the probe's script."""
    verbs = "begin|source_of|line_of|show|there|filtered|captured|copied"
    return set(re.findall(rf"(?m)(?:^\s*|=['\"]|&& |\|\| |; |\) |then )(?:{verbs}) ([a-z][\w-]+)", text))


@every_host
def test_a_bundle_has_every_source_that_the_probe_has(host: str) -> None:
    only_where_another_fails = {
        "lscpu", "df-k", "sys-block", "ip-addr", "ip-route", "proc-net", "dmidecode", "nvidia-smi-csv",
        "resolv-conf-uplink", "timesyncd-synchronized", "snap-version", "snap-list", "snap-refresh-time", "zerotier",
        "nvidia-smi-query", "nvidia-smi", "kernel-log-iommu", "lspci-Dnnk", "packages",
    }  # fmt: skip
    asked = sources_of(script())
    assert "sys-pci" in asked and "getent" in asked, "the names are found in the script"
    assert asked - only_where_another_fails <= BUNDLES[host].sources.keys(), "compose again: see CONTRIBUTING"
    assert BUNDLES[host].sources.keys() <= asked


def test_composing_gives_what_is_committed(tmp_path: Path) -> None:
    write(tmp_path, [])
    for machine in COMPOSED:
        for file in sorted((tmp_path / machine.name).iterdir()):
            kept = machines.folder() / machine.name / file.name
            assert kept.read_text() == file.read_text(), f"{machine.name}/{file.name}: see CONTRIBUTING"
        assert {file.name for file in (tmp_path / machine.name).iterdir()} == {
            file.name for file in (machines.folder() / machine.name).iterdir()
        }
    assert {machine.name for machine in COMPOSED} == {one.name for one in MACHINES.values() if one.origin == "composed"}


def test_they_are_small() -> None:
    size = sum(file.stat().st_size for file in machines.folder().rglob("*") if file.is_file())
    assert size < 2_500_000


def test_a_bundle_is_kept_as_discover_saves_it() -> None:
    for name, bundle in BUNDLES.items():
        file = machines.folder() / f"{name}.json"
        assert file.read_text() == bundle.model_dump_json(indent=1), name
        assert RawBundle.model_validate_json(file.read_bytes()) == bundle


def test_facts_survive_being_written() -> None:
    for facts in FACTS.values():
        assert HostFacts.model_validate_json(facts.model_dump_json()) == facts
