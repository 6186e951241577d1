"""Operating system, kernel, firmware, virtualization."""

from __future__ import annotations

import re
import shlex

from homewright.discovery.bundle import MISSING, RawBundle
from homewright.discovery.facts import System

_UNAME = re.compile(r"^Linux (\S+) (\S+) .*?(\S+)(?: GNU/Linux)?\s*$")
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
    if detected.strip():
        return detected.strip().splitlines()[0]
    for word, name in _HYPERVISORS.items():
        if word in product.lower():
            return name
    if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE):
        return "vm-other"
    return "none" if product.strip() and cpuinfo.strip() else None


def parse(bundle: RawBundle) -> System:
    release = os_release(bundle.text("os-release"))
    hostname, kernel, architecture = uname(bundle.text("uname-a"))
    if not architecture:
        found = re.search(r"^Architecture:\s*(\S+)", bundle.text("lscpu", "lscpu-output-all"), re.MULTILINE)
        architecture = found.group(1) if found else ""
    product = " ".join(bundle.text("dmi").split())
    uptime = re.match(r"[0-9]{1,12}(\.[0-9]+)?(?=\s|$)", bundle.text("uptime"))
    # systemd-detect-virt ends with 1 when it prints `none`
    detected = bundle.source("systemd-detect-virt")
    said = detected.stdout if detected.exit_code in (0, 1) else ""
    sudo = bundle.source("sudo").exit_code
    return System(
        os_id=release.get("ID", ""),
        os_version=release.get("VERSION_ID", ""),
        os_name=release.get("PRETTY_NAME", ""),
        kernel=kernel,
        architecture=architecture,
        hostname=hostname,
        machine_id=bundle.text("machine-id").strip(),
        boot_id=bundle.text("boot-id").strip(),
        virtualization=virtualization(said, product, bundle.text("cpuinfo")) or "unknown",
        systemd=bundle.source("systemd").exit_code == 0,
        kvm=bundle.source("kvm").exit_code == 0,
        vhost_vsock=bundle.source("vhost-vsock").exit_code == 0,
        sudo=None if sudo is None else sudo == 0 if sudo != MISSING else False,
        product=product,
        uptime_s=float(uptime.group()) if uptime else None,
    )
