"""Names of a workspace's parts. Pure: the same pair of user and name gives the same names for ever."""

from __future__ import annotations

import hashlib
import json
import re

from pydantic import ValidationError

from homewright.errors import UsageError
from homewright.workspaces.models import DEFAULT_NAME, Key

SLUG_MAX = 40
"""A StatefulSet's name may have 52 characters (kubernetes#64023), and templates put a prefix in front."""
HASH_DIGITS = 10
USER_MAX = 32
"""A Linux user name (useradd)."""

_PLAIN = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_OTHER = re.compile(r"[^a-z0-9]+")
_USER_PREFIX = "hw-"


def slug(user: str, name: str = DEFAULT_NAME) -> str:
    """The name of a workspace that is safe everywhere: a DNS label of at most 40 characters.

    A user id that is a DNS label already is its own slug (for the default name); every other pair gets a hash over the
    pair, behind three hyphens, which no plain slug contains.
    """
    if name == DEFAULT_NAME and len(user) <= SLUG_MAX and "--" not in user and _PLAIN.fullmatch(user):
        return user
    digest = hashlib.sha256(json.dumps([user, name]).encode()).hexdigest()[:HASH_DIGITS]
    readable = user if name == DEFAULT_NAME else f"{user}-{name}"
    base = _OTHER.sub("-", readable.lower()).strip("-")
    if not base[:1].isalpha():
        base = f"x-{base}".rstrip("-")
    base = base[: SLUG_MAX - HASH_DIGITS - 3].rstrip("-")
    return f"{base}---{digest}"


def system_user(slug: str) -> str:
    """The Linux user of a workspace on its node: at most 32 characters, another one for every slug."""
    if len(_USER_PREFIX) + len(slug) <= USER_MAX:
        return _USER_PREFIX + slug
    digest = hashlib.sha256(slug.encode()).hexdigest()[:HASH_DIGITS]
    # Two hyphens before the hash: a slug as it stands has none before its end, or three.
    return f"{_USER_PREFIX}{slug[: USER_MAX - len(_USER_PREFIX) - HASH_DIGITS - 2].rstrip('-')}--{digest}"


def unit(slug: str) -> str:
    """The systemd unit of a workspace."""
    return f"homewright-workspace-{slug}.service"


def password_secret(slug: str, node: str) -> str:
    """The name of its password among the site's secrets."""
    return f"workspace/{slug}@{node}/password"


def parse_key(text: str, node: str | None = None) -> Key:
    """USER, USER/NAME or USER/NAME@NODE. Without a slash all of it is the user's id, which may hold an @.

    Raises UsageError.
    """
    user, slash, rest = text.partition("/")
    name, at, named_node = rest.partition("@")
    if slash and not name:
        raise UsageError(
            f"{text} names no workspace.", "There is nothing after the slash.", ["write USER or USER/NAME"]
        )
    if at and node and named_node != node:
        raise UsageError(f"{text} is on {named_node}, and --node says {node}.", "", ["name the node once"])
    try:
        return Key(user=user, name=name or DEFAULT_NAME, node=named_node or node)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise UsageError(
            f"{text!r} names no workspace.",
            f"Its {field}: {problem['msg'].removeprefix('Value error, ')}.",
            ["write USER, USER/NAME or USER/NAME@NODE"],
        ) from error


def unfit(text: str) -> str:
    """Why nobody can make a workspace with this as its user or its name; empty where they can.

    One that is there already keeps what it has: what records say is not judged by this.
    """
    if any(character.isspace() for character in text):
        return f"must not contain a space, since commands are typed with it: write {'-'.join(text.split())}"
    return ""


def require_makeable(key: Key) -> Key:
    """The key of a workspace that is to be made. Raises UsageError where its user or its name cannot be taken."""
    for field, text in (("user", key.user), ("name", key.name)):
        if reason := unfit(text):
            why, _, do = reason.partition(": ")
            raise UsageError(f"No workspace {key} is made.", f"Its {field} {why}.", [do])
    return key


ANY_SLUG = "homewright"
"""Every name below a node leads to it: this one stands for them all."""


def host_name(slug: str, node: str, zone: str) -> str:
    """The host name of a node workspace once there is a zone."""
    return f"code-{slug}.{node}.{zone}"


def node_url(host: str, port: int) -> str:
    """Where a node workspace is opened: by its host name, or by the node's address."""
    return f"https://{host}:{port}/"
