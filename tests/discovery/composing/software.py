"""What a composed server prints of its software and settings: systemd, snaps, packages, sockets, names, clock."""

from __future__ import annotations

from datetime import UTC, datetime

from .hardware import Host

_SYSTEM = ("cron", "dbus", "polkit", "rsyslog", "ssh", "systemd-journald", "systemd-logind", "systemd-udevd")


def is_ubuntu(host: Host) -> bool:
    return "ID=ubuntu" in host.distribution.release


def services(host: Host) -> str:
    """The names of the services' control groups; those of templates are in a slice of their own, and come last."""
    names = {*_SYSTEM, *host.setup.services}
    if is_ubuntu(host):
        names |= {"systemd-resolved", "unattended-upgrades"}
        names |= {"systemd-networkd"} if host.setup.renderer == "networkd" else {"NetworkManager", "wpa_supplicant"}
    if host.setup.snapd:
        names.add("snapd")
    if host.setup.clock:
        names.add(host.setup.clock)
    if host.setup.docker:
        names |= {"docker", "containerd"}
    if host.driver_version:
        names.add("nvidia-persistenced")
    return "".join(f"{name}.service\n" for name in (*sorted(names), "getty@tty1"))


def timedatectl(host: Host) -> str:
    """`timedatectl show`."""
    now = datetime.fromtimestamp(host.at + host.skew_s, UTC)
    said = "yes" if host.setup.synchronised else "no"
    text = now.strftime("%a %Y-%m-%d %H:%M:%S UTC")
    return (
        f"Timezone={host.setup.timezone}\nLocalRTC=no\nCanNTP={'yes' if host.setup.clock else 'no'}\n"
        f"NTP={'yes' if host.setup.clock else 'no'}\nNTPSynchronized={said}\nTimeUSec={text}\nRTCTimeUSec={text}\n"
    )


def sockets(host: Host, *, named: bool = True) -> str:
    """`ss -Hlntup`; processes are named to root alone."""
    rows = [
        ("udp", "127.0.0.54:53", "systemd-resolve"), ("udp", "127.0.0.53%lo:53", "systemd-resolve"),
        ("tcp", "127.0.0.53%lo:53", "systemd-resolve"), ("tcp", "127.0.0.54:53", "systemd-resolve"),
    ] if is_ubuntu(host) else []  # fmt: skip
    if host.setup.clock == "chrony":
        rows += [("udp", "127.0.0.1:323", "chronyd"), ("udp", "[::1]:323", "chronyd")]
    dhcp = "systemd-network" if host.setup.renderer == "networkd" else "NetworkManager"
    rows += [("udp", f"{one.partition('/')[0]}%{nic.name}:68", dhcp)
             for nic in host.nics if nic.dhcp and nic.up for one in nic.addresses]  # fmt: skip
    rows += [("tcp", "0.0.0.0:22", "sshd"), ("tcp", "[::]:22", "sshd"), *host.setup.listeners]
    rows.sort(key=lambda row: row[0] != "udp")
    pids: dict[str, int] = {}
    table = []
    for number, (protocol, address, process) in enumerate(rows):
        pid = pids.setdefault(process, 702 + 37 * len(pids))
        state, queue = ("UNCONN", "0") if protocol == "udp" else ("LISTEN", "128" if process == "sshd" else "4096")
        peer = "[::]:*" if address.startswith("[") else "*:*" if address.startswith("*") else "0.0.0.0:*"
        users = f'users:(("{process}",pid={pid},fd={3 + number % 17}))' if named else ""
        table.append((protocol, state, queue, address, peer, users))
    widths = [max(len(row[column]) for row in table) for column in range(6)]
    return "".join(
        f"{one:<3} {state:<6} 0      {queue:<6} {local:>{widths[3]}} {peer:>{widths[4]}} {users:<{widths[5]}}\n"
        for one, state, queue, local, peer, users in table
    )


def packages(host: Host) -> str:
    rows = list(host.setup.packages)
    if host.setup.snapd:
        version = host.distribution.release.split('VERSION_ID="')[1].split('"')[0]
        rows.append(f"snapd {host.setup.snapd}+{'ubuntu' if is_ubuntu(host) else 'deb'}{version} ii ")
    if host.setup.docker:
        rows.append(f"docker-ce 5:{host.setup.docker}-1~{'ubuntu.24.04~noble' if is_ubuntu(host) else 'debian.12'} ii ")
    if is_ubuntu(host):
        rows.append("ufw 0.36.2-6 ii ")
    if host.setup.clock == "chrony":
        rows.append("chrony 4.5-1ubuntu4.2 ii " if is_ubuntu(host) else "chrony 4.3-2+deb12u1 ii ")
    return "".join(f"{row}\n" for row in sorted(rows))


def tools(host: Host) -> str:
    found = []
    if host.setup.docker:
        found += ["/usr/bin/docker", "/usr/bin/dockerd"]
    if any(row.startswith("lxd ") for row in host.setup.snaps):
        found.append("/snap/bin/lxd")
    if host.setup.snapd:
        found.append("/usr/bin/snap")
    if any(row.startswith("microk8s ") for row in host.setup.snaps):
        found.append("/snap/bin/microk8s")
    if any(row.startswith("zerotier-one ") for row in host.setup.packages):
        found.append("/usr/sbin/zerotier-one")
    if is_ubuntu(host):
        found += ["/usr/sbin/ufw", "/usr/sbin/netplan"]
    if host.driver_version:
        found.append("/usr/bin/nvidia-smi")
    if host.setup.clock == "chrony":
        found.append("/usr/sbin/chronyd")
    if host.setup.docker:
        found.append("/run/docker.sock")
    if host.setup.cluster:
        found.append("/var/snap/lxd/common/lxd/cluster.crt")
    return "".join(f"{path}\n" for path in found)


def snap_version(host: Host) -> str:
    version = host.distribution.release.split('VERSION_ID="')[1].split('"')[0]
    name = "ubuntu" if is_ubuntu(host) else "debian"
    rows = {"snap": host.setup.snapd, "snapd": host.setup.snapd, "series": "16", name: version, "kernel": host.kernel}
    return "".join(f"{key:<7} {value}\n" for key, value in rows.items())


def snap_list(host: Host) -> str:
    rows = [("Name", "Version", "Rev", "Tracking", "Publisher", "Notes")]
    listed = [tuple(row.split()) for row in host.setup.snaps]
    listed.append(("snapd", host.setup.snapd, "25577", "latest/stable", "canonical✓", "snapd"))
    rows += sorted(listed)  # type: ignore[arg-type]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "".join(
        "  ".join([*(f"{row[column]:<{widths[column]}}" for column in range(5)), row[5]]) + "\n" for row in rows
    )


def snap_refresh(host: Host) -> str:
    held = f"hold: {host.setup.hold}\n" if host.setup.hold else ""
    return f"timer: 00:00~24:00/4\nlast: today at 03:12 UTC\n{held}next: today at 13:41 UTC\n"


def firewall(host: Host) -> str:
    policy = "DROP" if host.setup.docker or host.setup.ufw else "ACCEPT"
    if any(nic.kind == "bridge" for nic in host.nics) and not host.setup.docker and not host.setup.ufw:
        return "-P FORWARD ACCEPT\n"
    if not host.setup.docker and not host.setup.ufw:
        return "no packet filter is loaded\n"
    rules = ""
    chains = "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n\n"
    chains += "\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n"
    if host.setup.docker:
        rules += "-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n"
    if host.setup.ufw:
        rules += "".join(
            f"-A FORWARD -j ufw-{name}\n"
            for name in ("before-logging-forward", "before-forward", "after-forward", "after-logging-forward",
                         "reject-forward", "track-forward")
        )  # fmt: skip
    return f"{chains}-P FORWARD {policy}\n{rules}"


def netplan(host: Host) -> str:
    """The lines of netplan's files that the probe lets through."""
    wired = [nic for nic in host.nics if not nic.kind and "wifi" not in nic.hardware and nic.addresses]
    wireless = [nic for nic in host.nics if "wifi" in nic.hardware and nic.addresses]
    if host.setup.renderer == "NetworkManager":
        return "# 01-network-manager-all.yaml\nnetwork:\n  version: 2\n  renderer: NetworkManager\n"
    text = "# 50-cloud-init.yaml\nnetwork:\n  version: 2\n"
    for title, nics in (("ethernets", wired), ("wifis", wireless)):
        if nics:
            text += f"  {title}:\n"
        for nic in nics:
            text += f"    {nic.name}:\n"
            if nic.dhcp:
                text += "      dhcp4: true\n"
                continue
            text += "      addresses:\n" + "".join(f"      - {one}\n" for one in nic.addresses)
            text += "      nameservers:\n        addresses:\n" + "".join(
                f"        - {one}\n" for one in host.setup.resolvers
            )
            if nic.gateway:
                text += f"      routes:\n      - to: default\n        via: {nic.gateway}\n"
    return text


def hosts(host: Host) -> str:
    name = host.hostname or host.name
    text = "127.0.0.1 localhost\n" + f"127.0.1.1 {name}\n"
    text += "".join(f"{address} {names}\n" for address, names in host.setup.hosts.items())
    return text + (
        "::1     ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\nff00::0 ip6-mcastprefix\nff02::1 ip6-allnodes\n"
        "ff02::2 ip6-allrouters\n"
    )


def getent(host: Host) -> str:
    """The names of the site's servers: what /etc/hosts has, then what was asked for; getent ends with 2 where there is
    no address, and for two names in one question where one of them has none."""
    own = {(host.hostname or host.name): "127.0.1.1"}
    known = own | {name: address for address, names in host.setup.hosts.items() for name in names.split()}
    wild = host.setup.wildcard

    def row(kind: str, name: str, address: str) -> str:
        return f"{kind}|{name}|{0 if address else 2}|{address}\n"

    text = "".join(row("name", name, known[name]) for name in known if name in host.setup.asked)
    text += f"wildcard|homewright-no-such-name homewright-no-such-name.example.com|2|{wild}\n"
    text += row("name", "www.debian.org", "203.0.113.80" if host.setup.resolvers else "")
    return text + "".join(row("name", name, wild) for name in host.setup.asked if name not in known)


def modules(host: Host) -> str:
    found = {one.driver for one in host.pci if one.driver} - {"pcieport", "ahci", "vmd", "xhci_hcd", "i801_smbus"}
    found |= {"8021q", "garp", "mrp", "autofs4", "overlay", "tls", "dm_multipath", "efi_pstore", "sch_fq_codel"}
    if host.setup.docker or host.setup.ufw:
        found |= {"bridge", "stp", "llc", "nf_tables", "nft_compat", "nf_nat", "nf_conntrack", "ip_tables", "x_tables"}
    found |= {"nvme_core"} if "nvme" in found else set()
    if host.kvm:
        found |= {"kvm", "kvm_amd" if "svm" in host.cores.processor.flags.split() else "kvm_intel"}
    if host.vsock:
        found |= {"vhost_vsock", "vhost", "vsock"}
    if "vfio-pci" in found:
        found = found - {"vfio-pci"} | {"vfio_pci", "vfio_pci_core", "vfio_iommu_type1", "vfio"}
    if "nvidia" in found:
        found |= {"nvidia_drm", "nvidia_modeset", "nvidia_uvm"}
    if host.setup.bridge_filter == "loaded":
        found.add("br_netfilter")
    return "".join(f"{name.replace('-', '_')}\n" for name in sorted(found | set(host.setup.modules)))


def iommu_log(host: Host) -> str:
    """What the kernel logs of the IOMMU at boot."""
    lines: list[str] = []
    if any(one.group is not None for one in host.pci):
        if any(one.class_id.startswith("0806") for one in host.pci):
            first = next(one.address for one in host.pci if one.class_id.startswith("0806"))
            lines = [
                f"[    0.462618] pci {first}: AMD-Vi: IOMMU performance counters supported",
                f"[    0.470120] pci {first}: AMD-Vi: Found IOMMU cap 0x40",
                "[    0.470124] AMD-Vi: Extended features (0x58f77ef22294a5a, 0x0): PPR NX GT IA GA PC GA_vAPIC",
                "[    0.470133] AMD-Vi: Interrupt remapping enabled",
                "[    0.500414] AMD-Vi: Virtual APIC enabled",
            ]
        elif "vmx" in host.cores.processor.flags.split():
            lines = [
                "[    0.017482] DMAR: IOMMU enabled",
                "[    0.117204] DMAR: Host address width 39",
                "[    0.117206] DMAR: DRHD base: 0x000000fed91000 flags: 0x1",
                "[    0.432801] DMAR: Intel(R) Virtualization Technology for Directed I/O",
            ]
    return "".join(f"{line}\n" for line in lines)
