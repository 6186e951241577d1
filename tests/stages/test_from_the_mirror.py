"""What a site's mirror has is found there and nowhere else: with an apt that only says what it is told."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.access.connection import Completed
from homewright.site import mirrors
from homewright.site.models import MirrorSettings
from homewright.stages import gpu_drivers_effect, overlay_effect
from homewright.stages.lxd import texts

MIRROR = "http://mirror.lan/apt"
TOOLS = {
    "apt-get": 'case "$*" in *update*) : >{0}/updated ;; esac\n'
    'for one in "$@"; do case $one in Dir::Etc::SourceList=*) cat "${{one#*=}}" >{0}/sources ;; esac; done',
    "apt-cache": 'case "$*" in *Dir::State::Lists=*) [ ! -e {0}/updated ] || cat {0}/mirror ;; '
    "*) [ ! -e {0}/own ] || cat {0}/own ;; esac",
}


class Machine:
    """Runs what it is told here, with an apt that is played."""

    def __init__(self, folder: Path, mirror: str | None) -> None:
        self.name, self.folder = "i1", folder
        self.site = SimpleNamespace(mirror=MirrorSettings(apt=mirror))
        self.said: list[str] = []
        for name, text in TOOLS.items():
            tool = folder / name
            tool.write_text(f'#!/bin/sh\necho {name} "$@" >>{folder}/said\n{text.format(folder)}\n')
            tool.chmod(0o755)

    def run(self, command: Any, *, check: bool = True, **_: Any) -> Completed:
        words = ["sh", "-c", command] if isinstance(command, str) else command
        path = f"{self.folder}:/usr/bin:/bin"
        done = subprocess.run(words, env={"PATH": path}, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return Completed(done.stdout, done.stderr, done.returncode)

    def task(self, name: str) -> Any:
        return nullcontext(SimpleNamespace(changed=False))


@pytest.mark.parametrize(
    ("mirror", "own", "there", "known", "updated"),
    [
        (MIRROR, "", "nvidia-driver", ["nvidia-driver"], True),
        (MIRROR, "nvidia-driver-from-elsewhere", "", [], True),
        (None, "nvidia-driver", "", ["nvidia-driver"], False),
        (None, "", "", [], True),
    ],
)
def test_the_driver_is_looked_for_where_it_is_installed_from(
    tmp_path: Path, mirror: str | None, own: str, there: str, known: list[str], updated: bool
) -> None:
    host: Any = Machine(tmp_path, mirror)
    (tmp_path / "own").write_text(own)
    (tmp_path / "mirror").write_text(there)
    assert gpu_drivers_effect._known(host) == known
    assert (tmp_path / "updated").exists() is updated


@pytest.mark.parametrize(
    ("system", "codename", "line"),
    [
        ("debian", "bookworm", "main contrib non-free non-free-firmware"),
        ("ubuntu", "noble", "main universe restricted"),
        ("other", "one", "main"),
    ],
)
def test_drivers_are_in_more_parts_of_an_archive(system: str, codename: str, line: str) -> None:
    mirror = MirrorSettings(apt=MIRROR)
    assert mirrors.apt_sources(mirror, system, codename, drivers=True) == f"deb {MIRROR} {codename} {line}\n"
    usual = mirrors.apt_sources(mirror, system, codename).split()[3:]
    assert usual == [part for part in line.split() if part in ("main", "universe")]


@pytest.mark.parametrize("mirror", [MIRROR, None])
def test_zerotier_comes_from_the_mirror_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str | None
) -> None:
    host: Any = Machine(tmp_path, mirror)
    added: list[str] = []
    monkeypatch.setattr(overlay_effect, "_KNOWN", "exit 1")
    monkeypatch.setattr(overlay_effect, "_add_repository", lambda host: added.append(host.name))
    monkeypatch.setattr(overlay_effect.packages, "installed", lambda host: [])
    monkeypatch.setattr(overlay_effect.packages, "install", lambda host, names: True)
    host.run = lambda command, check=True: Completed("active enabled", "", 1 if command == "exit 1" else 0)
    overlay_effect.install(host)
    assert added == ([] if mirror else ["i1"])


@pytest.mark.parametrize("mirror", [MIRROR, None])
def test_an_instance_gets_what_it_lacks_from_the_mirror(tmp_path: Path, mirror: str | None) -> None:
    host = Machine(tmp_path, mirror)
    script = texts.account_script(host.site.mirror)
    subprocess.run(["sh", "-n"], input=script, text=True, check=True, timeout=60)
    part = script[script.index('if [ -n "$missing" ]') : script.index("put /etc/hostname")]
    host.run(f"set -e; name=i1; missing=' sudo python3'; {part}echo $name $changed >{tmp_path}/end")
    assert (tmp_path / "end").read_text() == "i1 yes\n"
    asked = (tmp_path / "said").read_text().splitlines()
    assert [line.split()[-1] for line in asked] == ["update", "python3"]
    assert all(("Dir::Etc::SourceParts=-" in line) is (mirror is not None) for line in asked)
    if mirror is not None:
        assert (tmp_path / "sources").read_text().startswith(f"deb {MIRROR} ")
