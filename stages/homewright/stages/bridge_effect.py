"""Carrying the bridge of stage 10 out on a server: files that a power loss leaves whole, then systemd-networkd."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from homewright.engine.runners.host import Host
from homewright.errors import HomewrightError
from homewright.stages.bridge import BRIDGE, CLOUD, FILE, MARK, Refused, Seen, Wanted, own_addresses
from homewright.stages.network_look import who_has

WAIT_S = 15
"""How long the address may take to appear where it belongs; on practice servers it takes half a second."""
ANEW_S = 7
"""After which networkd is started anew, once: 252 says "configured" without an address now and then."""

SETTLE = f"""\
units() {{ cat /run/systemd/network/10-netplan-* 2>/dev/null | cksum; }}
before=$(units)
netplan generate
if [ -e {MARK} ] && [ ! -e {FILE} ]; then
  networkctl reload
  [ ! -d /sys/class/net/{BRIDGE}/bridge ] || ip link delete {BRIDGE}
  rm -f {MARK}
else
  for port in $(ls /sys/class/net/{BRIDGE}/brif 2>/dev/null); do
    file=$(networkctl status --no-pager --lines=0 "$port" 2>/dev/null | sed -n 's/^ *Network File: //p')
    case $file in /*) grep -qx Bridge={BRIDGE} "$file" 2>/dev/null || ip link set "$port" nomaster;; esac
  done
  networkctl reload
fi
if [ -e {FILE} ] && [ -e {MARK} ]; then
  port=$(cat {MARK})
  ip -4 route flush dev "$port"
  ip -4 address flush dev "$port"
  if [ "$before" = "$(units)" ] && [ -d /sys/class/net/{BRIDGE} ]; then networkctl reconfigure {BRIDGE} "$port"; fi
fi
if [ -e {FILE} ] && [ -d /sys/class/net/{BRIDGE}/bridge ]; then
  ip link set {BRIDGE} type bridge stp_state 0
  ip link set {BRIDGE} type bridge forward_delay 0
fi
"""
"""Makes the network be what the files say, whichever way they were changed. The same stands in stage.yaml, where the
server itself does it when nobody could confirm the bridge. It deletes no br0 that is not ours.

The bridge goes once networkd knows the files without it: an interface that loses its bridge is set up anew at once, by
what networkd 252 knows then. That was the bridge that was just going: "Failed to set master interface", and the server
stayed without an address (seen on two servers, twice).

An interface that the bridge had before is let go of before another one is taken: networkd leaves it where it is, and
two ports on one cable are a loop. What has no file of networkd's, an instance's end, stays.

What the files changed is set up anew by `networkctl reload` alone. A `reconfigure` on top of that, in the same instant,
made systemd 252 lose the address that it had just got (seen once in four on practice servers); so that is for what was
changed in the kernel past the files."""


class NotSettled(HomewrightError):
    """The network did not become what the files say."""

    code = "bridge"


def refuse_conflicts(host: Host, seen: Seen, wanted: Wanted) -> None:
    """Ask on the wire before anything is changed. Raises Refused where the gateway is silent or the address taken."""
    address = wanted.address.partition("/")[0]
    asked = [address, *([wanted.gateway] if wanted.gateway else [])]
    found = who_has(host, wanted.asked_on(seen), asked)
    if address in found and found[address].lower() not in {wanted.mac.lower(), *own_addresses(seen)}:
        raise Refused(
            f"{host.name} can have no bridge br0: another machine ({found[address]}) has {address} too.",
            "Nothing was changed.",
            ["give one of them another address", f"find it: ip neigh, or the router's list, for {found[address]}"],
        )
    if wanted.gateway and wanted.gateway not in found:
        raise Refused(
            f"{host.name} can have no bridge br0: nobody answers at the gateway {wanted.gateway} on {wanted.nic}.",
            "Nothing was changed.",
            [
                "correct the gateway: homewright site set network.gateway …",
                f"or the interface, if {wanted.nic} is the wrong one: homewright site set servers.… nic …",
            ],
        )


def write(host: Host, files: Mapping[str, str]) -> bool:
    """Write the files, the bridge's own first: whatever is cut off, it wins over those that it replaces."""
    changed = False
    for path in sorted(files, key=lambda path: path != FILE):
        mode = 0o644 if path == CLOUD else int((host.stat(path) or "600 ").split()[0], 8) if path != FILE else 0o600
        changed |= host.write(path, files[path].encode(), mode=mode)
    return changed


def settle(host: Host, port: str, address: str, *, on: str) -> None:
    """Have the network be what the files say, and wait until the address is `on` that interface.

    Raises NotSettled, and what `Host.run` raises: where the bridge is wrong, this connection is the first to know.
    """
    there = f"ip -4 -o addr show dev {shlex.quote(on)} 2>/dev/null | grep -qF ' {address.partition('/')[0]}/'"
    anew = f'[ "$n" != {ANEW_S * 10} ] || systemctl restart systemd-networkd'
    wait = f'n=0; until {there}; do n=$((n + 1)); {anew}; [ "$n" -lt {WAIT_S * 10} ] || exit 44; sleep 0.1; done'
    if on == BRIDGE:
        host.run(f"printf '%s\\n' {shlex.quote(port)} >{MARK}; sync {MARK} /var/lib/homewright")
    done = host.run(f"set -e\n{SETTLE}{wait}", timeout=WAIT_S + 10, check=False)
    if done.exit_code == 44:
        raise NotSettled(
            f"{address} did not come to {on} of {host.name} within {WAIT_S} s.",
            "systemd-networkd did not do what netplan's files say.",
            ["see why: sudo journalctl -u systemd-networkd -n 30; sudo netplan generate"],
        )
    if done.exit_code != 0:
        raise NotSettled(
            f"The network of {host.name} could not be set up anew.",
            (done.stderr or done.stdout).strip().splitlines()[-1] if (done.stderr or done.stdout).strip() else "",
            ["see why: sudo netplan generate; sudo journalctl -u systemd-networkd -n 30"],
        )
