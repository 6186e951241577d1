"""Facts of one host, as parsed from its raw bundle. Sizes are bytes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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
    account: str = ""
    """Who was signed in while looking."""
    home: str = ""
    """The home of that account."""
    secure_boot: bool | None = None
    chassis: str = ""
    """desktop, laptop, server, vm, container, as systemd's hostnamectl or the firmware says."""
    desktop: bool | None = None
    """A graphical session is what it starts into (graphical.target with a display manager)."""
    proxies: dict[str, str] = {}
    """Proxy variables of the account's and the system's environment, by name; passwords in them are cut out."""


class Kernel(Fact):
    """What the running kernel is set to; None where it could not be read."""

    cmdline: tuple[str, ...] = ()
    modules: tuple[str, ...] | None = None
    """Names of the loaded modules."""
    iommu: bool | None = None
    """True where the kernel shows IOMMU groups, False where it shows none although it was asked."""
    nested: bool | None = None
    """KVM gives guests the processor's virtualization."""
    virtualization_flag: Literal["vmx", "svm", ""] | None = None
    """The processor's flag; empty where it has none."""
    memory_cgroup: bool | None = None
    br_netfilter: bool | None = None
    """The module is loaded, or can be (its file is there)."""
    inotify_instances: int | None = None
    inotify_watches: int | None = None
    aio_nr: int | None = None
    aio_max_nr: int | None = None
    swaps: tuple[str, ...] = ()
    """Devices and files that are swapped to."""
    xid: tuple[str, ...] | None = None
    """Xid lines of NVIDIA's driver in the kernel's log, the newest last, 20 at most; None where it may not be read."""
    iommu_log: tuple[str, ...] = ()
    """DMAR and AMD-Vi lines of the kernel's log, 20 at most."""


class Software(Fact):
    """What is installed and running that the platform needs or runs into."""

    snapd: str | None = None
    """Its version; None where it is not installed or not known (see `missing`)."""
    snap_hold: str | None = None
    """Until when snaps are held from refreshing, as snapd says; empty where they are not."""
    package_locks: tuple[str, ...] | None = None
    """apt's and dpkg's lock files that somebody holds, each with the process."""
    packages_broken: bool | None = None
    """dpkg has packages that are half installed."""
    docker: bool | None = None
    ufw: bool | None = None
    """ufw is active."""
    forward_policy: Literal["accept", "drop"] | None = None
    """What becomes of forwarded packets that no rule names."""
    lxd: str | None = None
    """Its version; None where it is not installed."""
    lxd_from: Literal["snap", "package", ""] = ""
    lxd_clustered: bool | None = None
    microk8s: str | None = None
    zerotier: str | None = None
    device_plugin: tuple[str, ...] | None = None
    """Node-feature-discovery or NVIDIA's device plugin that already run here."""
    python: str | None = None
    """Version of python3; None where there is none."""
    netplan: bool | None = None
    services: tuple[str, ...] = ()
    """Running services of systemd, without `.service`."""


class Clock(Fact):
    """How its clock stands to ours, seconds."""

    offset_s: float | None = None
    """Its clock minus ours at the middle of the exchange; right to half the round trip."""
    uncertainty_s: float | None = None
    """Half the round trip."""
    synchronised: bool | None = None
    """What timedatectl says of NTP."""
    service: str = ""
    """chrony, systemd-timesyncd, ntpd."""
    timezone: str = ""


class Names(Fact):
    """How names are resolved there."""

    resolvers: tuple[str, ...] = ()
    """DNS servers in use, behind systemd-resolved's own where that runs."""
    search: tuple[str, ...] = ()
    hosts: dict[str, tuple[str, ...]] = {}
    """/etc/hosts: names by address."""
    resolves: dict[str, tuple[str, ...]] = {}
    """What names that were asked for resolve to, by name (getent); the servers of the site are asked for."""
    wildcard: bool | None = None
    """A name that cannot exist resolves all the same; None too where no public name does: nobody may have answered."""
    internet: bool | None = None
    """A public name resolves."""


class Listener(Fact):
    """A socket that listens."""

    protocol: Literal["tcp", "udp"]
    address: str
    port: int
    process: str = ""
    """Who listens, where it may be seen."""


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
    gateway: str = ""
    """Of its default route."""
    routes: tuple[str, ...] = ()
    """Other IPv4 networks that are reached through it, as 10.8.0.0/16: a VPN's, a second router's."""
    instances: str = ""
    """The range of the site's LXD instances that Homewright itself leads through it (stage 20, step 20)."""
    mtu: int | None = None
    driver: str = ""
    pci_address: str = ""
    """Full address, of a NIC on the PCI bus."""
    master: str = ""
    """The bridge or bond that it belongs to."""
    dhcp: bool | None = None
    """Its IPv4 address comes from DHCP; None where that cannot be told."""
    duplex: str = ""


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
    modules: tuple[str, ...] = ()
    """Kernel modules that could drive it."""


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
    device_id: str = ""
    """Vendor and device: 10de:2204."""
    boot_display: bool | None = None
    """The firmware drew on it (boot_vga)."""
    displays: bool | None = None
    """A monitor is connected, as DRM or nvidia-smi says."""
    compute_capability: str = ""
    """As 8.6; from nvidia-smi."""
    mig: bool | None = None
    """Multi-Instance GPU is on."""
    error: str = ""
    """What nvidia-smi says in place of its facts: lost, fallen off the bus."""
    processes: int | None = None
    """How many processes use it now."""


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
    kernel: Kernel = Kernel()
    software: Software = Software()
    clock: Clock = Clock()
    names: Names = Names()
    listeners: tuple[Listener, ...] | None = None
    missing: tuple[Missing, ...] = ()

    def why_unknown(self, *sources: str) -> str:
        """Why these facts are not known: the reasons of the sources that they come from."""
        reasons = [f"{gap.source}: {gap.reason}" for gap in self.missing if gap.source in sources]
        return "; ".join(reasons) or "the server did not say"


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
