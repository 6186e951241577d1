"""The account whose keys open it on every server of the site (stage 00, step 20).

It has no sudo, its keys are good from their own server's address only, and they forward nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homewright.engine.runners.host import Host
from homewright.site.hosts_file import names_of
from homewright.site.models import Server, Site

ACCOUNT = "homewright-peer"
OWNER = f"{ACCOUNT}:{ACCOUNT}"
HOME = "/var/lib/homewright-peer"
ABOUT = "Homewright, keys between servers"
"""The account's full name, by which it is known as ours."""
FOLDER = f"{HOME}/.ssh"
KEY = f"{FOLDER}/id_ed25519"
AUTHORIZED = f"{FOLDER}/authorized_keys"
KNOWN = f"{FOLDER}/known_hosts"
SETTINGS = f"{FOLDER}/config"
_AS_ACCOUNT = f"runuser -u {ACCOUNT} -- "


@dataclass(frozen=True)
class Identity:
    """What one server is to the others."""

    name: str
    address: str
    public: str
    """The account's public key there, without a comment."""
    host_keys: tuple[str, ...]
    """The server's public host keys, without comments."""


def everyone(hosts: Sequence[Host]) -> list[Host]:
    """These hosts and all other servers of the site."""
    return [*hosts, *(peer for peer in hosts[0].peers if not peer.requested)] if hosts else []


def account_exists(host: Host) -> bool:
    return host.run(["getent", "passwd", ACCOUNT], check=False).exit_code == 0


def account_is_ours(host: Host) -> bool:
    fields = host.run(["getent", "passwd", ACCOUNT], check=False).stdout.strip().split(":")
    return len(fields) == 7 and fields[4] == ABOUT and fields[5] == HOME


def make_account(host: Host) -> bool:
    """True where it was not there. Raises PermissionError where one of this name is not ours."""
    if account_is_ours(host):
        return False
    if account_exists(host):
        raise PermissionError(f"The account {ACCOUNT} on {host.name} belongs to somebody else.")
    # The password * lets nobody in by password, and unlike ! does not lock the account for its keys.
    words = ["useradd", "--system", "--user-group", "--home-dir", HOME, "--create-home", "--shell", "/bin/sh"]
    host.run([*words, "--password", "*", "--skel", "/nonexistent", "--comment", ABOUT, ACCOUNT])
    host.run(["chmod", "700", HOME])
    return True


def make_key(host: Host) -> bool:
    """The key is made on its server and never leaves it; true where there was none.

    A power cut while it is made leaves an empty file or half a key: that is made anew.
    """
    whole = f"ssh-keygen -y -P '' -f {KEY} >/dev/null 2>&1"
    right = host.stat(FOLDER) == f"700 {OWNER}" and host.stat(KEY) == f"600 {OWNER}"
    if right and host.run(whole, check=False).exit_code == 0:
        return False
    script = (
        f"set -e; install -d -m 700 -o {ACCOUNT} -g {ACCOUNT} {FOLDER}; "
        f"if [ -e {KEY} ]; then chown {OWNER} {KEY}; chmod 600 {KEY}; fi; "
        f"{whole} || {{ rm -f {KEY} {KEY}.pub; "
        f"{_AS_ACCOUNT}ssh-keygen -q -t ed25519 -N '' -C {ACCOUNT}@{host.name} -f {KEY}; }}; "
        f"sync {KEY} {FOLDER}"
    )
    host.run(script)
    return True


def identity(host: Host) -> Identity:
    """What the others need to know of this server."""
    public = host.run(["ssh-keygen", "-y", "-f", KEY]).stdout.split()
    lines = host.run("cat /etc/ssh/ssh_host_*_key.pub").stdout.splitlines()
    host_keys = tuple(sorted(" ".join(line.split()[:2]) for line in lines if line.strip()))
    return Identity(host.name, host.address, " ".join(public[:2]), host_keys)


def authorized(identities: Iterable[Identity], kept: Sequence[str] = ()) -> str:
    """authorized_keys: each server's key, good from that server's address alone, and for no forwarding."""
    lines = [f'restrict,from="{one.address}" {one.public} {ACCOUNT}@{one.name}' for one in identities]
    return "".join(f"{line}\n" for line in sorted([*lines, *kept]))


def known_hosts(site: Site, identities: Iterable[Identity], kept: Sequence[str] = ()) -> str:
    """known_hosts: every server by name and by address."""
    lines = [f"{patterns_of(site, site.server(one.name))} {key}" for one in identities for key in one.host_keys]
    return "".join(f"{line}\n" for line in sorted([*lines, *kept]))


def patterns_of(site: Site, server: Server) -> str:
    names = [*names_of(site, server.name), server.address]
    return ",".join(name if server.port == 22 else f"[{name}]:{server.port}" for name in names)


def client_settings(site: Site) -> str:
    """The account's ssh_config: strict, and each server's port."""
    blocks = ["Host *", "    StrictHostKeyChecking yes", "    BatchMode yes", f"    IdentityFile {KEY}"]
    for server in site.servers:
        if server.port != 22:
            blocks += [f"Host {' '.join([*names_of(site, server.name), server.address])}", f"    Port {server.port}"]
    return "\n".join(blocks) + "\n"


def comment_of(line: str) -> str:
    """Whose key a line of authorized_keys is: the server's name."""
    return line.rsplit(" ", 1)[-1].removeprefix(f"{ACCOUNT}@")


def lines_of(text: bytes | None, servers: Sequence[str]) -> list[str]:
    """The lines of authorized_keys for these servers."""
    return [line for line in (text or b"").decode().splitlines() if comment_of(line) in servers]


def lines_about(text: bytes | None, site: Site, servers: Sequence[str]) -> list[str]:
    """The lines of known_hosts about these servers."""
    patterns = {patterns_of(site, site.server(name)) for name in servers}
    return [line for line in (text or b"").decode().splitlines() if line.split(" ", 1)[0] in patterns]


def unguarded(text: str, site: Site) -> str:
    """A line of authorized_keys that is not limited as it should be; empty where all are."""
    addresses = {server.name: server.address for server in site.servers}
    for line in text.splitlines():
        name = comment_of(line)
        if not line.startswith(f'restrict,from="{addresses.get(name, "")}" ssh-ed25519 '):
            return line
    return ""


def may_use_sudo(host: Host) -> bool:
    """What sudo itself says of the account."""
    if host.run("command -v sudo", check=False).exit_code != 0:
        return False
    told = host.run(f"LC_ALL=C sudo -n -l -U {ACCOUNT} 2>&1", check=False).stdout
    return "not allowed to run sudo" not in told


def remove_account(host: Host) -> bool:
    """True where there was something of ours to remove."""
    there = account_is_ours(host)
    if there:
        # userdel refuses while one of the account's processes is still on its way out.
        gone = f"n=0; while pkill -KILL -u {ACCOUNT} && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done"
        host.run(f"{gone}; userdel {ACCOUNT}")
        host.run(f"getent group {ACCOUNT} >/dev/null && groupdel {ACCOUNT}", check=False)
    if there or (host.exists(HOME) and not account_exists(host)):
        host.remove(HOME)
        return True
    return False
