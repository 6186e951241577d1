"""What a server's network is now, for the bridge of stage 10: asked by one script, on the server's own Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from homewright.engine.runners.host import Host
from homewright.stages.bridge import MARK, Seen
from homewright.stages.netplan import Link

# Runs on the server, on its own Python 3.8 or later and nothing else.
SCRIPT = r"""
import glob, json, os, subprocess, sys


def out(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")


def text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def link(one):
    name, info = one["ifname"], one.get("linkinfo", {})
    place, data = "/sys/class/net/" + name, info.get("info_data", {})
    device = place + "/device/driver"
    plain = info.get("info_kind", "") in ("", "veth", "bond", "vlan", "bridge")
    said = out("networkctl", "status", "--no-pager", "--lines=0", name) if plain and name != "lo" else ""
    files = [line.split(":", 1)[1].strip() for line in said.splitlines() if line.strip().startswith("Network File:")]
    return {
        "name": name,
        "kind": info.get("info_kind", ""),
        "mac": one.get("address", ""),
        "master": one.get("master", ""),
        "carrier": "LOWER_UP" in one.get("flags", ()),
        "wireless": os.path.exists(place + "/wireless") or os.path.exists(place + "/phy80211"),
        "driver": os.path.basename(os.path.realpath(device)) if os.path.exists(device) else "",
        "addresses": [
            "%s/%d" % (a["local"], a["prefixlen"]) for a in one.get("addr_info", ()) if a.get("family") == "inet"
        ],
        "network_file": files[0] if files and files[0].startswith("/") else "",
        "stp": int(data.get("stp_state", 0)),
        "forward_delay": int(data.get("forward_delay", 0)),
    }


routes = sorted(json.loads(out("ip", "-j", "-4", "route", "show", "default") or "[]"), key=lambda r: r.get("metric", 0))
first = routes[0] if routes else {}
uplink = text("/run/systemd/resolve/resolv.conf") or text("/etc/resolv.conf")
names = [line.split()[1] for line in uplink.splitlines() if line.startswith("nameserver") and len(line.split()) > 1]
paths = [path for folder in ("/etc", "/run", "/lib") for path in sorted(glob.glob(folder + "/netplan/*.yaml"))]
manager = "NetworkManager" if out("systemctl", "is-active", "NetworkManager").strip() == "active" else ""
ifupdown = any(line.split()[:1] == ["iface"] and line.split()[1:2] != ["lo"] for line in
               text("/etc/network/interfaces").splitlines())
print(json.dumps({
    "links": [link(one) for one in json.loads(out("ip", "-j", "-d", "addr") or "[]") if "ifname" in one],
    "gateway": first.get("gateway", ""),
    "gateway_link": first.get("dev", ""),
    "resolvers": [name for name in names if ":" not in name and not name.startswith("127.")],
    "files": {path: text(path) for path in paths},
    "mark": text(sys.argv[1]).strip(),
    "netplan": any(os.path.exists(place + "/netplan") for place in ("/usr/sbin", "/usr/bin", "/sbin")),
    "networkd": out("systemctl", "is-active", "systemd-networkd").strip() == "active",
    "manager": manager or ("ifupdown" if ifupdown else ""),
    "cloud_init": os.path.isdir("/etc/cloud/cloud.cfg.d") and not os.path.exists("/etc/cloud/cloud-init.disabled"),
}))
"""

# Asks by ARP, as RFC 5227 says: with no address of its own, so that nobody's table is changed by the question.
ASK = r"""
import json, socket, struct, sys, time

interface, tries, wait, wanted = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
with open("/sys/class/net/%s/address" % interface) as file:
    own = bytes.fromhex(file.read().strip().replace(":", ""))
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
raw.bind((interface, 0x0806))
raw.settimeout(0.1)
said = {}
for _ in range(tries):
    for address in wanted:
        if address not in said:
            ask = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, own, bytes(4), bytes(6), socket.inet_aton(address))
            raw.send(b"\xff" * 6 + own + b"\x08\x06" + ask)
    until = time.monotonic() + wait
    while time.monotonic() < until and len(said) < len(wanted):
        try:
            frame = raw.recv(64)
        except (socket.timeout, BlockingIOError):
            continue
        operation, mac, address = struct.unpack("!H6s4s", frame[20:32])
        name = socket.inet_ntoa(address)
        if operation == 2 and mac != own and name in wanted:
            said[name] = ":".join("%02x" % byte for byte in mac)
    if len(said) == len(wanted):
        break
print(json.dumps(said))
"""


def look(host: Host) -> Seen:
    """The server's network. Raises as `Host.run` does, ValueError where the server told something else."""
    return seen(json.loads(host.run(["python3", "-c", SCRIPT, MARK]).stdout))


def seen(told: Mapping[str, Any]) -> Seen:
    """What the script printed."""
    links = (Link(**{**one, "addresses": tuple(one["addresses"])}) for one in told["links"])
    rest = {key: value for key, value in told.items() if key not in ("links", "resolvers")}
    return Seen(links={link.name: link for link in links}, resolvers=tuple(told["resolvers"]), **rest)


def who_has(
    host: Host, interface: str, addresses: Sequence[str], *, tries: int = 3, wait: float = 0.7
) -> dict[str, str]:
    """The hardware address of each of these IPv4 addresses that another machine answers for.

    Ends as soon as all have answered; `wait` is in seconds, for each of the tries. On a LAN answers take milliseconds.
    """
    if not addresses:
        return {}
    asked = ["python3", "-c", ASK, interface, str(tries), str(wait), *addresses]
    told = json.loads(host.run(asked).stdout)
    return {str(address): str(mac) for address, mac in told.items()}
