"""`homewright trust`: first contact with the site's servers."""

from __future__ import annotations

import argparse
from pathlib import Path

from homewright.cli.output import Output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", nargs="*", help="servers of the site")
    parser.add_argument("--all", action="store_true", help="every server of the site")
    parser.add_argument("--fingerprint", metavar="F", help="the host key that it must have: SHA256:… or a public key")
    parser.add_argument("--replace", action="store_true", help="accept a new host key: the server was installed anew")
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the password, one line, from standard input"
    )
    parser.add_argument("--identity", metavar="FILE", type=Path, help="sign in with this SSH key the first time")
    parser.add_argument("--agent", action="store_true", help="sign in with the SSH agent's keys the first time")
    parser.add_argument("--practice", action="store_true", help="practice servers: use the lab's own password")
    parser.add_argument("--remove", action="store_true", help="take our key and our sudoers file away and forget it")


def run(args: argparse.Namespace, output: Output) -> int:
    from homewright.cli.first_contact import run

    return run(args, output)
