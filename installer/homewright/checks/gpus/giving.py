"""Whether a GPU can be given to a virtual machine as the site says: IOMMU, groups, what stays for the server."""

from __future__ import annotations

from homewright.checks.check import Check, Outcome, passed, pending, remedy, unknown, warning, wrong
from homewright.checks.ground import HostView
from homewright.checks.models import Remedy
from homewright.planning.gpu_groups import described, reaches
from homewright.site.models import Site

_VFIO = "https://docs.kernel.org/driver-api/vfio.html"
_PASS = "https://documentation.ubuntu.com/lxd/latest/reference/devices_gpu/"
_OPERATOR = "https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/gpu-operator-kubevirt.html"


def iommu(view: HostView) -> Outcome | None:
    threshold = "on, where a GPU is passed through"
    given = view.passed_through()
    if not given and not _nvidia(view):
        return None
    on = view.facts.kernel.iommu
    if on or any(function.iommu_group is not None for function in view.facts.pci):
        return passed("on", threshold, "Devices are kept apart, so one can be given away.")
    if on is None:
        return unknown(threshold, f"It is not known: {view.facts.why_unknown('iommu')}.")
    if not given:
        return passed("off", threshold, "No GPU of this server is passed through.")
    asked = [word for word in view.facts.kernel.cmdline if word.startswith(("intel_iommu=on", "amd_iommu=on"))]
    if "10/20" not in view.ground.done and not asked:
        return pending("off", threshold, "Stage 10, step 20 turns it on at the kernel's command line.")
    return wrong(
        "off" + (f" in spite of {asked[0]}" if asked else ""),
        threshold,
        "The kernel was asked for it and has none: the firmware does not offer it.",
        remedy(
            f"Turn on VT-d or AMD-Vi in the firmware of {view.host}.",
            "sudo systemctl reboot --firmware-setup",
            "sudo dmesg | grep -e DMAR -e AMD-Vi",
        ),
    )


def group(view: HostView) -> Outcome | None:
    threshold = "its IOMMU group holds its own functions alone"
    cards = _nvidia(view)
    given = view.passed_through()
    if not cards:
        return None
    uses = {choice.address: choice.use for choice in view.ground.gpu_choices(view.host)}
    asked = [card for card in cards if uses.get(card, "passthrough") == "passthrough"]
    if not asked:
        return passed("not needed", threshold, "No GPU of this server is passed through.")
    known = reaches(view.facts)
    unseen = [card for card in asked if card not in known]
    for card in sorted(asked, key=lambda address: address not in given):
        found = known.get(card)
        if found is None:
            continue
        if found.foreign:
            others = " and ".join(described(function) for function in found.foreign[:3])
            measured = f"{card} shares group {found.groups[0]} with {others}"
            reason = "A virtual machine takes whole groups: the server would lose these with the GPU."
            if card in given:
                return wrong(measured, threshold, reason, _another_slot(view, card))
            return warning(
                measured, threshold, f"It can be used by containers only. {reason}", _another_slot(view, card)
            )
        left = [gpu for gpu in found.gpus if gpu not in given]
        if card in given and left:
            measured = f"{card} shares its group with the GPU {left[0]}"
            reason = "Both go to the virtual machine, or neither."
            return wrong(measured, threshold, reason, _another_slot(view, card))
    if unseen:
        why = view.facts.why_unknown("iommu")
        return unknown(threshold, f"The group of {unseen[0]} cannot be known before the IOMMU is on ({why}).")
    groups = ", ".join(f"{card} in group {known[card].groups[0]}" for card in asked)
    return passed(groups, threshold, "It can be given away whole.")


def choices(view: HostView) -> Outcome:
    threshold = "every choice names a GPU that is there"
    chosen = view.ground.gpu_choices(view.host)
    there = {gpu.address: gpu for gpu in view.facts.gpus}
    if not there and any(gap.source == "pci" for gap in view.facts.missing):
        return unknown(threshold, f"The GPUs are not known: {view.facts.why_unknown('pci')}.")
    addresses = [choice.address for choice in chosen]
    say = remedy(
        f"Choose again for {view.host}; a card that was moved to another slot has another address.",
        "homewright site show gpus",
        "homewright site unset gpus",
    )
    for address in addresses:
        if address not in there:
            reason = "No GPU has this address: it was moved, or taken out."
            return wrong(f"{address} is not there", threshold, reason, say)
    models = [there[address].device_id for address in addresses if there[address].device_id]
    alike = len(models) != len(set(models))
    note = "Cards of the same model are told apart by their slot." if alike else "They are told apart by their slot."
    return passed(", ".join(addresses), threshold, note)


def desktop(view: HostView) -> Outcome:
    threshold = "a desktop keeps a GPU"
    given = view.passed_through()
    kept = [gpu for gpu in view.facts.gpus if gpu.address not in given and gpu.vendor != "other"]
    seen = view.facts.system.desktop
    if kept:
        return passed(f"{len(kept)} stay", threshold, "The server keeps a display of its own.")
    if seen is None:
        return unknown(threshold, f"Whether it is a desktop is not known: {view.facts.why_unknown('os', 'services')}.")
    if not seen:
        return passed("headless", threshold, "A server without a desktop may give away its only GPU.")
    return wrong(
        "it would give away its only one",
        threshold,
        "The desktop would go dark and not come back.",
        remedy(
            f"Keep one GPU of {view.host} for the desktop, add a second, or let it start without a desktop.",
            "sudo systemctl set-default multi-user.target",
            "sudo reboot",
        ),
    )


def one_use(view: HostView) -> Outcome:
    threshold = "containers or passthrough, not both"
    uses = {choice.use for choice in view.ground.gpu_choices(view.host)} - {"desktop"}
    if len(uses) < 2:
        return passed("".join(uses) or "desktop", threshold, "The GPU operator sets a node up for one use.")
    return wrong(
        "both",
        threshold,
        "NVIDIA's operator sets a node up for containers or for virtual machines, never for both.",
        remedy(
            f"Choose one use for all GPUs of {view.host}.", "homewright site show gpus", "homewright site unset gpus"
        ),
    )


def hotplug(view: HostView) -> Outcome:
    threshold = "a virtual machine on the same server, stopped meanwhile"
    given = [choice for choice in view.ground.gpu_choices(view.host) if choice.use == "passthrough"]
    nodes = {node.name: node for node in view.site.instances.nodes or ()}
    fit = remedy(
        "Name an instance on the same server that is a virtual machine.",
        "homewright site show instances.nodes",
        "homewright site show gpus",
    )
    if view.site.instances.kind == "container":
        reason = "A whole GPU is passed to virtual machines; containers share it with the server."
        return wrong("instances are containers", threshold, reason, fit)
    for choice in given:
        node = nodes.get(choice.instance or "")
        if choice.instance and nodes and (node is None or node.host != view.host):
            where = "no instance of the site" if node is None else f"on {node.host}"
            measured = f"{choice.address} to {choice.instance}, which is {where}"
            return wrong(measured, threshold, "A GPU cannot leave the server that it is in.", fit)
    measured = ", ".join(f"{choice.address} to {choice.instance or 'its instance'}" for choice in given)
    return passed(measured, threshold, "The instance is stopped while it gets the GPU: LXD cannot plug one in.")


def _chosen(site: Site, host: str) -> bool:
    return any(choice.host == host for choice in site.gpus)


def _given(site: Site, host: str) -> bool:
    return any(choice.host == host and choice.use == "passthrough" for choice in site.gpus)


def _nvidia(view: HostView) -> list[str]:
    return [gpu.address for gpu in view.facts.gpus if gpu.vendor == "nvidia"]


def _another_slot(view: HostView, card: str) -> Remedy:
    return remedy(
        f"Put the card of {view.host} into another slot (one that hangs on the processor), or let containers use it.",
        f"lspci -nnks {card}",
        "homewright site show gpus",
    )


_READS = ("gpus", "pci", "site.gpus")

CHECKS = (
    Check("gpu.iommu", "IOMMU", "gpu", "host", ("kernel", *_READS), _VFIO, host=iommu, depends=("host.vt-d",)),
    Check("gpu.group", "IOMMU group", "gpu", "host", _READS, _VFIO, host=group, depends=("gpu.iommu",)),
    Check("gpu.choices", "Chosen GPUs", "gpu", "host", _READS, _PASS, host=choices, applies=_chosen),
    Check(
        "gpu.desktop", "A GPU for the desktop", "gpu", "host", ("system", *_READS), _VFIO, host=desktop, applies=_given
    ),
    Check("gpu.one-use", "One use a server", "gpu", "host", ("site.gpus",), _OPERATOR, host=one_use, applies=_chosen),
    Check(
        "gpu.hotplug",
        "Who gets the GPU",
        "gpu",
        "host",
        ("site.gpus", "site.instances"),
        _PASS,
        host=hotplug,
        applies=_given,
    ),
)
