"""An account without sudo on every server whose key opens it on every server: all to all, by name and by address."""

from collections.abc import Sequence

from homewright.engine.runners.host import Host, together
from homewright.stages import peer_keys as keys


def run_all(hosts: Sequence[Host]) -> None:
    everyone = keys.everyone(hosts)
    identities = together(everyone, _prepare)
    missing = [host for host in everyone if host.name not in identities]
    for host in hosts:
        for absent in missing:
            host.say(f"{absent.name} could not be prepared, so its key is not handed out: {absent.error}")
    together(everyone, lambda host: _hand_out(host, list(identities.values()), [host.name for host in missing]))


def _prepare(host: Host) -> keys.Identity:
    with host.task("Account and key") as task:
        task.changed = keys.make_account(host)
        task.changed |= keys.make_key(host)
        return keys.identity(host)


def _hand_out(host: Host, identities: list[keys.Identity], missing: list[str]) -> None:
    with host.task("Keys of all servers") as task:
        kept = keys.lines_of(host.read(keys.AUTHORIZED), missing)
        wanted = keys.authorized(identities, kept)
        task.changed = host.write(keys.AUTHORIZED, wanted.encode(), mode=0o600, owner=keys.OWNER)
        kept = keys.lines_about(host.read(keys.KNOWN), host.site, missing)
        wanted = keys.known_hosts(host.site, identities, kept)
        task.changed |= host.write(keys.KNOWN, wanted.encode(), mode=0o644, owner=keys.OWNER)
        wanted = keys.client_settings(host.site)
        task.changed |= host.write(keys.SETTINGS, wanted.encode(), mode=0o644, owner=keys.OWNER)
