"""What `homewright trust --json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    model_config = ConfigDict(frozen=True, extra="forbid")

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


def removal(hosts: Sequence[str], errors: Mapping[str, HomewrightError]) -> TrustDocument:
    """What `homewright trust --remove --json` prints: where it failed, a server may still be trusted."""
    return TrustDocument(
        hosts=tuple(TrustedHost(host=name, trusted=name in errors, error=_problem(errors.get(name))) for name in hosts)
    )


def _problem(error: HomewrightError | None) -> Problem | None:
    return None if error is None else Problem(code=error.code, what=error.what, why=error.why, do=error.do)


def _host(name: str, outcome: Trusted | HomewrightError) -> TrustedHost:
    if isinstance(outcome, HomewrightError):
        return TrustedHost(host=name, trusted=False, error=_problem(outcome))
    return TrustedHost(
        host=name,
        trusted=True,
        already=outcome.already,
        key_type=outcome.key_type,
        fingerprint=outcome.fingerprint,
        sudo=outcome.sudo,
    )
