"""Settings of the running kernel, and of every boot to come."""

from __future__ import annotations

from homewright.checks.fixes.repair import Repair

INOTIFY_FILE = "/etc/sysctl.d/90-homewright-inotify.conf"
AIO_FILE = "/etc/sysctl.d/90-homewright-aio.conf"
MODULES_FILE = "/etc/modules-load.d/homewright.conf"

_SYSCTL = """\
set -u
file=$1; shift
new=$(printf '%s\\n' "$@" | sed 's/=/ = /')
if [ "$(cat "$file" 2> /dev/null)" != "$new" ]; then
    mkdir -p /etc/sysctl.d && printf '%s\\n' "$new" > "$file" && chmod 644 "$file" || exit 1
    echo "did: wrote $file"
fi
for setting in "$@"; do
    path=/proc/sys/$(printf '%s' "${setting%%=*}" | tr . /)
    [ "$(cat "$path")" -ge "${setting#*=}" ] && continue
    printf '%s\\n' "${setting#*=}" > "$path" || exit 1
    echo "did: set $setting"
done
"""

_MODULE = """\
set -u
modprobe br_netfilter || exit 1
[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || { echo "the kernel did not take it" >&2; exit 1; }
echo "did: loaded br_netfilter"
if ! grep -qsx br_netfilter "$1"; then
    mkdir -p "${1%/*}" && echo br_netfilter >> "$1" || exit 1
    echo "did: wrote $1"
fi
"""


def raise_inotify(repair: Repair) -> None:
    """Raise inotify's limits to what the profile asks for; what is higher already stays."""
    wanted = repair.profile.checks["host.inotify"]
    kernel = repair.facts.kernel
    instances = max(int(wanted.number("instances")), kernel.inotify_instances or 0)
    watches = max(int(wanted.number("watches")), kernel.inotify_watches or 0)
    settings = (f"fs.inotify.max_user_instances={instances}", f"fs.inotify.max_user_watches={watches}")
    repair.root(_SYSCTL, INOTIFY_FILE, *settings, what=f"The limits of {repair.host} could not be raised.")


def raise_aio(repair: Repair) -> None:
    """Raise the limit of asynchronous requests: to the profile's value, or to twice what it is."""
    raised = int(repair.profile.checks["host.aio"].number("raise_to"))
    most = max(raised, 2 * (repair.facts.kernel.aio_max_nr or 0))
    what = f"The limit of {repair.host} could not be raised."
    repair.root(_SYSCTL, AIO_FILE, f"fs.aio-max-nr={most}", what=what)


def load_br_netfilter(repair: Repair) -> None:
    """Load br_netfilter now and at every boot."""
    repair.root(_MODULE, MODULES_FILE, what=f"br_netfilter could not be loaded on {repair.host}.")
