"""Breaking a practice server for real: what is wrong afterwards is wrong for every program there.

Each fault is two scripts that root runs in the server, past SSH: one that breaks and one that undoes exactly that
(mending.py runs it). Both can be repeated. What was there before is kept in the server, under /var/lib/practice.

The clock needs a word. Containers share the kernel's clock, no time namespace covers it, and setting it would set this
machine's. So every session there, sudo's included, gets libfaketime preloaded: `date`, Python, apt and all the rest see
a clock that is 26 hours ahead. Preloading it for the whole system (/etc/ld.so.preload) would be more thorough and was
tried: systemd does not boot with it, and sshd's sandbox kills the child that calls what it needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, get_args

from homewright.errors import LabError
from homewright.lab.lxd import Lxd
from homewright.lab.models import USER, Fault

FAULTS: tuple[Fault, ...] = get_args(Fault)


@dataclass(frozen=True)
class Way:
    """One way to be broken."""

    says: str
    """What is wrong then."""
    breaks: str
    mends: str
    lasting: bool = True
    """Whether it survives a power cut by itself; what does not is broken again when the power is back."""
    clashes: tuple[Fault, ...] = ()
    """Faults that work on the same file."""


_KEEP = "mkdir -p /var/lib/practice; "

_SERVICE = """\
cat > /etc/systemd/system/practice-{name}.service <<'END'
[Unit]
Description=What `homewright lab break` began
[Service]
ExecStart={command}
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --quiet practice-{name}
systemctl restart practice-{name}
"""

_NO_SERVICE = """\
systemctl disable --quiet --now practice-{name} 2> /dev/null || true
rm -f /etc/systemd/system/practice-{name}.service /usr/local/lib/practice-{name}.py
systemctl daemon-reload
"""

_KEEP_RESOLV = _KEEP + "[ -e /var/lib/practice/resolv.conf ] || cp -p /etc/resolv.conf /var/lib/practice/resolv.conf\n"
_GIVE_RESOLV = """\
[ ! -e /var/lib/practice/resolv.conf ] || cat /var/lib/practice/resolv.conf > /etc/resolv.conf
rm -f /var/lib/practice/resolv.conf
"""

_WILDCARD = """\
cat > /usr/local/lib/practice-dns.py <<'END'
import socket

# Any name has this address: what some providers do with names that do not exist.
ADDRESS = bytes([192, 0, 2, 1])
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.bind(("127.0.0.8", 53))
while True:
    asked, who = door.recvfrom(512)
    end = asked.find(b"\\0", 12) + 5
    if len(asked) < 17 or end < 17:
        continue
    wanted = asked[end - 4 : end - 2] == b"\\0\\1"
    head = asked[:2] + b"\\x81\\x80\\0\\1" + (b"\\0\\1" if wanted else b"\\0\\0") + b"\\0\\0\\0\\0"
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + ADDRESS if wanted else b""
    door.sendto(head + asked[12:end] + answer, who)
END
"""

WAYS: dict[Fault, Way] = {
    "clock": Way(
        "its clock is 26 hours ahead",
        _KEEP
        + """\
found() { ls /usr/lib/*/faketime/libfaketime.so.1 2> /dev/null | head -n 1; }
[ -n "$(found)" ] || apt-get install -y -qq libfaketime > /dev/null
[ -e /etc/environment ] || touch /var/lib/practice/no-environment
echo +26h > /etc/faketimerc
grep -qs '^LD_PRELOAD=.*faketime' /etc/environment || echo "LD_PRELOAD=$(found)" >> /etc/environment
echo 'Defaults env_file=/etc/environment' > /etc/sudoers.d/practice-clock
chmod 440 /etc/sudoers.d/practice-clock
""",
        """\
rm -f /etc/sudoers.d/practice-clock /etc/faketimerc
[ ! -e /etc/environment ] || sed -i '/^LD_PRELOAD=.*faketime/d' /etc/environment
if [ -e /var/lib/practice/no-environment ] && ! [ -s /etc/environment ]; then rm -f /etc/environment; fi
rm -f /var/lib/practice/no-environment
""",
    ),
    "resolv": Way(
        "its only resolver does not answer",
        _KEEP_RESOLV + "echo 'nameserver 127.0.0.9' > /etc/resolv.conf\n",
        _GIVE_RESOLV,
        clashes=("dns",),
    ),
    "port": Way(
        "somebody else listens on port 16443",
        _SERVICE.format(name="port", command="/usr/bin/python3 -m http.server --directory /var/empty 16443").replace(
            "cat >", "mkdir -p /var/empty\ncat >", 1
        ),
        _NO_SERVICE.format(name="port") + "rmdir /var/empty 2> /dev/null || true\n",
    ),
    "disk": Way(
        "the home of its account has 64 MB",
        """\
home=$1
if ! mountpoint -q "$home"; then
    mkdir -p /run/practice-home
    mount --bind "$home" /run/practice-home
    mount --make-private /run/practice-home
    mount -t tmpfs -o "size=64m,mode=$(stat -c %a "$home"),uid=$(stat -c %u "$home"),gid=$(stat -c %g "$home")" \
        tmpfs "$home"
    ls -A /run/practice-home | while read -r name; do
        if [ -d "/run/practice-home/$name" ] && ! [ -L "/run/practice-home/$name" ]; then mkdir "$home/$name"
        elif [ -f "/run/practice-home/$name" ]; then touch "$home/$name"
        else cp -a "/run/practice-home/$name" "$home/"; continue; fi
        mount --bind "/run/practice-home/$name" "$home/$name"
    done
fi
""",
        """\
home=$1
if mountpoint -q /run/practice-home; then
    ls -A "$home" | while read -r name; do
        mountpoint -q "$home/$name" || cp -a "$home/$name" /run/practice-home/
    done
    umount -R -l "$home"
    umount -l /run/practice-home
fi
[ ! -d /run/practice-home ] || rmdir /run/practice-home
""",
        lasting=False,
    ),
    "hostname": Way(
        "it calls itself Practice-Server",
        _KEEP
        + """\
[ -e /var/lib/practice/hostname ] || cp -p /etc/hostname /var/lib/practice/hostname
echo Practice-Server > /etc/hostname
hostname Practice-Server
systemctl try-restart systemd-hostnamed
""",
        """\
if [ -e /var/lib/practice/hostname ]; then
    cat /var/lib/practice/hostname > /etc/hostname
    hostname "$(cat /etc/hostname)"
    rm /var/lib/practice/hostname
    systemctl try-restart systemd-hostnamed
fi
""",
    ),
    "mtu": Way(
        "its interface takes packets of 1400 bytes at most",
        "ip link set dev eth0 mtu 1400\n",
        "ip link set dev eth0 mtu 1500\n",
        lasting=False,
    ),
    "loss": Way(
        "every fifth packet from another server is lost on the way to it",
        """\
rule="-i eth0 ! -s $2/32 -m statistic --mode nth --every 5 --packet 0 -j DROP"
iptables -C INPUT $rule 2> /dev/null || iptables -I INPUT $rule
""",
        """\
rule="-i eth0 ! -s $2/32 -m statistic --mode nth --every 5 --packet 0 -j DROP"
while iptables -D INPUT $rule 2> /dev/null; do :; done
""",
        lasting=False,
    ),
    "dns": Way(
        "its resolver has an address for every name, even for those that do not exist",
        _KEEP_RESOLV
        + _WILDCARD
        + _SERVICE.format(name="dns", command="/usr/bin/python3 /usr/local/lib/practice-dns.py")
        + "echo 'nameserver 127.0.0.8' > /etc/resolv.conf\n",
        _GIVE_RESOLV + _NO_SERVICE.format(name="dns"),
        clashes=("resolv",),
    ),
    "time-sync": Way(
        "its time service is off",
        "systemctl disable --quiet --now systemd-timesyncd\n",
        "systemctl enable --quiet --now systemd-timesyncd\n",
    ),
    "apt-lock": Way(
        "somebody installs packages there, and does not come to an end",
        _SERVICE.format(
            name="apt-lock",
            command="/usr/bin/python3 -c 'import fcntl, signal; "
            'lock = open("/var/lib/dpkg/lock-frontend", "w"); fcntl.lockf(lock, fcntl.LOCK_EX); signal.pause()\'',
        ),
        _NO_SERVICE.format(name="apt-lock"),
    ),
}


def require_possible(fault: Fault, broken: Collection[Fault], name: str) -> None:
    """Raise LabError where a fault that works on the same file is there already."""
    for other in WAYS[fault].clashes:
        if other in broken:
            raise LabError(
                f"{name} cannot be broken by {fault} now.",
                f"It is broken by {other} already, and both are about the same file.",
                [f"homewright lab mend {name} {other}"],
            )


def break_all(lxd: Lxd, instance: Any, faults: Iterable[Fault]) -> None:
    """Break a running server in these ways. Raises LabError."""
    for fault in faults:
        in_server(lxd, instance, WAYS[fault].breaks, f"{instance.name} could not be broken by {fault}.")


def in_server(lxd: Lxd, instance: Any, script: str, what: str) -> None:
    """Run a script, with the account's home and this machine's address there. Raises LabError, `what` first."""
    if instance.status != "Running":
        raise LabError(what, f"{instance.name} has no power.", [f"homewright lab power-on {instance.name}"])
    try:
        lxd.perform(instance, script, f"/home/{USER}", lxd.place.gateway)
    except LabError as error:
        raise LabError(what, error.why, [f"homewright lab mend {instance.name}", *error.do]) from error
