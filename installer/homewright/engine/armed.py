"""What lies on a server while it is armed: it puts back by itself what a step changed, unless somebody disarms it.

`/var/lib/homewright/revert/` holds copies of what is put back, the script that does it, and `armed.json`, which is
written last and counts alone: without it the script does nothing. A timer of systemd starts the script; it counts from
its own start, so that no clock that is set moves it, and it is enabled, so that it begins anew at boot. The script and
whoever disarms exclude each other by a lock, and what the script did stays in `reverted.json` until it was read.

Everything here is text that is sent to a server, and what it answers. Pure.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

BASE = "/var/lib/homewright/revert"
UNITS = "/etc/systemd/system"
UNIT = "homewright-revert"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
COMMAND_LIMIT_S = 120
"""How long the step's own command may take once the files are back; `netplan apply` takes some seconds."""
STEADY_S = 3
"""How long the address by which the server was armed has to be there after that: it may be about to go and come."""
ADDRESS_LIMIT_S = 20
"""How long until it is there for so long: DHCP takes a second or two.

Then the network's service is started anew: where systemd-networkd 252 is told to configure an interface within a
millisecond of its lease, the address is lost for good ("configuring"), and neither `networkctl reload` nor
`reconfigure` brings it back: 6 of 123 times on three busy practice servers, where the service's start always did.
"""
LOOK_S = 0.5
ANEW = "did not come back at once, so the network was started anew"
NETWORK_SERVICES = ("systemd-networkd", "NetworkManager", "networking")


class Found(StrEnum):
    """What a server says of its revert."""

    NONE = "none"
    ARMED = "armed"
    REVERTING = "reverting"
    """It is putting things back at this moment."""
    REVERTED = "reverted"
    DISARMED = "disarmed"
    """It was armed, and is not any more: this request did it."""


@dataclass(frozen=True)
class Orders:
    """What a server is to do where nobody confirms."""

    token: str
    """Names this arming among all."""
    step: str
    run: str
    files: tuple[str, ...]
    """Absolute paths; a folder's ends in /."""
    command: str
    seconds: float
    """From the timer's start, and after a boot from the boot."""


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    found: Found
    step: str = ""
    run: str = ""
    token: str = ""
    at: float = 0.0
    """When it put everything back (Unix seconds, by its own clock)."""
    code: int = 0
    """Exit code of the first thing that failed while it put everything back; 0 where nothing did."""
    said: str = ""
    """The last lines of what was printed then."""
    problem: str = ""
    """Why it could not be armed."""
    boot: str = ""
    """Id of the boot in which it was armed; once it has put everything back, of the boot in which it did."""

    @classmethod
    def from_json(cls, text: str) -> Answer:
        """Raises ValueError where this is no answer."""
        record = json.loads(text)
        if not isinstance(record, dict):
            raise ValueError("no object")
        return cls.of(record)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Answer:
        """Raises ValueError where it does not say what was found."""
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        return cls(**{**known, "found": Found(record.get("found", ""))})

    def told(self) -> str:
        """What it did, in a sentence."""
        when = f" at {time.strftime('%H:%M:%S', time.localtime(self.at))}" if self.at else ""
        if self.code:
            last = self.said.strip().splitlines()[-1:]
            return f"the server put its files back{when}, and then failed (exit code {self.code})" + (
                f": {last[0]}" if last else ""
            )
        anew = next((f" ({line})" for line in self.said.splitlines() if line.endswith(ANEW)), "")
        return f"the server put everything back{when}{anew}"


def put_back_script(orders: Orders, base: str = BASE, units: str = UNITS, systemctl: str = "systemctl") -> str:
    """The script that the timer starts. Needs nothing but sh, coreutils and flock; may be cut off and begun again."""
    lines = [
        "#!/bin/sh",
        f"# Written before step {orders.step} of run {orders.run}, which could have cut this server off.",
        f"cd {shlex.quote(base)} || exit 1",
        "exec 9>lock; flock 9 || exit 1",
        f"grep -Fqs {shlex.quote(orders.token)} armed.json || exit 0",
        "code=0; : > said",
        'failed() { [ "$code" != 0 ] || code=$1; }',
        # A name is taken over in one step, so that a power loss leaves the one or the other there.
        "back() {",
        '    if [ -e "backup$1" ] || [ -L "backup$1" ]; then',
        '        rm -rf -- "$1.homewright" && mkdir -p -- "${1%/*}" && cp -a -- "backup$1" "$1.homewright" || return',
        '        if [ -d "$1" ] && [ ! -L "$1" ]; then rm -rf -- "$1" || return; fi',
        '        mv -fT -- "$1.homewright" "$1"',
        "    else",
        '        rm -rf -- "$1"',
        "    fi",
        "}",
        *(f"back {shlex.quote(path.rstrip('/'))} 2>>said || failed $?" for path in orders.files),
        "sync",
    ]
    if orders.command:
        command = f"timeout {COMMAND_LIMIT_S} sh -c {shlex.quote(orders.command)}"
        lines.append(f"{command} >>said 2>&1 9>&- </dev/null || failed $?")
        lines += _address_back(shlex.quote(systemctl))
    names = {"token": orders.token, "step": orders.step, "run": orders.run}
    record = json.dumps({**names, "boot": "%s", "at": "AT", "code": "CODE"})
    record = record.replace('"AT"', "%s").replace('"CODE"', "%s")
    lines += [
        f'printf {shlex.quote(record)} "$(cat {BOOT_ID})" "$(date +%s)" "$code" > reverted.new',
        "sync reverted.new said",
        # What was done is on the disk before nothing says any more that it has to be.
        "mv -f reverted.new reverted.json && sync . && rm -f armed.json",
        f"rm -f {shlex.quote(f'{units}/timers.target.wants/{UNIT}.timer')}",
        "sync",
    ]
    return "\n".join(lines) + "\n"


def _address_back(systemctl: str) -> list[str]:
    """Lines of shell: the address by which somebody armed this server is there again, or it is told that it is not."""
    return [
        "address=$(cat address 2>/dev/null)",
        'there() { ip -o address | grep -Fq -e " $address/" -e " $address peer "; }',
        "comes() {",
        "    looks=0; good=0",
        f'    while [ -n "$address" ] && [ $good -lt {STEADY_S / LOOK_S:.0f} ]; do',
        f"        [ $looks -lt {ADDRESS_LIMIT_S / LOOK_S:.0f} ] || return 1",
        "        if there; then good=$((good+1)); else good=0; fi",
        f"        looks=$((looks+1)); sleep {LOOK_S}",
        "    done",
        "}",
        "if ! comes; then",
        f'    echo "$address {ANEW}" >>said',
        f"    for unit in {' '.join(NETWORK_SERVICES)}; do",
        f"        {systemctl} -q is-active $unit && timeout 60 {systemctl} restart $unit >>said 2>&1 9>&- </dev/null",
        "    done",
        '    comes || { echo "$address has not come back" >>said; failed 1; }',
        "fi",
    ]


def timer_unit(seconds: float) -> str:
    return (
        "[Unit]\nDescription=Homewright: put back what a step changed, unless it is confirmed\n\n"
        f"[Timer]\nOnActiveSec={max(1, round(seconds))}s\nAccuracySec=1s\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def service_unit(base: str = BASE) -> str:
    return (
        "[Unit]\nDescription=Homewright: put back what a step changed and nobody confirmed\n\n"
        f"[Service]\nType=oneshot\nExecStart=/bin/sh {base}/put-back\n"
    )


def arming(orders: Orders, base: str = BASE, units: str = UNITS, systemctl: str = "systemctl") -> dict[str, object]:
    """The request that arms a server."""
    files = {
        f"{base}/put-back": put_back_script(orders, base, units, systemctl),
        f"{units}/{UNIT}.service": service_unit(base),
        f"{units}/{UNIT}.timer": timer_unit(orders.seconds),
    }
    return {**_request("arm", base, units, systemctl), "orders": asdict(orders), "files": files}


def asking(what: str, token: str = "", base: str = BASE, units: str = UNITS, systemctl: str = "systemctl") -> object:
    """A request to a server that may be armed.

    `look` tells how it is; of the arming of this token `renew` has the time begin anew, `disarm` confirms it, and
    `fire` has the server put everything back now; `forget` removes what it did once that has been read.
    """
    return {**_request(what, base, units, systemctl), "token": token}


def command(request: object) -> Sequence[str]:
    """The words to run as root, with `SCRIPT` on standard input."""
    return ["python3", "-", json.dumps(request)]


def _request(what: str, base: str, units: str, systemctl: str) -> dict[str, object]:
    return {"what": what, "base": base, "units": units, "unit": UNIT, "systemctl": systemctl}


SCRIPT = r"""
import fcntl, json, os, shutil, stat, subprocess, sys, time
asked = json.loads(sys.argv[1])
base, units, unit, what = asked["base"], asked["units"], asked["unit"], asked["what"]
armed, reverted, wants = base + "/armed.json", base + "/reverted.json", units + "/timers.target.wants"

def systemctl(*words):
    done = subprocess.run([asked["systemctl"], *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip() or "exit code %d" % done.returncode

def sync(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    os.fsync(descriptor)
    os.close(descriptor)

def sync_all(top):
    for folder, _, files in os.walk(top, topdown=False):
        for name in files:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                sync(path)
        sync(folder)

def write(path, text):
    with open(path + ".new", "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".new", path)
    sync(os.path.dirname(path))

def remove(path):
    if os.path.lexists(path):
        os.unlink(path)
        sync(os.path.dirname(path))

def read(path):
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None

def answer(found, record=None, **more):
    names = ("step", "run", "token", "at", "code", "boot")
    told = {name: record[name] for name in names if name in (record or {})}
    print(json.dumps({"found": found, **told, **more}))
    sys.exit(0)

def clear():
    remove(armed)
    remove(wants + "/" + unit + ".timer")
    systemctl("stop", unit + ".timer")
    for kind in (".timer", ".service"):
        remove(units + "/" + unit + kind)
    systemctl("daemon-reload")
    shutil.rmtree(base + "/backup", ignore_errors=True)
    for name in ("put-back", "said", "reverted.json", "address"):
        remove(base + "/" + name)

def came_to():
    # Which of this server's addresses the asker's connection came to. sudo hides it from here, not from what is above.
    process = os.getpid()
    while process > 1 and shutil.which("ip"):
        try:
            with open("/proc/%d/environ" % process, errors="replace") as file:
                told = [entry for entry in file.read().split("\0") if entry.startswith("SSH_CONNECTION=")]
            if told:
                return told[0].split()[2].partition("%")[0]
            with open("/proc/%d/stat" % process, errors="replace") as file:
                process = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return ""

def hold(patience):
    lock = os.open(base + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() > until:
                return False
            time.sleep(0.1)

if what == "arm":
    os.makedirs(base, 0o700, exist_ok=True)
elif not os.path.isdir(base):
    answer("none")
if not hold(5 if what in ("arm", "disarm", "renew") else 0.3):
    answer("reverting", read(armed))
if what == "arm":
    with open("/proc/sys/kernel/random/boot_id") as file:
        orders = {**asked["orders"], "boot": file.read().strip()}
    if read(armed) is not None:
        answer("armed", read(armed), problem="it is armed already")
    clear()
    try:
        os.mkdir(base + "/backup", 0o700)
        for path in orders["files"]:
            if os.path.lexists(path.rstrip("/")):
                copy = base + "/backup" + path.rstrip("/")
                os.makedirs(os.path.dirname(copy), exist_ok=True)
                copied = ["cp", "-a", "--", path.rstrip("/"), copy]
                subprocess.run(copied, check=True, capture_output=True, text=True)
        sync_all(base + "/backup")
        write(base + "/address", came_to())
        for path, text in asked["files"].items():
            write(path, text)
        os.makedirs(wants, exist_ok=True)
        os.symlink("../" + unit + ".timer", wants + "/" + unit + ".timer")
        sync(wants)
        sync(units)
        write(armed, json.dumps({**orders, "since": time.time()}))
        sync(os.path.dirname(base))
        problem = systemctl("daemon-reload") or systemctl("restart", unit + ".timer")
    except (OSError, subprocess.CalledProcessError) as error:
        problem = (getattr(error, "stderr", "") or str(error)).strip()
    if problem:
        clear()
        answer("none", problem=problem)
    answer("armed", orders)
record, done = read(armed), read(reverted)
if what == "disarm" and record is not None and record.get("token") == asked["token"]:
    clear()
    answer("disarmed", record)
if what == "renew" and record is not None and record.get("token") == asked["token"]:
    answer("armed", record, problem=systemctl("restart", unit + ".timer"))
if what == "fire" and record is not None and record.get("token") == asked["token"]:
    problem = systemctl("start", "--no-block", unit + ".service")
    answer("armed" if problem else "reverting", record, problem=problem)
if what == "forget" and record is None:
    clear()
    answer("none")
if record is not None:
    answer("armed", record)
if done is not None:
    try:
        with open(base + "/said", errors="replace") as file:
            said = file.read()[-1000:]
    except OSError:
        said = ""
    answer("reverted", done, said=said)
answer("none")
"""
