"""`homewright authority`: the site's certificate authority: its fingerprint, a copy of it, and how it is trusted."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.cli import runs
from homewright.cli.output import Output
from homewright.errors import UsageError

if TYPE_CHECKING:
    from homewright.site.trusting import AuthorityDocument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--save", metavar="FILE", type=Path, help="write the certificate there, to be carried over")


def run(args: argparse.Namespace, output: Output) -> int:
    _, site, state = runs.place(args)
    from homewright.site import finding, trusting
    from homewright.site.authority import Authority

    own = Authority.of(state.authority, site.name)
    if args.save is not None:
        _save(args.save, own.certificate_pem)
    found = trusting.described(site.name, own, state.authority / "ca.crt", args.save).model_copy(
        update={"names": finding.ways(site), "names_test": finding.test(site)}
    )
    for line in told(found):
        output.line(line)
    output.document(found.model_dump(mode="json"))
    return 0


def told(found: AuthorityDocument) -> Iterator[str]:
    """All of it in words."""
    pairs = found.fingerprint.removeprefix("SHA256:").split(":")
    yield f"The certificate authority of the site {found.site}, until {found.until}"
    yield f"  file     {found.file}"
    if found.saved:
        yield f"  saved    {found.saved}"
    yield f"  SHA-256  {':'.join(pairs[:16])}"
    yield f"           {':'.join(pairs[16:])}"
    yield f"Compare it on the other computer: {found.compare}"
    for way in found.ways:
        yield f"{way.where}:"
        yield from (f"  {step}" for step in way.steps)
    yield "Chrome and Edge elsewhere, and Safari, use the computer's own store."
    if found.names:
        yield "To find the site's names, on the router or on each computer:"
    for way in found.names:
        yield f"{way.where}:"
        yield from (f"  {step}" for step in way.steps)
    if found.names_test:
        yield f"To see that it worked: {found.names_test}"


def _save(file: Path, certificate: bytes) -> None:
    from homewright.site.paths import write_atomically

    if file.exists() and not _holds(file, certificate):
        raise UsageError(f"{file} is there already.", "It is something else, and stays as it is.", ["name a new file"])
    write_atomically(file.absolute(), certificate)


def _holds(file: Path, certificate: bytes) -> bool:
    try:
        return file.read_bytes() == certificate
    except OSError:
        return False
