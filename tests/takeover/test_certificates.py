"""LXD trusts a new certificate in place of the old controller's, wherever the change was cut off before."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from homewright.errors import HomewrightError
from homewright.lxd import succession
from homewright.lxd.identity import Identity
from homewright.lxd.succession import RETIRED, Settled
from homewright.site.secrets import Secrets

OTHERS = "e" * 64


class List:
    """LXD's list of certificates on a server, as lxc(1) shows it; `cut` commands in, it fails."""

    def __init__(self, *fingerprints: str, cut: int = 100) -> None:
        self.known = set(fingerprints)
        self.cut = cut

    def run(self, command: str) -> str:
        self.cut -= 1
        if self.cut < 0:
            raise HomewrightError("The connection was lost.")
        words = shlex.split(command)
        if "POST" in words:
            body = json.loads(words[words.index("-d") + 1])
            pem = f"-----BEGIN CERTIFICATE-----\n{body['certificate']}\n-----END CERTIFICATE-----\n"
            self.known.add(x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex())
        elif "DELETE" in words:
            self.known.remove(words[-1].rpartition("/")[2])
        else:
            return json.dumps([{"fingerprint": one} for one in sorted(self.known)])
        return ""


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path / "secrets.json")


@pytest.fixture
def old(secrets: Secrets) -> str:
    """The old controller's certificate, replaced in the secrets alone."""
    fingerprint = Identity.of(secrets).fingerprint
    succession.replace(secrets)
    return fingerprint


def test_a_site_that_never_met_lxd_has_nothing_to_replace(secrets: Secrets) -> None:
    succession.replace(secrets)
    assert secrets.names() == ()
    assert succession.settle(List(OTHERS).run, secrets) is Settled.NONE


def test_what_is_the_sites_stays_so_however_often_it_moves(secrets: Secrets, old: str) -> None:
    succession.replace(secrets)
    who = Identity.of(secrets)
    assert who.owner == old[:16] != who.fingerprint[:16]
    retired = (secrets.get(RETIRED) or "").split()
    assert len(retired) == 2 and old in retired and who.fingerprint not in retired
    theirs = List(*retired, OTHERS)
    assert succession.settle(theirs.run, secrets) is Settled.DONE
    assert theirs.known == {who.fingerprint, OTHERS}


@pytest.mark.parametrize("cut", range(5))
def test_cut_off_anywhere_the_next_connection_finishes_it(secrets: Secrets, old: str, cut: int) -> None:
    theirs = List(old, OTHERS, cut=cut)
    new = Identity.of(secrets).fingerprint
    expected = Settled.AWAY if cut < 4 else Settled.DONE
    assert succession.settle(theirs.run, secrets) is expected
    assert theirs.known & {old, new}, "nobody of the site would be trusted"
    theirs.cut = 100
    # A list without the old one, the new one in it: there is nothing left to be told, and nothing was believed.
    assert succession.settle_all([theirs.run], secrets)
    assert (theirs.known, secrets.get(RETIRED)) == ({new, OTHERS}, None)


def test_one_that_knows_none_of_ours_is_told_nothing(secrets: Secrets, old: str) -> None:
    theirs, away = List(OTHERS), List(old, cut=0)
    assert not succession.settle_all([theirs.run, away.run], secrets), "the one that is away may trust it"
    assert (theirs.known, secrets.get(RETIRED)) == ({OTHERS}, old)
    assert succession.settle_all([theirs.run, List().run], secrets)
    assert secrets.get(RETIRED) is None


@pytest.mark.parametrize(("there", "code"), [(False, 0), (True, 0), (True, 1)])
def test_asking_leaves_nothing_behind_and_installs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, code: int
) -> None:
    """A stub that notes its calls stands for lxc(1), as Ubuntu's does that installs LXD."""
    folder, stub, called = tmp_path / "tmp", tmp_path / "bin" / "lxc", tmp_path / "called"
    for made in (folder, stub.parent):
        made.mkdir()
    stub.write_text(f'#!/bin/sh\n[ -d "$LXD_CONF" ] && echo "$@" >{called}\necho \'[1]\'\nexit {code}\n')
    stub.chmod(0o755)
    monkeypatch.setattr(succession, "DATA", (tmp_path / "snap", tmp_path / "bin" if there else tmp_path / "deb"))
    environment = {"PATH": f"{stub.parent}:/usr/bin:/bin", "TMPDIR": str(folder)}
    command = ["sh", "-c", succession.list_command()]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout.strip()) == (code, "[1]" if there else "[]"), told.stderr
    assert called.exists() is there
    assert list(folder.iterdir()) == []
