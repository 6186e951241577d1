"""Names: the server's own, the other servers', and who is asked for all others."""

from __future__ import annotations

import ipaddress

from homewright.checks.fixes.repair import Repair
from homewright.site import hosts_file

IMPOSSIBLE = "homewright-cannot-exist.invalid"
"""RFC 6761 keeps `invalid` for names that never exist."""

_RESOLVERS = r"""
set -u
# ask SERVER NAME: prints the number of answers; nothing where nobody answers, or with an error (SERVFAIL, REFUSED):
# only NOERROR (0) and NXDOMAIN (3) say something of the name
ask() {
    timeout 3 bash -c '
        exec 3<>"/dev/udp/$0/53" || exit 1
        asked=; IFS=.
        for label in $1; do asked="$asked\\x$(printf %02x ${#label})$label"; done
        unset IFS
        printf "\x48\x57\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00$asked\x00\x00\x01\x00\x01" >&3
        timeout 2 dd bs=512 count=1 <&3 2>/dev/null | od -An -v -tu1 | tr -s " \n" " "' "$1" "$2" 2>/dev/null | {
        read -r bytes; set -- $bytes
        [ $# -ge 12 ] && case $(($4 % 16)) in 0 | 3) echo $(($7 * 256 + $8));; esac
    }
}
honest() { [ "$(ask "$1" "$impossible")" = 0 ]; }
impossible=$1; shift
here=/etc/resolv.conf
behind=/run/systemd/resolve/resolv.conf
resolved=
if systemctl is-active --quiet systemd-resolved 2>/dev/null && grep -qs '127\.0\.0\.53' $here; then resolved=1; fi
now=$(sed -n 's/^nameserver[[:space:]]*//p' "$([ -n "$resolved" ] && echo $behind || echo $here)" 2>/dev/null)
good=
for one in $now "$@"; do
    case " $good " in *" $one "*) continue;; esac
    [ "$(printf '%s' "$good" | wc -w)" -lt 3 ] || break
    honest "$one" && good="$good $one"
done
good=${good# }
[ -n "$good" ] || { echo "none of these answers truthfully: $(printf '%s ' $now "$@")" >&2; exit 1; }
first=${good%% *}
search=; dropped=
for domain in $(sed -n 's/^\(search\|domain\)[[:space:]]*//p' $here); do
    case $domain in .|~*) continue;; esac
    case $(ask "$first" "homewright-cannot-exist.$domain") in
    0 | '') search="$search $domain";; # what nobody told anything of is left as it is
    *) dropped="$dropped $domain";;
    esac
done
if [ -n "$resolved" ]; then
    file=/etc/systemd/resolved.conf.d/homewright.conf
    mkdir -p "${file%/*}"
    # no Domains=~. here: it would take every name away from the servers of links that come later, such as the overlay's
    printf '# Homewright: resolvers that answer\n[Resolve]\nDNS=%s\nDomains=%s\n' "$good" "${search# }" > "$file"
    systemctl restart systemd-resolved || exit 1
    echo "did: wrote $file: $good"
    link=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    [ -n "$link" ] || exit 0
    resolvectl dns "$link" $good || exit 1
    echo "did: gave $link these servers until its next lease"
    if [ -n "$dropped" ]; then
        resolvectl domain "$link" '' && echo "did: took the search domain$dropped away from $link until its next lease"
    fi
    exit 0
fi
kept=$(grep -Ev '^(nameserver|search|domain)[[:space:]]' $here 2>/dev/null)
[ -z "$search" ] || search="search$search"
new=$(printf '%s\n' "$kept"; printf 'nameserver %s\n' $good; printf '%s\n' "$search")
new=$(printf '%s\n' "$new" | grep .)
if [ "$new" != "$(cat $here 2>/dev/null)" ]; then
    [ -e $here.before-homewright ] || cp -L $here $here.before-homewright 2>/dev/null
    printf '%s\n' "$new" > $here || exit 1
    echo "did: wrote $here: $good${dropped:+ (without the search domain$dropped)}"
fi
"""

_HOSTNAME = """\
set -u
old=$(hostname)
if command -v hostnamectl > /dev/null && [ -d /run/systemd/system ]; then hostnamectl set-hostname "$1" || exit 1
else echo "$1" > /etc/hostname && hostname "$1" || exit 1; fi
[ "$(hostname)" = "$1" ] || { echo "it is still called $(hostname)" >&2; exit 1; }
echo "did: the host name was $old and is $1"
if [ "$old" != "$1" ] && grep -Eq "^127\\.0\\.1\\.1[[:space:]].*" /etc/hosts; then
    sed -i.before-homewright "/^127\\.0\\.1\\.1[[:space:]]/s/[[:space:]]$old\\([[:space:]]\\|\\$\\)/ $1\\1/g" /etc/hosts
    echo "did: wrote its own line of /etc/hosts"
fi
"""


def mend_resolvers(repair: Repair) -> None:
    """Write resolvers that answer, and that do not invent answers, in the place of those that do not."""
    what = f"{repair.host} could not be given a resolver that answers."
    repair.root(_RESOLVERS, IMPOSSIBLE, *candidates(repair), what=what)


def write_hosts(repair: Repair) -> None:
    """Write the servers' names into /etc/hosts, as stage 00, step 10 does."""
    current = repair.connection.read("/etc/hosts").decode(errors="surrogateescape")
    wanted = hosts_file.wanted(current or "127.0.0.1\tlocalhost\n", repair.site)
    if wanted != current:
        repair.connection.write("/etc/hosts", wanted.encode(errors="surrogateescape"))
        repair.did("wrote the servers' names into /etc/hosts")


def set_hostname(repair: Repair) -> None:
    """Give the server the name that it has in the site."""
    repair.root(_HOSTNAME, repair.host, what=f"The host name of {repair.host} could not be set.")


def candidates(repair: Repair) -> tuple[str, ...]:
    """Resolvers that may be right for this server: the site's, those of the others, the way out. Pure."""
    found = [*repair.site.network.resolvers]
    for facts in repair.others.values():
        found += facts.names.resolvers
    found += [nic.gateway for facts in repair.ground.facts.values() for nic in facts.nics if nic.gateway]
    return tuple(dict.fromkeys(one for one in found if _outside(one)))


def _outside(address: str) -> bool:
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
