"""What reserving GPUs for virtual machines changes in how a server starts, file by file. Pure.

Cards are bound by their slot, not by their device id: two identical cards have one id, and only one of them may be
wanted. All files are new ones of our own, so that nobody's are edited and taking them away restores what was there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from homewright.discovery.facts import HostFacts
from homewright.planning.documents import Document
from homewright.planning.gpu_groups import reaches, slot
from homewright.site.models import Site

GRUB = "/etc/default/grub.d/90-homewright.cfg"
"""Read after /etc/default/grub and after the files of cloud images, whose own line would hide an edit of that file."""
SCRIPT = "/etc/initramfs-tools/scripts/init-top/homewright-vfio"
HOOK = "/etc/initramfs-tools/hooks/homewright-vfio"
DRACUT = "/etc/dracut.conf.d/90-homewright-vfio.conf"
MODPROBE = "/etc/modprobe.d/homewright-vfio.conf"
LOADER = "/usr/local/sbin/homewright-vfio"
MODULES = "/etc/modules-load.d/homewright-vfio.conf"


class FileChange(Document):
    """One file, before and after."""

    path: str
    before: str | None
    """None where there is no such file."""
    after: str | None
    """None where it is removed."""


class BootPreview(Document):
    """What reserving GPUs changes in how one server starts."""

    host: str
    gpus: tuple[str, ...]
    """Full addresses of the GPUs that are reserved."""
    kernel_before: str
    """The kernel's arguments as they are now; empty where they are not known."""
    kernel_added: tuple[str, ...]
    """The arguments that are added to what is there."""
    files: tuple[FileChange, ...]
    commands: tuple[str, ...]
    """What is run afterwards."""
    packages: tuple[str, ...]
    """Packages that are installed for it."""
    reboot: bool
    why: str
    """Why this is changed, or why nothing is, in one sentence."""


OURS = (GRUB, SCRIPT, HOOK, DRACUT, MODPROBE, LOADER, MODULES)
"""Every file that reserving may need; which of them do depends on the server."""
EXECUTABLE = (SCRIPT, HOOK, LOADER)


def preview(site: Site, facts: Mapping[str, HostFacts], host: str, given: Collection[str] = ()) -> BootPreview:
    """The changes on one server for the GPUs of it that are passed through; KeyError where there is no such server.

    `given` are arguments that our own file gives the kernel already (`arguments_in`): it has to go on doing so.
    """
    site.server(host)
    chosen = tuple(sorted({c.address for c in site.gpus if c.host == host and c.use == "passthrough"}))
    known = facts.get(host)
    if not chosen:
        return _nothing(host, known, f"No GPU of {host} is passed through, so nothing changes in how it starts.")
    if known is None:
        return _nothing(host, None, f"The hardware of {host} is not known yet: homewright discover")
    added = kernel_arguments(known, given)
    files = [FileChange(path=GRUB, before=None, after=grub_text(added))] if added else []
    functions = bound(known, chosen)
    initial, command = initial_files(known, functions)
    files += initial
    already = all(function.driver == "vfio-pci" for function in known.pci if function.address in functions)
    why = f"{' and '.join(chosen)} must belong to vfio-pci before any other driver sees it."
    running = all(argument in known.kernel.cmdline for argument in added)
    if already and running:
        why = f"{' and '.join(chosen)} belongs to vfio-pci already; the files are as they should be."
    return BootPreview(
        host=host,
        gpus=chosen,
        kernel_before=" ".join(known.kernel.cmdline),
        kernel_added=added,
        files=tuple(files),
        commands=(*(("update-grub",) if added else ()), command),
        packages=(),
        reboot=not (running and already),
        why=why,
    )


def kernel_arguments(facts: HostFacts, given: Collection[str] = ()) -> tuple[str, ...]:
    """What the kernel must be told that nobody but ourselves (`given`) tells it yet.

    AMD's IOMMU is on by itself, Intel's is not everywhere (CONFIG_INTEL_IOMMU_DEFAULT_ON is off in Debian and Ubuntu);
    iommu=pt spares the server's own devices the detour.
    """
    if facts.system.architecture in ("aarch64", "arm64"):
        wanted: tuple[str, ...] = ("iommu.passthrough=1",)
    elif facts.kernel.virtualization_flag == "vmx" or "intel" in facts.cpu.vendor.lower():
        wanted = ("intel_iommu=on", "iommu=pt")
    else:
        wanted = ("iommu=pt",)
    return tuple(one for one in wanted if one in given or one not in facts.kernel.cmdline)


def bound(facts: HostFacts, gpus: Sequence[str]) -> tuple[str, ...]:
    """The functions that must belong to vfio-pci: the GPUs' slots and all that goes with them."""
    found = reaches(facts)
    members = {address for gpu in gpus for address in (found[gpu].members if gpu in found else ())}
    # Where groups are not known yet, the slot's functions are; all the rest the proof finds after the restart.
    slots = {slot(gpu) for gpu in gpus if gpu not in found}
    members |= {f.address for f in facts.pci if slot(f.address) in slots} | {gpu for gpu in gpus if gpu not in found}
    return tuple(sorted(members))


def grub_text(added: Sequence[str]) -> str:
    """The file that adds arguments to the kernel's line."""
    return f'{_KEPT}GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {" ".join(added)}"\n'


def arguments_in(text: str) -> tuple[str, ...]:
    """The arguments that a file of `grub_text` adds; none where it is another file."""
    found = _ADDED.search(text) if text.startswith(_KEPT) else None
    return tuple(found[1].split()) if found else ()


def is_ours(text: str) -> bool:
    """Whether a file of ours, by its name, is ours by its content too."""
    return _KEPT in text or "# Kept by Homewright: these functions belong to virtual machines." in text


def uses_dracut(facts: HostFacts) -> bool:
    """Ubuntu makes the initial file system with dracut from 25.10 on, Debian with initramfs-tools."""
    try:
        version = tuple(int(part) for part in facts.system.os_version.split(".")[:2])
    except ValueError:
        return False
    return facts.system.os_id == "ubuntu" and version >= (25, 10)


def initial_files(facts: HostFacts, functions: Sequence[str]) -> tuple[list[FileChange], str]:
    """The files that make the initial file system keep these functions, and the command that builds it anew."""
    if uses_dracut(facts):
        claim = _CLAIM.format(functions=" ".join(functions), load="modprobe --ignore-install vfio-pci")
        texts = {
            LOADER: f"#!/bin/sh\n{claim}",
            MODPROBE: f"{_KEPT}install vfio-pci {LOADER}\n",
            DRACUT: f'{_KEPT}force_drivers+=" vfio-pci "\ninstall_items+=" {LOADER} {MODPROBE} "\n',
        }
        command = "dracut --regenerate-all --force"
    else:
        first = '#!/bin/sh\nif [ "$1" = prereqs ]; then exit 0; fi\n'
        texts = {
            SCRIPT: first + _CLAIM.format(functions=" ".join(functions), load="modprobe vfio-pci"),
            HOOK: f"{first}{_KEPT}. /usr/share/initramfs-tools/hook-functions\n"
            "manual_add_modules vfio-pci vfio_iommu_type1\n",
        }
        command = "update-initramfs -u -k all"
    texts[MODULES] = f"{_KEPT}vfio-pci\nvfio_iommu_type1\n"
    return [FileChange(path=path, before=None, after=text) for path, text in texts.items()], command


_KEPT = "# Kept by Homewright: GPUs that virtual machines get.\n"
_ADDED = re.compile(r'^GRUB_CMDLINE_LINUX_DEFAULT="\$GRUB_CMDLINE_LINUX_DEFAULT (.*)"$', re.MULTILINE)
_CLAIM = """# Kept by Homewright: these functions belong to virtual machines. Each gets the name of its driver before
# any other is loaded, and is taken from one that was quicker.
for function in {functions}; do
    device=/sys/bus/pci/devices/$function
    [ -e "$device" ] || continue
    echo vfio-pci >"$device/driver_override"
    case $(readlink "$device/driver") in
        */vfio-pci | "") ;;
        *) echo "$function" >"$device/driver/unbind" ;;
    esac
done
{load}
for function in {functions}; do
    [ ! -e "/sys/bus/pci/devices/$function" ] || echo "$function" >/sys/bus/pci/drivers_probe
done
"""


def _nothing(host: str, known: HostFacts | None, why: str) -> BootPreview:
    return BootPreview(
        host=host,
        gpus=(),
        kernel_before=" ".join(known.kernel.cmdline) if known else "",
        kernel_added=(),
        files=(),
        commands=(),
        packages=(),
        reboot=False,
        why=why,
    )
