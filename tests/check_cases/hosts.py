"""Every check of servers: a passing, a failing and an unknown case, each of a recorded machine.

A third element changes facts of that machine, where no recorded one shows the case.
"""

from __future__ import annotations

from dataclasses import replace

from checking import Case, Change, Scene

from homewright.discovery.facts import Cpu, Kernel, Memory, Software, System

VM = {"kind": "virtual-machine"}


def gone(host: str) -> Change:
    return lambda s: s.without(host)


def no_kernel(*sources: str) -> Change:
    return lambda s: s.missing("birch", *sources, kernel=Kernel())


def no_software(*sources: str) -> Change:
    return lambda s: s.missing("birch", *sources, software=Software())


def clock(host: str, **values: object) -> Change:
    return lambda s: s.having(host, "clock", **values)


CASES: list[tuple[str, str, str, Change | None, str, str]] = [
    # check, site, server, change, status, what is said
    ("host.os", "attic", "birch", None, "passed", "Ubuntu 24.04.3 LTS"),
    ("host.os", "trouble", "pine", None, "failed", "Ubuntu 22.04.5 LTS"),
    ("host.os", "attic", "birch", lambda s: s.having("birch", "system", os_id="debian", os_version="12", os_name=""),
     "warning", "kubeadm"),
    ("host.os", "attic", "birch", lambda s: s.having("birch", "system", os_id="debian", os_version="11", os_name=""),
     "failed", "debian 11"),
    ("host.os", "attic", "birch", lambda s: s.missing("birch", "os", reason="os-release: cut", system=System()),
     "unknown", "os-release: cut"),
    ("host.systemd", "attic", "birch", None, "passed", "systemd"),
    ("host.systemd", "attic", "birch", lambda s: s.having("birch", "system", systemd=False), "failed", "another"),
    ("host.systemd", "attic", "birch", lambda s: s.missing("birch", "os", system=System()), "unknown", "was not asked"),
    ("host.sudo", "attic", "birch", None, "passed", "works"),
    ("host.sudo", "attic", "birch", lambda s: s.having("birch", "system", account="root"), "passed", "root"),
    ("host.sudo", "attic", "birch", lambda s: s.having("birch", "system", sudo=False), "failed", "ann cannot"),
    ("host.sudo", "attic", "birch", lambda s: s.missing("birch", "sudo", system=System()), "unknown", "was not asked"),
    ("host.kernel", "attic", "birch", None, "passed", "6.8.0"),
    ("host.kernel", "trouble", "pine", None, "failed", "5.15.0"),
    ("host.kernel", "attic", "birch", lambda s: s.having("birch", "system", kernel="6.10.3"), "passed", "6.10.3"),
    # Debian has an older LXD of its own, which asks for less
    *[("host.kernel", "attic", "birch",
       lambda s, kernel=kernel: s.having("birch", "system", os_id="debian", os_version="12", kernel=kernel),
       status, kernel)
      for kernel, status in (("6.1.0-28-amd64", "passed"), ("5.4.0", "passed"), ("4.19.0-27-amd64", "failed"))],
    ("host.kernel", "attic", "birch", lambda s: s.missing("birch", "kernel", system=System()), "unknown", "not asked"),
    ("host.memory-cgroup", "attic", "birch", None, "passed", "on"),
    ("host.memory-cgroup", "attic", "birch", lambda s: s.having("birch", "kernel", memory_cgroup=False), "failed",
     "off"),
    ("host.memory-cgroup", "attic", "birch", no_kernel("limits"), "unknown", "limits: was not asked"),
    ("host.br-netfilter", "attic", "birch", None, "passed", "there"),
    ("host.br-netfilter", "attic", "birch", lambda s: s.having("birch", "kernel", br_netfilter=False), "failed",
     "missing"),
    ("host.br-netfilter", "attic", "birch", no_kernel("modules"), "unknown", "was not asked"),
    ("host.inotify", "attic", "birch", None, "passed", "8192 instances"),
    ("host.inotify", "trouble", "elder", None, "failed", "128 instances, 249301 watches"),
    ("host.inotify", "attic", "birch", lambda s: s.having("birch", "kernel", inotify_instances=1023), "failed", "1023"),
    ("host.inotify", "attic", "birch", lambda s: s.having("birch", "kernel", inotify_watches=1048575), "failed",
     "1048575 watches"),
    ("host.inotify", "attic", "birch", no_kernel("limits"), "unknown", "was not asked"),
    ("host.aio", "attic", "birch", None, "passed", "0 of 65536"),
    ("host.aio", "attic", "birch", lambda s: s.having("birch", "kernel", aio_nr=65536), "failed", "65536 of 65536"),
    ("host.aio", "attic", "birch", no_kernel("limits"), "unknown", "was not asked"),
    ("host.swap", "attic", "birch", None, "passed", "none"),
    ("host.swap", "trouble", "pine", None, "warning", "/swap.img"),
    ("host.swap", "attic", "birch", lambda s: s.missing("birch", "memory", memory=Memory(), kernel=Kernel()), "unknown",
     "was not asked"),
    ("host.cpu", "attic", "birch", None, "passed", "32 processors"),
    ("host.cpu", "attic", "birch", lambda s: s.having("birch", "cpu", threads=1), "failed", "1 processor"),
    ("host.cpu", "attic", "birch", lambda s: s.having("birch", "cpu", threads=3), "warning", "3 processors"),
    ("host.cpu", "attic", "birch", lambda s: s.missing("birch", "cpu", cpu=Cpu()), "unknown", "was not asked"),
    # with three servers all are of the control plane, with two the first alone
    ("host.cpu", "attic", "cedar",
     lambda s: s.answering(servers=s.site.model_dump(mode="json")["servers"][:2]).having("cedar", "cpu", threads=1),
     "warning", "1 processor"),
    ("host.memory", "attic", "birch", None, "passed", "135.0 GB"),
    ("host.memory", "trouble", "pine", None, "warning", "8.2 GB"),
    ("host.memory", "trouble", "pine", lambda s: s.answering(instances={"kind": "container"}), "passed", "8.2 GB"),
    ("host.memory", "attic", "birch", lambda s: s.having("birch", "memory", total=1600 * 1024**2), "failed", "1.7 GB"),
    # a server sold with 16 GB tells of 15.2: a tenth of slack
    ("host.memory", "attic", "birch", lambda s: s.having("birch", "memory", total=15_200_000_000), "passed", "15.2 GB"),
    ("host.memory", "attic", "birch", lambda s: s.missing("birch", "memory", memory=Memory()), "unknown", "was not"),
    ("host.disk", "attic", "birch", None, "passed", "1825.7 GB free in /home/ann"),
    ("host.disk", "trouble", "pine", None, "failed", "5.5 GB free in /home/ben"),
    ("host.disk", "attic", "birch", lambda s: s.missing("birch", "file systems", file_systems=()), "unknown",
     "was not asked"),
    ("host.disk-latency", "attic", "birch", None, "passed", "1.2 ms"),
    ("host.disk-latency", "attic", "birch", lambda s: s.measuring(disk_ms={"birch": 31.04}), "warning", "31.0 ms"),
    ("host.disk-latency", "attic", "birch",
     lambda s: s.measuring(disk_ms={}, errors={"birch": {"disk_ms": "the home is read-only"}}), "unknown", "read-only"),
    ("host.kvm", "attic", "birch", None, "passed", "/dev/kvm"),
    ("host.kvm", "trouble", "pine", None, "warning", "missing"),
    ("host.kvm", "trouble", "pine", lambda s: s.answering(instances=VM), "failed", "missing"),
    ("host.kvm", "attic", "birch", lambda s: s.missing("birch", "virtualization", system=System()), "unknown",
     "was not asked"),
    ("host.vsock", "attic", "birch", None, "passed", "/dev/vhost-vsock"),
    ("host.vsock", "trouble", "pine", None, "warning", "missing"),
    ("host.vsock", "trouble", "pine", lambda s: s.answering(instances=VM), "failed", "missing"),
    ("host.vsock", "attic", "birch", lambda s: s.missing("birch", "virtualization", system=System()), "unknown",
     "was not asked"),
    ("host.nested", "attic", "birch", None, "passed", "on"),
    ("host.nested", "attic", "birch", lambda s: s.having("birch", "kernel", nested=False), "warning", "off"),
    ("host.nested", "attic", "birch", no_kernel("modules"), "unknown", "was not asked"),
    ("host.vt-d", "attic", "birch", None, "passed", "sees it"),
    ("host.vt-d", "trouble", "pine", None, "warning", "sees none"),
    ("host.vt-d", "trouble", "pine",
     lambda s: s.answering(gpus=[{"host": "pine", "address": "0000:01:00.0", "use": "passthrough"}]), "failed",
     "sees none"),
    ("host.vt-d", "attic", "birch", lambda s: s.missing("birch", "iommu", kernel=Kernel(), pci=()), "unknown", "iommu"),
    ("host.snapd", "attic", "birch", None, "passed", "2.72"),
    ("host.snapd", "trouble", "pine", None, "failed", "2.58"),
    ("host.snapd", "attic", "birch", lambda s: s.having("birch", "software", snapd=None), "failed", "not installed"),
    ("host.snapd", "attic", "birch", no_software("snap"), "unknown", "was not asked"),
    ("host.snap-hold", "attic", "birch", None, "passed", "forever"),
    ("host.snap-hold", "trouble", "pine", None, "failed", "not held"),
    ("host.snap-hold", "attic", "birch", no_software("snap"), "unknown", "was not asked"),
    ("host.package-locks", "attic", "birch", None, "passed", "free"),
    ("host.package-locks", "trouble", "elder", None, "failed", "unattended-upgr"),
    ("host.package-locks", "attic", "birch", no_software("package-locks"), "unknown", "was not asked"),
    ("host.packages", "attic", "birch", None, "passed", "none"),
    ("host.packages", "attic", "birch", lambda s: s.having("birch", "software", packages_broken=True), "failed",
     "some are"),
    ("host.packages", "attic", "birch", no_software("software"), "unknown", "was not asked"),
    ("host.docker", "attic", "birch", None, "passed", "none"),
    ("host.docker", "trouble", "pine", None, "warning", "installed"),
    ("host.docker", "attic", "birch", no_software("software"), "unknown", "was not asked"),
    ("host.ufw", "attic", "birch", None, "passed", "off"),
    ("host.ufw", "trouble", "pine", None, "warning", "on"),
    ("host.ufw", "attic", "birch", no_software("firewall"), "unknown", "was not asked"),
    ("host.forwarding", "attic", "birch", None, "passed", "accept"),
    ("host.forwarding", "trouble", "pine", None, "warning", "drop"),
    ("host.forwarding", "attic", "birch", no_software("firewall"), "unknown", "was not asked"),
    ("host.hostname", "attic", "birch", None, "passed", "birch"),
    ("host.hostname", "attic", "birch", lambda s: s.having("birch", "system", hostname="birch.attic.example"), "passed",
     "birch.attic.example"),
    ("host.hostname", "attic", "birch", lambda s: s.having("birch", "system", hostname="gpu-box"), "warning",
     "The site calls it birch"),
    ("host.hostname", "trouble", "pine", None, "failed", "Pine_01"),
    ("host.hostname", "attic", "birch", lambda s: s.missing("birch", "kernel", system=System()), "unknown",
     "was not asked"),
    ("host.clock-skew", "attic", "birch", None, "passed", "+0.0 s"),
    ("host.clock-skew", "trouble", "pine", None, "failed", "25 h behind"),
    ("host.clock-skew", "attic", "birch", clock("birch", offset_s=-31.0), "failed", "31 s behind"),
    ("host.clock-skew", "attic", "birch", clock("birch", offset_s=300.0), "failed", "5 min ahead"),
    ("host.clock-skew", "attic", "birch", clock("birch", uncertainty_s=45.0), "unknown", "45 s"),
    ("host.clock-skew", "attic", "birch", lambda s: clock("birch", offset_s=None)(s.missing("birch", "clock")),
     "unknown", "was not asked"),
    ("host.time-sync", "attic", "birch", None, "passed", "chrony"),
    ("host.time-sync", "trouble", "pine", None, "failed", "no time service"),
    # at home it is not enough that a service runs
    ("host.time-sync", "attic", "birch", clock("birch", synchronised=False), "failed", "not synchronised (chrony)"),
    ("host.time-sync", "attic", "birch",
     lambda s: clock("birch", synchronised=None, service="")(s.missing("birch", "clock")), "unknown", "was not asked"),
]  # fmt: skip

SITE_CASES: list[tuple[str, str, Change | None, str, str]] = [
    ("site.cpu", "attic", None, "passed", "processors"),
    ("site.cpu", "attic", lambda s: few_threads(s), "warning", "6 processors"),
    ("site.cpu", "attic", lambda s: few_threads(s).without("maple"), "unknown", "maple"),
    # what is known is enough: the silent one does not matter
    ("site.cpu", "attic", gone("maple"), "passed", "processors"),
    ("site.memory", "attic", None, "passed", "GB"),
    ("site.memory", "trouble", lambda s: s.answering(servers=s.site.model_dump(mode="json")["servers"][:2]), "warning",
     "42 GB"),
    ("site.memory", "trouble", None, "unknown", "rowan"),
    ("site.registry-disk", "attic", None, "passed", "GB free on"),
    ("site.registry-disk", "attic", lambda s: room(s, 100e9), "warning", "100 GB free on birch"),
    ("site.registry-disk", "attic", lambda s: room(s, 20e9), "failed", "20 GB free on birch"),
    # it is full of images: that is what the room was for
    ("site.registry-disk", "attic", lambda s: replace(room(s, 20e9), done=frozenset({"40/core/harbor/10"})), "passed",
     "is there already"),
    ("site.registry-disk", "attic", lambda s: room(s, 20e9).without("cedar"), "unknown", "cedar"),
    ("site.disk", "attic", None, "passed", "GB"),
    ("site.disk", "attic", lambda s: small_disks(s), "warning", "300 GB"),
    ("site.disk", "attic", lambda s: small_disks(s).without("cedar"), "unknown", "cedar"),
    ("site.hostnames", "attic", None, "passed", "all differ"),
    ("site.hostnames", "attic", lambda s: s.having("cedar", "system", hostname="birch"), "failed",
     "birch on birch, cedar"),
    ("site.hostnames", "trouble", None, "unknown", "rowan"),
    ("site.addresses", "attic", None, "passed", "all differ"),
    ("site.addresses", "attic", lambda s: s.with_nic("cedar", cedar_nic(s), addresses=("192.0.2.11/24",)), "failed",
     "192.0.2.11 on birch, cedar"),
    ("site.addresses", "trouble", None, "unknown", "rowan"),
    ("site.machine-ids", "attic", None, "passed", "all differ"),
    ("site.machine-ids", "trouble", None, "failed", "on elder, pine"),
    ("site.machine-ids", "attic", gone("cedar"), "unknown", "cedar"),
]  # fmt: skip


def few_threads(s: Scene) -> Scene:
    for host in s.facts:
        s = s.having(host, "cpu", threads=2)
    return s


def room(s: Scene, free: float) -> Scene:
    for host in s.facts:
        s = s.knowing(
            host, file_systems=tuple(f.model_copy(update={"free": int(free)}) for f in s.facts[host].file_systems)
        )
        free -= 1e9
    return s


def small_disks(s: Scene) -> Scene:
    for host in s.facts:
        s = s.knowing(host, disks=(s.facts[host].disks[0].model_copy(update={"size": 100_000_000_000}),))
    return s


def cedar_nic(s: Scene) -> str:
    return next(nic.name for nic in s.facts["cedar"].nics if nic.default_route)


ALL: list[Case] = [
    *(Case(check, site, (host,), change, status, says) for check, site, host, change, status, says in CASES),
    *(Case(check, site, (), change, status, says) for check, site, change, status, says in SITE_CASES),
]
