"""The environment file of a server: facts of the site, no secrets. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from homewright.site.models import Site

FOLDER = "/etc/homewright"
FILE = f"{FOLDER}/environment"
HOOK = "/etc/profile.d/homewright.sh"
HOOK_TEXT = f"""# Kept by Homewright: every login shell knows the site.
if [ -r {FILE} ]; then
    set -a
    . {FILE}
    set +a
fi
"""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_ours(text: str) -> bool:
    """Whether a file of ours, by its name, is ours by its content too."""
    return text.startswith("# Kept by Homewright")


def venv_of(site: Site, server: str) -> str:
    """Where the Python environment of a server is (stage 00, step 40)."""
    user = site.server(server).user
    home = "/root" if user == "root" else f"/home/{user}"
    return site.host_venv.folder or f"{home}/.venv"


def text(site: Site, server: str, groups: Iterable[str]) -> str:
    """The file for one server: lines that a shell and systemd's EnvironmentFile both read.

    Raises ValueError where an extra line of the site cannot be written so.
    """
    this = site.server(server)
    roles = set(groups) | ({"master"} if site.master == this else set())
    return _text(site, this.name, this.address, roles, {"HOMEWRIGHT_VENV": venv_of(site, server)})


def text_of_instance(site: Site, name: str, address: str, groups: Iterable[str]) -> str:
    """The file for an instance. Raises as `text`."""
    return _text(site, name, address, groups, {})


def _text(site: Site, name: str, address: str, roles: Iterable[str], more: Mapping[str, str]) -> str:
    values = {
        "HOMEWRIGHT_SITE_NAME": site.name,
        "HOMEWRIGHT_ZONE": site.zone or "",
        "HOMEWRIGHT_HOST": name,
        "HOMEWRIGHT_ADDRESS": address,
        "HOMEWRIGHT_SERVERS": " ".join(f"{one.name}={one.address}" for one in site.servers),
        "HOMEWRIGHT_ROLES": " ".join(sorted(set(roles))),
        "HOMEWRIGHT_DATA_ROOT": site.workspaces.data_root,
        "HOMEWRIGHT_DATA_GROUP": site.workspaces.data_group,
        **more,
    }
    for variable, value in site.environment.items():
        if not _NAME.fullmatch(variable) or variable in values:
            raise ValueError(f"environment: {variable!r} cannot be the name of a variable here")
        if "\n" in value or "\r" in value:
            raise ValueError(f"environment: the value of {variable} has more than one line")
        values[variable] = value
    lines = [f"{variable}={shlex.quote(value)}" for variable, value in values.items()]
    return "\n".join(["# Kept by Homewright. Facts of the site; no secrets.", *lines]) + "\n"
