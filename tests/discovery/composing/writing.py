"""From the description of a server to the bundle that our probe would bring back from it."""

from __future__ import annotations

from homewright.discovery.bundle import MISSING, RawBundle, Source

from . import network, printing
from .hardware import Host

_COMMANDS = {
    "lspci-Dnnk": "lspci", "lsblk-json": "lsblk", "lscpu": "lscpu", "systemd-detect-virt": "systemd-detect-virt",
    "ip-addr-json": "ip", "ip-addr": "ip", "ip-route-json": "ip", "ip-route": "ip", "nvidia-smi-csv": "nvidia-smi",
}  # fmt: skip
"""Which command a source runs, where it may be missing."""


def _there(present: bool) -> Source:
    return Source(exit_code=0 if present else 1)


def _printed(text: str, code: int = 0) -> Source:
    return Source(stdout=text, exit_code=code)


def smi_csv(host: Host) -> Source:
    if not host.driver_version:
        return Source(exit_code=MISSING)
    lost = next((index for index, card in enumerate(host.graphics) if card.error), None)
    rows = [
        f"0000{card.address.upper()}, {card.name}, {card.memory_mib}, {host.driver_version}\n"
        for card in host.graphics[:lost]
    ]
    if lost is None:
        return _printed("".join(rows))
    # it gives up at the first one that it cannot ask; 15 is NVML_ERROR_GPU_IS_LOST
    return _printed("".join(rows) + host.graphics[lost].error + "\n", 15)


def bundle(host: Host) -> RawBundle:
    """Every source of the probe, in its order."""
    machine = "aarch64" if host.cores.arm else "x86_64"
    physical = host.virtualization == "none"
    sources = {
        "os-release": _printed(host.distribution.release),
        "uname-a": _printed(f"Linux {host.hostname or host.name} {host.kernel} {host.distribution.uname} GNU/Linux\n"),
        "id-u": _printed("1000\n" if host.user != "root" else "0\n"),
        "sudo": Source(exit_code=host.sudo, stderr="sudo: a password is required" if host.sudo == 1 else ""),
        "machine-id": _printed(f"{host.machine_id}\n"),
        "boot-id": _printed(f"{host.boot_id}\n"),
        "uptime": _printed(f"{host.uptime_s:.2f} {host.uptime_s * host.cores.total * 0.97:.2f}\n"),
        "cmdline": _printed(f"BOOT_IMAGE=/boot/vmlinuz-{host.kernel} {host.cmdline}\n"),
        "systemd-detect-virt": _printed(f"{host.virtualization}\n", 1 if physical else 0),
        "systemd": _there(True),
        "kvm": _there(host.kvm),
        "vhost-vsock": _there(host.vsock),
        "dmi": _printed(f"{host.maker}\n{host.product}\n"),
        "cpuinfo": _printed(printing.cpuinfo(host.cores)),
        "nproc": _printed(f"{host.cores.total}\n"),
        "lscpu": _printed(printing.lscpu(host.cores, host.virtualization)),
        "meminfo": _printed(printing.meminfo(host)),
        "df": _printed(printing.df(host)),
        "lsblk-json": _printed(printing.lsblk(host.disks)),
        "ip-addr-json": _printed(network.addresses(host)),
        "ip-addr": _printed(network.addresses_text(host)),
        "ip-route-json": _printed(network.routes(host)),
        "ip-route": _printed(network.routes_text(host)),
        "sys-net": _printed(network.sys_net(host)),
        "sys-pci": _printed(printing.sys_pci(host.pci)),
        "lspci-Dnnk": _printed(printing.lspci(host.pci)),
        "nvidia-smi-csv": smi_csv(host),
        "done": Source(exit_code=0),
    }
    for name, command in _COMMANDS.items():
        if command in host.without and name in sources:
            sources[name] = Source(exit_code=MISSING)
    for name, (out, errors, code) in host.changes.items():
        sources[name] = Source(stdout=out, stderr=errors, exit_code=code)
    assert machine in host.distribution.uname
    return RawBundle(host=host.name, gathered_at=host.at, sources=sources)
