"""What Finished says, line by line: proofs, how names are found, how the authority is trusted. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from homewright.engine.states import State
from homewright.screens import progress
from homewright.screens.glyphs import look

if TYPE_CHECKING:
    from homewright.screens.services import Outcome
    from homewright.site.models import Site

WIDTH = 76
"""Columns of a line at a terminal of 80."""
HOSTS_LINES = 4
"""Servers whose lines for a hosts file are written out."""


def _steps(outcome: Outcome, ascii: bool) -> Iterator[str]:
    """Each stage in a line or two: what ended alike stands together. What went wrong has a line of its own."""
    for (stage, state), group in groupby(progress.whole(outcome.steps), lambda step: (step.stage, step.state)):
        steps = list(group)
        if state in (State.SUCCEEDED, State.SKIPPED):
            mark = look("done" if state is State.SUCCEEDED else state).mark(ascii)
            titles = ", ".join(step.title for step in steps)
            first = f"  {mark} {stage:<3} "
            yield from textwrap.wrap(titles, WIDTH, initial_indent=first, subsequent_indent=" " * 8)
            continue
        for step in steps:
            where = " ".join(row.host for row in outcome.steps if row.step == step.step and row.host)
            yield f"  {look(state).mark(ascii)} {step.step:<6} {step.title:<34} {where}".rstrip()


def _names(site: Site) -> Iterator[str]:
    """How a computer comes to find the zone's names: by the router, by split DNS, by lines of its own; and a test."""
    if site.zone is None:
        yield "  Their addresses are the servers' own: there is no name to resolve."
        return
    zone, asked = site.zone, site.servers[0].address
    yield f"  Their names end in {zone}."
    yield ""
    yield f"To find the names of {zone}: on your router, or once on each computer"
    yield from (
        "  Router         dnsmasq, OpenWrt, Pi-hole: a line of its configuration",
        f"                   server=/{zone}/{asked}",
        "  Linux          with systemd-resolved, as root:",
        "                   mkdir -p /etc/systemd/resolved.conf.d",
        f"                   printf '[Resolve]\\nDNS=%s\\nDomains=~%s\\n' {asked} \\",
        f"                     {zone} > /etc/systemd/resolved.conf.d/{site.name}.conf",
        "                   systemctl restart systemd-resolved",
        "  macOS          sudo mkdir -p /etc/resolver",
        f"                 echo nameserver {asked} | sudo tee \\",
        f"                   /etc/resolver/{zone}",
        "  Windows        in a PowerShell of the administrator:",
        f"                   Add-DnsClientNrptRule -Namespace .{zone} `",
        f"                     -NameServers {asked}",
        "  Without DNS    lines in /etc/hosts (on Windows",
        "                 C:\\Windows\\System32\\drivers\\etc\\hosts), and one for each",
        "                 workspace, whose address o shows:",
    )
    yield from (f"                   {server.address}  {server.name}.{zone}" for server in site.servers[:HOSTS_LINES])
    if len(site.servers) > HOSTS_LINES:
        yield f"                   and so on, for {len(site.servers) - HOSTS_LINES} more"
    yield ""
    yield f"  To see that it worked: ping {site.servers[0].name}.{zone}"
    yield f"  answers from {asked}."


def told(outcome: Outcome, ascii: bool) -> list[str]:
    """Everything that the screen says, line by line; headings begin at the margin."""
    run, site = outcome.run, outcome.site
    changed = f"{run.changed} changed" if run.changed else "nothing had to be changed"
    proved = run.state is State.SUCCEEDED
    lines = [f"Proved, {changed}" if proved else f"The last run: {look(run.state).word}, {changed}"]
    lines += _steps(outcome, ascii)
    lines += ["", "To open", "  Workspaces: ctrl+n, where n makes the first one and o shows its address."]
    lines += _names(site)
    pairs = outcome.fingerprint.removeprefix("SHA256:").split(":")
    lines += [
        "",
        "To trust the site's certificate authority, once on each computer",
        f"  File           {outcome.certificate}",
        f"  SHA-256        {':'.join(pairs[:16])}",
        f"                 {':'.join(pairs[16:])}",
        "  Carry the file over as homewright-ca.crt (it is no secret), compare its",
        "  fingerprint (openssl x509 -sha256 -fingerprint -noout -in FILE), then:",
        "",
        "  Debian, Ubuntu sudo cp homewright-ca.crt /usr/local/share/ca-certificates/",
        "                 sudo update-ca-certificates",
        "  Fedora         sudo cp homewright-ca.crt /etc/pki/ca-trust/source/anchors/",
        "                 sudo update-ca-trust",
        "  macOS          sudo security add-trusted-cert -d -r trustRoot \\",
        "                   -k /Library/Keychains/System.keychain homewright-ca.crt",
        "  Windows        certutil -addstore -f Root homewright-ca.crt",
        "                 (in a terminal of the administrator)",
        "  Firefox        Settings, Privacy & Security, View Certificates,",
        "                 Authorities, Import; tick that it identifies websites",
        "  Chrome, Linux  Settings, Privacy and security, Security,",
        "                 Manage certificates, Authorities, Import",
        "  Chrome and Edge elsewhere, and Safari, use the computer's own store.",
        "",
        "  To see that it worked: open a workspace's address; the browser shows a",
        "  closed lock and no warning.",
        "",
        "Worth doing next",
        "  Make a workspace for everybody who needs one: ctrl+n, then n.",
    ]
    if outcome.export_due:
        lines += [
            f"  {outcome.export_due}",
            "  x makes one: an encrypted file, with which another machine goes on.",
            "  The same line by line: homewright site export --encrypt FILE",
        ]
    if outcome.old_key:
        lines.append(f"  {outcome.old_key}.")
    return lines
