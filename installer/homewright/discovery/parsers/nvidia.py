"""nvidia-smi in all its forms: CSV queries, the table of every version, XML, and what it says of a GPU it has lost."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from homewright.discovery.bundle import RawBundle
from homewright.discovery.parsers.pci import full_address
from homewright.discovery.parsers.sizes import whole

_MIB = 1024 * 1024
_BUS = re.compile(r"(?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7]")
_ROW = re.compile(
    r"^\|\s+(?P<index>\d{1,3})\s+(?P<name>\S.*?)\s+(?:On|Off|N/A)\s+\|\s+(?P<bus>[0-9A-Fa-f:.]+|N/A)\s+"
    r"(?P<display>On|Off|N/A)\s*\|"
)
_MEMORY = re.compile(r"\d+MiB\s*/\s*(\d+)MiB")
_MIG = re.compile(r"\|\s*(Enabled|Disabled)\*?\s*\|\s*$")
_VERSION = re.compile(r"Driver Version:\s*(\d[\w.]*)")
_PROCESS = re.compile(
    r"^\|\s+(?P<index>\d{1,3})\s+(?:(?:N/A|\d+)\s+(?:N/A|\d+)\s+)?(?P<pid>\d+|N/A)\s+(?:C\+G|M\+C|C|G|M)\b"
)
_HANDLE = re.compile(
    rf"Unable to determine the device handle for GPU\s*\d*:?\s*(?P<bus>{_BUS.pattern}):\s*(?P<error>[^\n]{{1,200}})",
    re.IGNORECASE,
)
_CAPABILITY = re.compile(r"\d{1,2}\.\d")
_WORDS = {"Enabled": True, "Disabled": False, "On": True, "Off": False}


@dataclass(frozen=True)
class Smi:
    """One GPU as nvidia-smi lists it."""

    bus: str
    """Its full PCI address; empty where it is on no PCI bus (Jetson)."""
    name: str
    memory: int | None
    driver_version: str
    compute_capability: str = ""
    mig: bool | None = None
    display: bool | None = None
    """A screen is lit by it, or set up on it."""
    error: str = ""
    processes: int | None = None


def csv(text: str) -> list[Smi]:
    """From --query-gpu=pci.bus_id,name,memory.total,driver_version; [N/A], ERR! and their like are unknown."""
    return [
        Smi(full_address(bus), name, _mebibytes(memory), _version(version), error=_error(name, memory))
        for bus, name, memory, version in _fields(text, 3)
    ]


def query(text: str) -> list[Smi]:
    """From the probe's longer query: compute_cap, mig.mode.current and display_active come after the version."""
    return [
        Smi(
            full_address(bus),
            name,
            _mebibytes(memory),
            _version(version),
            compute_capability=capability if _CAPABILITY.fullmatch(capability) else "",
            mig=_WORDS.get(mig),
            display=_WORDS.get(display, {"Yes": True, "No": False}.get(display)),
            error=_error(name, memory),
        )
        for bus, name, memory, version, capability, mig, display in _fields(text, 6)
    ]


def table(text: str) -> list[Smi]:
    """From plain `nvidia-smi`, of any version; long names are cut there with dots."""
    version = _VERSION.search(text)
    found: dict[str, Smi] = {}
    current = ""
    section = ""
    counts: dict[str, int] = {}
    for line in text.splitlines():
        if "Processes:" in line or "MIG devices:" in line:
            section, current = "processes" if "Processes:" in line else "slices", ""
        elif section == "processes":
            if process := _PROCESS.match(line):
                counts[process["index"]] = counts.get(process["index"], 0) + 1
            elif "No running processes" in line or "Not Supported" in line:
                section = "none" if "No running" in line else "unknown"
        elif not section and (row := _ROW.match(line)):
            current = row["index"]
            bus = full_address(row["bus"]) if _BUS.fullmatch(row["bus"]) else ""
            found[current] = Smi(
                bus, row["name"], None, version.group(1) if version else "", display=_WORDS.get(row["display"])
            )
        elif not section and current:
            if (memory := _MEMORY.search(line)) and found[current].memory is None:
                found[current] = replace(found[current], memory=_mebibytes(memory.group(1)))
            if "ERR!" in line.partition("|")[2][:40] and "Default" not in line:
                found[current] = replace(found[current], error="nvidia-smi prints ERR! for it")
            if mig := _MIG.search(line):
                found[current] = replace(found[current], mig=_WORDS[mig.group(1)])
    told = section in ("none", "processes")
    return [
        replace(entry, processes=counts.get(index, 0) if told and entry.bus else None) for index, entry in found.items()
    ]


def xml(text: str) -> list[Smi]:
    """From `nvidia-smi -q -x`."""
    version = re.search(r"<driver_version>([^<]+)<", text)
    found = []
    for block in re.finditer(r'<gpu id="([^"]+)">(.*?)</gpu>', text, re.DOTALL):
        bus, body = block.group(1), block.group(2)
        if not _BUS.fullmatch(bus):
            continue
        memory = re.search(r"<fb_memory_usage>\s*<total>(\d+) MiB", body)
        listed = re.search(r"<processes>(.*?)</processes>", body, re.DOTALL)
        found.append(
            Smi(
                full_address(bus),
                _element("product_name", body),
                _mebibytes(memory.group(1)) if memory else None,
                version.group(1).strip() if version else "",
                mig=_WORDS.get(_element("current_mig", body)),
                display=_WORDS.get(_element("display_active", body)),
                processes=listed.group(1).count("<process_info>") if listed else None,
            )
        )
    return found


def lost(text: str) -> dict[str, str]:
    """What nvidia-smi says of GPUs that it cannot talk to, by full address: lost, fallen off the bus."""
    return {full_address(match["bus"]): match["error"].strip().rstrip(".") for match in _HANDLE.finditer(text)}


def listed(bundle: RawBundle) -> list[Smi]:
    """What nvidia-smi lists, in whichever forms it was asked; a run that ended badly may have told of some."""
    said = {name: source for name, source in bundle.sources.items() if name.startswith("nvidia-smi")}
    shown = table(bundle.said("nvidia-smi"))
    asked = (
        query(bundle.said("nvidia-smi-query"))
        or csv(bundle.said("nvidia-smi-csv"))
        or xml(bundle.said("nvidia-smi-q-x"))
    )
    by_bus = {entry.bus: entry for entry in shown if entry.bus}
    found = [_merged(entry, by_bus.pop(entry.bus, None)) for entry in asked]
    found += [entry for entry in shown if not entry.bus or entry.bus in by_bus]
    errors: dict[str, str] = {}
    for source in said.values():
        errors.update(lost(source.printed))
        errors.update(lost("\n".join(source.complaint)))
    found = [replace(entry, error=errors.pop(entry.bus, entry.error)) for entry in found]
    return found + [Smi(bus, "", None, "", error=error) for bus, error in errors.items()]


def _merged(first: Smi, second: Smi | None) -> Smi:
    if second is None:
        return first
    return Smi(
        first.bus,
        first.name,
        first.memory if first.memory is not None else second.memory,
        first.driver_version or second.driver_version,
        first.compute_capability,
        first.mig if first.mig is not None else second.mig,
        first.display if first.display is not None else second.display,
        first.error or second.error,
        second.processes,
    )


def _fields(text: str, after_name: int) -> list[list[str]]:
    """Bus, name and the fields after it, of each line; a name may hold a comma, the others never do."""
    found = []
    for line in text.splitlines():
        words = [field.strip() for field in line.split(",")]
        if len(words) >= after_name + 1 and _BUS.fullmatch(words[0]):
            head = len(words) - (after_name - 1)
            if head >= 2:
                found.append([words[0], ", ".join(words[1:head]), *words[head:]])
    return found


def _error(*values: str) -> str:
    """`[GPU is lost]` in place of a value."""
    return next((value.strip("[]") for value in values if re.search(r"lost|fallen off", value, re.IGNORECASE)), "")


def _version(text: str) -> str:
    return text if text[:1].isdigit() else ""


def _element(name: str, text: str) -> str:
    found = re.search(rf"<{name}>([^<]*)<", text)
    return found.group(1).strip() if found else ""


def _mebibytes(text: str) -> int | None:
    number = whole(text.removesuffix("MiB"))
    return None if number is None else number * _MIB
