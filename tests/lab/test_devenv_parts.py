"""What the lab makes for the image of devenv: a Debian of another name than the servers', and OpenTofu as published."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from pathlib import Path

import pytest

from homewright.lab import base_image, cluster_files, devenv, go, mirror
from homewright.lab.oci import Recipe, assemble, take_layer
from homewright.lab.programs import named
from homewright.mirror.layout import Layout
from homewright.site import mirrored

HERE = mirror.Mirror(
    "http://deb.example.org/debian", "/usr/share/keyrings/x.gpg",
    (
        mirror.Source("http://deb.example.org/debian", "bookworm", ("main",)),
        mirror.Source("http://deb.example.org/security", "bookworm-security", ("main",)),
    ),
    (), (), (), (),
)  # fmt: skip


def test_the_base_s_sources_are_this_machine_s_for_its_own_debian(tmp_path: Path) -> None:
    assert [(one.uri, one.suite) for one in base_image.sources(HERE)] == [
        ("http://deb.example.org/debian", "trixie"),
        ("http://deb.example.org/security", "trixie-security"),
    ]
    other = mirror.Mirror(None, *[getattr(HERE, name) for name in ("keyring", "sources", "apt", "pip", "proxies",
                                                                   "authorities")])  # fmt: skip
    assert base_image.archive(tmp_path, HERE) != base_image.archive(tmp_path, other)


def test_an_archive_becomes_an_image_of_one_layer(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "base.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("./etc"))
    layout = Layout(tmp_path / "layout").create()
    layer = take_layer(tmp_path / "base.tar", layout)
    assert layer.digest == f"sha256:{hashlib.sha256((tmp_path / 'base.tar').read_bytes()).hexdigest()}"
    image = assemble(Recipe((), command=("bash",)), [layer], layout, "amd64")
    layout.verify(image)
    assert layout.manifest(image.digest)["layers"] == [layer.document()]


def test_opentofu_lies_where_nodes_ask_for_it_with_its_digest_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    built = go.program(named("opentofu"), "tofu")
    built.parent.mkdir(parents=True)
    built.write_bytes(b"a program")
    said: list[str] = []
    devenv.lay_out(said.append)
    place = cluster_files.place(mirrored.opentofu("amd64").url)
    beside = place.with_name(f"{place.name}.sha256").read_text()
    assert beside.split() == [hashlib.sha256(place.read_bytes()).hexdigest(), place.name]
    with zipfile.ZipFile(place) as archive:
        assert archive.read("tofu") == b"a program"
        assert archive.getinfo("tofu").external_attr >> 16 & 0o111
    was = place.read_bytes()
    devenv.lay_out(said.append)
    assert len(said) == 1, "the second time nothing is made"
    place.unlink()
    devenv.lay_out(said.append)
    assert place.read_bytes() == was, "the same program makes the same bytes"
