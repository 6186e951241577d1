"""Packages of Debian and Ubuntu on a server: installed from the site's mirror, taken away with all that came along."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from homewright.engine.runners.host import Host
from homewright.site import mirrors

MINUTES = 20


def installed(host: Host) -> list[str]:
    """Names of all installed packages; none where packages are not Debian's."""
    asked = "command -v dpkg-query >/dev/null || exit 0; dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n'"
    return sorted({line.split()[1] for line in host.run(asked).stdout.splitlines() if line.startswith("ii ")})


def install(host: Host, names: Sequence[str], *, drivers: bool = False) -> bool:
    """See that these packages are there; true where one was missing. Raises CommandFailed with apt's words."""
    if set(names) <= set(installed(host)):
        return False
    words = shlex.join(names)
    host.show(
        f"set -e\n{mirrors.apt_script(host.site.mirror, drivers=drivers)}"
        # A run that was cut off leaves packages half installed; nothing installs before they are finished.
        '[ -z "$(dpkg --audit)" ] || dpkg --configure -a\n'
        f"install() {{ get install --no-install-recommends {words}; }}\n"
        '[ -z "$sources" ] || get update\n'
        "install || { get update; install; }\n",
        timeout=MINUTES * 60,
    )
    return True


def remove(host: Host, names: Iterable[str], before: Iterable[str] | None) -> bool:
    """Take these packages away, and what came with them and nobody asked for; true where one went.

    What was there `before` stays, and so does what something else needs by now, these packages among it. Where nobody
    has written down what was there (None), nothing but these packages goes.
    """
    there = set(installed(host))
    came = sorted(there - set(before) if before is not None else there & set(names))
    mine = [name for name in names if name in came]
    if not mine:
        return False
    by_itself = set(host.run(["apt-mark", "showauto", *came]).stdout.split())
    wanted = [name for name in came if name in mine or name in by_itself]
    purge(host, wanted, mine)
    return not there <= set(installed(host))


def purge(host: Host, names: Sequence[str], own: Sequence[str], *, what: str = "it", first: str = ":") -> None:
    """Take packages away; where something else needs any of them by now, `own` alone, and of those none that something
    else needs. `first` is a line of shell before that. Raises CommandFailed with apt's words.
    """
    script = _PURGE.format(packages=shlex.join(names), own=shlex.join(own), what=what, first=first)
    host.show(script, timeout=MINUTES * 60)


_PURGE = r"""set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
get() {{ apt-get -q -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 -o APT::Get::AutomaticRemove=false purge "$@"; }}
# What else would go with packages: all but those that may, the first word.
others() {{
    may=" $1 "
    shift
    said=$(get -s "$@")
    echo "$said" | sed -n 's/^\(Purg\|Remv\) \([^ ]*\).*/\2/p' | while read -r name; do
        case "$may" in *" $name "*) ;; *) echo "$name" ;; esac
    done
}}
{first}
packages="{packages}"
needing=$(others "$packages" $packages)
if [ -n "$needing" ]; then
    echo "what came with {what} stays, because something else needs it by now:" $needing
    own="{own}" packages=
    # One after the other, as of two that serve something else equally one can go.
    for name in $own; do
        needing=$(others "$own" $packages $name)
        if [ -z "$needing" ]; then
            packages="$packages $name"
        else
            echo "$name stays as well: without it these would go:" $needing
        fi
    done
fi
[ -z "$packages" ] || get $packages
"""
