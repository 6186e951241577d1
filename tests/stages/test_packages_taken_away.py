"""What a stage installed goes again, and nothing that somebody else has installed since: with apt and dpkg themselves,
on packages of a folder of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from homewright.access.connection import Completed
from homewright.stages import packages

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="no machine of Debian's")

BEFORE = ("base",)
NEEDS = {
    "base": "", "iptables": "libxtables", "libxtables": "", "docker": "iptables, base", "ufw": "iptables | nftables",
    "nftables": "", "compose": "docker", "socat": "", "ipvsadm": "socat", "table": "libxtables",
}  # fmt: skip
"""Packages, with what they depend on."""


class Server:
    """A folder with packages of its own, which the machine's apt and dpkg know alone."""

    def __init__(self, root: Path, there: Sequence[str], by_itself: Sequence[str]) -> None:
        self.root, self.said = root, ""
        info = root / "var/lib/dpkg/info"
        needed = ("var/lib/dpkg/updates", "lists/partial", "archives/partial", "settings")
        for folder in (info, *(root / name for name in needed)):
            folder.mkdir(parents=True)
        status = ""
        for name in there:
            (info / f"{name}.list").write_text("/.\n")
            status += f"Package: {name}\nStatus: install ok installed\nMaintainer: A <a@example.org>\n"
            status += f"Architecture: all\nVersion: 1\n{NEEDS[name] and f'Depends: {NEEDS[name]}'}\n".rstrip("\n")
            status += "\nDescription: one\n\n"
        (root / "var/lib/dpkg/status").write_text(status)
        (root / "extended_states").write_text(
            "".join(f"Package: {name}\nArchitecture: all\nAuto-Installed: 1\n\n" for name in by_itself)
        )
        options = {
            "Dir::State": root, "Dir::State::status": root / "var/lib/dpkg/status", "Dir::Cache": root,
            "Dir::Etc": root / "settings", "Dir::Log": root, "Debug::NoLocking": "true",
        }  # fmt: skip
        told = "".join(f'{name} "{value}";\n' for name, value in options.items())
        told += f'DPkg::Options {{ "--root={root}"; "--force-not-root"; "--log={root}/log"; }};\n'
        (root / "apt.conf").write_text(told)

    def run(self, command: str | Sequence[str], **_: Any) -> Completed:
        words = ["sh", "-c", command] if isinstance(command, str) else command
        own: Mapping[str, str] = {
            "APT_CONFIG": str(self.root / "apt.conf"),
            "DPKG_ADMINDIR": str(self.root / "var/lib/dpkg"),
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        }
        done = subprocess.run(words, env={**os.environ, **own}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        self.said += done.stdout
        return Completed(done.stdout, done.stderr, 0)

    show = run

    @property
    def left(self) -> list[str]:
        host: Any = self
        return [name for name in packages.installed(host) if name not in BEFORE]


@pytest.mark.programs
@pytest.mark.parametrize(
    ("there", "by_itself", "own", "left", "said"),
    [
        # Nobody else needs any of them.
        ("iptables libxtables", "libxtables", "iptables", "", ""),
        # Of what came along one is needed by now.
        ("iptables libxtables table", "libxtables", "iptables", "libxtables table", "something else needs it"),
        # What was asked for itself is needed, straight or by way of others.
        ("iptables libxtables docker", "libxtables", "iptables", "docker iptables libxtables", "stays as well: "),
        ("iptables libxtables docker compose", "libxtables docker", "iptables",
         "compose docker iptables libxtables", "without it these would go: "),
        # Among several those alone stay that are needed, and those that are needed by them.
        ("socat ipvsadm compose docker iptables libxtables", "libxtables", "socat ipvsadm iptables",
         "compose docker iptables libxtables", "iptables stays as well"),
        # Either would do for something else: one can go.
        ("iptables libxtables nftables ufw", "libxtables", "iptables nftables",
         "libxtables nftables ufw", "nftables stays as well"),
    ],
)  # fmt: skip
def test_what_somebody_else_needs_by_now_stays(
    tmp_path: Path, there: str, by_itself: str, own: str, left: str, said: str
) -> None:
    server: Any = Server(tmp_path, (*BEFORE, *there.split()), by_itself.split())
    went = packages.remove(server, own.split(), BEFORE)
    assert (server.left, went) == (left.split(), set(left.split()) != set(there.split()))
    assert said in server.said and ("stays" in server.said) is bool(said)
    told, server.said = server.said, ""
    assert packages.remove(server, own.split(), BEFORE) is False, "nothing more goes the second time"
    assert server.left == left.split(), told


def test_a_server_on_which_nobody_can_tell_loses_nothing(tmp_path: Path) -> None:
    server: Any = Server(tmp_path, ("iptables", "libxtables"), ())
    with pytest.raises(AssertionError, match="Unable to locate package gone"):
        packages.purge(server, ("iptables", "gone"), ("iptables",))
    assert server.left == ["iptables", "libxtables"]
