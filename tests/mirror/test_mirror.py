"""Fetching, pushing and looking at copies; what is said when a registry, a file or a disk is not as it should be."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
from collections.abc import Iterator
from functools import partial
from http.client import IncompleteRead
from pathlib import Path

import pytest
from served_mirror import Served, serving

from homewright import catalogue
from homewright.cli import main
from homewright.errors import HomewrightError
from homewright.lab.oci import Entry, Recipe, make
from homewright.mirror import carrying, files
from homewright.mirror.errors import MirrorAway, MirrorError, unwritable
from homewright.mirror.layout import DOCKER_INDEX, INDEX, MANIFEST, Descriptor, Layout, told
from homewright.mirror.models import Item
from homewright.mirror.needs import needs, packages
from homewright.mirror.registry import Missing, Place, Registry, challenge, refusal
from homewright.site import mirrored
from homewright.site.locks import hold
from homewright.site.models import MirrorSettings, Site

ZEROS = "sha256:" + "0" * 64


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as found:
        yield found


@pytest.fixture
def registry(served: Served) -> Registry:
    return Registry(served.host, plain_http=True)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout").create()


def _image(layout: Layout, text: bytes = b"program", architecture: str = "amd64") -> Descriptor:
    return make(Recipe(((Entry("bin/x", text),),), command=("x",)), layout, architecture, {})


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        ("registry.lan:5000/a/b:1", Place("registry.lan:5000", "a/b", "1")),
        ("r.lan/a", Place("r.lan", "a", "latest")),
        (f"r.lan/a@{ZEROS}", Place("r.lan", "a", ZEROS)),
        ("198.18.0.1:5000/registry.k8s.io/pause:3.10.2", Place("198.18.0.1:5000", "registry.k8s.io/pause", "3.10.2")),
        ("r.lan:5000/localhost:5000/a:v1", Place("r.lan:5000", "localhost:5000/a", "v1")),
    ],
)
def test_a_reference_is_taken_apart(reference: str, place: Place) -> None:
    assert Place.of(reference) == place


@pytest.mark.parametrize("reference", ["busybox", "r.lan/", "r.lan/A:1", "r.lan/a:b/c!", f"r.lan/a@{ZEROS[:-1]}"])
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(MirrorError, match="no reference"):
        Place.of(reference)


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (
            'Bearer realm="https://auth.lan/token",service="r",scope="repository:a/b:pull"',
            ("https://auth.lan/token", {"service": "r", "scope": "repository:a/b:pull"}),
        ),
        ('Basic realm="r"', None),
        ('Bearer realm="file:///etc/passwd"', None),
        ("", None),
    ],
)
def test_where_a_token_comes_from(header: str, asked: tuple[str, dict[str, str]] | None) -> None:
    assert challenge(header) == asked


@pytest.mark.parametrize(
    ("status", "kind", "exit_code", "word"),
    [
        (404, Missing, 1, "does not have it"),
        (401, MirrorError, 1, "lets nobody in"),
        (403, MirrorError, 1, "lets nobody in"),
        (429, MirrorAway, 5, "enough of us"),
        (503, MirrorAway, 5, "out of order"),
        (400, MirrorError, 1, "refuses"),
    ],
)
def test_what_a_registrys_answer_means(status: int, kind: type[MirrorError], exit_code: int, word: str) -> None:
    error = refusal("r.lan/a", status, b'{"errors":[{"code":"C","message":"in its words"}]}')
    assert type(error) is kind
    assert error.exit_code == exit_code
    assert word in error.what
    assert refusal("r.lan/a", status, b"<html>").what == error.what


def test_an_image_is_pushed_once_and_comes_back_the_same(
    served: Served, registry: Registry, layout: Layout, tmp_path: Path
) -> None:
    image = _image(layout)
    assert registry.digest("a/b", "1") is None
    assert registry.push("a/b", "1", image, layout)
    assert registry.digest("a/b", "1") == image.digest
    assert not registry.push("a/b", "1", image, layout)
    before = len([line for line in served.asked if line.startswith('"POST')])
    assert registry.push("a/b", "2", image, layout), "another tag is only a manifest"
    assert len([line for line in served.asked if line.startswith('"POST')]) == before
    other = Layout(tmp_path / "other").create()
    data, manifest = registry.manifest("a/b", "2")
    for blob in json.loads(data)["layers"]:
        registry.fetch("a/b", Descriptor.of(blob), other)
        assert other.has(Descriptor.of(blob))
    assert manifest == image


def test_a_registry_that_wants_a_token_gets_one(served: Served, registry: Registry, layout: Layout) -> None:
    served.token = "word"
    image = _image(layout)
    assert registry.push("a", "1", image, layout)
    assert registry.digest("a", "1") == image.digest


def test_a_token_that_has_ended_is_renewed_once(served: Served, registry: Registry, layout: Layout) -> None:
    served.token = "first"
    image = _image(layout)
    registry.push("a", "1", image, layout)
    served.token = "second"
    assert registry.digest("a", "1") == image.digest
    registry._token = lambda realm, asked: "wrong"  # type: ignore[method-assign]  # a realm that lets nobody in
    served.token = "third"
    with pytest.raises(MirrorError, match="lets nobody in"):
        registry.digest("a", "1")


def test_a_place_for_tokens_that_answers_with_a_page(served: Served, registry: Registry) -> None:
    served.token = 'no "JSON'
    with pytest.raises(MirrorError, match="gives no token") as caught:
        registry.digest("a", "1")
    assert served.token not in caught.value.as_text()


@pytest.mark.parametrize(
    "data", [b"<html>sign in first</html>", b'{"schemaVersion":1,"fsLayers":[]}', b"[]", b'{"manifests":3}', b"\xff"]
)
def test_what_is_no_image_is_said_so(served: Served, registry: Registry, data: bytes) -> None:
    served.tag("a", "1", served.layout.add(data, "text/html").digest)
    with pytest.raises(MirrorError, match="is no image"):
        registry.manifest("a", "1")


def test_a_manifest_that_breaks_off(served: Served, registry: Registry, layout: Layout) -> None:
    registry.push("a", "1", _image(layout), layout)
    served.cut_manifests = True
    with pytest.raises(MirrorAway, match="broke off"):
        registry.manifest("a", "1")
    served.cut_manifests = False
    for error in (TimeoutError("timed out"), IncompleteRead(b"")):
        with pytest.raises(MirrorAway, match="does not answer"), registry._open("a", "manifests/1"):
            raise error


@pytest.mark.parametrize(("fault", "word"), [("damage", "not what it should be"), ("cut", "broke off")])
def test_a_blob_that_arrives_wrong_is_not_kept(
    served: Served, registry: Registry, layout: Layout, tmp_path: Path, fault: str, word: str
) -> None:
    image = _image(layout)
    registry.push("a", "1", image, layout)
    setattr(served, fault, True)
    other = Layout(tmp_path / "other").create()
    blob = Descriptor.of(layout.manifest(image.digest)["layers"][0])
    with pytest.raises(MirrorError, match=word):
        registry.fetch("a", blob, other)
    assert list((tmp_path / "other" / "blobs" / "sha256").iterdir()) == []


def test_a_registry_that_is_away_is_said_so(served: Served, layout: Layout) -> None:
    with serving(layout.folder / "gone") as gone:
        host = gone.host
    with pytest.raises(MirrorAway) as caught:
        Registry(host, plain_http=True).manifest("a", "1")
    assert host in caught.value.what
    assert not Registry(host, plain_http=True).answers()
    with pytest.raises(MirrorAway):  # it answers, and is no TLS
        Registry(served.host).manifest("a", "1")


def test_a_full_disk_is_said_and_nothing_half_written_stays(
    served: Served, registry: Registry, layout: Layout, tmp_path: Path
) -> None:
    image = _image(layout, os.urandom(300_000))
    registry.push("a", "1", image, layout)
    other = Layout(tmp_path / "other").create()
    blob = Descriptor.of(layout.manifest(image.digest)["layers"][0])
    # A file may grow no further, as on a full disk: the kernel's own error, with another number.
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(MirrorError, match="Nothing can be kept") as caught:
            registry.fetch("a", blob, other)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert "too large" in caught.value.why
    assert list((tmp_path / "other" / "blobs" / "sha256").iterdir()) == []


def test_a_layout_tells_what_is_missing_and_what_is_damaged(layout: Layout) -> None:
    image = _image(layout)
    layout.name("r.lan/a:1", image)
    layout.verify(image)
    blob = layout.path(layout.manifest(image.digest)["layers"][0]["digest"])
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + b"!")
    with pytest.raises(MirrorError, match="not what it should be"):
        layout.verify(image)
    blob.unlink()
    with pytest.raises(MirrorError, match="not whole"):
        layout.verify(image)
    layout.forget(["r.lan/a:1"])
    assert layout.images() == {}
    (layout.folder / "index.json").write_text("{")
    with pytest.raises(MirrorError, match=r"index\.json cannot be read"):
        layout.images()


@pytest.mark.parametrize("digest", ["md5:0", "sha256:../../etc/passwd", "sha256:" + "Z" * 64, ""])
def test_a_digest_that_is_none_leads_nowhere(layout: Layout, digest: str) -> None:
    with pytest.raises(MirrorError, match="no digest"):
        layout.path(digest)


# What a site carries in.


def _publish(served: Served, site: Site, names: tuple[str, ...]) -> tuple[Item, ...]:
    """Some of a site's items, with something under each of them."""
    items = [item for item in needs(site) if item.name in names]
    for item in items:
        if item.kind == "file":
            path = item.source.removeprefix(f"http://{served.host}")
            served.files[path] = f"{item.name} {item.version}".encode()
            assert item.checksum is not None
            _publish_checksum(served, item)
        else:
            place = Place.of(item.source)
            image = _image(served.layout, item.name.encode())
            served.tag(place.repository, place.tag, image.digest)
    return tuple(items)


def _publish_checksum(served: Served, item: Item) -> None:
    assert item.checksum is not None
    here = f"http://{served.host}"
    scratch = served.layout.folder / "scratch"
    scratch.write_bytes(served.files[item.source.removeprefix(here)])
    digest = files.checksum(scratch).partition(":")[2]
    served.files[item.checksum.removeprefix(here)] = f"{digest}  {item.name}\n".encode()


@pytest.fixture
def site(served: Served) -> Site:
    mirror = MirrorSettings(images=served.host, plain_http=True, files=f"http://{served.host}")
    return Site(name="attic", mirror=mirror)


NAMES = ("pause", "etcd", "kubelet", "containerd")


def _fetch(site: Site, items: tuple[Item, ...], folder: Path, *, renew: bool = False) -> tuple[Item, ...]:
    return carrying.fetch(items, folder, ("amd64",), site.mirror, renew=renew, say=list[str]().append)


def test_what_is_needed_is_everything_in_the_table(site: Site) -> None:
    items = needs(site, ("amd64", "arm64"))
    assert {item.name for item in items if item.kind == "image"} == {image.name for image in mirrored.images()}
    assert len([item for item in items if item.kind == "file"]) == 2 * len(mirrored.PROGRAMS)
    assert all(site.mirror.images is not None and site.mirror.images in item.source for item in items)
    plain = needs(Site(name="attic"))
    assert all(item.source == item.reference for item in plain)


def test_a_site_that_builds_devenv_needs_what_it_is_built_from(site: Site) -> None:
    builds = {"workspaces": {"devenv_image": True}, "platform": {"cluster": "kubeadm"}}
    more = Site.model_validate({**site.model_dump(mode="json"), **builds})
    added = {item.reference: item for item in needs(more)}
    added = {reference: added[reference] for reference in set(added) - {item.reference for item in needs(site)}}
    tofu = mirrored.opentofu("amd64")
    assert set(added) == {mirrored.BASE.reference, tofu.url}
    assert added[tofu.url].checksum == f"{added[tofu.url].source}.sha256", "beside the copy lies its own"
    alone = next(item for item in needs(Site.model_validate({"name": "attic", **builds})) if item.name == "opentofu")
    assert alone.checksum == tofu.checksum
    assert {item.name for item in packages(more)} - {
        item.name for item in packages(more.model_copy(update={"workspaces": site.workspaces}))
    } == {"buildah"}


def test_of_a_list_of_digests_that_of_the_file_is_taken(served: Served) -> None:
    one, two = "ab" * 32, "cd" * 32
    address = f"http://{served.host}/SHA256SUMS"
    served.files["/SHA256SUMS"] = f"{one}  tofu_1_linux_arm64.zip\n{two} *tofu_1_linux_amd64.zip\n".encode()
    assert files.published(address, "tofu_1_linux_amd64.zip") == f"sha256:{two}"
    assert files.published(address, "tofu_1_linux_arm64.zip") == f"sha256:{one}"
    with pytest.raises(MirrorError, match="holds no SHA-256"):
        files.published(address, "another.zip")


def test_packages_are_named_and_come_from_apt_alone() -> None:
    cluster = {"runtime": {"package": "crun"}, "address": "192.168.7.9"}
    attic = Site.model_validate({"name": "attic", "platform": {"cluster": "kubeadm"}, "cluster": cluster})
    named = packages(attic)
    assert {"crun", "iptables", "containernetworking-plugins"} <= {item.name for item in named}
    assert not {item.name for item in named} & {item.name for item in needs(attic)}
    catalogued = catalogue.load([catalogue.shipped()]).step("40/core/cluster/10").changes.packages
    assert {item.name for item in named} - {"crun"} == set(catalogued) - {"runc"}
    assert packages(Site.model_validate({"name": "attic", "platform": {"cluster": "existing"}})) == ()


def test_a_folder_is_filled_once_and_every_byte_of_it_is_looked_at(served: Served, site: Site, tmp_path: Path) -> None:
    items, folder = _publish(served, site, NAMES), tmp_path / "disk"
    done = _fetch(site, items, folder)
    assert {item.state for item in done} == {"there"}
    assert {item.state for item in carrying.look(items, folder)} == {"there"}
    fetched = [line for line in served.asked if "/blobs/" in line or line.endswith("kubelet HTTP/1.1")]
    served.asked.clear()
    assert _fetch(site, items, folder) == done
    assert fetched and not [line for line in served.asked if "/blobs/" in line]
    kubelet = folder / "files" / "dl.k8s.io/release/v1.36.3/bin/linux/amd64/kubelet"
    assert kubelet.read_bytes() == b"kubelet 1.36.3"
    assert kubelet.with_name("kubelet.sha256").read_text().endswith("  kubelet\n")
    kubelet.write_bytes(b"kubelet 1.36.4")
    blob = max((folder / "images" / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(b"other")
    looked = {item.name: item for item in carrying.look(items, folder)}
    assert looked["kubelet"].state == "wrong"
    assert "is wanted" in looked["kubelet"].reason
    assert sorted(item.state for item in looked.values()) == ["there", "there", "wrong", "wrong"]
    kubelet.unlink()
    blob.unlink()
    assert sorted(item.state for item in carrying.look(items, folder)) == ["missing", "there", "there", "wrong"]
    _fetch(site, items, folder)
    assert {item.state for item in carrying.look(items, folder)} == {"there"}


def test_a_reference_that_has_become_something_else_is_refused(served: Served, site: Site, tmp_path: Path) -> None:
    items, folder = _publish(served, site, NAMES), tmp_path / "disk"
    _fetch(site, items, folder)
    known = carrying.load(folder)
    assert known is not None
    place = Place.of(next(item.source for item in items if item.name == "etcd"))
    served.tag(place.repository, place.tag, _image(served.layout, b"somebody else's").digest)
    with pytest.raises(MirrorError, match="not what it was"):
        _fetch(site, items, folder)
    asked = {item.name: item for item in carrying.ask(needs(site, digests=known.digests), site.mirror)}
    assert (asked["etcd"].state, asked["pause"].state, asked["envoy"].state) == ("wrong", "there", "missing")
    _fetch(site, items, folder, renew=True)
    assert {item.state for item in carrying.look(items, folder)} == {"there"}


@pytest.mark.parametrize(
    ("fault", "word"), [("damage", "not what it should be"), ("cut", "broke off"), ("status", "out of order")]
)
def test_a_fetch_that_fails_keeps_what_was_whole_and_goes_on_later(
    served: Served, site: Site, tmp_path: Path, fault: str, word: str
) -> None:
    items, folder = _publish(served, site, NAMES), tmp_path / "disk"
    _fetch(site, items[:1], folder)
    setattr(served, fault, 500 if fault == "status" else True)
    with pytest.raises(MirrorError, match=word):
        _fetch(site, items[1:], folder)
    setattr(served, fault, None if fault == "status" else False)
    states = [item.state for item in carrying.look(items, folder)]
    assert states == ["there", "missing", "missing", "missing"]
    assert not list(folder.rglob(".part-*"))
    _fetch(site, items, folder)
    assert {item.state for item in carrying.look(items, folder)} == {"there"}


@pytest.mark.parametrize("media_type", [INDEX, DOCKER_INDEX])
@pytest.mark.parametrize("architectures", [("amd64",), ("amd64", "arm64")])
def test_of_an_image_for_many_machines_only_the_sites_are_fetched(
    served: Served, site: Site, tmp_path: Path, media_type: str, architectures: tuple[mirrored.Architecture, ...]
) -> None:
    item = next(item for item in needs(site) if item.name == "pause")
    made = {name: _image(served.layout, name.encode(), name) for name in ("amd64", "arm64", "s390x")}
    entries = [
        {**one.document(), "platform": {"os": "linux", "architecture": name}} for name, one in reversed(made.items())
    ]
    index = served.layout.add(told({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}), media_type)
    place = Place.of(item.source)
    served.tag(place.repository, place.tag, index.digest, media_type)
    for one in made.values():
        served.types[one.digest] = MANIFEST
    (done,) = carrying.fetch([item], tmp_path / "disk", architectures, site.mirror, say=list[str]().append)
    assert done.digest == index.digest, "what is compared later is what is published"
    layout = Layout(carrying.images_folder(tmp_path / "disk"))
    image = layout.images()[item.reference]
    layout.verify(image)
    held = {blob.digest for blob in layout.blobs(image)}
    assert {name for name, one in made.items() if one.digest in held} == set(architectures)
    registry = Registry(served.host, plain_http=True)
    assert registry.push("carried/pause", "1", image, layout)
    # A mirror that was filled from the folder has what the folder carries, and not what was published.
    served.tag(place.repository, place.tag, image.digest, image.media_type)
    for again in range(2):
        (filled,) = carrying.fetch([item], tmp_path / "disk", architectures, site.mirror, say=list[str]().append)
        assert filled.digest == index.digest, again
    carried = carrying.load(tmp_path / "disk")
    assert carried is not None and carried.held == {item.reference: image.digest}
    known = [one for one in needs(site, digests=carried.digests) if one.name == "pause"]
    assert [one.state for one in carrying.ask(known, site.mirror, carried)] == ["there"]
    served.tag(place.repository, place.tag, _image(served.layout, b"another").digest)
    assert [one.state for one in carrying.ask(known, site.mirror, carried)] == ["wrong"]
    assert [(one.state, one.reason) for one in carrying.ask([item], site.mirror)] == [("there", "not compared")]
    with pytest.raises(MirrorError, match="not published for riscv"):
        carrying.chosen("r.lan/a:1", {"manifests": entries}, ["riscv"])


def test_a_folder_that_nothing_was_fetched_into(tmp_path: Path, site: Site) -> None:
    with pytest.raises(MirrorError, match="holds no copies"):
        carrying.look(needs(site), tmp_path)
    (tmp_path / "mirror.json").write_text('{"version": 9}')
    with pytest.raises(MirrorError, match="cannot be read"):
        carrying.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(HomewrightError, match="Nothing can be kept"):
        carrying.require_folder(tmp_path / "file" / "folder")


def test_the_command_lists_fetches_and_verifies(
    served: Served, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from homewright.site import files as site_files

    path = tmp_path / "site.yaml"
    site_files.save(path, site)
    monkeypatch.delenv("HOMEWRIGHT_SITE", raising=False)
    options = ["--site", str(path), "mirror"]
    assert main([*options, "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {item["state"] for item in document["items"]} == {"unknown"}
    assert main([*options, "verify"]) == 1
    assert "are missing or wrong" in capsys.readouterr().out
    _publish(served, site, tuple(item.name for item in needs(site)))
    assert main([*options, "verify"]) == 0
    assert "is there; not compared" in capsys.readouterr().out
    disk = str(tmp_path / "disk")
    assert main([*options, "verify", "--against", disk]) == 1
    assert "holds no copies" in capsys.readouterr().err
    assert main([*options, "fetch", disk]) == 0
    assert main([*options, "verify", "--against", disk]) == 0
    assert "not compared" not in capsys.readouterr().out
    assert main([*options, "verify", disk, "--against", disk]) == 2
    with hold(tmp_path / "disk"):
        monkeypatch.setattr(carrying, "hold", partial(hold, wait=0.0))
        assert main([*options, "fetch", disk]) != 0, "another fetches into it"
    capsys.readouterr()
    assert main([*options, "verify", str(tmp_path / "disk"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {item["state"] for item in document["items"]} == {"there"}
    assert all(item["digest"].startswith("sha256:") for item in document["items"])


@pytest.mark.parametrize(
    ("number", "what"),
    [(errno.ENOSPC, "The disk is full"), (errno.EDQUOT, "The disk is full"), (errno.EROFS, "Nothing can be kept")],
)
def test_a_folder_that_takes_nothing(number: int, what: str) -> None:
    error = unwritable(Path("/media/disk"), OSError(number, os.strerror(number)))
    assert what in error.what
    assert "/media/disk" in f"{error.what} {error.why}"
