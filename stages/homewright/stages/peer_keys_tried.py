"""What the account of step 00/20 really can do on its server: tried by ssh itself, and no more often than tells all.

A sign-in costs both servers some 120 ms of processor time. Of each server the address is tried; a name only where ssh
would take another way by it than by the address: other addresses, other settings, or another line of known_hosts.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homewright.engine.runners.host import Host
from homewright.site.hosts_file import names_of
from homewright.site.models import Server, Site
from homewright.stages.peer_keys import ACCOUNT, KNOWN

_NO_NAME = frozenset("@|*?!")
"""What makes a line of known_hosts more than a list of names: it is left to ssh to say whom it means."""
_MARK = "\036"


@dataclass(frozen=True)
class Way:
    """How the account's ssh would go about reaching a target."""

    addresses: frozenset[str]
    settings: tuple[str, ...]
    """What `ssh -G` prints, without the lines that only repeat the target."""


@dataclass(frozen=True)
class Tried:
    """What was found."""

    reached: Mapping[str, str]
    """`account@server` for each name and address that answered, or ssh's last word where it did not."""
    from_elsewhere: str
    """What the server says to its own key when it comes from the loopback."""
    sudo: bool
    """The account became root."""


def try_all(host: Host) -> Tried:
    """Raises as `Host.run`."""
    servers = host.site.servers
    known, ways = _look(host, [target for one in servers for target in _targets(host.site, one)])
    same = {
        name: one.address
        for one in servers
        for name in names_of(host.site, one.name)
        if alike(ways.get(name), ways.get(one.address), known, _pattern(name, one), _pattern(one.address, one))
    }
    wanted = [target for one in servers for target in _targets(host.site, one) if target not in same]
    script = _script(host, wanted)
    lines = host.run(_as_account(), stdin=script.encode(), timeout=60).stdout.splitlines()
    told = {key: said.strip() for key, _, said in (line.partition(" ") for line in lines)}
    reached = {target: told.get(f"={target}", "") for target in wanted}
    return Tried(
        reached | {name: reached[address] for name, address in same.items()},
        told.get("elsewhere", ""),
        told.get("sudo") == "0",
    )


def alike(name: Way | None, address: Way | None, known: str, named: str, addressed: str) -> bool:
    """Whether ssh does the same for a name as for the address: what is seen at the one then holds for the other."""
    if name is None or address is None or not name.addresses or name != address:
        return False
    by_name, by_address = [], []
    for line in known.splitlines():
        patterns, _, key = line.strip().partition(" ")
        if _NO_NAME & set(patterns):
            return False
        by_name += [key] if named in patterns.split(",") else []
        by_address += [key] if addressed in patterns.split(",") else []
    return bool(by_name) and by_name == by_address


def ways_of(told: str) -> dict[str, Way]:
    """What `_look` printed of each target."""
    found = {}
    for part in told.split(f"{_MARK}\n")[1:]:
        target, _, rest = part.partition("\n")
        addresses, _, settings = rest.partition("\n--\n")
        own = {f"host {target}", f"hostname {target}"}
        found[target] = Way(
            frozenset(line.split()[0] for line in addresses.splitlines() if line.strip()),
            tuple(line for line in settings.splitlines() if line not in own),
        )
    return found


def _look(host: Host, targets: Sequence[str]) -> tuple[str, dict[str, Way]]:
    each = f'printf "{_MARK}\\n%s\\n" "$t"; getent ahosts "$t"; printf "\\n--\\n"; ssh -G "$t" 2>&1'
    script = f"cat {KNOWN}; for t in {' '.join(targets)}; do {each}; done; true\n"
    told = host.run(_as_account(), stdin=script.encode(), timeout=60, check=False).stdout
    return told.partition(_MARK)[0], ways_of(told)


def _script(host: Host, targets: Sequence[str]) -> str:
    """For the account's shell: every target, the loopback and sudo, side by side, a line for each."""
    ask = shlex.quote('echo "$(id -un)@$(hostname)"')
    # The newest exchange of keys withstands computers that do not exist yet, for 70 ms; nothing secret is said here.
    quick = "k=-oKexAlgorithms=^curve25519-sha256; ssh -G $k localhost >/dev/null 2>&1 || k="
    alias = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
    back = f"ssh -n $k -o ConnectTimeout=5 -o HostKeyAlias={shlex.quote(alias)} -p {host.port} 127.0.0.1 true"
    return "\n".join(
        [
            quick,
            *(
                f"(said=$(ssh -n $k -o ConnectTimeout=5 {target} {ask} 2>&1 </dev/null | tail -n 1); "
                f'echo "={target} $said") &'
                for target in targets
            ),
            f"(said=$({back} 2>&1 </dev/null; echo $?); echo elsewhere $said) &",
            "(sudo -n true >/dev/null 2>&1 </dev/null; echo sudo $?) &",
            "wait",
            "",
        ]
    )


def _as_account() -> str:
    return f"cd /; exec runuser -u {ACCOUNT} -- sh -s"


def _targets(site: Site, server: Server) -> tuple[str, ...]:
    return (*names_of(site, server.name), server.address)


def _pattern(target: str, server: Server) -> str:
    return target if server.port == 22 else f"[{target}]:{server.port}"
