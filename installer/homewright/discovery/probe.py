"""The probe: one shell script for each host, sent on standard input. It writes nothing there and needs no root."""

from __future__ import annotations

import time

from homewright.access.connection import Connection
from homewright.discovery.bundle import RawBundle, framed

TIMEOUT_S = 90.0

SCRIPT = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
unset LANGUAGE
limit=; command -v timeout >/dev/null 2>&1 && limit='timeout 10'
begin() { printf '\n\036source %s\n' "$1"; printf '\n\036source %s\n' "$1" >&2; }
end() { printf '\n\036exit %s\n' "$1"; }
# source NAME COMMAND...: a command that is not there is said so; one that hangs (a dead disk, a dead driver) is ended
source_of() {
    begin "$1"; shift
    if command -v "$1" >/dev/null 2>&1; then $limit "$@" </dev/null; end $?; else end 127; fi
}
one() { if [ -r "$1" ]; then cat "$1" 2>/dev/null; fi; }
there() { begin "$1"; [ -e "$2" ]; end $?; }

begin os-release
if [ -r /etc/os-release ]; then cat /etc/os-release; else cat /usr/lib/os-release; fi; end $?
source_of uname-a uname -a
source_of id-u id -u
begin sudo
if [ "$(id -u)" = 0 ]; then end 0
elif command -v sudo >/dev/null 2>&1; then sudo -n true </dev/null; end $?
else end 127; fi
source_of machine-id cat /etc/machine-id
source_of boot-id cat /proc/sys/kernel/random/boot_id
source_of uptime cat /proc/uptime
source_of cmdline cat /proc/cmdline
source_of systemd-detect-virt systemd-detect-virt
there systemd /run/systemd/system
there kvm /dev/kvm
there vhost-vsock /dev/vhost-vsock
begin dmi
printf '%s\n%s\n' "$(one /sys/class/dmi/id/sys_vendor)" "$(one /sys/class/dmi/id/product_name)"; end 0
source_of cpuinfo cat /proc/cpuinfo
source_of nproc nproc
source_of lscpu lscpu
source_of meminfo cat /proc/meminfo
source_of df df -l -PT -B1
source_of lsblk-json lsblk -J -b -o NAME,TYPE,SIZE,ROTA,MODEL,MOUNTPOINT
source_of ip-addr-json ip -d -j addr
source_of ip-addr ip addr
source_of ip-route-json ip -j route
source_of ip-route ip route

begin sys-net
for i in /sys/class/net/*; do
    [ -e "$i/address" ] || continue
    k=
    { [ -e "$i/wireless" ] || [ -e "$i/phy80211" ]; } && k="$k,wifi"
    [ -e "$i/bridge" ] && k="$k,bridge"
    [ -e "$i/bonding" ] && k="$k,bond"
    [ -e "/proc/net/vlan/${i##*/}" ] && k="$k,vlan"
    [ -e "$i/device" ] && k="$k,device"
    printf '%s|%s|%s|%s|%s|%s\n' "${i##*/}" "$(one "$i/address")" "$(one "$i/operstate")" "$(one "$i/type")" \
        "$(one "$i/speed")" "${k#,}"
done; end 0

begin sys-pci
for d in /sys/bus/pci/devices/*; do
    [ -e "$d/vendor" ] || continue
    v=; g=
    [ -e "$d/driver" ] && v=$(readlink "$d/driver")
    [ -e "$d/iommu_group" ] && g=$(readlink "$d/iommu_group")
    printf '%s|%s|%s|%s|%s|%s\n' "${d##*/}" "$(one "$d/class")" "$(one "$d/vendor")" "$(one "$d/device")" \
        "${v##*/}" "${g##*/}"
done; end 0

source_of lspci-Dnnk lspci -Dnnk
source_of nvidia-smi-csv nvidia-smi --query-gpu=pci.bus_id,name,memory.total,driver_version \
    --format=csv,noheader,nounits
begin done; end 0
"""


def probe(connection: Connection) -> RawBundle:
    """What a host says, over an open connection.

    Raises CommandFailed where no shell runs the probe or it takes too long, Unreachable where the connection is lost.
    """
    at = time.time()
    completed = connection.run("sh -s", stdin=SCRIPT.encode(), timeout=TIMEOUT_S)
    return framed(connection.endpoint.name, at, completed.stdout, completed.stderr)
