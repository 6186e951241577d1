"""What `homewright trust --json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from homewright.access.trust import Trusted
from homewright.errors import HomewrightError


class Problem(BaseModel):
    """An error in its three parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    what: str
    why: str
    do: tuple[str, ...]


class TrustedHost(BaseModel):
    """One server after first contact."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    host: str
    trusted: bool
    already: bool = False
    """It was trusted before, which was proved again."""
    key_type: str = ""
    fingerprint: str = ""
    sudo: Literal["", "root", "passwordless", "sudoers-file"] = ""
    error: Problem | None = None


class TrustDocument(BaseModel):
    """Every server that first contact was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    hosts: tuple[TrustedHost, ...] = ()


def document(outcomes: Mapping[str, Trusted | HomewrightError]) -> TrustDocument:
    """The outcomes as one document, in their order."""
    return TrustDocument(hosts=tuple(_host(name, outcome) for name, outcome in outcomes.items()))


def _host(name: str, outcome: Trusted | HomewrightError) -> TrustedHost:
    if isinstance(outcome, HomewrightError):
        problem = Problem(code=outcome.code, what=outcome.what, why=outcome.why, do=outcome.do)
        return TrustedHost(host=name, trusted=False, error=problem)
    return TrustedHost(
        host=name,
        trusted=True,
        already=outcome.already,
        key_type=outcome.key_type,
        fingerprint=outcome.fingerprint,
        sudo=outcome.sudo,
    )
