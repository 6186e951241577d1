"""From the description of a server to the bundle that our probe would bring back from it."""

from __future__ import annotations

from homewright.discovery.bundle import MISSING, RawBundle, Source

from . import network, nvidia, printing, software
from .hardware import Host

_ROUND_TRIP_S = (0.112, 1.287, 1.304)
"""After the question: the host's clock when the probe starts and ends there, and when all of the answer is here."""

_OF_COMMAND = {
    "lspci-Dnnk": "lspci", "lsblk-json": "lsblk", "lscpu": "lscpu", "systemd-detect-virt": "systemd-detect-virt",
    "ip-addr-json": "ip", "ip-route-json": "ip", "packages": "dpkg-query", "ss": "ss", "services": "systemctl",
    "timedatectl": "timedatectl", "python": "python3", "getent": "getent",
}  # fmt: skip
"""Which command a source runs, where it may be missing."""


def _there(present: bool) -> Source:
    return Source(exit_code=0 if present else 1)


def _printed(text: str, code: int = 0) -> Source:
    return Source(stdout=text, exit_code=code)


def _absent(command: str) -> Source:
    return Source(stderr=f"{command}: not installed", exit_code=MISSING)


def _machine(host: Host) -> dict[str, Source]:
    setup = host.setup
    firmware = {"bios": "bios\n", "on": "   6   0   0   0   1\n", "off": "   6   0   0   0   0\n"}[setup.secure_boot]
    nested = "kvm_amd" if "svm" in host.cores.processor.flags.split() else "kvm_intel"
    value = ("1" if setup.nested else "0") if nested == "kvm_amd" else ("Y" if setup.nested else "N")
    limits = {
        "fs/inotify/max_user_instances": setup.inotify[0], "fs/inotify/max_user_watches": setup.inotify[1],
        "fs/aio-nr": setup.aio_nr, "fs/aio-max-nr": 65536, "net/ipv4/ip_forward": int(bool(setup.docker)),
    }  # fmt: skip
    board = (host.maker, host.product) if host.board is None else host.board
    shown = f"display-manager {setup.display_manager}.service\n" if setup.display_manager else ""
    sources = {
        "clock-start": _printed(f"{host.at + host.skew_s + _ROUND_TRIP_S[0]:.3f}000000\n"),
        "uptime": _printed(f"{host.uptime_s:.2f}\n"),
        "os-release": _printed(host.distribution.release),
        "uname-a": _printed(f"Linux {host.hostname or host.name} {host.kernel} {host.distribution.uname} GNU/Linux\n"),
        "id-u": _printed("0\n" if host.user == "root" else "1000\n"),
        "account": _printed(f"{host.user}|{'/root' if host.user == 'root' else f'/home/{host.user}'}\n"),
        "machine-id": _printed(f"{host.machine_id}\n"),
        "boot-id": _printed(f"{host.boot_id}\n"),
        "cmdline": _printed(f"BOOT_IMAGE=/vmlinuz-{host.kernel} {host.cmdline} "),
        "systemd-detect-virt": _printed(f"{host.virtualization}\n", 1 if host.virtualization == "none" else 0),
        "systemd": _there(True),
        "kvm": _there(host.kvm),
        "vhost-vsock": _there(host.vsock),
        "dmi": _printed("".join(f"{line}\n" for line in (host.maker, host.product, *board))),
        "chassis": _printed(f"{setup.chassis}\n"),
        "secure-boot": _printed(firmware),
        "cpuinfo": _printed(printing.cpuinfo(host.cores)),
        "nproc": _printed(f"{host.cores.total}\n"),
    }
    if host.cores.arm:
        sources["lscpu"] = _printed(printing.lscpu(host.cores, host.virtualization))
    return sources | {
        "meminfo": _printed(printing.meminfo(host)),
        "swaps": _printed(printing.swaps(host)),
        "modules": _printed(software.modules(host)),
        "limits": _printed("".join(f"/proc/sys/{name}:{number}\n" for name, number in limits.items())),
        "kvm-nested": _printed(f"{nested} {value}\n" if host.kvm and not host.cores.arm else ""),
        "cgroups": _printed(printing.cgroups(host)),
        "br-netfilter": _printed(f"{setup.bridge_filter}\n"),
        "df": _printed(printing.df(host)),
        "lsblk-json": _printed(printing.lsblk(host)),
        "ip-addr-json": _printed(network.addresses(host)),
        "ip-route-json": _printed(network.routes(host)),
        "sys-net": _printed(network.sys_net(host)),
        "sys-pci": _printed(printing.sys_pci(host)),
        "iommu": _printed(printing.iommu(host)),
        "drm": _printed(printing.drm(host)),
        "proxies": _printed("".join(f"{line}\n" for line in setup.proxies)),
        "desktop": _printed(f"target graphical.target\n{shown}"),
        "lspci-Dnnk": _printed(printing.lspci(host.pci)),
    }


def _settings(host: Host) -> dict[str, Source]:
    setup = host.setup
    search = f"search {setup.search}\n" if setup.search else ""
    servers = "".join(f"nameserver {one}\n" for one in setup.resolvers)
    ubuntu = software.is_ubuntu(host)
    sources = {
        "resolv-conf": _printed(
            f"nameserver 127.0.0.53\noptions edns0 trust-ad\n{search}" if ubuntu else servers + search
        )
    }
    if ubuntu:
        sources["resolv-conf-uplink"] = _printed(servers + search)
    return sources | {
        "hosts": _printed(software.hosts(host)),
        "processes": Source(exit_code=0),  # where no kubelet ever was, nothing of a cluster is looked for
        "package-locks": _printed(setup.locks),
        "dpkg-audit": _printed(setup.audit),
        "packages": _printed(software.packages(host)),
        "python": _printed(f"python{setup.python}\n"),
        "services": _printed(software.services(host)),
        "tools": _printed(software.tools(host)),
        "ufw": _printed(f'ENABLED={"yes" if setup.ufw else "no"}\nDEFAULT_FORWARD_POLICY="DROP"\n') if ubuntu
               else Source(exit_code=MISSING),
    }  # fmt: skip


def _roots(host: Host) -> dict[str, Source]:
    """What sudo opens. Where it asks for a password, the kernel says no to most of it."""
    if host.sudo:
        refused = "dmesg: read kernel buffer failed: Operation not permitted"
        files = "/etc/netplan/50-cloud-init.yaml: Permission denied"
        return {
            "sudo": Source(stderr="sudo: a password is required", exit_code=host.sudo),
            "kernel-log": Source(stderr=refused, exit_code=1),
            "ss": _printed(software.sockets(host, named=False)),
            "firewall": Source(
                stderr="iptables v1.8.10 (nf_tables): Could not fetch rule set generation id: Permission denied (you "
                "must be root)", exit_code=4,
            ),
            "netplan": Source(
                stdout="# 50-cloud-init.yaml\n",
                stderr=f"sed: can't read /etc/netplan/50-cloud-init.yaml: Permission denied\n{files}", exit_code=1,
            ),
        }  # fmt: skip
    return {
        "sudo": Source(exit_code=0),
        "kernel-log": _printed("".join(f"{line}\n" for line in host.setup.kernel_log)),
        "kernel-log-iommu": _printed(software.iommu_log(host)),
        "ss": _printed(software.sockets(host)),
        "firewall": _printed(software.firewall(host)),
        "netplan": _printed(software.netplan(host)) if software.is_ubuntu(host) else Source(exit_code=MISSING),
    }


def _software(host: Host) -> dict[str, Source]:
    setup = host.setup
    sources = {"timedatectl": _printed(software.timedatectl(host))}
    if setup.clock == "systemd-timesyncd" and setup.synchronised:
        sources["timesyncd-synchronized"] = Source(exit_code=0)
    if setup.snapd:
        sources["snap-version"] = _printed(software.snap_version(host))
        sources["snap-list"] = _printed(software.snap_list(host))
        sources["snap-refresh-time"] = _printed(software.snap_refresh(host))
    sources["getent"] = _printed(software.getent(host))
    if host.driver_version:
        text, code = nvidia.query(host)
        sources["nvidia-smi-query"] = _printed(text, code)
        if code:
            sources["nvidia-smi-csv"] = _printed(*nvidia.query(host, fields=4))
        sources["nvidia-smi"] = _printed(*nvidia.table(host))
    sources["clock-end"] = _printed(f"{host.at + host.skew_s + _ROUND_TRIP_S[1]:.3f}000000\n")
    return sources | {"done": Source(exit_code=0)}


def bundle(host: Host) -> RawBundle:
    """Every source of the probe."""
    sources = _machine(host) | _settings(host) | _roots(host) | _software(host)
    for name, command in _OF_COMMAND.items():
        if command in host.without and name in sources:
            sources[name] = _absent(command)
    for name, changed in host.changes.items():
        if changed is None:
            sources.pop(name)
        else:
            sources[name] = Source(stdout=changed[0], stderr=changed[1], exit_code=changed[2])
    return RawBundle(host=host.name, gathered_at=host.at, answered_at=host.at + _ROUND_TRIP_S[2], sources=sources)
