"""Operating system, kernel, firmware, virtualization."""

from __future__ import annotations

import re
import shlex

from homewright.discovery.bundle import MISSING, RawBundle
from homewright.discovery.facts import System

_UNAME = re.compile(r"^Linux (\S+) (\S+) .*?(\S+)(?: (?:GNU/)?Linux)?\s*$")
_HYPERVISORS = {
    "qemu": "kvm",
    "kvm": "kvm",
    "virtualbox": "oracle",
    "innotek": "oracle",
    "vmware": "vmware",
    "xen": "xen",
    "microsoft": "microsoft",
    "amazon": "amazon",
}
PLACEHOLDER = re.compile(
    r"to be filled|not specified|default string|system (product|manufacturer)|unknown$|none$|n/?a$|o\.?e\.?m\.?$|$",
    re.IGNORECASE,
)
"""What boards say of themselves when nobody has told them."""
_CONTAINERS = {"lxc", "lxc-libvirt", "docker", "podman", "systemd-nspawn", "openvz", "rkt", "wsl", "proot", "pouch"}
_CHASSIS = {
    **dict.fromkeys(("3", "4", "5", "6", "7", "13", "15", "16", "24", "35", "36"), "desktop"),
    **dict.fromkeys(("8", "9", "10", "14", "30", "31", "32"), "laptop"),
    **dict.fromkeys(("17", "23", "25", "28", "29"), "server"),
    **dict.fromkeys(("desktop", "low profile desktop", "mini tower", "tower", "mini pc", "all in one"), "desktop"),
    **dict.fromkeys(("laptop", "notebook", "portable", "convertible", "detachable"), "laptop"),
    **dict.fromkeys(("main server chassis", "rack mount chassis", "blade", "multi-system"), "server"),
}
"""By SMBIOS's number and by dmidecode's word for it."""


def os_release(text: str) -> dict[str, str]:
    """The variables of /etc/os-release."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or key.startswith("#"):
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            words = [value.strip("\"'")]
        found[key] = words[0] if words else ""
    return found


def uname(text: str) -> tuple[str, str, str]:
    """Host name, kernel and architecture from `uname -a`."""
    lines = text.strip().splitlines()
    found = _UNAME.match(lines[0]) if lines else None
    return (found.group(1), found.group(2), found.group(3)) if found else ("", "", "")


def virtualization(detected: str, product: str, cpuinfo: str) -> str | None:
    """What systemd-detect-virt said; without it, what firmware and CPU give away; None where nothing is known."""
    if re.fullmatch(r"[a-z][a-z0-9-]{1,30}", detected.strip()):
        return detected.strip()
    for word, name in _HYPERVISORS.items():
        if word in product.lower():
            return name
    if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE):
        return "vm-other"
    return "none" if product.strip() and cpuinfo.strip() else None


def machine(text: str) -> str:
    """Maker and model, as firmware says: lines of maker, model, and since version 2 of the board's maker and the board;
    these count where the model was never filled in."""
    lines = [" ".join(line.split()) for line in (*text.splitlines(), "", "", "", "")]
    if lines[3] and (not lines[1] or PLACEHOLDER.match(lines[1])):
        lines = lines[2:]
    words = [line for line in lines[:2] if not PLACEHOLDER.match(line)]
    return " ".join(words)


def chassis(virtualization: str, kind: str) -> str:
    """desktop, laptop, server, vm or container; empty where neither virtualization nor SMBIOS's type (3.3.4) tells."""
    if virtualization in _CONTAINERS:
        return "container"
    if virtualization not in ("none", "unknown"):
        return "vm"
    return _CHASSIS.get(kind.strip().lower(), "")


def secure_boot(text: str) -> bool | None:
    """From `bios` or the bytes of the EFI variable SecureBoot: four of attributes, then 1 or 0."""
    words = text.split()
    if words == ["bios"]:
        return False
    return {"1": True, "0": False}.get(words[4]) if len(words) == 5 else None


def proxies(text: str) -> dict[str, str]:
    """Proxy settings by name: NAME=value of environments, `Acquire::http::Proxy "value";` of apt."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        plain = line.strip().removeprefix("export ")
        name, mark, value = plain.partition("=") if "Acquire::" not in plain else plain.partition(" ")
        value = value.strip().rstrip(";").strip("\"'")
        if mark and value and len(name) <= 64:
            found.setdefault(name.strip(), value[:500])
    return found


def desktop(text: str) -> bool:
    """It starts into a graphical session: graphical.target, and a display manager that it would start."""
    said = dict(line.split(None, 1) for line in text.splitlines() if len(line.split(None, 1)) == 2)
    return said.get("target", "graphical.target") == "graphical.target" and "display-manager" in said


def parse(bundle: RawBundle) -> System:
    release = os_release(bundle.text("os-release"))
    hostname, kernel, architecture = uname(bundle.text("uname-a"))
    if not architecture:
        found = re.search(r"^Architecture:\s*(\S+)", bundle.text("lscpu", "lscpu-output-all"), re.MULTILINE)
        architecture = found.group(1) if found else ""
    product = machine(bundle.text("dmi"))
    uptime = re.match(r"[0-9]{1,12}(\.[0-9]+)?(?=\s|$)", bundle.text("uptime"))
    # systemd-detect-virt ends with 1 when it prints `none`
    detected = bundle.source("systemd-detect-virt")
    said = detected.printed if detected.exit_code in (0, 1) else ""
    sudo = bundle.source("sudo").exit_code
    virtual = virtualization(said, product, bundle.text("cpuinfo")) or "unknown"
    account, _, home = bundle.text("account").strip().partition("|")
    kind = virtual if virtual in _CONTAINERS else ""
    return System(
        os_id=release.get("ID", ""),
        os_version=release.get("VERSION_ID", ""),
        os_name=release.get("PRETTY_NAME", ""),
        kernel=kernel,
        architecture=architecture,
        hostname=hostname,
        machine_id=bundle.text("machine-id").strip(),
        boot_id=bundle.text("boot-id").strip(),
        virtualization=virtual,
        systemd=bundle.source("systemd").exit_code == 0,
        kvm=bundle.source("kvm").exit_code == 0,
        vhost_vsock=bundle.source("vhost-vsock").exit_code == 0,
        sudo=None if sudo is None else sudo == 0 if sudo != MISSING else False,
        product=product,
        uptime_s=float(uptime.group()) if uptime else None,
        account=account,
        home=home,
        secure_boot=None if kind else secure_boot(bundle.text("secure-boot")),
        chassis=chassis(virtual, bundle.text("chassis")),
        desktop=desktop(bundle.text("desktop")) if bundle.ended_well("desktop") else None,
        proxies=proxies(bundle.text("proxies")),
    )
