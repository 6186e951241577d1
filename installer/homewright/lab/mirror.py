"""How this machine reaches its package sources, so that the practice servers can do the same."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from homewright.lab.shell import output

SUITE = "bookworm"
"""The practice servers' Debian 12."""

DEFAULT_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_AUTHORITIES = Path("/usr/local/share/ca-certificates")

_CARRIED = re.compile(r'^Acquire::(?:https?::Proxy(?:::[\w.-]+)?|Check-Valid-Until|Check-Date) "[^"]+";$')
"""Settings of apt that say how a mirror is reached or believed."""

_WITH_PASSWORD = re.compile(r"//[^/@\s]+@")

_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Source:
    """One line of an apt source: where, which suite, which parts."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None = None


@dataclass(frozen=True)
class Mirror:
    """Everything that the image takes over from this machine."""

    uri: str | None
    """None: debootstrap's own default."""
    keyring: str
    sources: tuple[Source, ...]
    apt: tuple[str, ...]
    """Lines for apt.conf."""
    pip: tuple[str, ...]
    """Lines for the section `global` of pip.conf."""
    proxies: tuple[tuple[str, str], ...]
    authorities: tuple[tuple[str, str], ...]
    """Extra CA certificates: file name and content. Behind a proxy that inspects TLS nothing works without them."""

    def digest(self) -> str:
        told = hashlib.sha256()
        for part in (self.uri, self.keyring, self.sources, self.apt, self.pip, self.proxies, self.authorities):
            told.update(repr(part).encode())
        return told.hexdigest()


def parse_sources(text: str, deb822: bool) -> list[Source]:
    """The enabled binary sources of one file in either of apt's forms; what is no source is passed over."""
    return _stanzas(text) if deb822 else _lines(text)


def _lines(text: str) -> list[Source]:
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>[^#]*)", line)
        if match:
            options = dict(item.split("=", 1) for item in (match["options"] or "").split() if "=" in item)
            parts = tuple(match["rest"].split())
            found.append(Source(match["uri"], match["suite"], parts, options.get("signed-by")))
    return found


def _stanzas(text: str) -> list[Source]:
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        parts = tuple(fields.get("components", "").split())
        signed = fields.get("signed-by")
        # A key written into the file itself is no path that debootstrap could be given.
        keyring = signed if signed and signed.startswith("/") and " " not in signed else None
        for uri in fields.get("uris", "").split():
            found += [Source(uri, suite, parts, keyring) for suite in fields.get("suites", "").split()]
    return found


def debian_sources(sources: Sequence[Source], codename: str) -> tuple[Source, ...]:
    """The sources for the practice servers out of those of a Debian of this codename: main, updates, security.

    None of them where the machine is no Debian, or names no mirror by http or https.
    """
    plain = [
        source
        for source in sources
        if source.uri.startswith(("http://", "https://")) and "main" in source.components
        and not _WITH_PASSWORD.search(source.uri)
    ]  # fmt: skip
    found = []
    for suite, wanted in (
        (codename, SUITE),
        (f"{codename}-updates", f"{SUITE}-updates"),
        (f"{codename}-security", f"{SUITE}-security"),
    ):
        match = next((source for source in plain if source.suite == suite), None)
        if match is not None:
            found.append(Source(match.uri.rstrip("/"), wanted, ("main",), match.signed_by))
        elif suite == codename:
            return ()
    return tuple(found)


def carried_apt(dump: str) -> tuple[str, ...]:
    """The lines of `apt-config dump` that a practice server needs too; none with a password in it."""
    lines = (line.strip() for line in dump.splitlines())
    return tuple(line for line in lines if _CARRIED.match(line) and not _WITH_PASSWORD.search(line))


def carried_proxies(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The proxies that this environment names; none with a password in it."""
    found = []
    for name in _PROXIES:
        value = environment.get(name) or environment.get(name.upper())
        if value and not _WITH_PASSWORD.search(value):
            found.append((name, value))
    return tuple(found)


def carried_pip(configuration: str, has_authorities: bool) -> tuple[str, ...]:
    """Lines for pip.conf out of `pip config list`: the index, and which CAs to believe."""
    lines = []
    for name, value in re.findall(
        r"^(?:global|:env:)\.(index-url|extra-index-url|proxy)='([^'\n]+)'$", configuration, re.M
    ):
        if not _WITH_PASSWORD.search(value):
            lines.append(f"{name} = {value}")
    if has_authorities:
        # pip brings its own list of CAs and does not look at the system's.
        lines.append("cert = /etc/ssl/certs/ca-certificates.crt")
    return tuple(dict.fromkeys(lines))


def of_this_machine() -> Mirror:
    """Read this machine's own settings; needs no root."""
    release = os_release()
    sources: tuple[Source, ...] = ()
    if release.get("ID") == "debian":
        sources = debian_sources(_configured_sources(), release.get("VERSION_CODENAME", SUITE))
    authorities = tuple(
        (path.name, path.read_text(encoding="latin-1")) for path in sorted(_AUTHORITIES.glob("*.crt")) if path.is_file()
    )
    keyring = next((source.signed_by for source in sources if source.signed_by), None)
    return Mirror(
        uri=sources[0].uri if sources else None,
        keyring=keyring or str(DEFAULT_KEYRING),
        sources=sources,
        apt=carried_apt(output(["apt-config", "dump"])),
        pip=carried_pip(output(["python3", "-m", "pip", "config", "list"]), bool(authorities)),
        proxies=carried_proxies(os.environ),
        authorities=authorities,
    )


def os_release() -> dict[str, str]:
    """The fields of /etc/os-release; empty where there is none."""
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name: value.strip().strip("\"'") for name, value in pairs}


def _configured_sources() -> list[Source]:
    folder = Path("/etc/apt")
    found = []
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))):
        if path.suffix in (".list", ".sources"):
            try:
                found += parse_sources(path.read_text(encoding="utf-8", errors="replace"), path.suffix == ".sources")
            except OSError:
                continue
    return found
