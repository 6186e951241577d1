"""What a server is, in lines of a label and words: the card of the hardware screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from textual import events

from homewright.errors import HomewrightError
from homewright.screens.glyphs import look
from homewright.screens.page import age_text, size_text
from homewright.screens.widgets.labelled import Labelled, Line

if TYPE_CHECKING:
    from homewright.discovery.facts import Gpu, HostFacts, Nic

AT_MOST = 8
"""How many disks, file systems or network interfaces are named; the rest is counted."""


class ServerCard(Labelled, can_focus=True):
    """One server: its facts, or why there are none."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(id=f"card-{name}", classes="frame card")
        self.server = name
        self.title = self.border_title = f"{name} · {address}"

    def on_focus(self) -> None:
        self.border_title = f"▸ {self.title}"  # seen without colours too

    def on_blur(self) -> None:
        self.border_title = self.title

    def on_resize(self, event: events.Resize) -> None:
        if self.has_focus:
            self.scroll_visible(animate=False)  # it may have grown out of sight

    def show(
        self, facts: HostFacts | None, error: HomewrightError | None, looking: bool, now: float, ascii: bool
    ) -> None:
        """Fill the card; what was known before stays while the server is looked at again."""
        state = "running" if looking else "failed" if error else "done" if facts else "pending"
        word = {"running": "looking …", "failed": "not reached", "pending": "no facts yet"}.get(state, "")
        if state == "done" and facts is not None:
            word = f"{age_text(now - facts.gathered_at)} ago"
        self.border_subtitle = f"{look(state).mark(ascii)} {word}"
        self.set_class(state == "failed", "-lost")
        self.show_lines(card(facts, None if looking else error))

    def matches(self, needle: str) -> bool:
        """Whether the card has this text, without regard to case."""
        return needle.lower() in f"{self.title} {self.border_subtitle} {self.plain}".lower()


def card(facts: HostFacts | None, error: HomewrightError | None) -> list[Line]:
    """The lines of a card. A server that is not reached says why; what it said earlier stays beneath."""
    lines: list[Line] = []
    if error is not None:
        lines.append(Line("", error.what, "failed", whole=True))
        lines += [Line("Why", error.why)] if error.why else []
        lines += [Line("To do", f"{number}. {step}") for number, step in enumerate(error.do, 1)]
        lines += [Line("", "What it said when it was last reached:", "quiet", whole=True)] if facts else []
    if facts is None:
        return lines or [Line("", "No facts yet.", whole=True)]
    lines += [Line(name, value) for name, value in facts_lines(facts)]
    lines += [Line("Unknown", f"? {', '.join(sources)}: {reason}", "warning") for sources, reason in unknowns(facts)]
    return lines


def unknowns(facts: HostFacts) -> list[tuple[list[str], str]]:
    """What could not be read, by reason: sources that share one are named together."""
    by_reason: dict[str, list[str]] = {}
    for gap in facts.missing:
        by_reason.setdefault(gap.reason, []).append(gap.source)
    return [(sources, reason) for reason, sources in by_reason.items()]


def facts_lines(facts: HostFacts) -> list[tuple[str, str]]:
    """Label and words of each line; a label that comes twice is shown once."""
    return [
        *_system(facts),
        *_processor(facts),
        *_storage(facts),
        *_network(facts),
        *_gpus(facts),
        *_clock(facts),
    ]


def _system(facts: HostFacts) -> Iterator[tuple[str, str]]:
    system = facts.system
    words = [system.os_name or "unknown", f"kernel {system.kernel or 'unknown'}"]
    yield "System", " · ".join([*words, *([system.architecture] if system.architecture else [])])
    kind = {"none": "bare metal", "": "unknown"}.get(system.virtualization, f"inside {system.virtualization}")
    boot = {True: "Secure Boot on", False: "Secure Boot off", None: "Secure Boot unknown"}[system.secure_boot]
    if system.virtualization in ("lxc", "docker", "podman"):
        boot = ""  # a container boots nothing
    desktop = {True: "starts into a graphical desktop", False: "no graphical desktop", None: ""}[system.desktop]
    case = "" if system.chassis in ("vm", "container") else system.chassis
    yield "Machine", " · ".join(word for word in (system.product, case, kind, boot, desktop) if word)


def _processor(facts: HostFacts) -> Iterator[tuple[str, str]]:
    cpu, memory, kernel, system = facts.cpu, facts.memory, facts.kernel, facts.system
    cores = f" on {_count(cpu.cores, 'core')}" if cpu.cores else ""
    sockets = f" in {cpu.sockets} sockets" if cpu.sockets and cpu.sockets > 1 else ""
    yield "CPU", f"{_count(cpu.threads, 'thread')}{cores}{sockets} · {cpu.model or 'unknown'}"
    flag = {"vmx": "VT-x", "svm": "AMD-V", "": "the processor has none"}.get(kernel.virtualization_flag or "", "")
    words = [
        "/dev/kvm" if system.kvm else "no /dev/kvm",
        "vsock" if system.vhost_vsock else "no vsock",
        flag if kernel.virtualization_flag is not None else "",
        {True: "nested", False: "not nested", None: ""}[kernel.nested],
    ]
    yield "VMs", " · ".join(word for word in words if word)
    groups = len({function.iommu_group for function in facts.pci if function.iommu_group is not None})
    state = {True: "on", False: "off", None: "unknown"}[kernel.iommu]
    if kernel.iommu is None and groups:
        state = "on"
    yield "IOMMU", f"{state} · {_count(groups, 'group')}" if groups else state
    swap = f"swap {size_text(memory.swap)}" if memory.swap else "no swap" if memory.swap == 0 else "swap unknown"
    yield "Memory", f"{_size(memory.total)} · {_size(memory.available)} free · {swap}"


def _storage(facts: HostFacts) -> Iterator[tuple[str, str]]:
    disks = [
        f"{disk.name} {size_text(disk.size)} {disk.kind if disk.kind != 'unknown' else ''}".rstrip()
        + (f" · {disk.model}" if disk.model else "")
        + (f" · {', '.join(disk.mounts)}" if disk.mounts else "")
        for disk in facts.disks
    ]
    yield from _some("Disk", disks, "disks")
    mounted = [
        f"{place.mount} {size_text(place.free)} free of {size_text(place.size)}"
        for place in facts.file_systems
        if place.mount in ("/", "/home", "/var") or not facts.disks
    ]
    yield from _some("Space", mounted, "file systems")


def _network(facts: HostFacts) -> Iterator[tuple[str, str]]:
    # What is only virtual is counted; in a container the way out is virtual, too.
    seen = [nic for nic in facts.nics if nic.kind not in ("loopback", "virtual") or nic.default_route]
    # The one that carries the server's traffic first, then those that have an address.
    seen.sort(key=lambda nic: (not nic.default_route, not nic.addresses, not nic.up))
    yield from _some("Network", [_nic(nic) for nic in seen] or ["none"], "interfaces")
    made = sum(1 for nic in facts.nics if nic.kind == "virtual" and not nic.default_route)
    if made:
        yield "Network", f"and {_count(made, 'virtual interface')}"


def _nic(nic: Nic) -> str:
    addresses = ", ".join(address for address in nic.addresses if ":" not in address)
    speed = nic.speed_mbps
    words = [
        f"{nic.name} {'up' if nic.up else 'down'}",
        addresses or (f"part of {nic.master}" if nic.master else "no address"),
        {True: "by DHCP", False: "static", None: ""}[nic.dhcp] if addresses else "",
        "" if not speed else f"{speed / 1000:g} Gb/s" if speed >= 1000 else f"{speed} Mb/s",
        "Wi-Fi" if nic.kind == "wifi" else nic.kind if nic.kind in ("bridge", "bond", "vlan") else "",
        "default route" if nic.default_route else "",
    ]
    return " · ".join(word for word in words if word)


def _gpus(facts: HostFacts) -> Iterator[tuple[str, str]]:
    if not facts.gpus:
        yield "GPU", "none"
    for gpu in facts.gpus:
        size = f" · {size_text(gpu.memory)}" if gpu.memory else ""
        yield "GPU", f"{gpu.name or gpu.vendor} · {gpu.address}{size}"
        yield "GPU", f"{_group(facts, gpu)} · {_driver(gpu)} · {gpu_users(gpu)}"


def _group(facts: HostFacts, gpu: Gpu) -> str:
    if gpu.iommu_group is None:
        return "IOMMU group unknown"
    slot = gpu.address.rpartition(".")[0]
    others = sum(
        1
        for function in facts.pci
        if function.iommu_group == gpu.iommu_group
        and function.address.rpartition(".")[0] != slot
        and not function.class_id.startswith("06")  # a bridge stays with the host and hinders nothing
    )
    return f"IOMMU group {gpu.iommu_group}" + (f", shared with {_count(others, 'other device')}" if others else "")


def _driver(gpu: Gpu) -> str:
    version = f" {gpu.driver_version}" if gpu.driver_version else ""
    return f"driver {gpu.driver or 'none'}{version}"


def gpu_users(gpu: Gpu) -> str:
    """Who uses a GPU now, in words."""
    words = [
        gpu.error,
        "kept for a virtual machine" if gpu.driver == "vfio-pci" else "",
        "a monitor is on it" if gpu.displays else "the console is drawn on it" if gpu.boot_display else "",
        f"used by {_count(gpu.processes, 'process', 'processes')}" if gpu.processes else "",
        "MIG is on" if gpu.mig else "",
    ]
    said = [word for word in words if word]
    if not said and (gpu.processes == 0 or gpu.displays is False):
        said = ["nobody uses it"]
    return " · ".join(said) or "who uses it is unknown"


def _clock(facts: HostFacts) -> Iterator[tuple[str, str]]:
    clock = facts.clock
    if clock.offset_s is None and clock.synchronised is None:
        return
    words = [
        "" if clock.offset_s is None else offset_text(clock.offset_s),
        {True: "kept by", False: "not synchronised", None: ""}[clock.synchronised]
        + (f" {clock.service or 'NTP'}" if clock.synchronised else ""),
        clock.timezone,
    ]
    yield "Clock", " · ".join(word for word in words if word)


def offset_text(seconds: float) -> str:
    """How a clock stands to ours."""
    if abs(seconds) < 1:
        return "right"
    return f"{age_text(abs(seconds))} {'ahead' if seconds > 0 else 'behind'}"


def _some(label: str, values: Sequence[str], noun: str) -> Iterator[tuple[str, str]]:
    """The first of them, and how many more there are."""
    for value in values[:AT_MOST]:
        yield label, value
    if len(values) > AT_MOST:
        yield label, f"and {len(values) - AT_MOST} more {noun}"


def _count(number: int | None, noun: str, nouns: str = "") -> str:
    if number is None:
        return f"unknown {nouns or noun + 's'}"
    return f"1 {noun}" if number == 1 else f"{number} {nouns or noun + 's'}"


def _size(amount: int | None) -> str:
    return "unknown" if amount is None else size_text(amount)
