"""Ports that somebody else has, and interfaces that are set wrong."""

from __future__ import annotations

import re

from homewright.checks.fixes.repair import Repair
from homewright.checks.network.ports import KEPT, OURS

_NEVER = " ".join(sorted(KEPT | OURS))
"""Processes and services that are never stopped."""

_STOP = """\
set -u
kept=" $1 "; shift
status=0
command -v ss > /dev/null || { echo "who has a port is not known: ss is not there (package iproute2)" >&2; exit 1; }
look() {
    name=$(cat "/proc/$1/comm" 2> /dev/null)
    unit=$(sed -n 's|.*/\\([^/]*\\.service\\)$|\\1|p' "/proc/$1/cgroup" 2> /dev/null | head -n 1)
}
for wanted in "$@"; do
    port=${wanted%/*}; kind=${wanted#*/}
    flags=-Hlntp; [ "$kind" = tcp ] || flags=-Hlnup
    taken=$(ss $flags "sport = :$port") || { echo "who has $wanted is not known: ss failed" >&2; status=1; continue; }
    [ -n "$taken" ] || { echo "did: $wanted is free"; continue; }
    pids=$(printf '%s\\n' "$taken" | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -un)
    [ -n "$pids" ] || { echo "$wanted is taken, and by no process that can be seen" >&2; status=1; continue; }
    holder=
    for pid in $pids; do
        look "$pid"
        [ "$pid" != 1 ] || name=systemd
        case "$kept" in *" $name "*|*" ${unit%.service} "*) holder=$name ;; esac
    done
    if [ -n "$holder" ]; then
        hint=
        [ "$holder" != systemd ] || hint=": look for its unit by systemctl list-sockets"
        echo "$wanted is held by $holder, which is never stopped$hint" >&2
        status=1; continue
    fi
    for pid in $pids; do
        look "$pid"
        [ -n "$name" ] || continue
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
if command -v tc > /dev/null; then
    queues=$(tc qdisc show dev "$1")
    if printf '%s\\n' "$queues" | grep -q '^qdisc netem [^ ]* root'; then
        tc qdisc del dev "$1" root || exit 1
        found=1; echo "did: took the netem queue away from $1"
    elif printf '%s\\n' "$queues" | grep -q '^qdisc netem '; then
        found=1; echo "did: left a netem queue of $1 alone, which is part of somebody's own: tc qdisc show dev $1"
    fi
fi
if command -v iptables > /dev/null; then
    iptables -S 2> /dev/null | grep -e '-m statistic' | grep -e '-j DROP' | while read -r _ rule; do
        # a rule is words, some in quotation marks: xargs takes these off, and runs nothing else that stands in them
        printf '%s\\n' "$rule" | xargs -r iptables -D || continue
        echo "did: took a firewall rule away that dropped packets at random"
    done | grep . && found=1
fi
[ -n "$found" ] || echo "did: found nothing artificial on $1"
"""


def free_ports(repair: Repair) -> None:
    """Stop what listens on the ports that the finding names; what we get in by is never stopped."""
    repair.root(_STOP, _NEVER, *named_ports(repair), what=f"Not every port of {repair.host} could be freed.")


def named_ports(repair: Repair) -> tuple[str, ...]:
    """The platform's ports that the finding names, as 443/tcp; no other, whatever a process there is called. Pure."""
    named = re.findall(r"(?:^taken: |, )(\d{1,5}/(?:tcp|udp)) by ", repair.finding.measured)
    return tuple(port for port in repair.profile.checks["net.ports"].words("ports") if port in named)


def set_mtu(repair: Repair) -> None:
    """Give the interface the MTU that most servers have."""
    wanted = repair.ground.mtu
    if wanted is None:
        raise repair.failed("The right MTU is not known.", "No server has told the MTU of its interface.")
    repair.root(_MTU, repair.interface, wanted, what=f"The MTU of {repair.host} could not be set.")


def stop_losing(repair: Repair) -> None:
    """Take away delay and loss that are made on purpose: a netem queue, a rule that drops packets at random."""
    repair.root(_LOSS, repair.interface, what=f"The queue of {repair.host} could not be changed.")
