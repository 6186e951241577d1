"""Facts of one host, as parsed from its raw bundle. Sizes are bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class System(Fact):
    os_id: str = ""
    """ID of /etc/os-release: debian, ubuntu."""
    os_version: str = ""
    """VERSION_ID: 24.04, 12."""
    os_name: str = ""
    """PRETTY_NAME."""
    kernel: str = ""
    architecture: str = ""
    hostname: str = ""
    machine_id: str = ""
    boot_id: str = ""
    virtualization: str = "none"
    """What systemd-detect-virt says: none, kvm, lxc, …"""
    systemd: bool = False
    kvm: bool = False
    """/dev/kvm is there."""
    vhost_vsock: bool = False
    """/dev/vhost-vsock is there (LXD needs it for virtual machines)."""
    sudo: bool | None = None
    """`sudo -n true` ended with 0 (or the account is root); None where it was not tried."""
    product: str = ""
    """Maker and model, as the firmware says."""
    uptime_s: float | None = None


class Cpu(Fact):
    model: str = ""
    vendor: str = ""
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None
    """Logical processors that can be used."""


class Memory(Fact):
    total: int | None = None
    available: int | None = None
    swap: int | None = None


class Disk(Fact):
    name: str
    size: int
    kind: Literal["hdd", "ssd", "nvme", "unknown"] = "unknown"
    model: str = ""
    mounts: tuple[str, ...] = ()


class FileSystem(Fact):
    mount: str
    size: int
    free: int
    kind: str = ""


class Nic(Fact):
    name: str
    mac: str = ""
    up: bool = False
    kind: Literal["ethernet", "wifi", "bridge", "bond", "vlan", "virtual", "loopback", "other"] = "other"
    speed_mbps: int | None = None
    addresses: tuple[str, ...] = ()
    """IPv4 and IPv6 with prefix, as 192.168.1.10/24."""
    default_route: bool = False


class PciFunction(Fact):
    address: str
    """Full address with domain: 0000:01:00.0."""
    class_id: str
    """Four hexadecimal digits: 0300, 0302, 0403."""
    vendor_id: str
    device_id: str
    name: str = ""
    driver: str | None = None
    iommu_group: int | None = None


class Gpu(Fact):
    address: str
    vendor: Literal["nvidia", "amd", "intel", "other"]
    name: str = ""
    driver: str | None = None
    iommu_group: int | None = None
    """None where the IOMMU is off or cannot be seen."""
    memory: int | None = None
    driver_version: str = ""
    """Of NVIDIA's driver, where nvidia-smi works."""


class Missing(Fact):
    """A source that could not be read, and why: `unknown` is honest."""

    source: str
    reason: str


class HostFacts(Fact):
    version: Literal[1] = 1
    host: str
    gathered_at: float
    """Unix seconds."""
    system: System = System()
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    disks: tuple[Disk, ...] = ()
    file_systems: tuple[FileSystem, ...] = ()
    nics: tuple[Nic, ...] = ()
    pci: tuple[PciFunction, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    missing: tuple[Missing, ...] = ()


class Failure(Fact):
    """A host that gave no facts, and why."""

    host: str
    code: str
    what: str
    why: str = ""
    do: tuple[str, ...] = ()


class FactsDocument(Fact):
    """What `homewright discover --json` prints."""

    version: Literal[1] = 1
    hosts: tuple[HostFacts, ...] = ()
    failures: tuple[Failure, ...] = ()
