"""The probe on machines where something is wrong: tools hang, flood, refuse, lose a GPU; and what it must not tell."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from homewright.discovery import RawBundle, parse

from .running import here, run_probe

pytestmark = pytest.mark.programs

CANARY = "hunter2-canary"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder in front of PATH for tools that misbehave."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def tool(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def probe(tools: Path, **replaced: str) -> RawBundle:
    return run_probe(
        path=f"{tools}:{os.environ['PATH']}", more={"LOGNAME": "ann"}, instead={"timeout 5": "timeout 1", **replaced}
    )


def as_somebody(tmp_path: Path) -> dict[str, str]:
    """In place of what the kernel says of the shell: it is no root's."""
    (tmp_path / "status").write_text("Name:\tsh\nUid:\t0\t1000\t1000\t1000\nCpus_allowed_list:\t0-1\n")
    return {"/proc/self/status": f"{tmp_path}/status"}


def test_a_tool_that_hangs_is_ended_and_the_rest_is_told(tools: Path) -> None:
    tool(tools, "df", "sleep 60")
    began = time.monotonic()
    bundle = probe(tools)
    assert time.monotonic() - began < 45
    assert bundle.source("df").exit_code == 124
    assert bundle.source("df").reason == "gave no answer in time"
    assert bundle.source("done").exit_code == 0
    assert parse(bundle).memory.total


def test_when_the_time_for_all_is_up_no_further_tool_is_started(tools: Path) -> None:
    tool(tools, "df", "sleep 60")
    bundle = probe(tools, **{"SECONDS_IN_ALL=15": "SECONDS_IN_ALL=0"})
    assert bundle.source("df").exit_code == 124
    assert bundle.source("df-k").exit_code == 124
    assert "time for the whole probe" in bundle.source("df-k").stderr
    assert bundle.source("done").exit_code == 0


def test_a_flood_of_kernel_messages_stays_there(tools: Path) -> None:
    tool(
        tools,
        "dmesg",
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); "
        'echo "[ 1.0] NVRM: Xid (PCI:0000:01:00): 31, pid=$i, name=python, Ch 00000008"; '
        'echo "[ 1.0] usb 1-1: a very long line that nobody needs to see, again and again, number $i"; '
        'echo "[ 1.0] DMAR: IOMMU enabled $i"; done',
    )
    bundle = probe(tools)
    assert len(bundle.source("kernel-log").stdout) < 4000
    facts = parse(bundle)
    assert facts.kernel.xid is not None
    assert (len(facts.kernel.xid), facts.kernel.xid[-1].split(",")[1]) == (20, " pid=3000")
    assert len(facts.kernel.iommu_log) == 20


def test_a_tool_that_prints_without_end_is_cut(tools: Path) -> None:
    tool(tools, "ss", "yes 'tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:*' | head -n 100000")
    bundle = probe(tools)
    assert len(bundle.source("ss").stdout) <= 400_000
    assert bundle.source("ss").exit_code == 0
    assert [(one.port, one.protocol) for one in parse(bundle).listeners or ()] == [(22, "tcp")]


def test_sudo_that_asks_for_a_password_is_not_waited_for(tools: Path, tmp_path: Path) -> None:
    tool(tools, "sudo", "echo 'sudo: a password is required' >&2; exit 1")
    tool(tools, "dmesg", "echo 'dmesg: read kernel buffer failed: Operation not permitted' >&2; exit 1")
    bundle = probe(tools, **as_somebody(tmp_path))
    assert bundle.source("id-u").stdout == "1000\n", "the effective one, as id -u has it"
    facts = parse(bundle)
    assert facts.system.sudo is False
    assert facts.system.account == "ann"
    reasons = {gap.source: gap.reason for gap in facts.missing}
    assert reasons["sudo"] == "ended with 1: sudo: a password is required"
    assert "Operation not permitted" in reasons["kernel-log"]
    assert facts.kernel.xid is None, "not seen is not none"
    assert facts.listeners is not None, "what needs no root is asked all the same"
    assert bundle.source("done").exit_code == 0


def test_with_sudo_the_sources_of_root_are_asked_once(tools: Path, tmp_path: Path) -> None:
    tool(tools, "sudo", f'echo "$*" >> {tmp_path}/calls; shift 2; exec "$@"')
    tool(tools, "dmesg", "echo '[ 1.0] NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.'")
    bundle = probe(tools, **as_somebody(tmp_path))
    assert parse(bundle).system.sudo is True
    assert parse(bundle).kernel.xid == ("[ 1.0] NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.",)
    logged = "-n -- sh -s -- homewright discover\n"
    assert (tmp_path / "calls").read_text() == logged, "sudo writes its words, not the program, into the host's log"


def test_a_gpu_that_nvidia_smi_loses_half_way(tools: Path) -> None:
    error = "GPU is lost.  Reboot the system to recover this GPU"
    lost = f"Unable to determine the device handle for GPU 0000:02:00.0: {error}"
    tool(
        tools,
        "nvidia-smi",
        f"case $* in *compute_cap*) echo '00000000:01:00.0, NVIDIA RTX A4000, 16376, 570.86, 8.6, [N/A], Disabled'; "
        f"echo '{lost}'; exit 15 ;; *query*) echo '{lost}' >&2; exit 15 ;; *) echo '{lost}'; exit 15 ;; esac",
    )
    facts = parse(probe(tools))
    assert [(gpu.address, gpu.name, gpu.compute_capability, gpu.error) for gpu in facts.gpus] == [
        ("0000:01:00.0", "NVIDIA RTX A4000", "8.6", ""),
        ("0000:02:00.0", "", "", error),
    ]
    assert any(gap.source == "nvidia-smi" and "0000:02:00.0" in gap.reason for gap in facts.missing)


NETPLAN = f"""network:
  version: 2
  renderer: networkd
  ethernets:
    enp3s0:
      dhcp4: true
      auth: {{key-management: 802.1x, password: "{CANARY}"}}
  wifis:
    wlan0:
      dhcp4: no
      access-points:
        "{CANARY} at home":
          password: "{CANARY}"
        office: {{password: {CANARY}}}
        canarynet:
          addresses:
            - 192.0.2.99/24
          hidden: true

        # between
        canaryhome: {{}}
      mtu: 1400
  bridges:
    br0:
      interfaces: [enp3s0]
      addresses:
        - 192.0.2.10/24
      routes:
        - to: default
          via: 192.0.2.1
  tunnels:
    wg0:
      mode: wireguard
      key: {CANARY}
      peers:
        - keys: {{shared: {CANARY}}}
  modems:
    cdc0:
      password: >-
        {CANARY}
"""


def test_secrets_are_cut_out_over_there(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "netplan").mkdir()
    (tmp_path / "netplan" / "50-cloud-init.yaml").write_text(NETPLAN)
    (tmp_path / "netplan" / "60-own.yaml").write_text(
        f"# {CANARY}\n  # {CANARY}\nnetwork:\n  version: 2 # {CANARY}\n  mtu: 1280"
    )
    (tmp_path / "netplan" / "70-own.yaml").write_text(f"network:\n  wifis:\n    access-points:\n      x: # {CANARY}")
    (tmp_path / "netplan" / "80-own.yaml").write_text("network: {}\n  renderer: NetworkManager\n")
    (tmp_path / "environment").write_text(
        f'https_proxy="http://ann:{CANARY}@proxy.example:3128"\nno_proxy=localhost,10.0.0.0/8,::1\nSECRET={CANARY}\n'
        "ftp_proxy=http://[2001:db8::1]:3128/\n"
    )
    (tmp_path / "apt.conf").write_text(f'Acquire::http::Proxy "http://ann:{CANARY}@apt.example:3142/";\n')
    (tmp_path / "cmdline").write_text(f"BOOT_IMAGE=/vmlinuz rd.iscsi.password={CANARY} luks.key={CANARY} quiet\n")
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: X\n\nSerial\t\t: {CANARY}\nModel\t\t: Pi\n")
    tool(
        tools,
        "nvidia-smi",
        "case $* in *query*) exit 6 ;; esac; printf '| Processes: |\\n'; "
        f"printf '|    0   N/A  N/A   12   C   /srv/{CANARY}/train.py   5MiB |\\n'",
    )
    tool(
        tools,
        "dmidecode",
        f"printf 'System Information\\n\\tManufacturer: ACME\\n\\tSerial Number: {CANARY}\\n\\tUUID: {CANARY}\\n'",
    )
    bundle = run_probe(
        path=f"{tools}:{os.environ['PATH']}",
        more={"http_proxy": f"http://ann:{CANARY}@proxy.example:3128", "ALL_PROXY": f"{CANARY}@socks.example:1080"},
        instead={
            "/etc/netplan": f"{tmp_path}/netplan", "/etc/environment": f"{tmp_path}/environment",
            "/etc/apt/apt.conf /etc/apt/apt.conf.d/*": f"{tmp_path}/apt.conf", "/proc/cmdline": f"{tmp_path}/cmdline",
            "/proc/cpuinfo": f"{tmp_path}/cpuinfo",
        },
    )  # fmt: skip
    assert CANARY not in bundle.model_dump_json()
    facts = parse(bundle)
    assert facts.system.proxies == {
        "http_proxy": "http://***@proxy.example:3128",
        "ALL_PROXY": "***@socks.example:1080",
        "https_proxy": "http://***@proxy.example:3128",
        "no_proxy": "localhost,10.0.0.0/8,::1",
        "ftp_proxy": "http://[2001:db8::1]:3128/",
        "Acquire::http::Proxy": "http://***@apt.example:3142/",
    }
    assert facts.kernel.cmdline == ("BOOT_IMAGE=/vmlinuz", "rd.iscsi.password=***", "luks.key=***", "quiet")
    said = bundle.said("netplan")
    assert "canary" not in said and "192.0.2.99" not in said
    assert [line for line in said.splitlines() if line.startswith("# ")] == [
        "# 50-cloud-init.yaml", "# 60-own.yaml", "# 70-own.yaml", "# 80-own.yaml",
    ]  # fmt: skip
    for kept in (
        "  mtu: 1280\n# 70-own.yaml\nnetwork:\n  wifis:\n# 80-own.yaml\n  renderer: NetworkManager",
        "mtu: 1400",
        "br0:",
        "dhcp4: true",
        "interfaces: [enp3s0]",
        "192.0.2.10/24",
        "via: 192.0.2.1",
        "wlan0:",
    ):
        assert kept in said


def test_a_busybox_machine_tells_what_it_can(tmp_path: Path) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    for name in (
        "sh",
        "cat",
        "grep",
        "sed",
        "cut",
        "head",
        "tail",
        "timeout",
        "df",
        "id",
        "uname",
        "date",
        "ls",
        "nproc",
    ):
        (tmp_path / name).symlink_to(busybox)
    bundle = run_probe([busybox, "ash"], str(tmp_path), instead={'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"': ""})
    facts = parse(bundle)
    assert bundle.source("done").exit_code == 0
    assert facts.cpu.threads
    assert facts.memory.total
    assert any(one.mount == "/" and one.size > one.free > 0 for one in facts.file_systems)
    assert any(nic.kind == "loopback" for nic in facts.nics)
    assert facts.listeners is not None
    assert facts.kernel.inotify_watches == int(Path("/proc/sys/fs/inotify/max_user_watches").read_text())
    assert bundle.source("ip-addr-json").exit_code == 127
    assert bundle.source("lsblk-json").exit_code == 127


@pytest.mark.parametrize(("allowed", "threads"), [("0", 1), ("0-3,8", 5), ("1,3,5-6", 4), ("0-255", 256)])
def test_processors_that_a_program_may_use_are_counted(tmp_path: Path, allowed: str, threads: int) -> None:
    (tmp_path / "status").write_text(f"Name:\tsh\nUid:\t1000\nCpus_allowed_list:\t{allowed}\nMems_allowed_list:\t0\n")
    bundle = run_probe(instead={"/proc/self/status": f"{tmp_path}/status"})
    assert parse(bundle).cpu.threads == threads
    assert {gap.source for gap in parse(bundle).missing} & {"nproc", "memory", "swaps", "limits"} == set()


@pytest.mark.parametrize(
    ("services", "file", "asked"),
    [
        ("dbus systemd-timesyncd", False, False),
        ("dbus systemd-timesyncd", True, True),
        ("dbus", True, False),
        ("dbus chrony systemd-timesyncd", False, True),
    ],
)
def test_timedatectl_is_asked_where_it_can_know_more(
    tools: Path, tmp_path: Path, services: str, file: bool, asked: bool
) -> None:
    tool(tools, "timedatectl", "echo Timezone=Europe/Berlin; echo NTPSynchronized=yes")
    for name in services.split():
        (tmp_path / "slice" / f"{name}.service").mkdir(parents=True)
    (tmp_path / "timesync").mkdir()
    if file:
        (tmp_path / "timesync" / "synchronized").touch()
    (tmp_path / "timezone").write_text("Etc/UTC\n")
    bundle = probe(
        tools,
        **{
            "/sys/fs/cgroup/system.slice": f"{tmp_path}/slice", "/sys/fs/cgroup/systemd/system.slice": "/nonexistent",
            "/run/systemd/timesync": f"{tmp_path}/timesync", "/etc/timezone": f"{tmp_path}/timezone",
        },
    )  # fmt: skip
    clock = parse(bundle).clock
    assert (clock.synchronised, clock.timezone) == ((True, "Europe/Berlin") if asked else (False, "Etc/UTC"))


def test_an_ip_that_knows_no_batch_is_asked_twice(tools: Path) -> None:
    real = shutil.which("ip")
    tool(
        tools,
        "ip",
        f'case $* in *batch*) echo "Option \\"-batch\\" is unknown" >&2; exit 255 ;; esac; exec {real} "$@"',
    )
    bundle = probe(tools)
    assert bundle.source("ip-addr-json").exit_code == bundle.source("ip-route-json").exit_code == 0
    assert bundle.source("ip-addr-json").stderr == ""
    ours = [[nic for nic in parse(one).nics if nic.kind == "loopback"] for one in (bundle, here())]
    assert ours[0] == ours[1] != [], "the others come and go with practice servers"


def test_packages_left_half_way_and_proxies_come_of_one_reading(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "environment").write_text("http_proxy=http://proxy.example:3128\n")
    (tmp_path / "status").write_text(
        "Package: a\nStatus: install ok installed\nDescription: x\n status: half-installed\n\n"
        "Package: b\nStatus: install reinstreq half-installed\n\nPackage: c\nStatus: install ok unpacked\n"
    )
    bundle = probe(
        tools, **{"/etc/environment": f"{tmp_path}/environment", "/var/lib/dpkg/status": f"{tmp_path}/status"}
    )
    assert bundle.said("dpkg-audit") == "Status: install reinstreq half-installed\nStatus: install ok unpacked\n"
    assert bundle.said("proxies").splitlines()[-1] == "http_proxy=http://proxy.example:3128"
    assert parse(bundle).software.packages_broken


def stanza(name: str, state: str, version: str) -> str:
    return (
        f"Package: {name}\nStatus: {state}\nPriority: optional\nSection: admin\nInstalled-Size: 1\n"
        f"Maintainer: Somebody <nobody@example.com>\nArchitecture: amd64\nVersion: {version}\n"
        f"Description: x\n Package: {name}\n"
    )


WHOLE, CHRONY = stanza("lxd", "install ok installed", "5.0.2-5"), stanza("chrony", "install ok installed", "4.3-2")


@pytest.mark.parametrize(
    ("status", "printed"),
    [
        ([WHOLE, CHRONY], "lxd 5.0.2-5 ii \nchrony 4.3-2 ii \n"),
        ([stanza("a", "install ok installed", "1"), CHRONY, stanza("lxdm", "install ok installed", "2"), WHOLE],
         "chrony 4.3-2 ii \nlxd 5.0.2-5 ii \n"),
        ([stanza("lxd", "deinstall ok config-files", "5.0.2-5"), CHRONY], "lxd chrony of dpkg-query\n"),
        (["Package: lxd\nStatus: install ok installed\n", CHRONY], "lxd chrony of dpkg-query\n"),
        ([WHOLE, WHOLE, CHRONY], "lxd chrony of dpkg-query\n"),
        ([WHOLE], "lxd chrony of dpkg-query\n"),
        ([], "lxd chrony of dpkg-query\n"),
    ],
    ids=["both", "among others", "taken away", "no version", "twice", "one alone", "none"],
)  # fmt: skip
def test_packages_are_read_of_dpkgs_list_where_they_are_wholly_there(
    tools: Path, tmp_path: Path, status: list[str], printed: str
) -> None:
    tool(tools, "dpkg-query", 'shift 3; echo "$* of dpkg-query"')
    (tmp_path / "info").mkdir()
    for name in ("lxd", "chrony"):
        (tmp_path / "info" / f"{name}.list").touch()
    (tmp_path / "status").write_text("\n".join(status))
    bundle = probe(tools, **{"/var/lib/dpkg/info": f"{tmp_path}/info", "/var/lib/dpkg/status": f"{tmp_path}/status"})
    assert bundle.said("packages") == printed
    assert bundle.source("packages").exit_code == 0


@pytest.mark.parametrize(
    ("lines", "held"),
    [
        (["1: POSIX  ADVISORY  WRITE 1 {} 0 EOF"], True),
        (["1: FLOCK  ADVISORY  WRITE 1 00:1:7 0 EOF", "2: POSIX  ADVISORY  WRITE 1 {} 0 EOF"], True),
        (["1: POSIX  ADVISORY  READ 1 00:1:7 0 EOF", "1: -> POSIX  ADVISORY  WRITE 1 {} 0 EOF"], False),
        (["1: FLOCK  ADVISORY  WRITE 1 {} 0 EOF", "2: OFDLCK ADVISORY  WRITE -1 {} 0 EOF"], False),
        (["1: POSIX  ADVISORY  WRITE 1 00:1:7 0 EOF"], False),
        ([], False),
    ],
    ids=["apt", "after another's", "who only waits", "flock", "another file", "none"],
)
def test_who_keeps_apt_waiting(tools: Path, tmp_path: Path, lines: list[str], held: bool) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    (tmp_path / "locks").write_text("".join(f"{line.format(f'fe:00:{lock.stat().st_ino}')}\n" for line in lines))
    bundle = probe(tools, **{"/proc/locks": f"{tmp_path}/locks", "/var/lib/dpkg/lock-frontend": str(lock)})
    name = Path("/proc/1/comm").read_text().strip()
    assert bundle.said("package-locks") == (f"{lock} 1 {name}\n" if held else "")
    assert bundle.source("package-locks").exit_code == 0


NONE = ["homewright-no-such-name", "homewright-no-such-name.example.com"]


@pytest.mark.parametrize(
    ("known", "printed", "processes"),
    [
        ({}, ["wildcard|2|", "www|2|", "s1|2|", "s2|2|"], 1),
        ({"www": "www", "s2": "s2.lan"}, ["wildcard|2|", "www|0|192.0.2.7", "s1|2|", "s2|0|192.0.2.7"], 1),
        ({"www": "mirror.example"}, ["wildcard|2|", "www|0|192.0.2.7", "s1|2|", "s2|2|"], 6),
        ({name: name for name in ("www", "s1", "s2", *NONE)},
         ["wildcard|0|192.0.2.7,192.0.2.7", "www|0|192.0.2.7", "s1|0|192.0.2.7", "s2|0|192.0.2.7"], 1),
        ({NONE[0]: f"{NONE[0]}.lan"}, ["wildcard|2|192.0.2.7", "www|2|", "s1|2|", "s2|2|"], 1),
        ({"slow": "together"}, ["wildcard|2|", "www|2|", "s1|2|", "s2|2|"], 6),
        ({"slow": "always"}, ["wildcard|124|", "www|124|", "s1|124|", "s2|124|"], 6),
    ],
    ids=["none", "some", "another name", "any", "any in the search domain", "slow together", "slow"],
)  # fmt: skip
def test_names_are_asked_for_by_one_process_where_its_answers_are_sound(
    tools: Path, tmp_path: Path, known: dict[str, str], printed: list[str], processes: int
) -> None:
    (tmp_path / "known").write_text("".join(f"{name} {canonical}\n" for name, canonical in known.items()))
    tool(
        tools,
        "getent",
        f"""echo call >>{tmp_path}/calls
case $(cat {tmp_path}/known):$# in 'slow always:'* | 'slow together:'[!2]) sleep 60 ;; esac
shift; code=0
for asked; do
    [ "$asked" = www.debian.org ] && asked=www
    found=$(sed -n "s/^$asked //p" {tmp_path}/known)
    [ "$found" = www ] && found=www.debian.org
    if [ -n "$found" ]; then printf '192.0.2.7 %s\\n' "STREAM $found" DGRAM RAW; else code=2; fi
done
exit $code""",
    )
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    bundle = probe(tools, **{"/etc/hosts": f"{tmp_path}/hosts", "localhost homewright-nobody": "s1 s2"})
    told = [line.replace("www.debian.org", "www").split("|", 2) for line in bundle.said("getent").splitlines()]
    assert sorted(told) == sorted(
        ["wildcard", " ".join(NONE), one.partition("|")[2]]
        if one.startswith("wildcard")
        else ["name", *one.split("|", 1)]
        for one in printed
    )
    assert told[0][0] == "wildcard"
    assert len((tmp_path / "calls").read_text().splitlines()) == processes
