"""Ports that somebody else has, and interfaces that are set wrong."""

from __future__ import annotations

import re

from homewright.checks.fixes.repair import Repair

_PORT = re.compile(r"\b(\d{1,5})/(tcp|udp)\b")

KEPT = ("ssh", "sshd", "dbus", "systemd-journald", "systemd-logind", "systemd-networkd", "systemd-resolved",
        "NetworkManager", "init.scope")  # fmt: skip
"""Services that are never stopped: without them nobody gets in any more."""

_STOP = """\
set -u
kept=" $1 "; shift
status=0
for wanted in "$@"; do
    port=${wanted%/*}; kind=${wanted#*/}
    flags=-Hlntp; [ "$kind" = tcp ] || flags=-Hlnup
    pids=$(ss $flags "sport = :$port" | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u)
    [ -n "$pids" ] || { echo "did: $wanted is free"; continue; }
    for pid in $pids; do
        name=$(cat "/proc/$pid/comm" 2> /dev/null) || continue
        unit=$(sed -n 's|.*/\\([^/]*\\.service\\)$|\\1|p' "/proc/$pid/cgroup" 2> /dev/null | head -n 1)
        case "$kept" in
            *" $name "*|*" ${unit%.service} "*)
                echo "$wanted is held by $name, which is never stopped" >&2; status=1; continue ;;
        esac
        if [ -n "$unit" ] && [ "${unit#user@}" = "$unit" ]; then
            systemctl stop "$unit" || { status=1; continue; }
            echo "did: stopped $unit, which had $wanted (it may start again at the next boot: systemctl disable $unit)"
        else
            kill -TERM "$pid" || { status=1; continue; }
            echo "did: asked $name (process $pid) to end, which had $wanted"
        fi
    done
    tries=0
    while [ -n "$(ss $flags "sport = :$port")" ]; do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || { echo "$wanted is still taken" >&2; status=1; break; }
        sleep 0.1
    done
done
exit $status
"""

_MTU = """\
set -u
if [ "$(cat "/sys/class/net/$1/mtu")" != "$2" ]; then
    ip link set dev "$1" mtu "$2" || exit 1
    echo "did: set the MTU of $1 to $2"
fi
[ "$(cat "/sys/class/net/$1/mtu")" = "$2" ] || { echo "$1 did not take it" >&2; exit 1; }
for file in /etc/netplan/*.yaml /etc/network/interfaces /etc/systemd/network/*; do
    if [ -f "$file" ] && grep -Eqi '^[[:space:]]*mtu(bytes)?[[:space:]]*[:=]?[[:space:]]*[0-9]+' "$file"; then
        echo "did: left $file alone, which names an MTU for the next boot: look at it"
    fi
done
"""

_LOSS = """\
set -u
found=
if command -v tc > /dev/null && tc qdisc show dev "$1" | grep -q ' netem \\|^qdisc netem'; then
    tc qdisc del dev "$1" root || exit 1
    found=1; echo "did: took the netem queue away from $1"
fi
if command -v iptables > /dev/null; then
    iptables -S 2> /dev/null | grep -e '-m statistic' | grep -e '-j DROP' | while read -r _ rule; do
        # shellcheck disable=SC2086 -- a rule is words
        eval "iptables -D $rule" && echo "did: took a firewall rule away that dropped packets at random"
    done | grep . && found=1
fi
[ -n "$found" ] || echo "did: found nothing artificial on $1"
"""


def free_ports(repair: Repair) -> None:
    """Stop what listens on the ports that the finding names; what we get in by is never stopped."""
    ports = [f"{number}/{kind}" for number, kind in dict.fromkeys(_PORT.findall(repair.finding.measured))]
    repair.root(_STOP, " ".join(KEPT), *ports, what=f"Not every port of {repair.host} could be freed.")


def set_mtu(repair: Repair) -> None:
    """Give the interface the MTU that most servers have."""
    wanted = repair.ground.mtu
    if wanted is None:
        raise repair.failed("The right MTU is not known.", "No server has told the MTU of its interface.")
    repair.root(_MTU, repair.interface, wanted, what=f"The MTU of {repair.host} could not be set.")


def stop_losing(repair: Repair) -> None:
    """Take away delay and loss that are made on purpose: a netem queue, a rule that drops packets at random."""
    repair.root(_LOSS, repair.interface, what=f"The queue of {repair.host} could not be changed.")
