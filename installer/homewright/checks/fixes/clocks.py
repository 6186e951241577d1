"""The clock, and the service that keeps it right."""

from __future__ import annotations

import time

from homewright.checks.fixes.repair import Repair

SERVICES = ("chrony", "chronyd", "systemd-timesyncd", "ntpsec", "ntp", "ntpd", "openntpd")
NEAR_S = 5.0
"""What is set is looked at again, and has to be within this."""

_SET = """\
set -u
date -u -s "@$1" > /dev/null || exit 1
echo "did: set the clock"
! command -v hwclock > /dev/null || hwclock --systohc --utc 2> /dev/null || true
shift
for service in "$@"; do
    if systemctl is-active --quiet "$service" 2> /dev/null; then
        systemctl restart "$service" && echo "did: started $service again"
    fi
done
date +%s
"""

_SYNC = """\
set -u
found=
for service in "$@"; do
    case $(systemctl is-enabled "$service.service" 2> /dev/null) in
        masked* | not-found | '') ;; # systemd before 253 says nothing of a unit that is not there
        *) found=$service; break ;;
    esac
done
if [ -z "$found" ]; then
    command -v apt-get > /dev/null || { echo "no time service is there, and no apt-get to install one" >&2; exit 1; }
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=60 install -y -qq systemd-timesyncd > /dev/null \
        || exit 1
    found=systemd-timesyncd
    echo "did: installed $found"
fi
systemctl enable --quiet "$found" && systemctl restart "$found" || exit 1
timedatectl set-ntp true 2> /dev/null || true
tries=0
while ! systemctl is-active --quiet "$found"; do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || { systemctl status --no-pager -n 2 "$found" | tail -n 2 >&2; exit 1; }
    sleep 0.2
done
echo "did: enabled and started $found"
"""


def set_clock(repair: Repair) -> None:
    """Set the clock to what the site takes for the time, which is what the check compares with."""
    apart = repair.ground.clock or 0.0
    what = f"The clock of {repair.host} could not be set."
    if repair.facts.system.virtualization in ("lxc", "docker", "podman", "systemd-nspawn", "openvz"):
        what += " It is a container: its clock is that of the machine that it runs on."
    done = repair.root(_SET, f"{time.time() + apart:.3f}", *SERVICES, what=what)
    now = done.stdout.split()[-1:]
    if not now or not now[0].isdigit() or abs(int(now[0]) - (time.time() + apart)) > NEAR_S:
        raise repair.failed(what, "It was set, and shows another time again.")


def keep_time(repair: Repair) -> None:
    """Enable and start the time service that is there; install systemd-timesyncd where there is none."""
    repair.root(_SYNC, *SERVICES, what=f"{repair.host} has no time service that starts.", timeout=180)
