"""Packages, snaps, and the room that they take."""

from __future__ import annotations

import time

from homewright.checks.fixes.repair import Repair

LOCK_S = 300.0
"""How long the package manager is waited for: an unattended upgrade takes minutes."""
LOOK_S = 10
"""How long one look waits, before it says who holds the lock."""

LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock")

_WAIT = """\
set -u
seconds=$1; shift
end=$(($(cut -d. -f1 /proc/uptime) + seconds))
while :; do
    held=
    for file in "$@"; do
        inode=$(stat -c %i "$file" 2> /dev/null) || continue
        pid=$(sed -n "s/^[0-9]*: [A-Z]* *[A-Z]* *[A-Z]* *\\([0-9]*\\) [^ ]*:$inode .*/\\1/p" /proc/locks | head -n 1)
        [ -n "$pid" ] || continue
        held="$file is held by $(cat "/proc/$pid/comm" 2> /dev/null || echo process) ($pid)"
        break
    done
    [ -n "$held" ] || exit 0
    [ "$(cut -d. -f1 /proc/uptime)" -lt $end ] || { echo "$held" >&2; exit 3; }
    sleep 0.5
done
"""

_HOLD = """\
set -u
command -v snap > /dev/null || { echo "there is no snap command" >&2; exit 1; }
snap refresh --hold > /dev/null || exit 1
echo "did: held all snaps"
"""

_FINISH = """\
set -u
export DEBIAN_FRONTEND=noninteractive
dpkg --force-confdef --force-confold --configure -a > /dev/null || exit 1
echo "did: configured what was half installed"
apt-get -o DPkg::Lock::Timeout=60 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
    -y -qq --fix-broken install > /dev/null || exit 1
echo "did: installed what that needs"
[ -z "$(dpkg --audit)" ] || { dpkg --audit | head -n 3 >&2; exit 1; }
"""

_ROOM = """\
set -u
before=$(df -P -k / | sed -n '2s/.* \\([0-9]*\\) *[0-9]*% .*/\\1/p')
if command -v apt-get > /dev/null; then apt-get clean && echo "did: emptied the package cache"; fi
if command -v journalctl > /dev/null; then
    journalctl --quiet --vacuum-size=100M && echo "did: removed journals beyond 100 MB"
fi
after=$(df -P -k / | sed -n '2s/.* \\([0-9]*\\) *[0-9]*% .*/\\1/p')
echo "did: freed $(((after - before) / 1024)) MiB"
"""


def wait_for_lock(repair: Repair) -> None:
    """Wait until nobody holds a lock of apt or dpkg; nobody is ended. Raises FixFailed, with who, after `LOCK_S`."""
    deadline = time.monotonic() + LOCK_S
    seconds = 0  # the first look says at once who is waited for
    while True:
        words = ["sh", "-s", "--", str(seconds), *LOCKS]
        done = repair.connection.run(words, sudo=True, stdin=_WAIT.encode(), timeout=LOOK_S + 30, check=False)
        seconds = LOOK_S
        if done.exit_code == 0:
            repair.did("the package manager is free")
            return
        held = done.stderr.strip().splitlines()[-1:] or ["it does not say who"]
        what = f"The package manager of {repair.host} is still busy."
        if done.exit_code != 3:
            raise repair.failed(what, held[0])
        if time.monotonic() > deadline:
            raise repair.failed(what, f"{held[0]}, and was waited for {LOCK_S:.0f} s")
        repair.did(f"waiting: {held[0]}")


def hold_snaps(repair: Repair) -> None:
    """Hold snaps from refreshing by themselves."""
    repair.root(_HOLD, what=f"The snaps of {repair.host} could not be held.")


def finish(repair: Repair) -> None:
    """Finish what dpkg left half installed; files that somebody changed stay as they are."""
    repair.root(_FINISH, what=f"dpkg could not finish on {repair.host}.", timeout=600)


def make_room(repair: Repair) -> None:
    """Empty the package cache and old journals: both can be had again."""
    repair.root(_ROOM, what=f"No room could be made on {repair.host}.", timeout=120)
