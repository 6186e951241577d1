"""What is left of LXD when it is taken away: nothing of its own, and all that somebody else made meanwhile."""

from __future__ import annotations

import os
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.access import engine_key, key_change
from homewright.errors import HomewrightError
from homewright.site.models import Leaving, Server, Site
from homewright.stages.lxd import cluster, packages, removing
from homewright.stages.lxd.standing import OWNER, Lxd

OURS = "root:100000:1000000\n"


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (None, OURS, None),
        (None, None, None),
        ("", OURS, ""),
        ("ann:100000:65536\n", f"ann:100000:65536\n{OURS}", "ann:100000:65536\n"),
        ("ann:100000:65536\n", f"ann:100000:65536\nbob:165536:65536\n{OURS}", "ann:100000:65536\nbob:165536:65536\n"),
        ("ann:100000:65536\n", OURS, ""),  # somebody removed that account
        ("root:5:6\nann:1:2\n", f"ann:1:2\n{OURS}", "root:5:6\nann:1:2\n"),
        ("ann:1:2", f"ann:1:2\n{OURS}_lxd:1:1\n", "ann:1:2"),
        (None, f"bob:165536:65536\n{OURS}", "bob:165536:65536\n"),
    ],
)
def test_ranges_of_accounts_made_since_stay(before: str | None, now: str | None, after: str | None) -> None:
    assert packages.ids_back(before, now) == after


def test_a_folder_that_somebody_else_uses_stays(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    packaged, used, empty = (tmp_path / name for name in ("packaged", "used", "empty"))
    for folder in (packaged, used, empty):
        folder.mkdir()
    (used / "default.conf").touch()
    (programs / "dpkg").write_text(f'#!/bin/sh\n[ "$*" = "-S {packaged}" ]\n')
    (programs / "dpkg").chmod(0o755)
    folders = map(str, (packaged, used, empty, tmp_path / "none"))
    done = subprocess.run(
        ["sh", "-ec", packages.EMPTY, "sh", *folders], capture_output=True, text=True, check=True,
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout.split() == [str(empty)]
    assert packaged.is_dir() and (used / "default.conf").exists() and not empty.exists()


class Here:
    """A server whose commands run here; the first one only looks."""

    name = "s1"

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)


class Members:
    """The LXD of a cluster: its members and instances are what was not deleted."""

    def __init__(self) -> None:
        self.there = {"cluster/members/s3", "instances/s1-node", "instances/s3-node"}

    def find(self, path: str) -> str | None:
        return path if path in self.there else None

    def get(self, path: str, recursion: int = 0) -> list[dict[str, Any]]:
        names = sorted(one.split("/")[1] for one in self.there if one.startswith(f"{path}/"))
        ours = {OWNER: "home"}
        return [{"name": name, "location": name[:2], "config": ours, "status": "Stopped"} for name in names]

    def delete(self, path: str, force: int = 0) -> bool:
        self.there.remove(path)
        return True


@pytest.mark.parametrize("how", ["rolled back", "its server is lost"])
def test_an_instance_that_is_gone_keeps_no_old_key_here(tmp_path: Path, how: str) -> None:
    key = tmp_path / "id_ed25519"
    engine_key.ensure(key, "x")
    key_change.begin(key, ["s1", "s1-node", "s3-node"], "x")
    leaving = Leaving(name="s3", address="192.0.2.3", user="ann", lost=True)
    s1 = Server(name="s1", address="192.0.2.1", user="ann")
    host: Any = SimpleNamespace(
        name="s1" if how == "its server is lost" else "s3", key_file=key, known_hosts=tmp_path / "known_hosts",
        site=Site(name="home", servers=(s1,), leaving=(leaving,)), task=lambda _: nullcontext(SimpleNamespace()),
        say=lambda _: None,
    )  # fmt: skip
    lxd: Any = Members()
    if how == "its server is lost":
        cluster._forget_the_lost(host, lxd)
    else:
        removing.remove(lxd, host, "home")
    assert key_change.owed(key) == ("s1", "s1-node")


@pytest.mark.parametrize("kind", ["containers", "virtual-machines", "custom", "buckets"])
def test_what_was_cut_off_is_not_put_back_over_data(tmp_path: Path, kind: str) -> None:
    (tmp_path / "storage-pools/default" / kind / "photos").mkdir(parents=True)
    host: Any = Here()
    with pytest.raises(HomewrightError, match="no member of the cluster") as caught:
        packages.reset(host, Lxd(package="deb", folder=str(tmp_path)))
    assert f"storage-pools/default/{kind}/photos" in caught.value.as_text()
