"""Kernel, programs, clock, names, listeners and firmware: tables of text and what it means."""

from __future__ import annotations

import pytest

from homewright.discovery import RawBundle, parse
from homewright.discovery.bundle import Source
from homewright.discovery.facts import Clock, Kernel, Names, Software
from homewright.discovery.parsers import clock, kernel, listeners, names, software, system

DPKG = "lxd 5.0.2-5+deb12u6 ii \nsnapd 2.57.6-1+b5 ii \nchrony  un \ndocker.io 24.0.5 rc \n"
SNAPS = (
    "Name      Version        Rev    Tracking       Publisher   Notes\n"
    "lxd       5.21.3-c5ae129 33110  5.21/stable    canonical✓  held\n"
    "microk8s  v1.32.3        7964   1.32/stable    canonical✓  classic\n"
)
UNITS = (
    "  chrony.service      loaded active running chrony, an NTP client/server\n"
    "● ssh.service         loaded active running OpenBSD Secure Shell server\n"
    "  getty@tty1.service  loaded active running Getty on tty1\n"
    "  gone.service        not-found inactive dead gone.service\n"
)
NFT = (
    "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n"
    "\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy %s;\n\t}\n}\n"
)


def bundle(host: str = "s1", asked: float = 100.0, answered: float | None = None, **sources: str | Source) -> RawBundle:
    return RawBundle(
        host=host,
        gathered_at=asked,
        answered_at=answered,
        sources={
            name.replace("_", "-"): value if isinstance(value, Source) else Source(stdout=value, exit_code=0)
            for name, value in sources.items()
        },
    )


def kernel_of(**sources: str | Source) -> Kernel:
    return kernel.parse(bundle(**sources), ())


def programs(**sources: str | Source) -> Software:
    return software.parse(bundle(**sources))


@pytest.mark.parametrize(
    ("cpuinfo", "lscpu", "flag"),
    [
        ("flags\t\t: fpu vme lm vmx ept", "", "vmx"),
        ("flags\t\t: fpu vme lm svm npt", "", "svm"),
        ("flags\t\t: fpu vme lm hypervisor", "", ""),
        ("Features\t: fp asimd evtstrm", "", None),
        ("", "Virtualization:      VT-x\n", "vmx"),
        ("", "Virtualisierung:     AMD-V\n", "svm"),
        ("", "Virtualization type: full\n", None),
        ("", "", None),
    ],
)
def test_the_flag_of_virtualization(cpuinfo: str, lscpu: str, flag: str | None) -> None:
    assert kernel.virtualization_flag(cpuinfo, lscpu) == flag


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v2 cpuset cpu io memory pids\n", True),
        ("v2 hugetlb\nmemory\t4\t60\t1\n", True),
        ("#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t1\t0\n", False),
        ("v2 cpuset cpu io pids\n", False),
        ("", None),
    ],
)
def test_the_memory_controller(text: str, expected: bool | None) -> None:
    assert kernel.memory_cgroup(text) is expected


def test_what_the_kernel_is_set_to() -> None:
    found = kernel_of(
        cmdline="BOOT_IMAGE=/vmlinuz quiet intel_iommu=on \n",
        modules="nvidia\nnouveau\nbr_netfilter\n",
        limits="/proc/sys/fs/inotify/max_user_watches:65536\n/proc/sys/fs/aio-nr:1048577\n/proc/sys/fs/aio-max-nr:x\n",
        kvm_nested="kvm_intel Y\n",
        br_netfilter="absent\n",
        swaps="Filename\tType\tSize\n/swap.img file 1 0 -2\n/my\\040swap file 1 0 -3\n",
    )
    assert found.cmdline == ("BOOT_IMAGE=/vmlinuz", "quiet", "intel_iommu=on")
    assert found.modules == ("br_netfilter", "nouveau", "nvidia")
    assert (found.inotify_watches, found.inotify_instances, found.aio_nr, found.aio_max_nr) == (
        65536,
        None,
        1048577,
        None,
    )
    assert (found.nested, found.br_netfilter) == (True, True)
    assert found.swaps == ("/swap.img", "/my swap")


@pytest.mark.parametrize(
    ("said", "expected"),
    [("loaded\n", True), ("file\n", True), ("absent\n", False), ("no modules folder\n", None), ("", None)],
)
def test_br_netfilter_without_a_list_of_modules(said: str, expected: bool | None) -> None:
    assert kernel_of(br_netfilter=said).br_netfilter is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            Source(stdout="[1.0] NVRM: Xid (PCI:0000:01:00): 31\n", exit_code=0),
            ("[1.0] NVRM: Xid (PCI:0000:01:00): 31",),
        ),
        (Source(stdout="", exit_code=0), ()),
        (Source(stderr="dmesg: Operation not permitted", exit_code=1), None),
        (Source(exit_code=127), None),
    ],
)
def test_a_log_that_may_not_be_read_is_not_an_empty_one(source: Source, expected: tuple[str, ...] | None) -> None:
    assert kernel_of(kernel_log=source).xid == expected


def test_groups_make_the_iommu_known_and_a_look_without_groups_makes_it_off() -> None:
    line = "0000:01:00.0|0x030000|0x10de|0x2503|nvidia|{}|1\n"
    assert parse(bundle(sys_pci=line.format(14))).kernel.iommu is True
    assert parse(bundle(sys_pci=line.format(""))).kernel.iommu is False
    assert parse(bundle()).kernel.iommu is None


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"packages": Source(stdout=DPKG, exit_code=1)}, ("5.0.2", "package", False, "2.57.6")),
        ({"snap_list": SNAPS, "snap_version": "snap    2.67\nsnapd   2.67\nseries  16\n",
          "tools": "/snap/bin/lxd\n/var/snap/lxd/common/lxd/cluster.crt\n"}, ("5.21.3-c5ae129", "snap", True, "2.67")),
        ({"tools": "/snap/bin/lxd\n/usr/bin/snap\n"}, ("unknown", "snap", False, "unknown")),
        ({"snap_version": Source(stdout="snap 2.67\nsnapd unavailable\n", exit_code=0)}, (None, "", None, None)),
        ({}, (None, "", None, None)),
    ],
)  # fmt: skip
def test_lxd_and_snapd(
    sources: dict[str, str | Source], expected: tuple[str | None, str, bool | None, str | None]
) -> None:
    found = programs(**sources)
    assert (found.lxd, found.lxd_from, found.lxd_clustered, found.snapd) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("timer: 00:00~24:00/4\nlast: today at 03:15 UTC\nhold: forever\nnext: n/a\n", "forever"),
        ("timer: 00:00~24:00/4\nnext: tomorrow\n", ""),
        (Source(stderr="error: cannot communicate with server", exit_code=1), None),
    ],
)
def test_the_hold_of_snaps(source: str | Source, expected: str | None) -> None:
    assert programs(snap_refresh_time=source).snap_hold == expected


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("-P FORWARD ACCEPT\n", "accept"),
        ("-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n", "drop"),
        (NFT % "drop", "drop"),
        (NFT % "accept", "accept"),
        ((NFT % "drop").replace("table ip ", "table bridge "), "accept"),
        ("no packet filter is loaded\n", "accept"),
    ],
)
def test_what_becomes_of_forwarded_packets(text: str, policy: str) -> None:
    assert programs(firewall=text).forward_policy == policy


def test_a_firewall_that_may_not_be_seen_is_unknown_unless_ufw_says() -> None:
    refused = Source(stderr="iptables: Permission denied (you must be root)", exit_code=4)
    assert programs(firewall=refused, ufw=Source(exit_code=127)).forward_policy is None
    found = programs(firewall=refused, ufw='ENABLED=yes\nDEFAULT_FORWARD_POLICY="DROP"\n')
    assert (found.ufw, found.forward_policy) == (True, "drop")
    assert programs(ufw="ENABLED=no\n").ufw is False


def test_programs_that_run_or_are_installed() -> None:
    found = programs(
        services=UNITS,
        snap_list=SNAPS,
        tools="/usr/bin/dockerd\n/usr/sbin/netplan\n",
        processes="nfd-worker\nnvidia-device-p\nkubelet\n",
        package_locks="/var/lib/dpkg/lock-frontend 4711 apt-get\n",
        dpkg_audit="Status: install ok half-configured\n",
        zerotier="1.14.2\n",
        packages="python3 3.11.2-1+b1 ii \n",
    )
    assert found.services == ("chrony", "ssh", "getty@tty1")
    assert (found.docker, found.netplan, found.microk8s, found.zerotier) == (True, True, "v1.32.3", "1.14.2")
    assert found.device_plugin == ("nfd-worker", "nvidia-device-plugin")
    assert found.package_locks == ("/var/lib/dpkg/lock-frontend (apt-get 4711)",)
    assert found.packages_broken is True
    assert found.python == "3.11.2"
    nothing = programs(tools=Source(exit_code=0), processes=Source(exit_code=0), dpkg_audit=Source(exit_code=0))
    assert (nothing.docker, nothing.device_plugin, nothing.packages_broken) == (False, (), False)
    unknown = programs()
    assert (unknown.docker, unknown.device_plugin, unknown.packages_broken, unknown.package_locks) == (None,) * 4


@pytest.mark.parametrize(
    ("asked", "start", "end", "answered", "offset", "uncertainty"),
    [
        (100.0, "100.5\n", "101.5\n9.0 1.0\n", 102.0, 0.0, 0.5),  # as ours; a second of round trip besides the probe
        (100.0, "86500.5\n", "86501.5\n", 102.0, 86400.0, 0.5),  # a day ahead
        (100.0, "40.1", "41.1", 101.2, -60.0, 0.1),
        (100.0, "100\n", "101\n", 102.0, 0.0, 1.0),  # a date without fractions: half a second besides
        (100.0, "100.%N\n", "101.%N\n", 102.0, 0.0, 1.0),
        (100.0, "101.0", "", 102.0, 0.0, 1.0),  # cut off: the whole time is uncertain
        (100.0, "101.0", "5000.0", 102.0, 0.0, 1.0),  # its clock was set meanwhile
        (100.0, "", "101.0", 102.0, None, None),
        (100.0, "date: invalid", "", 102.0, None, None),
        (100.0, "100,5", "101,5", None, None, None),
    ],
)
def test_the_offset_of_a_clock(
    asked: float, start: str, end: str, answered: float | None, offset: float | None, uncertainty: float | None
) -> None:
    found = parse(bundle(asked=asked, answered=answered, clock_start=start, clock_end=end)).clock
    assert found.offset_s == (None if offset is None else pytest.approx(offset))
    assert found.uncertainty_s == (None if uncertainty is None else pytest.approx(uncertainty))


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"timedatectl": "Timezone=Europe/Berlin\nNTP=yes\nNTPSynchronized=yes\n", "processes": "chronyd\n"},
         (True, "chrony", "Europe/Berlin")),
        ({"timedatectl": "Timezone=Etc/UTC\nNTPSynchronized=no\n", "services": UNITS}, (False, "chrony", "Etc/UTC")),
        ({"timedatectl": "               Local time: Sat\n                Time zone: Etc/UTC (UTC, +0000)\n"
                         "System clock synchronized: yes\n"}, (True, "", "Etc/UTC")),
        ({"timedatectl": Source(stderr="Failed to connect to bus", exit_code=1),
          "timesyncd_synchronized": Source(exit_code=0), "processes": "systemd-timesyn\n"},
         (True, "systemd-timesyncd", "")),
        ({}, (None, "", "")),
    ],
)  # fmt: skip
def test_who_keeps_the_time(sources: dict[str, str | Source], expected: tuple[bool | None, str, str]) -> None:
    one = bundle(**sources)
    found: Clock = clock.parse(one, software.services(one.text("services")))
    assert (found.synchronised, found.service, found.timezone) == expected


def resolved(**sources: str | Source) -> Names:
    return names.parse(bundle(**sources))


def test_the_servers_behind_systemd_resolved_are_the_ones_that_count() -> None:
    stub = "nameserver 127.0.0.53\noptions edns0\nsearch .\n"
    found = resolved(resolv_conf=stub, resolv_conf_uplink="nameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch lan\n")
    assert (found.resolvers, found.search) == (("192.0.2.1", "fe80::1%eth0"), ("lan",))
    assert resolved(resolv_conf=stub).resolvers == ("127.0.0.53",)
    assert resolved(resolv_conf="nameserver many\nnameserver\n# nameserver 192.0.2.9\n").resolvers == ()


def test_the_hosts_file() -> None:
    found = names.hosts("127.0.0.1 localhost\n192.0.2.7\ts1.lan s1 # the first\n192.0.2.7 s1 alias\nnonsense s9\n::1\n")
    assert found == {"127.0.0.1": ("localhost",), "192.0.2.7": ("s1.lan", "s1", "alias")}


@pytest.mark.parametrize(
    ("text", "resolves", "wildcard", "internet"),
    [
        ("wildcard|x x.example.com|2|\ninternet|www.debian.org|0|203.0.113.80\nname|s1|0|192.0.2.7\nname|s2|2|\n"
         "name|s1|0|127.0.1.1\nname|s3|0|192.0.2.8,192.0.2.9\n",
         {"s1": ("192.0.2.7", "127.0.1.1"), "s2": (), "s3": ("192.0.2.8", "192.0.2.9")}, False, True),
        ("wildcard|x y|2|198.51.100.1\ninternet|www.debian.org|0|198.51.100.1\n", {}, True, None),
        ("wildcard|x y|124|\ninternet|www.debian.org|124|\nname|s1|124|\n", {}, None, None),
        ("wildcard|x y|2|\ninternet|www.debian.org|2|\nname|s1|0|300.1.1.1\n", {}, None, False),
        ("wildcard|x y|2|\nname|s1|0|192.0.2.7\n", {"s1": ("192.0.2.7",)}, False, None),
        ("garbage\na|b|c\n||||\n", {}, None, None),
    ],
)  # fmt: skip
def test_what_names_resolve_to(
    text: str, resolves: dict[str, tuple[str, ...]], wildcard: bool | None, internet: bool | None
) -> None:
    found = resolved(getent=text)
    assert (found.resolves, found.wildcard, found.internet) == (resolves, wildcard, internet)


@pytest.mark.parametrize(
    ("resolv_conf", "getent", "reason"),
    [
        ("# none\n", "name|s1|2|\n", "resolv-conf: printed nothing that is understood"),
        ("nameserver 192.0.2.1\n", "wildcard|x y|124|\n", "getent: printed nothing that is understood"),
        ("nameserver 192.0.2.1\n", "wildcard|x y|2|\ninternet|www.debian.org|2|\n", "no public name is found, so"),
        ("nameserver 192.0.2.1\n", "wildcard|x y|2|\ninternet|www.debian.org|0|203.0.113.80\n", ""),
    ],
)  # fmt: skip
def test_why_names_are_not_known(resolv_conf: str, getent: str, reason: str) -> None:
    sources = {"resolv-conf": Source(stdout=resolv_conf), "getent": Source(stdout=getent)}
    gaps = [gap.reason for gap in parse(RawBundle(host="a", gathered_at=0, sources=sources)).missing]
    said = [gap for gap in gaps if gap.startswith(("resolv-conf", "getent", "no public name"))]
    assert len(said) == bool(reason) and all(gap.startswith(reason) for gap in said), gaps


SS = (
    'udp UNCONN 0      0      0.0.0.0%lxdbr0:67   0.0.0.0:* users:(("dnsmasq",pid=24310,fd=4))\n'
    'tcp LISTEN 0      4096   127.0.0.53%lo:53    0.0.0.0:* users:(("systemd-resolve",pid=1,fd=14))\n'
    'tcp LISTEN 0      128             [::]:22       [::]:* users:(("sshd",pid=102,fd=4),("systemd",pid=1,fd=9))\n'
    "tcp LISTEN 0      4096               *:16443       *:*\n"
    "tcp LISTEN 0      128          0.0.0.0:99999 0.0.0.0:*\n"
    "tcp LIST"
)


def test_sockets_that_listen() -> None:
    found = listeners.ss("Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n" + SS)
    assert [(one.protocol, one.address, one.port, one.process) for one in found] == [
        ("udp", "0.0.0.0", 67, "dnsmasq"),
        ("tcp", "127.0.0.53", 53, "systemd-resolve"),
        ("tcp", "::", 22, "sshd"),
        ("tcp", "*", 16443, ""),
    ]
    assert listeners.parse(bundle(ss=Source(exit_code=127))) is None
    assert listeners.parse(bundle(ss=Source(exit_code=0))) == ()


def test_sockets_from_the_kernels_own_tables() -> None:
    text = "tcp 0100007F:0035\ntcp6 00000000000000000000000001000000:1F90\nudp 00000000:0043\ntcp XYZ:1\ntcp 0:0000\n"
    found = listeners.parse(bundle(ss=Source(exit_code=127), proc_net=text)) or ()
    assert [(one.protocol, one.address, one.port) for one in found] == [
        ("tcp", "127.0.0.1", 53),
        ("tcp", "::1", 8080),
        ("udp", "0.0.0.0", 67),
    ]


@pytest.mark.parametrize(
    ("virtualization", "kind", "expected"),
    [
        ("none", "3", "desktop"), ("none", "10", "laptop"), ("none", "23", "server"), ("none", "1", ""),
        ("none", "Notebook", "laptop"), ("kvm", "1", "vm"), ("lxc", "3", "container"), ("unknown", "17", "server"),
        ("none", "", ""),
    ],
)  # fmt: skip
def test_the_chassis(virtualization: str, kind: str, expected: str) -> None:
    assert system.chassis(virtualization, kind) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("bios\n", False), ("   6   0   0   0   1\n", True), (" 6 0 0 0 0", False), ("6 0 0", None), ("", None)],
)
def test_secure_boot(text: str, expected: bool | None) -> None:
    assert system.secure_boot(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ASUS\nPRIME X570\n", "ASUS PRIME X570"),
        ("ASUS\nSystem Product Name\nASUSTeK\nROG STRIX B550-F\n", "ASUSTeK ROG STRIX B550-F"),
        ("To Be Filled By O.E.M.\nTo Be Filled By O.E.M.\nASRock\nB760M Pro RS\n", "ASRock B760M Pro RS"),
        ("QEMU\nStandard PC (Q35 + ICH9, 2009)\n\n\n", "QEMU Standard PC (Q35 + ICH9, 2009)"),
        ("\n\n\n\n", ""), ("", ""), ("Default string\nDefault string\n", ""),
    ],
)  # fmt: skip
def test_maker_and_model(text: str, expected: str) -> None:
    assert system.machine(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target graphical.target\ndisplay-manager gdm.service\n", True),
        ("target graphical.target\n", False),
        ("target multi-user.target\ndisplay-manager lightdm.service\n", False),
        ("", False),
    ],
)
def test_a_desktop_is_a_target_and_a_display_manager(text: str, expected: bool) -> None:
    assert system.desktop(text) is expected


def test_escape_sequences_get_into_no_fact() -> None:
    facts = parse(
        bundle(
            os_release='ID=debian\nPRETTY_NAME="\x1b[31mDebian\x1b[0m \x1b]0;owned\x0712"\n',
            uname_a="Linux s\x1b[2J1 6.1.0 #1 SMP x86_64 GNU/Linux\r\n",
            lsblk_json='{"blockdevices": [{"name": "sda", "type": "disk", "size": 5, "model": "\\u001b[31mX\\ud800"}]}',
        )
    )
    assert (facts.system.os_name, facts.system.hostname, facts.disks[0].model) == ("Debian 12", "s1", "X")


def test_a_kernel_that_says_there_is_no_iommu_does_not_see_one() -> None:
    seen = "[ 0.1] DMAR: Host address width 39"
    text = (
        "[ 0.9] AMD-Vi: AMD IOMMUv2 functionality not available on this system - This is not a bug.\n"
        "[ 0.0] DMAR: IOMMU disabled\n"
    )
    for said, kept in ((text, ()), (f"{seen}\n{text}", (seen,))):
        bundle = RawBundle(host="a", gathered_at=1.0, sources={"kernel-log-iommu": Source(stdout=said, exit_code=0)})
        assert parse(bundle).kernel.iommu_log == kept
