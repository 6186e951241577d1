"""What the steps of stage 00 declare to change, against what their texts really do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from homewright.catalogue import load, shipped
from homewright.engine.runners.guard import FENCE_FILE
from homewright.errors import CatalogueError
from homewright.planning.changes import EVERY_RUN, files_of, placeholders
from homewright.site.models import Server, Site
from homewright.stages import environment_file, peer_keys

SITE = Site(name="attic", servers=(Server(name="s1", address="192.0.2.1", user="ann"),))
FOLDER = shipped() / "00_initial_setup"
ACCOUNTS = {"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"}
"""What useradd and groupadd edit (useradd(8), FILES); a system account gets no subordinate ids."""


def declared(step: str) -> set[str]:
    found = load([shipped()]).step(step)
    return {use.path for use in files_of([found], SITE, "s1")} - set(EVERY_RUN)


def test_names() -> None:
    text = (FOLDER / "10_names.py").read_text()
    literal = set(re.findall(r"path=\"(/[^\"]+)\"", text))
    # hostnamectl writes the static name, hostname(5).
    assert "hostnamectl set-hostname" in text
    assert declared("00/10") == literal | {"/etc/hostname"}


def test_keys() -> None:
    files = (peer_keys.KEY, peer_keys.AUTHORIZED, peer_keys.KNOWN, peer_keys.SETTINGS)
    assert all(file.startswith(f"{peer_keys.HOME}/") for file in files)
    text = (FOLDER / "20_ssh_keys.py").read_text() + Path(peer_keys.__file__).read_text()
    assert "useradd" in text and "--system" in text
    assert not re.findall(r"host\.write\(\"", text), "a file that is not a constant of peer_keys"
    assert declared("00/20") == {f"{peer_keys.HOME}/"} | ACCOUNTS


def test_environment() -> None:
    text = (FOLDER / "30_environment.py").read_text()
    assert set(re.findall(r"environment_file\.(FILE|HOOK|FOLDER)\b", text)) == {"FILE", "HOOK", "FOLDER"}
    assert not re.findall(r"path=\"", text)
    assert declared("00/30") == {environment_file.FILE, environment_file.HOOK}
    assert environment_file.FILE.startswith(environment_file.FOLDER)


def test_host_environment() -> None:
    text = (FOLDER / "40_host_venv.yaml").read_text()
    step = load([shipped()]).step("00/40")
    assert set(re.findall(r"get install --no-install-recommends ([a-z0-9.+-]+)", text)) == set(step.changes.packages)
    assert declared("00/40") == {f"{environment_file.venv_of(SITE, 's1')}/"}


@pytest.mark.parametrize(("user", "folder"), [("ann", None), ("root", None), ("ann", "/opt/venv")])
def test_the_environment_is_where_the_stage_puts_it(user: str, folder: str | None) -> None:
    one = Site.model_validate(
        {
            "name": "a",
            "servers": [{"name": "s1", "address": "192.0.2.1", "user": user}],
            "host_venv": {"folder": folder},
        }
    )
    assert placeholders(one, "s1", one.servers[0].user)["host_venv"] == environment_file.venv_of(one, "s1")


def test_what_every_run_writes() -> None:
    assert FENCE_FILE in EVERY_RUN
    assert all(Path(path).parent == Path(FENCE_FILE).parent for path in EVERY_RUN)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("etc/hosts", "must be an absolute path"),
        ("/etc/{nothing}", "unknown placeholder {nothing}"),
        ("/etc/../root/x", "must be an absolute path"),
        ("{home}/x", ""),
        ("/var/lib/{host}/", ""),
    ],
)
def test_a_declared_file_is_a_path(tmp_path: Path, file: str, words: str) -> None:
    folder = tmp_path / "00_x"
    folder.mkdir()
    for name in ("10_a.py", "18_a.py", "19_a.py"):
        (folder / name).write_text("")
    (folder / "stage.yaml").write_text(
        'id: "00"\ntitle: X\nsteps:\n  - id: 00/10\n    title: T\n    runner: python\n    run: 10_a.py\n'
        f'    verify: 18_a.py\n    rollback: 19_a.py\n    changes: {{files: ["{file}"]}}\n'
    )
    if not words:
        assert load([tmp_path]).step("00/10").changes.files == (file,)
        return
    with pytest.raises(CatalogueError, match=r"stage.yaml, line 10") as caught:
        load([tmp_path])
    assert words in caught.value.as_text()
