"""How people trust the site's certificate authority: its file, its fingerprint, and what each system and browser wants.

Pure. The commands are those of the systems themselves, and the menus those of the browsers in 2026.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from homewright.site.authority import Authority

FILE = "homewright-ca.crt"
"""What the copies that people carry are called in the steps."""
COMPARE = f"openssl x509 -sha256 -fingerprint -noout -in {FILE}"
"""Prints the fingerprint on any computer."""


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Way(Document):
    """What one system or browser wants."""

    where: str
    steps: tuple[str, ...]
    """Commands, or a way through menus, in order."""
    command: bool
    """Whether they are commands."""


WAYS = (
    Way(
        where="Debian, Ubuntu",
        steps=(f"sudo cp {FILE} /usr/local/share/ca-certificates/", "sudo update-ca-certificates"),
        command=True,
    ),
    Way(
        where="Fedora",
        steps=(f"sudo cp {FILE} /etc/pki/ca-trust/source/anchors/", "sudo update-ca-trust"),
        command=True,
    ),
    Way(
        where="macOS",
        steps=(f"sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {FILE}",),
        command=True,
    ),
    Way(where="Windows", steps=(f"certutil -addstore -f Root {FILE}",), command=True),
    Way(
        where="iPhone, iPad",
        steps=(
            "open the file and install the profile: Settings, General, VPN & Device Management",
            "Settings, General, About, Certificate Trust Settings: switch it on",
        ),
        command=False,
    ),
    Way(
        where="Android",
        steps=("Settings, Security, More security settings, Install from storage, CA certificate",),
        command=False,
    ),
    Way(
        where="Firefox",
        steps=(
            "Settings, Privacy & Security, View Certificates, Authorities, Import; tick that it identifies websites",
        ),
        command=False,
    ),
    Way(
        where="Chrome, Linux",
        steps=("Settings, Privacy and security, Security, Manage certificates, Authorities, Import",),
        command=False,
    ),
)
"""Chrome and Edge elsewhere, and Safari, use the computer's own store."""


class AuthorityDocument(Document):
    """The site's certificate authority, and how it comes to be trusted."""

    version: Literal[1] = 1
    site: str
    file: str
    """Its certificate on this machine, which is no secret."""
    saved: str | None = None
    """Where a copy was written just now."""
    fingerprint: str
    """SHA-256 of the certificate, as browsers show it."""
    until: str
    """When it ends, as YYYY-MM-DD."""
    compare: str = COMPARE
    """What prints the fingerprint of a copy."""
    ways: tuple[Way, ...] = WAYS
    names: tuple[Way, ...] = ()
    """How a computer comes to find the names of the site's zone; empty without a zone."""
    names_test: str = ""
    """What shows that it does."""


def described(site: str, authority: Authority, file: Path, saved: Path | None = None) -> AuthorityDocument:
    """All of it, as one document."""
    return AuthorityDocument(
        site=site,
        file=str(file),
        saved=str(saved) if saved else None,
        fingerprint=authority.fingerprint,
        until=f"{authority.expires:%Y-%m-%d}",
    )
