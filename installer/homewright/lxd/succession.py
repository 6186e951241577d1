"""A site that was taken over shows LXD another certificate, and the one before is taken from LXD's list.

It was shared by all who looked after the site, and LXD asks for nothing else: whoever has it is root in every instance.
Told over SSH, to the root of a server, which needs no certificate: there is a way in whatever is cut off in between.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable
from enum import StrEnum

from homewright.errors import HomewrightError
from homewright.lxd.identity import OWNER, SECRET, Identity, make
from homewright.site.secrets import Secrets

RETIRED = "lxd/retired"
"""Among the site's secrets: fingerprints of certificates that LXD has to forget, until it has."""
_ASK_S = 30
"""A cluster without its majority answers nothing, and holds nobody up for longer."""
_OWN = "PATH=$PATH:/snap/bin; export LXD_CONF=$(mktemp -d); trap 'rm -rf \"$LXD_CONF\"' EXIT"
"""lxc would keep settings of its own in root's home."""
DATA = ("/var/snap/lxd/common/lxd/database", "/var/lib/lxd/database")
"""Where an LXD has its list, whether it is up or not: the snap's, and Debian's package."""

Run = Callable[[str], str]
"""Runs a shell command on a server as root; its standard output. Raises HomewrightError where it fails."""


class Settled(StrEnum):
    """What one server says of the certificates that LXD has to forget."""

    NONE = "none"
    """It has none of them, or no LXD."""
    DONE = "done"
    """It had one. The whole cluster has one list."""
    AWAY = "away"
    """It could not be asked."""


def replace(secrets: Secrets) -> None:
    """Another certificate for the site; what is the site's in LXD stays so. Does nothing where there was none yet.

    Raises StateError.
    """
    if secrets.get(SECRET) is None:
        return
    before = Identity.of(secrets)
    retired = {*(secrets.get(RETIRED) or "").split(), before.fingerprint}
    secrets.set(OWNER, before.owner)
    secrets.set(RETIRED, " ".join(sorted(retired)))
    secrets.set(SECRET, make())


def settle(run: Run, secrets: Secrets) -> Settled:
    """See that LXD on a server trusts the site's certificate in place of those before it. Raises StateError.

    An LXD that knew none of ours is somebody else's, and told nothing.
    """
    retired = set((secrets.get(RETIRED) or "").split())
    if not retired:
        return Settled.NONE
    who = Identity.of(secrets)
    try:
        known = _listed(run)
        ours = sorted(known & retired)
        if not ours:
            return Settled.NONE
        if who.fingerprint not in known:
            body = json.dumps({"type": "client", "name": "homewright", "certificate": who.body})
            run(f"{_OWN}; timeout {_ASK_S} lxc query -X POST -d {shlex.quote(body)} /1.0/certificates")
        for one in ours:
            run(f"{_OWN}; timeout {_ASK_S} lxc query -X DELETE /1.0/certificates/{one}")
        known = _listed(run)
    except (HomewrightError, ValueError, KeyError, TypeError):
        return Settled.AWAY
    if known & retired or who.fingerprint not in known:
        return Settled.AWAY
    secrets.delete(RETIRED)
    return Settled.DONE


def settle_all(servers: Iterable[Run], secrets: Secrets) -> bool:
    """Ask one server after the other until LXD has forgotten; whether nothing is left to be done. Raises StateError."""
    answers = []
    for run in servers:
        answers.append(settle(run, secrets))
        if answers[-1] is Settled.DONE:
            return True
    if Settled.AWAY in answers:
        return False
    secrets.delete(RETIRED)
    return True


def _listed(run: Run) -> set[str]:
    return {str(one["fingerprint"]) for one in json.loads(run(list_command()))}


def list_command() -> str:
    """What tells LXD's list of certificates as JSON; an empty one where no LXD is.

    It looks for LXD's data first: Ubuntu's lxc(1) may stand in for an LXD that is not there, and installs it when it
    is called. One that is there and down is asked, so that nobody takes its silence for an empty list.
    """
    none = " && ".join(f"[ ! -d {folder} ]" for folder in DATA)
    asks = f"timeout {_ASK_S} lxc query /1.0/certificates?recursion=1"
    return f"{_OWN}; if {{ {none}; }} || ! command -v lxc >/dev/null; then echo '[]'; exit 0; fi; {asks}"
