"""Before LXD's folder is emptied its pools are let go of. The programs only write down what they are told: no machine
that these tests run on has zfs or lvm."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from homewright.stages.lxd import packages

TOOLS = {
    "zpool": 'case $1 in list) echo default; echo tank ;; status) echo "  {folder}/disks/$3.img  ONLINE" ;; *) ;; esac',
    "losetup": "case $1 in -n) case $5 in *lvm.img) echo /dev/loop7 ;; esac ;; esac",
    "pvs": "echo '  group'",
    "vgchange": "exit {vgchange}",
    "snap": "exit 1",
    "systemctl": "",
}


@pytest.fixture
def lxd(tmp_path: Path) -> Path:
    folder = tmp_path / "var" / "lxd"
    (folder / "disks").mkdir(parents=True)
    for image in ("default", "lvm"):
        (folder / "disks" / f"{image}.img").touch()
    return folder


def reset(folder: Path, vgchange: int = 0) -> tuple[int, list[str]]:
    tools, said = folder.parent.parent / "tools", folder.parent.parent / "said"
    tools.mkdir()
    for name, text in TOOLS.items():
        tool = tools / name
        what = text.format(folder=folder, vgchange=vgchange) if "{" in text else text
        there = f"[ -e {folder}/disks/default.img ] || echo too late >>{said}"
        tool.write_text(f'#!/bin/sh\n{there}\necho {name} "$@" >>{said}\n{what}\n')
        tool.chmod(0o755)
    script = packages._RESET.format(folder=folder)
    path = f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin"
    done = subprocess.run(["sh", "-c", script], env={"PATH": path}, capture_output=True, text=True, timeout=60)
    return done.returncode, said.read_text().splitlines()


def test_pools_are_let_go_of_before_their_files_go(lxd: Path) -> None:
    code, said = reset(lxd)
    assert code == 0
    assert "zpool export -f default" in said, "it is on a file of LXD's"
    assert "zpool export -f tank" not in said, "somebody else's pool"
    assert said.index("vgchange -q -an group") < said.index("losetup -d /dev/loop7")
    assert [line for line in said[: said.index("losetup -d /dev/loop7")] if line == "too late"] == []
    assert list(lxd.iterdir()) == []


def test_a_pool_that_is_in_use_keeps_its_file(lxd: Path) -> None:
    code, _ = reset(lxd, vgchange=5)
    assert code == 5
    assert (lxd / "disks" / "lvm.img").exists()


@pytest.mark.parametrize("script", [packages._RELEASE, packages._RESET])
def test_the_shell_reads_it(script: str) -> None:
    subprocess.run(["sh", "-n"], input=script.format(folder="/var/lib/lxd"), text=True, check=True, timeout=60)
