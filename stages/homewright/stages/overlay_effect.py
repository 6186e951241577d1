"""A server in the overlay: ZeroTier installed, the network joined, and left again."""

from __future__ import annotations

import json
import shlex
from typing import Any

from homewright.engine.runners.host import Host
from homewright.planning.networks import propose
from homewright.planning.zone import overlay_addresses
from homewright.site.accounts import ZEROTIER
from homewright.stages import packages, zerotier
from homewright.stages.zerotier import Central, OverlayError

PACKAGE = "zerotier-one"
UNIT = "zerotier-one.service"
KEY = "/etc/apt/keyrings/homewright-zerotier.asc"
SOURCE = "/etc/apt/sources.list.d/homewright-zerotier.list"
HOME = "/var/lib/zerotier-one"
KEYS_URL = "https://raw.githubusercontent.com/zerotier/ZeroTierOne/main/doc/contact%40zerotier.com.gpg"
REPOSITORY = "https://download.zerotier.com/debian"
JOIN_S = 90
NONE = "or do without an overlay: homewright site set network.overlay.kind none"
_KNOWN = "apt-cache show zerotier-one >/dev/null 2>&1"
_FETCH = (
    "import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1], timeout=20).read(65536))"
)


def central(host: Host) -> Central:
    """The account's API. Raises OverlayError where the site has no token."""
    token = host.secrets.get(ZEROTIER)
    if token is None:
        raise OverlayError(
            "There is no ZeroTier token.",
            "Without it nobody lets the servers in.",
            [f"homewright site secret set {ZEROTIER}", NONE],
        )
    return Central(token)


def network_of(host: Host) -> str:
    """The site's ZeroTier network. Raises OverlayError where it has none."""
    network = host.site.network.overlay.network_id
    if network is None:
        raise OverlayError(
            "The site has no ZeroTier network.", "", ["homewright site set network.overlay.network_id …"]
        )
    return network


def networks_of(host: Host) -> list[str]:
    """The networks that this server was brought into: the site's, and the one that was the site's at first."""
    found = (host.site.network.overlay.network_id, host.capture.get("network"))
    return [one for one in dict.fromkeys(found) if one and one not in host.capture.get("networks", (one,))]


def addresses(host: Host) -> dict[str, str]:
    """The fixed address of every server there."""
    return overlay_addresses(host.site, propose(host.site, host.facts).network("overlay"))


def install(host: Host) -> None:
    """ZeroTier, from what apt knows, else from its maker's repository with the key that its maker names."""
    with host.task("ZeroTier") as task:
        # From the site's mirror packages come alone: what the server's own lists know is not asked then.
        wanting = PACKAGE not in packages.installed(host) and not host.site.mirror.apt
        if wanting and host.run(_KNOWN, check=False).exit_code != 0:
            _add_repository(host)
            task.changed = True
        task.changed |= packages.install(host, [PACKAGE])
        state = host.run(f"systemctl is-active {UNIT}; systemctl is-enabled {UNIT}; true").stdout.split()
        if state != ["active", "enabled"]:
            host.run(f"systemctl enable --quiet --now {UNIT}")
            task.changed = True


def _add_repository(host: Host) -> None:
    system = host.run(". /etc/os-release; echo $ID $VERSION_CODENAME").stdout.split()
    fetched = host.run(["python3", "-I", "-c", _FETCH, KEYS_URL], sudo=False, timeout=40, check=False)
    if len(system) != 2 or system[0] not in ("debian", "ubuntu") or fetched.exit_code != 0:
        said = fetched.stderr.strip().rpartition("\n")[2] if fetched.exit_code else f"It is {' '.join(system)}."
        raise OverlayError(
            f"There is no ZeroTier for {host.name}: apt knows no {PACKAGE}, and its maker's repository is not reached.",
            said,
            ["name a mirror that has it: homewright site set mirror.apt …", NONE],
        )
    found = zerotier.fingerprint(fetched.stdout_bytes)
    if found != zerotier.FINGERPRINT:
        raise OverlayError(
            f"The key of ZeroTier's packages is another one ({found or 'no key at all'}).",
            f"{zerotier.FINGERPRINT} was expected from {KEYS_URL}.",
            ["look for news of it at zerotier.com before you install anything"],
        )
    host.run(["mkdir", "-p", "-m", "755", KEY.rpartition("/")[0]])
    host.write(KEY, fetched.stdout_bytes)
    host.write(SOURCE, f"deb [signed-by={KEY}] {REPOSITORY}/{system[1]} {system[1]} main\n".encode())
    host.show("apt-get -q update -o DPkg::Lock::Timeout=120", timeout=300)


def node(host: Host) -> str:
    """The id of this server's ZeroTier; empty where it does not run."""
    words = host.run("zerotier-cli info 2>/dev/null; true").stdout.split()
    return words[2] if len(words) > 2 and words[0] == "200" else ""


def status(host: Host, network: str) -> tuple[str, list[str]]:
    """Its status in the network, and its addresses there."""
    return zerotier.joined(host.run("zerotier-cli -j listnetworks 2>/dev/null; true").stdout, network)


def join(host: Host, network: str, address: str) -> None:
    """Join and wait until the address is there; the network lets it in meanwhile. Raises CommandFailed."""
    with host.task("Overlay") as task:
        if not status(host, network)[0]:
            host.run(["zerotier-cli", "join", network])
            task.changed = True
        there = f"zerotier-cli -j listnetworks | tr -d ' \\n' | grep -q {shlex.quote(f'{address}/')}"
        host.run(
            f"for n in $(seq {JOIN_S}); do {there} && exit 0; sleep 1; done; zerotier-cli listnetworks >&2; exit 1",
            timeout=JOIN_S + 30,
        )


def capture(host: Host) -> dict[str, Any]:
    """What leaving it needs to know of the server before."""
    said = host.run("zerotier-cli -j listnetworks 2>/dev/null; true").stdout
    try:
        networks = [str(one.get("id", one.get("nwid"))) for one in json.loads(said or "[]")]
    except ValueError:
        networks = []
    users = host.run("getent passwd zerotier-one >/dev/null && echo yes; true").stdout.strip() == "yes"
    folders = [folder for folder in (KEY.rpartition("/")[0], HOME) if host.exists(folder)]
    own = host.site.network.overlay.network_id
    return {
        "network": own,
        "networks": networks,
        "packages": packages.installed(host),
        "folders": folders,
        "account": users,
    }


def leave(host: Host) -> str:
    """Leave our networks and take ZeroTier away where it was not there before; the id that it had."""
    if "networks" not in host.capture:
        return ""  # taken back before, or never begun: what is there by now is not ours
    was = node(host)
    with host.task("No overlay") as task:
        for network in networks_of(host):
            if was and status(host, network)[0]:
                host.run(["zerotier-cli", "leave", network])
                task.changed = True
        if PACKAGE not in host.capture.get("packages", (PACKAGE,)):
            task.changed |= packages.remove(host, [PACKAGE], host.capture["packages"])
            for path in (SOURCE, KEY, *(() if HOME in host.capture.get("folders", ()) else (HOME,))):
                task.changed |= host.remove(path)
            folder = KEY.rpartition("/")[0]
            if folder not in host.capture.get("folders", ()):
                host.run(f"rmdir {folder} 2>/dev/null; true")
            if not host.capture.get("account", True):
                gone = "! getent {0} zerotier-one >/dev/null || {1} zerotier-one"
                host.run(f"{gone.format('passwd', 'userdel')}; {gone.format('group', 'groupdel')}")
    return was
