"""The secrets that somebody types: what each is for, what becomes of the platform without it, and its shape.

None is mandatory. A token is judged by its shape alone, offline: a typing mistake or the wrong kind of key is told
at once, whether the account still honours it only when a stage uses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from homewright.site.passwords import strength

ADMINISTRATOR = "platform/administrator-password"
ZEROTIER = "overlay/zerotier-token"
CLOUDFLARE = "tls/cloudflare-token"
GITHUB = "accounts/github-token"
HUGGING_FACE = "accounts/hugging-face-token"


@dataclass(frozen=True)
class Shape:
    """One form that a value may have, or that is a well-known mistake (`wrong` says which)."""

    pattern: str
    wrong: str = ""


@dataclass(frozen=True)
class Account:
    """A secret that is asked for."""

    name: str
    """What it is called in the secrets and on the command line."""
    title: str
    purpose: str
    without: str
    """What is left out while there is none."""
    where: str
    """Where it is made."""
    looks: str
    """Its shape in words."""
    shapes: tuple[Shape, ...] = ()


ACCOUNTS = (
    Account(
        GITHUB,
        "GitHub token",
        "the GitHub command line on the servers, and private repositories in workspaces",
        "the step that sets up GitHub's command line is skipped",
        "github.com/settings/tokens",
        "ghp_… or github_pat_…",
        (
            Shape(r"ghp_[A-Za-z0-9]{36,251}"),
            Shape(r"github_pat_[A-Za-z0-9_]{22,244}"),
            Shape(r"gh[ours]_.*", "is a token of an app or a sign-in, which ends by itself: make a personal one"),
            Shape(r"[0-9a-f]{40}", "is a token of the old kind, which GitHub no longer makes: make a new one"),
        ),
    ),
    Account(
        HUGGING_FACE,
        "Hugging Face token",
        "models that ask for an account",
        "models that ask for an account are not fetched",
        "huggingface.co/settings/tokens",
        "hf_…",
        (Shape(r"hf_[A-Za-z0-9]{30,60}"), Shape(r"api_[A-Za-z0-9]+", "is of the old kind: make a new one, hf_…")),
    ),
    Account(
        CLOUDFLARE,
        "Cloudflare token",
        "certificates of Let's Encrypt: it proves by DNS that the zone is yours",
        "the site's private authority signs the certificates",
        "dash.cloudflare.com/profile/api-tokens, template Edit zone DNS",
        "40 characters, or cfut_… or cfat_…",
        (
            # developers.cloudflare.com/fundamentals/api/get-started/token-formats
            Shape(r"cf[ua]t_[A-Za-z0-9_-]{40,64}"),
            Shape(r"cfk_.*|[0-9a-f]{37}", "is the Global API Key, which may do everything: make a token for the zone"),
            Shape(r"[A-Za-z0-9_-]{40}"),
        ),
    ),
    Account(
        ZEROTIER,
        "ZeroTier token",
        "joining the servers to your ZeroTier network, each with a fixed address",
        "the overlay is skipped: the platform is reached in the LAN alone",
        "my.zerotier.com/account",
        "32 letters and digits",
        (
            Shape(r"[A-Za-z0-9]{32}"),
            Shape(r"[0-9a-f]{16}", "is a network id: it belongs in the field network id"),
            Shape(r"[0-9a-f]{10}", "is the address of a node, not a token"),
        ),
    ),
)

ADMINISTRATORS_PASSWORD = Account(
    ADMINISTRATOR,
    "administrator's password",
    "signing in to the platform as its administrator",
    "there is none yet: type one, or have one made",
    "",
    "at least 12 characters",
)
TYPED = (*ACCOUNTS, ADMINISTRATORS_PASSWORD)
"""All secrets that somebody may type."""


def account(name: str) -> Account | None:
    """The secret of this name among those that may be typed."""
    return next((one for one in TYPED if one.name == name), None)


def reason(one: Account, value: str) -> str:
    """Why a value cannot be this secret; empty where it can. The value itself is never in it."""
    if not value:
        return "this is needed"
    if one is ADMINISTRATORS_PASSWORD:
        return strength(value).reason
    if value != value.strip() or re.search(r"\s", value):
        return "has a blank in it"
    for shape in one.shapes:
        if re.fullmatch(shape.pattern, value):
            return shape.wrong
    return f"does not look like one: {one.looks} ({len(value)} characters were typed)"
