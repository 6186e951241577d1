"""Everything on a practice server that a stage may have touched, as lines that two moments are compared by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

SKIPPED = (
    "proc sys run tmp dev var/tmp var/log var/cache var/backups "
    "var/lib/apt var/lib/dpkg var/lib/systemd var/lib/homewright opt/homewright"
)
"""Not compared: the kernel's and the run time's files, logs, caches, backups that useradd makes (/etc/…- too), package
management's own records (its set of packages is compared instead), the engine's own folder, and code-server (600 MB
that other tests bring)."""
FILES = r"""
cd /; set -e
look() { from=$1; shift
  find $from -xdev \( PRUNED -name __pycache__ -o -path '*/.cache' \) -prune -o ! -path './etc/*-' "$@"; }
look . ! -type d -printf '%M %u:%g %y %s %p %l\n'
look . -type d -printf '%M %u:%g %p\n'
look "HASHED" -type f -print0 | xargs -0 sha256sum
dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Abbrev}\n' | grep ' ii'
hostname
""".replace("PRUNED", " ".join(f"-path ./{path} -o" for path in SKIPPED.split()))
CHANGEABLE = "./etc ./home ./root ./var ./opt ./srv"
"""Where every file's content is compared; of the rest, all of /usr, only names, kinds, rights and sizes."""
SYSTEM = r"""
getent passwd | sed 's/^/account /'
getent group | sed 's/^/group /'
systemctl list-unit-files --no-legend --no-pager --plain | awk '{print "unit", $1, $2}'
systemctl list-units --failed --no-legend --no-pager --plain | awk '{print "failed", $1}'
ip -o link | sed -E 's/^[0-9]+: ([^:]+):.* mtu ([0-9]+) .* state ([A-Z]+) .*/link \1 mtu \2 \3/'
ip -o addr show scope global | awk '{print "address", $2, $4}'
ip route | sed -E 's/ (expires|metric) [0-9]+[a-z]*//g; s/^/route /'
nft list ruleset 2>/dev/null | sed -E 's/counter packets [0-9]+ bytes [0-9]+/counter/; s/^/nft /'
"""
"""Accounts, units, interfaces, addresses, routes and nft's rules, without what counts or runs out by itself."""


def files_command(hashed: str = CHANGEABLE) -> str:
    """Every file's name, kind, mode, owner, size and target, and the SHA-256 of those in the folders `hashed`."""
    return FILES.replace('"HASHED"', f'"{hashed}"')


def listing(on: Callable[[str, str], str], servers: Iterable[str], command: str) -> dict[str, set[str]]:
    """The lines that the command prints on each server; `on` runs one there as root."""
    names = list(servers)
    with ThreadPoolExecutor() as pool:
        texts = pool.map(lambda name: on(name, command), names)
        return {name: set(text.splitlines()) for name, text in zip(names, texts, strict=True)}


def unlike(one: Mapping[str, set[str]], other: Mapping[str, set[str]], named: Iterable[str] = ()) -> list[str]:
    """Lines that only one of two listings has, with the server, but for those that hold one of the named words."""
    words = tuple(named)
    return [
        f"{server}: {'-' if line in one[server] else '+'} {line}"
        for server in one
        for line in sorted(one[server] ^ other[server])
        if not any(word in line for word in words)
    ]
