"""Sites and servers for tables of cases, written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from homewright.discovery.facts import (
    Cpu,
    FileSystem,
    Gpu,
    HostFacts,
    Kernel,
    Memory,
    Names,
    Nic,
    PciFunction,
    Software,
    System,
)
from homewright.site.models import Site

GIB = 1024**3
NVIDIA = "0000:01:00.0"


def site(count: int = 1, /, **answers: Any) -> Site:
    """Servers s1, s2, … at 192.168.1.11, …"""
    named = [{"name": f"s{n}", "address": f"192.168.1.{10 + n}", "user": "ann"} for n in range(1, count + 1)]
    return Site.model_validate({"name": "attic", "servers": named, **answers})


def nic(
    name: str,
    *addresses: str,
    gateway: str = "",
    kind: Any = "ethernet",
    routes: Sequence[str] = (),
    instances: str = "",
) -> Nic:
    return Nic(
        instances=instances,
        name=name,
        up=True,
        kind=kind,
        addresses=addresses,
        default_route=bool(gateway),
        gateway=gateway,
        routes=tuple(routes),
    )


def function(address: str, kind: str, group: int | None, *, driver: str | None = None, name: str = "") -> PciFunction:
    return PciFunction(
        address=address, class_id=kind, vendor_id="10de", device_id="2204", name=name, driver=driver, iommu_group=group
    )


def gpu(address: str = NVIDIA, group: int | None = 1, **more: Any) -> Gpu:
    return Gpu(**{"address": address, "vendor": "nvidia", "name": "RTX", "iommu_group": group, **more})


def card(address: str = NVIDIA, group: int | None = 1) -> tuple[PciFunction, ...]:
    """A card with its audio function."""
    slot = address.removesuffix(".0")
    return function(address, "0300", group), function(f"{slot}.1", "0403", group)


def host(
    name: str = "s1",
    address: str = "",
    *,
    cpu: int | None = 16,
    memory: float | None = 64,
    disk: int | None = 400,
    nics: Sequence[Nic] = (),
    gpus: Sequence[Gpu] = (),
    pci: Sequence[PciFunction] = (),
    system: Mapping[str, Any] | None = None,
    kernel: Mapping[str, Any] | None = None,
    software: Software | None = None,
    mounts: Sequence[FileSystem] | None = None,
) -> HostFacts:
    """An Ubuntu server that runs virtual machines; sizes in GiB."""
    own = address or f"192.168.1.{10 + int(name[1:])}/24"
    found = (FileSystem(mount="/", size=disk * GIB, free=disk * GIB),) if disk is not None else ()
    base = {"os_id": "ubuntu", "os_version": "24.04", "kvm": True, "vhost_vsock": True, "desktop": False}
    return HostFacts(
        host=name,
        gathered_at=0.0,
        system=System.model_validate({**base, "machine_id": name, **(system or {})}),
        cpu=Cpu(threads=cpu, vendor="GenuineIntel"),
        memory=Memory(total=None if memory is None else int(memory * GIB)),
        file_systems=tuple(mounts) if mounts is not None else found,
        nics=(nic("eno1", own, gateway="192.168.1.1"), *nics),
        gpus=tuple(gpus),
        pci=tuple(pci),
        kernel=Kernel.model_validate({"virtualization_flag": "vmx", **(kernel or {})}),
        names=Names(resolvers=("192.168.1.1",)),
        software=software or Software(),
    )


def hosts(count: int, **more: Any) -> dict[str, HostFacts]:
    return {f"s{n}": host(f"s{n}", **more) for n in range(1, count + 1)}
