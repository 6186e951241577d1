"""What a composed server is made of. Sizes are bytes; PCI addresses are full."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

GIB = 1024**3


@dataclass(frozen=True)
class Pci:
    """One PCI function, as the tables of boards.py list it."""

    address: str
    class_id: str
    """Six hexadecimal digits: class and programming interface."""
    ids: str
    """Vendor and device: 10de:2204."""
    revision: str = ""
    subsystem: str = ""
    driver: str = ""
    group: int | None = None
    modules: tuple[str, ...] = ()

    @property
    def vendor(self) -> str:
        return self.ids[:4]


_INTERFACES = {"0106": "01", "0108": "02", "0c03": "30", "0101": "80"}


def functions(table: str) -> tuple[Pci, ...]:
    """Rows of `address class ids/revision subsystem driver group modules`, `-` for what is not there."""
    found = []
    for row in filter(None, map(str.strip, table.splitlines())):
        address, kind, ids, subsystem, driver, group, modules = row.split()
        device, _, revision = ids.partition("/")
        found.append(
            Pci(
                address=address if len(address) == 12 else f"0000:{address}",
                class_id=kind if len(kind) == 6 else kind + _INTERFACES.get(kind, "00"),
                ids=device,
                revision=revision,
                subsystem="" if subsystem == "-" else subsystem,
                driver="" if driver == "-" else driver,
                group=None if group == "-" else int(group),
                modules=() if modules == "-" else tuple(modules.split(",")),
            )
        )
    return tuple(sorted(found, key=lambda one: one.address))


@dataclass(frozen=True)
class Processor:
    """A processor's model, as /proc/cpuinfo names it."""

    model: str
    vendor: str
    family: int
    number: int
    stepping: int
    microcode: str
    mhz: float
    cache_kb: int
    flags: str
    address_sizes: str = "48 bits physical, 48 bits virtual"
    bogomips: str = ""
    hybrid: int = 0
    """How many cores, the last ones, have one thread (Intel's efficient cores)."""


@dataclass(frozen=True)
class Cores:
    """How many of them a server has."""

    processor: Processor
    sockets: int = 1
    cores: int = 8
    """Of each socket."""
    threads: int = 2
    """Of each core."""
    arm: bool = False

    @property
    def total(self) -> int:
        single = self.processor.hybrid
        return self.sockets * ((self.cores - single) * self.threads + single)


@dataclass(frozen=True)
class Part:
    """A partition, or a volume in one."""

    name: str
    size: int
    mount: str | None = None
    kind: str = "part"
    file_system: str = ""
    used: int = 0
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Disk:
    name: str
    size: int
    model: str | None
    rotates: bool = False
    parts: tuple[Part, ...] = ()
    pci: str = ""


@dataclass(frozen=True)
class Nic:
    """One network interface. `hardware` is what sysfs tells of it: device, wifi, bridge, bond, vlan."""

    name: str
    mac: str
    pci: str = ""
    driver: str = ""
    addresses: tuple[str, ...] = ()
    gateway: str = ""
    dhcp: bool = False
    up: bool = True
    speed: int | None = 1000
    """Mb/s; None where the kernel cannot say."""
    duplex: str = "full"
    mtu: int = 1500
    hardware: tuple[str, ...] = ("device",)
    kind: str = ""
    """Its info_kind, of an interface that is software."""
    master: str = ""
    parent: str = ""
    """The interface beneath a VLAN."""
    tag: int = 0


@dataclass(frozen=True)
class Graphics:
    """What NVIDIA's driver says of one GPU."""

    address: str
    name: str
    memory_mib: int
    capability: str
    display: bool = False
    """A monitor hangs on it."""
    mig: str = "[N/A]"
    error: str = ""
    """What nvidia-smi prints in place of everything: it gives up at this one."""
    gone: bool = False
    """It was lost while nvidia-smi asked it."""
    processes: tuple[str, ...] = ()
    """Of the processes that use it: C, G or C+G."""
    used_mib: int = 1
    watts: int = 200
    ecc: bool = False


@dataclass(frozen=True)
class Distribution:
    release: str
    """/etc/os-release."""
    uname: str
    """What follows the kernel's release in `uname -a`."""


@dataclass(frozen=True)
class Setup:
    """What is installed and set up on a server; the defaults are a fresh Ubuntu Server that is kept well."""

    chassis: int = 3
    """As SMBIOS numbers them: 3 desktop, 10 notebook, 17 server, 23 rack, 1 other (virtual)."""
    secure_boot: str = "off"
    """`on`, `off`, or `bios` where the firmware is no UEFI."""
    display_manager: str = ""
    inotify: tuple[int, int] = (8192, 1_048_576)
    """Instances and watches."""
    aio_nr: int = 0
    nested: bool = True
    cgroup_memory: bool = True
    cgroup_v2: bool = True
    bridge_filter: str = "file"
    docker: str = ""
    """Version of docker-ce, where it is installed."""
    ufw: bool = False
    snapd: str = "2.72"
    """Empty where there is none."""
    hold: str = "forever"
    snaps: tuple[str, ...] = ()
    """More rows of `snap list`."""
    packages: tuple[str, ...] = ()
    """More rows of dpkg-query: name, version, state."""
    locks: str = ""
    audit: str = ""
    listeners: tuple[tuple[str, str, str], ...] = ()
    """More of `ss`: protocol, address with port, process."""
    services: tuple[str, ...] = ()
    """More services that run."""
    resolvers: tuple[str, ...] = ()
    search: str = ""
    hosts: dict[str, str] = field(default_factory=dict)
    """More lines of /etc/hosts: names by address."""
    asked: tuple[str, ...] = ()
    """The names of the site's servers, which the probe asks for."""
    wildcard: str = ""
    """What every name resolves to, where the resolver has a wildcard."""
    clock: str = "chrony"
    """Which service keeps it; empty for none."""
    synchronised: bool = True
    timezone: str = "Etc/UTC"
    python: str = "3.12"
    """Where /usr/bin/python3 leads to."""
    kernel_log: tuple[str, ...] = ()
    """More lines that the probe looks for: Xid."""
    proxies: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    renderer: str = "networkd"
    cluster: bool = False
    """Its LXD is in a cluster."""


@dataclass(frozen=True)
class Host:
    """One server, whole."""

    name: str
    distribution: Distribution
    kernel: str
    cores: Cores
    memory_kb: int
    pci: tuple[Pci, ...]
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    machine_id: str
    boot_id: str
    maker: str
    product: str
    board: tuple[str, str] | None = None
    """Maker and name of the mainboard, where they differ from those of the machine."""
    hostname: str = ""
    """What it calls itself, where that is not its name in the site."""
    user: str = "ann"
    cmdline: str = ""
    virtualization: str = "none"
    graphics: tuple[Graphics, ...] = ()
    driver_version: str = ""
    """Of NVIDIA's driver; empty where it is not installed."""
    boot_display: str = ""
    """Where the firmware draws."""
    monitors: tuple[str, ...] = ()
    """Addresses of the display controllers that a monitor hangs on."""
    kvm: bool = True
    vsock: bool = True
    sudo: int = 0
    uptime_s: float = 0.0
    used_memory_kb: int = 2_500_000
    swap_kb: int = 0
    at: float = 0.0
    """When it is said to have been asked, Unix seconds."""
    setup: Setup = Setup()
    skew_s: float = 0.0
    """Its clock minus ours."""
    changes: dict[str, tuple[str, str, int | None] | None] = field(default_factory=dict)
    """Sources that print something else than the rest gives: standard output, errors, exit code; None: not asked."""
    without: tuple[str, ...] = ()
    """Commands that are not installed."""

    def but(self, **changes: object) -> Host:
        return replace(self, **changes)  # type: ignore[arg-type]  # names of its own fields


def bound(pci: Iterable[Pci], driver: str, *addresses: str) -> tuple[Pci, ...]:
    """The same functions, those at these addresses with another driver (none where it is empty)."""
    return tuple(replace(one, driver=driver) if one.address in addresses else one for one in pci)


def ungrouped(pci: Iterable[Pci]) -> tuple[Pci, ...]:
    """The same functions on a kernel without an IOMMU."""
    return tuple(replace(one, group=None) for one in pci)
