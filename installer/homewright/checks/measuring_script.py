"""What is measured on a server, as one shell script that is sent on standard input: it needs no root and no Python.

Every count and every wait is bounded, and traffic goes to the site's own servers and to the resolvers that the server
itself uses. What it writes to disk (half a megabyte, in the account's home) it takes away again.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

AT_ONCE = 16
"""How many other servers are measured side by side: 16 pings take one process each and next to no bandwidth."""

PACKETS = 5
GAP_S = 0.2
"""The shortest gap that ping allows whoever is not root."""

WRITES = 100
WRITING_S = 3
"""Writes of 4 KiB, each synced; a disk that is slower than 30 ms each is stopped after this long."""
SYNCING_S = 5
"""What a single write may take; one that is ended then counts as this long, and no further one is tried."""

RUNGS = (8972, 3972, 2772, 1472, 1464, 1452, 1448, 1432, 1422, 1414, 1392, 1384, 1372, 1330, 1272, 1252, 1172, 972, 548)
"""Payloads that are tried where the interface's own size does not get through; packets are 28 bytes longer.

The usual ones: jumbo frames, ZeroTier's 2800, Ethernet, PPPoE, GRE, VXLAN, WireGuard, IPv6's least, IPv4's least.
"""

_FUNCTIONS = r"""
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
unset LANGUAGE
have() { command -v "$1" >/dev/null 2>&1; }
limit() { if have timeout; then timeout "$@"; else shift; "$@"; fi; }
# one line a result: a line shorter than a pipe's buffer is never torn, whoever else writes
tell() { printf '%s\n' "$(printf '%s' "$*" | tr '\n\r' '  ' | tail -c 600)"; }

tcp() {
    if have bash; then
        said=$(limit 3 bash -c 's=${EPOCHREALTIME/[.,]/}; exec 3<>"/dev/tcp/$0/$1" || exit 1
            e=${EPOCHREALTIME/[.,]/}; [ -z "$s" ] || echo $((e - s))' "$2" "$3" 2>&1)
    elif have python3; then
        said=$(limit 5 python3 -c 'import socket, sys, time
s = time.monotonic()
socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
print(int((time.monotonic() - s) * 1e6))' "$2" "$3" 2>&1)
    elif have nc; then said=$(limit 5 nc -z -w 3 "$2" "$3" 2>&1)
    else said='no bash, python3 or nc there'; ( exit 127 ); fi
    code=$?
    tell "tcp $1 $code $(printf '%s' "$said" | tail -n 1)"
}

sized() { # NAME ADDRESS PAYLOAD
    out=$(ping -n -q -M do -c 2 -i $gap -W 1 -s "$3" "$2" 2>&1); tell "size $1 $(($3 + 28)) $? $out"
}

way() { # NAME ADDRESS
    out=$(ping -n -q -c $packets -i $gap -W 1 "$2" 2>&1); code=$?
    # ping of BusyBox knows no gaps
    case $code$out in 1*nvalid\ option*|1*nrecognized\ option*|2*nvalid\ option*)
        out=$(ping -c 3 -W 1 "$2" 2>&1); code=$?;; esac
    have ping || code=127
    tell "ping $1 $code $out"
    case $out in *' 100% packet loss'*|'') return;; esac
    [ $code -lt 2 ] || return
    device=$(ip -4 route get "$2" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    own=$(cat "/sys/class/net/$device/mtu" 2>/dev/null || echo 1500)
    tell "own $1 $own"
    out=$(ping -n -q -M do -c 2 -i $gap -W 1 -s $((own - 28)) "$2" 2>&1); code=$?
    tell "size $1 $own $code $out"
    [ $code = 1 ] || return
    said=$(printf '%s' "$out" | sed -n 's/.*mtu *= *\([0-9]\{3,5\}\).*/\1/p' | head -n 1)
    for payload in $rungs ${said:+$((said - 28))}; do
        if [ "$payload" -lt $((own - 28)) ]; then sized "$1" "$2" "$payload" & fi
    done
    wait
}

name() {
    if have getent; then out=$(limit 4 getent ahostsv4 "$1" 2>&1); else false; fi
    code=$?
    have getent || code=127
    tell "name $1 $code $(printf '%s\n' "$out" | sed 's/[[:space:]].*//' | sort -u | tr '\n' ' ')"
}

resolvers() {
    file=/etc/resolv.conf
    behind=/run/systemd/resolve/resolv.conf # what systemd-resolved asks in its turn
    if [ -r $behind ] && grep -Eq '^nameserver[[:space:]]+127\.0\.0\.53' $file 2>/dev/null; then file=$behind; fi
    named=$(sed -n 's/^nameserver[[:space:]]*\([0-9A-Fa-f.:]*\).*/\1/p' $file 2>/dev/null)
    for one in $(printf '%s\n' "$named" | sort -u | head -n 6); do
        resolver "$one" &
    done
    wait
}

resolver() { # any answer counts: the question is who is there, not what it knows
    if ! have bash; then tell "resolver $1 127"; return; fi
    limit 4 bash -c '
        exec 3<>"/dev/udp/$0/53" || exit 1
        for try in 1 2; do
            printf "\x48\x57\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01" >&3 || exit 1
            IFS= read -r -d "" -t 1.5 -n 1 -u 3 got; code=$?
            [ $code -gt 128 ] || exit $code
        done; exit 1' "$1" >/dev/null 2>&1
    tell "resolver $1 $?"
}

disk() {
    file=$(mktemp "${HOME:-/tmp}/.homewright-disk.XXXXXX" 2>&1) || { tell "disk 1 $file"; return; }
    trap 'rm -f "$file"' EXIT HUP INT TERM
    sync=fdatasync
    limit $syncing dd if=/dev/zero of="$file" bs=4096 count=1 conv=fdatasync 2>/dev/null
    case $? in 0 | 124) ;; *) sync=fsync ;; esac
    end=$(($(date +%s) + writing))
    i=0; all=
    while [ $i -lt $writes ] && [ "$(date +%s)" -le $end ]; do
        out=$(limit $syncing dd if=/dev/zero of="$file" bs=4096 count=1 seek=$i conv=notrunc,$sync 2>&1)
        case $? in
        0) ;;
        124) all="$all $syncing"; break ;;
        *) rm -f "$file"; tell "disk 1 $out"; return ;;
        esac
        out=${out##*copied, }; all="$all ${out%% s*}"
        i=$((i + 1))
    done
    rm -f "$file"
    printf 'disk 0%s\n' "$all"
}
"""


@dataclass(frozen=True)
class Target:
    """Another server, as it is measured from here."""

    name: str
    address: str
    port: int


def script(
    *, pairs: Sequence[Target] = (), names: Sequence[str] = (), resolvers: bool = False, disk: bool = False
) -> str:
    """The script that measures these on the server that runs it; everything at the same time, the disk too."""
    lines = [
        _FUNCTIONS,
        f"packets={PACKETS}; gap={GAP_S:g}; writes={WRITES}; writing={WRITING_S}; syncing={SYNCING_S}",
        f"rungs='{' '.join(map(str, RUNGS))}'",
    ]
    if disk:
        lines.append("( disk ) &")
    if resolvers:
        lines.append("( resolvers ) &")
    lines += [f"( name {shlex.quote(name)} ) &" for name in names]
    for start in range(0, len(pairs), AT_ONCE):
        for target in pairs[start : start + AT_ONCE]:
            quoted = shlex.quote(target.name), shlex.quote(target.address)
            lines.append(f"( way {quoted[0]} {quoted[1]} ) &")
            lines.append(f"( tcp {quoted[0]} {quoted[1]} {target.port:d} ) &")
        lines.append("wait")
    lines += ["wait", "echo done"]
    return "\n".join(lines) + "\n"


def longest_s(pairs: int) -> float:
    """How long the script may take at most: each wait in it has its own limit, and this is their sum with room."""
    return 20.0 + 6.0 * (-(-pairs // AT_ONCE))
