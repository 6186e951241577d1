"""Where images and files come from: every reference is rewritten by one function, and the table names all of them."""

from __future__ import annotations

import pytest

from homewright.errors import SiteError
from homewright.site import mirrored, mirrors
from homewright.site.models import MirrorSettings

NONE = MirrorSettings()
LAN = MirrorSettings(images="registry.lan:5000", files="http://mirror.lan/files/")
DEEP = MirrorSettings(images="registry.lan/copies/", files="https://mirror.lan")


@pytest.mark.parametrize(
    ("mirror", "reference", "pulled"),
    [
        (NONE, "registry.k8s.io/pause:3.10.2", "registry.k8s.io/pause:3.10.2"),
        (NONE, "busybox:1.36", f"{mirrored.DOCKER}/library/busybox:1.36"),
        (NONE, "rancher/local-path-provisioner:v1", f"{mirrored.DOCKER}/rancher/local-path-provisioner:v1"),
        (LAN, "registry.k8s.io/pause:3.10.2", "registry.lan:5000/registry.k8s.io/pause:3.10.2"),
        (LAN, "busybox", f"registry.lan:5000/{mirrored.DOCKER}/library/busybox"),
        (LAN, "localhost:5000/a", "registry.lan:5000/localhost:5000/a"),
        (DEEP, "images.example/a/b@sha256:" + "0" * 64, "registry.lan/copies/images.example/a/b@sha256:" + "0" * 64),
    ],
)
def test_an_image_is_pulled_from_the_mirror(mirror: MirrorSettings, reference: str, pulled: str) -> None:
    assert mirrors.image(mirror, reference) == pulled


@pytest.mark.parametrize(
    ("mirror", "repository"),
    [
        (NONE, "registry.k8s.io"),
        (LAN, "registry.lan:5000/registry.k8s.io"),
        (DEEP, "registry.lan/copies/registry.k8s.io"),
    ],
)
def test_what_kubeadm_puts_its_names_behind(mirror: MirrorSettings, repository: str) -> None:
    assert mirrors.image_repository(mirror) == repository
    assert mirrors.image(mirror, mirrored.reference("etcd")).startswith(f"{repository}/etcd:")


@pytest.mark.parametrize(
    ("mirror", "name", "url", "archive"),
    [
        (NONE, "kubelet", "https://dl.k8s.io/release/v1.36.3/bin/linux/arm64/kubelet", False),
        (LAN, "kubeadm", "http://mirror.lan/files/dl.k8s.io/release/v1.36.3/bin/linux/arm64/kubeadm", False),
        (
            DEEP,
            "containerd",
            "https://mirror.lan/github.com/containerd/containerd/releases/download/v1.36.3/"
            "containerd-1.36.3-linux-arm64.tar.gz",
            True,
        ),
    ],
)
def test_a_program_is_fetched_from_the_mirror(mirror: MirrorSettings, name: str, url: str, archive: bool) -> None:
    fetch = mirrors.program(mirror, name, "1.36.3", "arm64")
    assert (fetch.url, fetch.archive) == (url, archive)
    assert fetch.checksum.startswith(f"{url}.sha256")


def test_every_image_is_named_once_with_a_version_and_goes_through_the_mirror() -> None:
    images = mirrored.images()
    assert len({image.name for image in images}) == len({image.reference for image in images}) == len(images)
    for image in images:
        assert any(digit in image.version for digit in "0123456789"), image
        # What is written in the table is whole already: without a mirror nothing is added to it.
        assert mirrors.image(NONE, image.reference) == image.reference
        assert mirrored.reference(image.name) == image.reference
    assert {program.name for program in mirrored.programs()} == set(mirrored.PROGRAMS)


def test_an_earlier_kubernetes_brings_its_own_and_what_containerd_starts_pods_with() -> None:
    found = {image.name: image.reference for image in mirrored.images("1.35.4")}
    assert found["kube-proxy"].endswith(":v1.35.4") and found["etcd"] != mirrored.reference("etcd")
    assert found["sandbox"] == mirrored.reference("pause"), "as containerd's settings name it"
    assert found["flannel"] == mirrored.reference("flannel")
    assert len(set(found.values())) == len(found)


def test_a_kubernetes_whose_images_nobody_knows_is_refused() -> None:
    with pytest.raises(SiteError) as caught:
        mirrored.images("1.12.0")
    assert "1.36" in caught.value.why
    with pytest.raises(KeyError):
        mirrors.program(NONE, "helm", "3", "amd64")


@pytest.mark.parametrize("address", ["ftp://mirror.lan", "mirror.lan", "http://user:word@mirror.lan/", "http://m/?q"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="files"):
        MirrorSettings(files=address)
