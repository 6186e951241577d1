"""Whether virtual machines can run on a server, and whether a device can be given to one."""

from __future__ import annotations

from homewright.checks.check import Check, Outcome, passed, remedy, unknown, warning, wrong
from homewright.checks.ground import HostView
from homewright.checks.models import Remedy
from homewright.planning.virtualization import guest
from homewright.site.models import Site

_VM = "https://documentation.ubuntu.com/lxd/latest/explanation/instances/"
_VSOCK = "https://documentation.ubuntu.com/lxd/latest/howto/troubleshoot/"
_NESTED = "https://docs.kernel.org/virt/kvm/x86/running-nested-guests.html"
_VFIO = "https://docs.kernel.org/driver-api/vfio.html"


def kvm(view: HostView) -> Outcome:
    threshold = "/dev/kvm"
    if view.facts.system.kvm:
        return passed("/dev/kvm is there", threshold, "Virtual machines can run.")
    if not view.probed:
        return unknown(threshold, f"It was not looked for: {view.facts.why_unknown('virtualization')}.")
    say = (
        f"{view.host} is a guest itself: let its hypervisor pass the processor's virtualization on (CPU type host)."
        if guest(view.facts)
        else f"Turn on virtualization (VT-x or SVM) in the firmware of {view.host}, or use containers."
    )
    return _missing(view, "/dev/kvm is missing", threshold, remedy(say, *_CONTAINERS))


def vsock(view: HostView) -> Outcome:
    threshold = "/dev/vhost-vsock"
    if view.facts.system.vhost_vsock:
        return passed("/dev/vhost-vsock is there", threshold, "LXD can talk to its virtual machines.")
    if not view.probed:
        return unknown(threshold, f"It was not looked for: {view.facts.why_unknown('virtualization')}.")
    load = remedy(f"Load the module on {view.host}, or use containers.", "sudo modprobe vhost_vsock", *_CONTAINERS)
    return _missing(view, "/dev/vhost-vsock is missing", threshold, load)


def nested(view: HostView) -> Outcome | None:
    threshold = "nested virtualization is on"
    if not view.facts.system.kvm or view.facts.system.architecture not in ("x86_64", "i686", ""):
        return None  # on other processors it is no setting of the kernel's
    on = view.facts.kernel.nested
    if on is None:
        return unknown(threshold, f"It is not known: {view.facts.why_unknown('virtualization', 'modules')}.")
    if on:
        return passed("on", threshold, "Virtual machines may run virtual machines.")
    module = "kvm_amd" if view.facts.kernel.virtualization_flag == "svm" else "kvm_intel"
    return wrong(
        "off",
        threshold,
        "Workspaces inside a virtual machine cannot run virtual machines of their own.",
        remedy(
            f"Turn it on on {view.host}; it holds after the next boot.",
            f"echo 'options {module} nested=1' | sudo tee /etc/modprobe.d/homewright-nested.conf",
            "sudo reboot",
        ),
    )


def passthrough(view: HostView) -> Outcome | None:
    threshold = "VT-d or AMD-Vi is on in the firmware"
    given = view.passed_through()
    if not given and not any(gpu.vendor == "nvidia" for gpu in view.facts.gpus):
        return None
    seen = view.facts.kernel
    grouped = any(function.iommu_group is not None for function in view.facts.pci)
    if seen.iommu or grouped or seen.iommu_log:
        return passed("the kernel sees it", threshold, "A device can be given to a virtual machine.")
    if seen.iommu is None:
        return unknown(threshold, f"It is not known: {view.facts.why_unknown('iommu', 'kernel-log')}.")
    turn_on = (
        remedy(
            f"{view.host} is a guest: let its hypervisor give it a virtual IOMMU, or let containers use its GPU.",
            "systemd-detect-virt",
            "homewright check",
        )
        if guest(view.facts)
        else remedy(
            f"Turn on VT-d or AMD-Vi (IOMMU) in the firmware of {view.host}, or let containers use its GPU.",
            "sudo systemctl reboot --firmware-setup",
            "homewright check",
        )
    )
    reason = "The kernel sees no IOMMU: no GPU of this server can be given to a virtual machine."
    return (wrong if given else warning)("the kernel sees none", threshold, reason, turn_on)


_CONTAINERS = ("homewright site set instances.kind container",)


def _virtual_machines(site: Site, host: str) -> bool:
    """Whether this server may have to run virtual machines."""
    if any(choice.host == host and choice.use == "passthrough" for choice in site.gpus):
        return True
    return site.platform.nodes == "instances" and site.instances.kind != "container"


def _missing(view: HostView, measured: str, threshold: str, what: Remedy) -> Outcome:
    """Bad where virtual machines are asked for; where nobody asked, containers take their place."""
    if view.site.instances.kind == "virtual-machine" or view.passed_through():
        return wrong(measured, threshold, "The virtual machines that the site asks for cannot run here.", what)
    return warning(measured, threshold, "Virtual machines cannot run here, so instances will be containers.", what)


_ANSWERS = ("site.instances", "site.gpus")

CHECKS = (
    Check("host.kvm", "KVM", "host", "host", ("system", *_ANSWERS), _VM, host=kvm, applies=_virtual_machines),
    Check("host.vsock", "vhost-vsock", "host", "host", ("system", *_ANSWERS), _VSOCK, host=vsock,
          applies=_virtual_machines),
    Check("host.nested", "Nested virtualization", "host", "host", ("kernel", *_ANSWERS), _NESTED, host=nested,
          applies=_virtual_machines),
    Check("host.vt-d", "VT-d or AMD-Vi", "host", "host", ("kernel", "pci", "gpus", "site.gpus"), _VFIO,
          host=passthrough),
)  # fmt: skip
