"""The GPUs themselves: their driver, their age, and whether they are well."""

from __future__ import annotations

import re

from homewright.checks.check import Check, Outcome, passed, pending, remedy, unknown, warning, wrong
from homewright.checks.ground import HostView
from homewright.discovery.facts import Gpu

_DRIVER = "https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/platform-support.html"
_MODULES = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/kernel-modules.html"
_CUDA = "https://developer.nvidia.com/cuda-gpus"
_XID = "https://docs.nvidia.com/deploy/xid-errors/index.html"
_MIG = "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/"
_INSTALL = "https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/getting-started.html"
_SECURE_BOOT = "https://documentation.ubuntu.com/security/security-features/platform-protections/secure-boot/"
_DEBIAN_SECURE_BOOT = "https://wiki.debian.org/SecureBoot"

_XID_LINE = re.compile(r"Xid[^:]*\([^)]*\):\s*(\d{1,4})|Xid[^:]*:\s*(\d{1,4})")

VOLTA, TURING = 0x1D80, 0x1E00
"""NVIDIA numbers its chips upwards: GV100 begins with 1d81 and TU102 with 1e02 (the PCI ID repository)."""


def nouveau(view: HostView) -> Outcome | None:
    threshold = "nouveau is not loaded"
    cards = _cards(view)
    if not cards:
        return None
    modules = view.facts.kernel.modules
    if "nouveau" in (modules or ()) or any(card.driver == "nouveau" for card in cards):
        return wrong(
            "loaded",
            threshold,
            "It holds the GPU: neither NVIDIA's driver nor a virtual machine gets it.",
            remedy(
                f"Keep nouveau from loading on {view.host}, then reboot.",
                "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' "
                "| sudo tee /etc/modprobe.d/homewright-nouveau.conf",
                "sudo update-initramfs -u",
                "sudo reboot",
            ),
        )
    if modules is None and all(card.driver is None for card in cards):
        return unknown(threshold, f"The kernel's modules are not known: {view.facts.why_unknown('modules')}.")
    return passed("not loaded", threshold, "Nothing stands in the driver's way.")


def secure_boot(view: HostView) -> Outcome | None:
    threshold = "off, or NVIDIA's modules are signed"
    if not _cards(view):
        return None
    on = view.facts.system.secure_boot
    if on is None:
        return unknown(threshold, f"It is not known: {view.facts.why_unknown('secure-boot')}.")
    if not on:
        return passed("off", threshold, "The kernel loads any module.")
    return wrong(
        "on",
        threshold,
        "The kernel loads signed modules only: a driver that is built on the server does not load by itself.",
        remedy(f"Enrol a key on {view.host}, or turn Secure Boot off in the firmware.", "mokutil --sb-state")
        if view.facts.system.os_id == "debian"
        else remedy(
            f"Use Ubuntu's signed driver on {view.host}, enrol a key, or turn Secure Boot off in the firmware.",
            "mokutil --sb-state",
            "sudo ubuntu-drivers install --gpgpu",
        ),
    )


def driver(view: HostView) -> Outcome | None:
    least, recommended = view.limits.number("least"), view.limits.number("recommended")
    threshold = f"{least:g} or newer, {recommended:g} recommended"
    cards = [card for card in _cards(view) if card.address not in view.passed_through()]
    if not cards:
        return None
    card = next((card for card in cards if card.driver_version), cards[0])
    if not card.driver_version:
        if card.driver == "nvidia":
            return unknown(threshold, f"Its version is not known: {view.facts.why_unknown('nvidia-smi')}.")
        reason = "Stage 30, step 30, or NVIDIA's operator, installs it."
        return pending("not installed", threshold, reason)
    found = card.driver_version
    major = next(iter(_pair(found)), 0)
    newer = remedy(
        f"Install a newer driver on {view.host}.",
        "sudo apt-get update",
        f"sudo apt-get install -y nvidia-driver-{recommended:.0f}-server",
        "sudo reboot",
    )
    if major < least:
        return wrong(found, threshold, "The platform's CUDA images need a newer driver.", newer)
    if major < recommended:
        return warning(found, threshold, "It works; newer CUDA images need the recommended one.", newer)
    return passed(found, threshold, "It is new enough.")


def compute(view: HostView) -> Outcome | None:
    least = view.limits.text("least")
    threshold = f"compute capability {least} or newer"
    cards = _cards(view)
    if not cards:
        return None
    old, unsure, shown = [], [], []
    for card in cards:
        if card.compute_capability:
            shown.append(card.compute_capability)
            old += [card] if _pair(card.compute_capability) < _pair(least) else []
        elif (number := _device(card)) is not None:
            shown.append("7.0 or newer" if number >= VOLTA else "older than 7.0")
            old += [card] if number < VOLTA else []
        else:
            unsure.append(card)
    if old:
        return wrong(
            f"{_name(old[0])}: {shown[0] if len(cards) == 1 else old[0].compute_capability or 'older than 7.0'}",
            threshold,
            "Today's CUDA images hold no code for GPUs as old as this one.",
            remedy(f"Put a newer GPU into {view.host} (Turing or later), or keep this one for its desktop.",
                   "nvidia-smi --query-gpu=name,compute_cap --format=csv"),
        )  # fmt: skip
    if unsure:
        return unknown(threshold, f"It is not known of {_name(unsure[0])}: {view.facts.why_unknown('nvidia-smi')}.")
    return passed(", ".join(dict.fromkeys(shown)), threshold, "CUDA images run on it.")


def open_modules(view: HostView) -> Outcome | None:
    threshold = "Turing or newer"
    cards = _cards(view)
    if not cards:
        return None
    ages = {card.address: _is_turing(card) for card in cards}
    old = [card for card in cards if ages[card.address] is False]
    if old:
        return wrong(
            _name(old[0]),
            threshold,
            "NVIDIA's open kernel modules do not drive it, and 580 is the last driver with others for it.",
            remedy(
                f"Install the proprietary modules of 580 on {view.host} and hold that version.",
                "sudo apt-get install -y nvidia-driver-580-server",
                "sudo apt-mark hold nvidia-driver-580-server",
            ),
        )
    unsure = [card for card in cards if ages[card.address] is None]
    if unsure:
        return unknown(threshold, f"It is not known of {_name(unsure[0])}: {view.facts.why_unknown('nvidia-smi')}.")
    return passed(", ".join(dict.fromkeys(_name(card) for card in cards)), threshold, "Open modules drive it.")


def well(view: HostView) -> Outcome | None:
    threshold = "every GPU answers"
    cards = _cards(view)
    if not cards:
        return None
    lost = [card for card in cards if card.error]
    if lost:
        return wrong(
            f"{_name(lost[0])}: {lost[0].error}",
            threshold,
            "The GPU no longer answers its driver: it is lost until the server restarts.",
            remedy(
                f"Restart {view.host}; if it comes back, look at power cables, riser and temperature.",
                "sudo reboot",
                "nvidia-smi -q -d TEMPERATURE,POWER",
            ),
        )
    asked = [card for card in cards if card.driver == "nvidia"]
    if asked and any(gap.source == "nvidia-smi" for gap in view.facts.missing):
        return unknown(threshold, f"nvidia-smi does not tell: {view.facts.why_unknown('nvidia-smi')}.")
    return passed(f"{len(cards)} of {len(cards)}", threshold, "No GPU is lost.")


def xid(view: HostView) -> Outcome | None:
    fatal = frozenset(view.limits.words("fatal"))
    threshold = "no Xid of failing hardware since the start"
    if not _cards(view):
        return None
    lines = view.facts.kernel.xid
    if lines is None:
        return unknown(threshold, f"The kernel's log is not known: {view.facts.why_unknown('kernel-log')}.")
    codes = [found[1] or found[2] for line in lines if (found := _XID_LINE.search(line))]
    if not codes:
        return passed("none", threshold, "The driver has reported no errors.")
    worst = [code for code in codes if code in fatal]
    named = ", ".join(f"Xid {code}" for code in dict.fromkeys(worst or codes))
    times = len(worst or codes)
    measured = f"{named}, {'once' if times == 1 else f'{times} times'}"
    look = remedy(
        f"Look at what the driver of {view.host} says, and at the GPU's power, temperature and memory.",
        "sudo dmesg | grep Xid",
        "nvidia-smi -q -d ECC,PAGE_RETIREMENT,TEMPERATURE,POWER",
    )
    if worst:
        return wrong(measured, threshold, "These errors tell of failing hardware: work on this GPU will be lost.", look)
    return warning(measured, threshold, "These errors are mostly those of programs that used the GPU.", look)


def mig(view: HostView) -> Outcome | None:
    threshold = "MIG off, or wanted"
    cards = [card for card in _cards(view) if card.mig is not None]
    on = [card for card in cards if card.mig]
    if not cards:
        return None
    if not on:
        return passed("off", threshold, "Workspaces get whole GPUs.")
    return wrong(
        f"on: {', '.join(card.address for card in on)}",
        threshold,
        "Workspaces get slices instead of whole GPUs, and a GPU in slices cannot be passed through.",
        remedy(
            f"Turn it off on {view.host} unless slices are what you want; nothing may use the GPU meanwhile.",
            f"sudo nvidia-smi -i {on[0].address} -mig 0",
        ),
    )


def device_plugin(view: HostView) -> Outcome | None:
    threshold = "none but the platform's own"
    if not _cards(view):
        return None
    found = view.facts.software.device_plugin
    if found is None:
        return unknown(threshold, f"It is not known: {view.facts.why_unknown('software')}.")
    if not found:
        return passed("none", threshold, "NVIDIA's operator brings its own.")
    measured = ", ".join(found)
    if any(step.startswith("40/core/gpu") for step in view.ground.done):
        return passed(measured, threshold, "They are the platform's own.")
    return wrong(
        measured,
        threshold,
        "A second one beside NVIDIA's operator counts every GPU twice.",
        remedy(
            "Remove the one that is there from its cluster before the operator comes.",
            "kubectl get daemonsets --all-namespaces",
            "helm list --all-namespaces",
        ),
    )


def _cards(view: HostView) -> list[Gpu]:
    """NVIDIA's GPUs, but for those that only draw the server's own desktop."""
    kept = {choice.address for choice in view.ground.gpu_choices(view.host) if choice.use == "desktop"}
    return [gpu for gpu in view.facts.gpus if gpu.vendor == "nvidia" and gpu.address not in kept]


def _name(card: Gpu) -> str:
    """As it is sold, where its name says that: lspci has it in brackets behind the chip's own."""
    sold = re.search(r"\[([^\]]+)\]", card.name)
    return (sold[1] if sold else card.name or "GPU")[:80] + f" ({card.address})"


def _device(card: Gpu) -> int | None:
    """The device's number on the PCI bus, where it is known."""
    found = re.fullmatch(r"10de:([0-9a-f]{4})", card.device_id)
    return int(found[1], 16) if found else None


def _is_turing(card: Gpu) -> bool | None:
    if card.compute_capability:
        return _pair(card.compute_capability) >= (7, 5)
    number = _device(card)
    return None if number is None else number >= TURING


def _pair(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d{1,3}", version)[:2])


CHECKS = (
    Check("gpu.nouveau", "nouveau", "gpu", "host", ("kernel", "gpus"), _MODULES, host=nouveau),
    Check("gpu.secure-boot", "Secure Boot", "gpu", "host", ("system", "gpus"), _SECURE_BOOT, host=secure_boot,
          debian_link=_DEBIAN_SECURE_BOOT),
    Check("gpu.driver", "Driver", "gpu", "host", ("gpus", "site.gpus"), _DRIVER, host=driver),
    Check("gpu.compute", "Compute capability", "gpu", "host", ("gpus",), _CUDA, host=compute),
    Check("gpu.open-modules", "Open kernel modules", "gpu", "host", ("gpus",), _MODULES, host=open_modules),
    Check("gpu.answers", "GPUs answer", "gpu", "host", ("gpus",), _XID, host=well),
    Check("gpu.xid", "Xid errors", "gpu", "host", ("kernel", "gpus"), _XID, host=xid),
    Check("gpu.mig", "MIG", "gpu", "host", ("gpus",), _MIG, host=mig),
    Check("gpu.device-plugin", "Device plugin", "gpu", "host", ("software", "gpus"), _INSTALL, host=device_plugin,
          phase="before-install"),
)  # fmt: skip
