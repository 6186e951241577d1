"""inxi's reports, of any width and of old and new versions: headings, and `Key: value` in a running text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from homewright.discovery.facts import Cpu, Disk, FileSystem, Memory, Nic, PciFunction
from homewright.discovery.parsers.network import by_name
from homewright.discovery.parsers.pci import full_address
from homewright.discovery.parsers.report import Report
from homewright.discovery.parsers.sizes import size, whole

_HEADING = re.compile(r"^([A-Z][A-Za-z ]{1,20}):(?:\s+(.*))?$")
_SECTIONS = {
    "System",
    "Machine",
    "Memory",
    "CPU",
    "Graphics",
    "Audio",
    "Network",
    "Drives",
    "Partition",
    "Swap",
    "Info",
}
_PART = re.compile(
    r"(?=(?<![\w-])(?:Device-\d+|IF-ID-\d+|IF|ID-\d+|Display|Sound Server|Server-\d+|API|Report|Info):\s)"
)
_KEY = r"(?=\s+[A-Za-z][\w()/-]{0,24}:(?:\s|$)|$)"
_BUS = re.compile(r"\bbus[ -]ID: ((?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=\s|$)", re.IGNORECASE)
_CHIP = re.compile(r"\bchip-ID: ([0-9a-f]{4}):([0-9a-f]{4})\b")
_AMOUNT = r"([0-9]{1,9}(?:[.,][0-9]{1,4})?\s?[KMGT]iB)"
_WORDS = {"single": 1, "dual": 2, "triple": 3, "quad": 4, "hexa": 6, "6": 6, "octa": 8}
_CLASSES = {"Graphics": "0300", "Audio": "0403", "Network": "0200"}
_MACHINES = {"laptop": "laptop", "desktop": "desktop", "server": "server", "mini-pc": "desktop", "kvm": "vm"}


def parse(text: str) -> Report:
    sections = _sections(text)
    if "System" not in sections and "Machine" not in sections:
        return Report()
    system, machine, info = (sections.get(name, "") for name in ("System", "Machine", "Info"))
    maker, product = _value("System", machine), _value("product", machine)
    if not maker:
        maker, product = _value("Mobo", machine), _value("model", machine)
    disks, file_systems = _disks(sections.get("Drives", ""), sections.get("Partition", ""))
    shown = sections.get("Graphics", "")
    swap = _match(rf"\bsize: {_AMOUNT}", sections.get("Swap", ""))
    kind = _match(r"^Type: ([\w-]+)", machine).lower()
    return Report(
        os_name=_value("Distro", system),
        kernel=_match(r"\bKernel: (\d\S*)", system),
        architecture=_match(r"\b(x86_64|aarch64|armv7l|riscv64|ppc64le)\b", system),
        hostname=_match(r"\bHost: (\S+)", system),
        product=product if product.startswith(f"{maker} ") else " ".join(filter(None, (maker, product))),
        chassis=_MACHINES.get(kind, ""),
        virtualization="kvm" if kind == "kvm" else "none" if kind in _MACHINES else "",
        desktop=True if re.search(r"\bDesktop: \w", system) else None,
        cpu=_cpu(sections.get("CPU", "")),
        flag=_flag(sections.get("CPU", "")),
        memory=_memory(sections.get("Memory", "") or info).model_copy(update={"swap": _size(swap)}),
        disks=disks,
        file_systems=file_systems,
        nics=_nics(sections.get("Network", "")),
        pci=tuple(_functions(sections)),
        displays=dict(_displays(shown)),
        swaps=tuple(re.findall(r"\b(?:file|dev): (/\S+)", sections.get("Swap", ""))),
    )


def _sections(text: str) -> dict[str, str]:
    """The text of each section on one line."""
    found: dict[str, list[str]] = {}
    current = ""
    for line in text.splitlines():
        heading = None if line[:1].isspace() else _HEADING.match(line)
        if heading:
            current = heading.group(1)
            found.setdefault(current, []).append(heading.group(2) or "")
        elif current:
            found[current].append(line.strip())
    return {name: " ".join(" ".join(lines).split()) for name, lines in found.items() if name in _SECTIONS}


def _cpu(text: str) -> Cpu:
    model = _value("model", text)
    cores = whole(_match(r"\bInfo: (?:\d+x )?(\d+)-core\b", text)) or whole(_match(r"\bcores: (\d+) smt:", text))
    if cores is None:
        word = _match(r"\b(?:Topology|Info): (?:\d+x )?(\w+)[ -][Cc]ore\b", text).lower()
        cores = _WORDS.get(word)
    sockets = whole(_match(r"\b(?:Info|Topology|cpus): (?:cpus: )?(\d+)x\b", text)) or (1 if cores else None)
    listed = re.search(r"\b(?:cores|Core speeds \(MHz\)):((?: \d{1,4}: \d{1,5}\b)+)", text)
    threads = len(re.findall(r"\d+: ", listed.group(1))) if listed else None
    return Cpu(
        model="" if model == "N/A" else model,
        sockets=sockets,
        cores=cores * (sockets or 1) if cores else None,
        threads=threads,
    )


def _flag(text: str) -> Literal["vmx", "svm", ""] | None:
    flags = re.search(r"\b[Ff]lags: ((?:[a-z0-9_]+ ?)+)", text)
    if not flags:
        return None
    words = flags.group(1).split()
    return "vmx" if "vmx" in words else "svm" if "svm" in words else ""


def _memory(text: str) -> Memory:
    """`available` is what the kernel has, `total` what is installed; old versions print the first alone."""
    found = _match(rf"\bavailable: {_AMOUNT}", text) or _match(rf"\b(?:RAM|Memory): (?:total: )?{_AMOUNT}", text)
    return Memory(total=_size(found))


def _functions(sections: dict[str, str]) -> Iterator[PciFunction]:
    for section, class_id in _CLASSES.items():
        for part in _PART.split(sections.get(section, "")):
            bus, chip = _BUS.search(part), _CHIP.search(part)
            if part.startswith("Device-") and bus:
                driver = _match(r"\bdriver: (\S+)", part)
                yield PciFunction(
                    address=full_address(bus.group(1)),
                    class_id=_match(r"\bclass-ID: ([0-9a-f]{4})\b", part) or class_id,
                    vendor_id=chip.group(1) if chip else "",
                    device_id=chip.group(2) if chip else "",
                    name=_value(r"Device-\d+", part),
                    driver=None if driver in ("", "N/A") else driver,
                )


def _displays(text: str) -> Iterator[tuple[str, bool]]:
    for part in _PART.split(text):
        if (bus := _BUS.search(part)) and (active := _match(r"\bports: active: (\S+)", part)):
            yield full_address(bus.group(1)), active != "none" or " off: " in part


def _nics(text: str) -> tuple[Nic, ...]:
    found: dict[str, Nic] = {}
    slot = driver = current = ""
    for part in _PART.split(text):
        if part.startswith("Device-"):
            bus = _BUS.search(part)
            slot, driver = full_address(bus.group(1)) if bus else "", _match(r"\bdriver: (\S+)", part)
        elif interface := re.match(r"(IF|IF-ID-\d+): (\S+) state: (\w+)", part):
            current = interface.group(2)
            if current in found:
                continue
            own = interface.group(1) == "IF"
            found[current] = Nic(
                name=current,
                mac=_match(r"\bmac: ((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\b", part),
                up=interface.group(3) == "up",
                kind=by_name(current),
                speed_mbps=whole(_match(r"\bspeed: (\d+) Mbps", part)) or None,
                duplex=_match(r"\bduplex: (full|half)\b", part),
                addresses=tuple(re.findall(r"\bIP v[46]: (\S+/\d+)", part)),
                dhcp=_leased(part),
                pci_address=slot if own else "",
                driver=driver if own else "",
            )
    return tuple(found.values())


def _leased(text: str) -> bool | None:
    first = re.search(r"\bIP v4: \S+(?: type: (\w+))?", text)
    return None if first is None else first.group(1) == "dynamic"


def _disks(drives: str, partitions: str) -> tuple[tuple[Disk, ...], tuple[FileSystem, ...]]:
    mounts: dict[str, str] = {}
    systems = []
    for part in _PART.split(partitions):
        if found := re.match(rf"ID-\d+: (/\S*) (?:raw-size: .*?)?size: {_AMOUNT} used: {_AMOUNT}", part):
            total, used = _size(found.group(2)), _size(found.group(3))
            mounts[found.group(1)] = _match(r"\bdev: /dev/(\S+)", part)
            if total is not None and used is not None:
                systems.append(
                    FileSystem(
                        mount=found.group(1), size=total, free=max(0, total - used), kind=_match(r"\bfs: (\S+)", part)
                    )
                )
    disks = []
    for part in _PART.split(drives):
        if (found := re.match(r"ID-\d+: /dev/(\S+)", part)) and (total := _size(_match(rf"\bsize: {_AMOUNT}", part))):
            name = found.group(1)
            technology = _match(r"\b(?:tech|type): (SSD|HDD)\b", part).lower()
            disks.append(
                Disk(
                    name=name,
                    size=total,
                    kind=_kind(name, technology),
                    model=" ".join(filter(None, (_value("vendor", part), _value("model", part)))),
                    mounts=tuple(mount for mount, device in mounts.items() if device.startswith(name)),
                )
            )
    return tuple(disks), tuple(systems)


def _kind(name: str, technology: str) -> Literal["hdd", "ssd", "nvme", "unknown"]:
    if name.startswith("nvme"):
        return "nvme"
    return "ssd" if technology == "ssd" else "hdd" if technology == "hdd" else "unknown"


def _value(key: str, text: str) -> str:
    """What stands after a key, up to the next one."""
    return _match(rf"(?:^|\s){key}: (.+?){_KEY}", text)[:200]


def _match(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return (found.group(1) or "").strip() if found else ""


def _size(text: str) -> int | None:
    return size(text.replace(" ", "")) if text else None
