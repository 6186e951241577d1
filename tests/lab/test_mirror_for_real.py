"""The lab's mirror with a real registry: programs built, images made, pushed, fetched, and what survives a kill."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from homewright.lab import cluster_images, go, services
from homewright.lab.models import Place
from homewright.lab.programs import named
from homewright.mirror import carrying
from homewright.mirror.layout import Layout
from homewright.mirror.needs import needs
from homewright.site import mirrored
from homewright.site.models import Site

SMALL = ("pause", "flannel-cni-plugin", "busybox")
"""Images whose programs are built in seconds."""


class Here(Place):
    """A place without a bridge: this machine's own loop."""

    @property
    def gateway(self) -> str:
        return "127.0.0.1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("storage", "files"):
        monkeypatch.setattr(services, name, lambda name=name: tmp_path / name)
    monkeypatch.setattr(cluster_images, "folder", lambda: tmp_path / "images")
    for name in ("REGISTRY_PORT", "FILES_PORT"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            monkeypatch.setattr(services, name, free.getsockname()[1])
    yield tmp_path / "services"
    services.stop(tmp_path / "services")


@pytest.mark.long
def test_images_go_through_a_real_registry_into_a_folder(folder: Path) -> None:
    place, said = Here(number=250), list[str]()
    go.ensure([named(name) for name in ("registry", "pause", "flannel-cni")], say=said.append)
    for name in ("registry", "pause", "flannel-cni"):
        go.verify(named(name))
    images = cluster_images.ensure(SMALL, say=said.append)
    layout = Layout(cluster_images.folder())
    for image in images.values():
        layout.verify(image)

    assert services.ensure(folder, place, said.append)
    assert len(services.running(folder)) == 2
    assert not services.ensure(folder, place, said.append)
    assert sorted(services.push(images, layout, place, said.append)) == sorted(images)
    assert services.push(images, layout, place, said.append) == []

    site = Site(name="attic", mirror=services.settings(place))
    items = [item for item in needs(site) if item.name in SMALL]
    disk = folder.parent / "disk"
    done = carrying.fetch(items, disk, ("amd64",), site.mirror, say=said.append)
    assert {item.reference: item.digest for item in done} == {
        reference: image.digest for reference, image in images.items()
    }
    assert {item.state for item in carrying.look(items, disk)} == {"there"}
    assert {item.state for item in carrying.ask(needs(site), site.mirror)} == {"there", "missing"}

    # Whoever is killed is found by the working folder; what was pushed is kept.
    killed = services.running(folder)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    for pid in killed:
        os.waitpid(pid, 0)
    assert not services.are_up(folder, place)
    assert services.ensure(folder, place, said.append)
    assert services.push(images, layout, place, said.append) == []
    assert services.stop(folder)
    assert services.running(folder) == []
    assert not services.stop(folder)


@pytest.mark.long
def test_the_programs_do_what_they_are_called(tmp_path: Path) -> None:
    """One file for all of Kubernetes: its name decides; the others say their versions."""
    wanted = [named(name) for name in ("kubernetes", "containerd", "etcd", "coredns")]
    go.ensure(wanted, say=list[str]().append)
    kube = go.program(named("kubernetes"), "kube")
    for name, words in (
        ("kubeadm", ["version", "-o", "short"]),
        ("kubelet", ["--version"]),
        ("kubectl", ["version", "--client"]),
        ("kube-apiserver", ["--version"]),
        ("kube-controller-manager", ["--version"]),
        ("kube-scheduler", ["--version"]),
        ("kube-proxy", ["--version"]),
    ):
        (tmp_path / name).symlink_to(kube)
        for command in ([str(tmp_path / name), *words], [str(kube), name, *words]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            assert f"v{mirrored.KUBERNETES}" in done.stdout, (command, done.stderr)
    done = subprocess.run([kube, "docker"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "kubeadm" in done.stderr
    said = subprocess.run(
        [str(kube), "kubeadm", "config", "images", "list", "--kubernetes-version", f"v{mirrored.KUBERNETES}"],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout.split()  # fmt: skip
    assert set(said) <= {image.reference for image in mirrored.images()}, "kubeadm pulls what the table names"
    for build, program, words in (
        ("containerd", "containerd", ["--version"]),
        ("etcd", "etcd", ["--version"]),
        ("etcd", "etcdutl", ["version"]),
        ("coredns", "coredns", ["-version"]),
    ):
        file = go.program(named(build), program)
        assert stat.S_IMODE(file.stat().st_mode) & 0o111
        done = subprocess.run([file, *words], capture_output=True, text=True, timeout=120)
        assert named(build).version in done.stdout + done.stderr
