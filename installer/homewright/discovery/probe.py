"""The probe: one shell script for each host, sent on standard input. It writes nothing there, needs nothing but a POSIX
shell, and asks for root (`sudo -n`, which never prompts) only where a plain account is not told: `shell/root.sh`.

What it prints is framed by source; these are the names, and what each holds:

========================  ============================================================================================
clock-start, clock-end    the host's clock (`date +%s.%N`) before and after the rest: offset and round trip as in NTP
os-release, uname-a       as printed; also id-u, machine-id, boot-id, uptime (/proc/uptime), systemd-detect-virt, nproc
account                   name|home of who was signed in
cmdline                   /proc/cmdline, values of words like password= cut out
systemd, kvm, vhost-vsock exit code 0 where /run/systemd/system, /dev/kvm, /dev/vhost-vsock are there
dmi, chassis              maker, model, board maker, board on a line each; SMBIOS's chassis type as a number
secure-boot               `bios`, or the bytes of the EFI variable as od prints them (the last is 1 where it is on)
cpuinfo                   the first processor of /proc/cpuinfo whole (no Serial), of the others ids; lscpu: not on x86
meminfo, swaps            /proc/meminfo, /proc/swaps
modules                   names of the loaded modules, one a line
limits                    `/proc/sys/fs/inotify/max_user_watches:65536`, one a line
kvm-nested                `kvm_intel Y`
cgroups                   `v2 CONTROLLERS` where there is cgroup.controllers, then /proc/cgroups
br-netfilter              loaded, file, absent, or `no modules folder`
df (df-k), lsblk-json     `df -l -PT -B1` (`df -P -k`), `lsblk -J -b`; sys-block: name|sectors|rotational|model
ip-addr-json, ip-addr     `ip -d -j addr`, the text where there is no JSON; ip-route-json, ip-route likewise
sys-net                   name|mac|operstate|type|speed|traits|mtu|duplex|driver|pci address|master
sys-pci                   address|class|vendor|device|driver|IOMMU group|boot_vga
iommu                     IOMMUs of /sys/class/iommu; exit code 0 where the kernel has /sys/kernel/iommu_groups
drm                       pci address|connector|status
lspci-Dnnk                as printed; asked where a display controller is on the PCI bus
proxies                   NAME=value of the environment, /etc/environment and apt; what precedes an @ is cut out
desktop                   `target graphical.target`, `display-manager gdm.service`
resolv-conf, hosts        /etc/resolv.conf, /etc/hosts (2,000 lines); resolv-conf-uplink: systemd-resolved's own servers
processes                 names of processes that matter, as the kernel has them (15 characters)
package-locks             file pid process, of apt's and dpkg's lock files that are held
dpkg-audit                Status lines of half-installed packages; `interrupted`
packages, tools           `lxd 5.0.2-5 ii`; paths of commands and of LXD's cluster.crt
ufw                       ENABLED and DEFAULT_FORWARD_POLICY
sudo                      exit code of `sudo -n`; the sources of root come after it
kernel-log                (root) the newest 20 Xid lines of dmesg; kernel-log-iommu: the first 20 lines on DMAR, AMD-Vi
ss, proc-net              (root names processes) `ss -Hlntup`; where it is missing: `tcp LOCAL` from /proc/net
firewall                  (root) `nft list chains` and `iptables -S FORWARD`, of what is loaded
netplan                   (root) known keys and plain values alone: no Wi-Fi password, key or network name
dmidecode                 (root, where /sys/class/dmi is not there) maker, product and chassis type alone
services                  control groups of services; timedatectl: `timedatectl show`; timesyncd-synchronized
snap-version, snap-list   and snap-refresh-time, where there is a snap; python, zerotier: versions
getent                    kind|name|exit code|addresses with commas; kinds name, wildcard and internet
nvidia-smi-query          bus, name, MiB, driver, compute capability, MIG, display; nvidia-smi-csv: the first four
nvidia-smi                the table, names of processes cut out
done                      nothing: the probe came to its end
========================  ============================================================================================
"""

from __future__ import annotations

import functools
import re
import shlex
import time
from collections.abc import Iterable
from pathlib import Path

from homewright.access.connection import CommandFailed, Connection
from homewright.discovery.bundle import RawBundle, framed

TIMEOUT_S = 20.0
"""For the whole probe, as seen from here."""
SECONDS_IN_ALL = 15
"""After these the script starts no further command; the one that runs then ends within its own limit of 5 or 8 s."""

MOST_BYTES = 8 << 20
"""That no honest host prints: every source that may be long is cut over there."""

_SHELL = Path(__file__).with_name("shell")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def script(names: Iterable[str] = ()) -> str:
    """The probe as one script for `sh -s`; it asks what these names resolve to too; what is no name is left out."""
    asked = " ".join(dict.fromkeys(name for name in names if _NAME.fullmatch(name)))
    parts = (("COMMON_PART", "common"), ("ROOT_PART", "root"), ("QUICK_PART", "quick"))
    head = [("SECONDS_IN_ALL", str(SECONDS_IN_ALL)), ("NAMES", asked), *((key, _part(name)) for key, name in parts)]
    assigned = "".join(f"{key}={shlex.quote(text)}\n" for key, text in head)
    return f'{assigned}eval "$COMMON_PART"\n{_part("probe")}'


def probe(connection: Connection, names: Iterable[str] = ()) -> RawBundle:
    """What a host says, over an open connection. One that hangs or floods us is left after TIMEOUT_S or MOST_BYTES,
    with what it has told until then.

    Raises CommandFailed where no shell runs the probe or nothing of it came in time, Unreachable where the connection
    is lost.
    """
    name, asked = connection.endpoint.name, time.time()
    try:
        completed = connection.run(
            "exec sh -s", stdin=script(names).encode(), timeout=TIMEOUT_S, most=MOST_BYTES, check=False
        )
        cut_off = f"it printed more than {MOST_BYTES >> 20} MiB" if completed.exit_code == -1 else ""
    except CommandFailed as error:
        completed, cut_off = error.completed, f"it gave no answer within {TIMEOUT_S:g} s"
        if not completed.stdout.strip():
            raise
    bundle = framed(name, asked, completed.stdout, completed.stderr, time.time())
    if "done" in bundle.sources:
        return bundle
    if not bundle.sources:
        raise CommandFailed(name, "sh -s", completed, cut_off and f"{cut_off[:1].upper()}{cut_off[1:]}.")
    last = list(bundle.sources)[-1]
    return bundle.model_copy(update={"cut_off": f"{cut_off or 'the probe ended early'}, at {last}"})


@functools.cache
def _part(name: str) -> str:
    """A part of the script, without its comments."""
    lines = (_SHELL / f"{name}.sh").read_text(encoding="utf-8").splitlines()
    return "".join(f"{line}\n" for line in lines if line.strip() and not line.lstrip().startswith("# "))
