"""code-server's archive: got, checked, unpacked."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from homewright.site.models import CodeServer
from homewright.workspaces import bundle
from homewright.workspaces.errors import BundleError
from homewright.workspaces.nodeside import bundles
from homewright.workspaces.nodeside.records import Refused

NAME = "code-server-4.139.1-linux-amd64.tar.gz"


@cache  # gzip writes the time of day: made twice, its bytes may differ
def archive(program: str = "bin/code-server", mode: int = 0o755) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        entry = tarfile.TarInfo(f"code-server-4.139.1-linux-amd64/{program}")
        entry.size, entry.mode, entry.uid = 10, mode, 4711
        tar.addfile(entry, io.BytesIO(b"#!/bin/sh\n"))
    return data.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A local bundle with its checksum beside it, as the lab makes one."""
    file = tmp_path / NAME
    file.write_bytes(archive())
    (tmp_path / f"{NAME}.sha256").write_text(f"{sha256(archive())}  {NAME}\n")
    return file


def test_a_local_bundle_is_checked(here: Path) -> None:
    found = bundle.ensure(CodeServer(bundle=str(here)), "x86_64")
    assert (found.file, found.sha256, found.version) == (here, sha256(archive()), "4.139.1")
    assert bundle.wanted(CodeServer(bundle=str(here)), "x86_64") == found.sha256


def test_a_changed_bundle_is_refused(here: Path) -> None:
    here.write_bytes(archive("bin/other"))
    with pytest.raises(BundleError, match="not what it should be"):
        bundle.ensure(CodeServer(bundle=str(here)), "x86_64")


def test_the_site_s_own_checksum_comes_first(here: Path) -> None:
    with pytest.raises(BundleError, match="not what it should be"):
        bundle.ensure(CodeServer(bundle=str(here), sha256="0" * 64), "x86_64")


@pytest.mark.parametrize("content", [None, "", "no checksum at all\n"])
def test_a_bundle_without_checksum_is_refused(here: Path, content: str | None) -> None:
    beside = here.with_name(f"{NAME}.sha256")
    beside.unlink()
    if content is not None:
        beside.write_text(content)
    with pytest.raises(BundleError) as refused:
        bundle.wanted(CodeServer(bundle=str(here)), "x86_64")
    assert "sha256sum" in refused.value.as_text()


def test_a_missing_bundle_and_an_unknown_machine_say_so(here: Path) -> None:
    here.unlink()
    with pytest.raises(BundleError, match="There is no code-server bundle"):
        bundle.ensure(CodeServer(bundle=str(here)), "x86_64")
    with pytest.raises(BundleError, match="riscv64"):
        bundle.wanted(CodeServer(), "riscv64")


def test_the_shipped_version_has_its_published_checksums() -> None:
    version = CodeServer().version
    assert len(bundle.wanted(CodeServer(), "x86_64")) == len(bundle.wanted(CodeServer(), "aarch64")) == 64
    assert {(version, "amd64"), (version, "arm64")} <= set(bundle.PUBLISHED)


def test_a_release_s_own_digest_is_taken() -> None:
    release = {"assets": [{"name": "other"}, {"name": NAME, "digest": f"sha256:{'a' * 64}"}]}
    assert bundle.digest_of(release, NAME) == "a" * 64
    for wrong in ({}, [], {"assets": [{"name": NAME}]}, {"assets": [{"name": NAME, "digest": "md5:1"}]}):
        with pytest.raises(ValueError, match="no sha256"):
            bundle.digest_of(wrong, NAME)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[str]:
    """A server that holds a release."""
    folder = tmp_path / "releases" / "v4.139.1"
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(archive())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "releases")))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_official_release_is_fetched_once(releases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said: list[tuple[int, int]] = []
    found = bundle.official(NAME, "4.139.1", sha256(archive()), lambda *at: said.append(at), releases)
    assert found.file.read_bytes() == archive()
    assert said[-1] == (len(archive()), len(archive()))
    again = bundle.official(NAME, "4.139.1", sha256(archive()), None, "http://127.0.0.1:1")
    assert again == found


def test_a_wrong_release_never_gets_its_name(releases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BundleError, match="not what it should be"):
        bundle.official(NAME, "4.139.1", "0" * 64, None, releases)
    with pytest.raises(BundleError, match="cannot be downloaded"):
        bundle.official("other.tar.gz", "4.139.1", "0" * 64, None, releases)
    assert list((tmp_path / "cache" / "homewright" / "code-server").iterdir()) == []


def test_on_the_node_an_archive_becomes_one_whole_folder(tmp_path: Path) -> None:
    digest = sha256(archive())
    bundles.prepare(tmp_path)
    (tmp_path / ".extract-left").mkdir()
    bundles.incoming(digest, tmp_path).write_bytes(archive())
    folder = Path(bundles.install("4.139.1", digest, tmp_path))
    assert folder.name == f"4.139.1-{digest[:12]}"
    assert (folder / "bin" / "code-server").stat().st_uid != 4711
    assert bundles.installed(tmp_path) == [str(folder)]
    assert [entry.name for entry in tmp_path.iterdir()] == [folder.name], "nothing is left over"
    assert bundles.install("4.139.1", digest, tmp_path) == str(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"half of it", "not the one that was sent"),
        (None, "not the one that was sent"),
        (archive("bin/other"), "not code-server as it is released"),
        (archive(mode=0o644), "not code-server as it is released"),
    ],
    ids=["half of it", "nothing", "without the program", "not to be run"],  # bytes would differ between workers
)
def test_what_is_no_bundle_gets_no_folder(tmp_path: Path, content: bytes | None, says: str) -> None:
    digest = sha256(content if content and content.startswith(b"\x1f") else archive())
    if content is not None:
        bundles.incoming(digest, tmp_path).write_bytes(content)
    with pytest.raises(Refused, match=says):
        bundles.install("4.139.1", digest, tmp_path)
    assert bundles.installed(tmp_path) == []
