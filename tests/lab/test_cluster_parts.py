"""Images out of files, the files beside them, and the practice site's answers about its cluster."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from homewright.errors import LabError
from homewright.lab import cluster, cluster_images, nested, practice_site, services
from homewright.lab.cluster_images import Parts, libraries_said, recipes
from homewright.lab.models import LabServer, Place, Record
from homewright.lab.oci import Entry, Recipe, make, with_folders
from homewright.lab.programs import EARLIER, SUFFIX, named
from homewright.mirror.layout import LAYER, MANIFEST, Descriptor, Layout
from homewright.site import mirrored, mirrors

PLACE = Place(number=7)


def _made(recipe: Recipe, folder: Path) -> tuple[Layout, Descriptor]:
    layout = Layout(folder).create()
    return layout, make(recipe, layout, "amd64", {})


def test_the_same_files_make_the_same_image_at_any_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for file, when in ((first, 1), (second, time.time())):
        file.write_bytes(b"program")
        os.utime(file, (when, when))
    digests = {
        _made(Recipe(layers=(entries,), command=("x",)), tmp_path / f"layout{number}")[1].digest
        for number, entries in enumerate(
            [
                (Entry("bin/x", first), Entry("etc/y", b"y", 0o644)),
                (Entry("etc/y", b"y", 0o644), Entry("bin/x", second)),
            ]
        )
    }
    assert len(digests) == 1


def test_a_layer_holds_what_it_was_told(tmp_path: Path) -> None:
    entries = (
        Entry("usr/local/bin/kube", b"program"),
        Entry("usr/local/bin/kubelet", link="kube"),
        Entry("etc/passwd", b"root\n", 0o644),
        Entry("tmp", mode=0o1777, folder=True),
    )
    layout, image = _made(Recipe((entries,), entrypoint=("/usr/local/bin/kube",), user="65534"), tmp_path)
    manifest = layout.manifest(image.digest)
    config = json.loads(layout.read(manifest["config"]["digest"]))
    assert config["config"]["Entrypoint"] == ["/usr/local/bin/kube"]
    assert config["config"]["User"] == "65534"
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == LAYER
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    with tarfile.open(fileobj=io.BytesIO(layout.read(layer["digest"]))) as archive:
        found = {member.name: member for member in archive}
        assert list(found) == [entry.path for entry in with_folders(entries)]
        assert found["usr/local/bin/kubelet"].linkname == "kube"
        assert (found["tmp"].mode, found["etc/passwd"].mode) == (0o1777, 0o644)
        assert {(member.uid, member.gid, member.mtime) for member in found.values()} == {(0, 0, 0)}
    layout.verify(image)


def _parts(folder: Path) -> Parts:
    def program(build: str, name: str) -> Path:
        file = folder / f"{build}.{name}"
        file.write_bytes(f"{build} {name}".encode())
        return file

    envoy, nft, iptables, busybox = (program("", name) for name in ("envoy", "nft", "iptables", "busybox"))
    return Parts(program, envoy, nft, iptables, busybox, ("sh", "cp"), lambda _: ())


def test_there_is_a_recipe_for_every_image_of_a_cluster(tmp_path: Path) -> None:
    found = recipes(_parts(tmp_path))
    assert set(found) == {image.name for image in mirrored.images()}
    for name, recipe in found.items():
        paths = {entry.path for layer in recipe.layers for entry in layer}
        for word in (*recipe.entrypoint, *recipe.command):
            assert any(path == word.lstrip("/") or path.endswith(f"bin/{word}") for path in paths), (name, word)
    shared = {found[name].layers[-1] for name in mirrored.OF_KUBERNETES}
    assert len(shared) == 1, "Kubernetes' images are one layer, which is fetched once"
    assert any(entry.path == "usr/sbin/nft" for layer in found["kube-proxy"].layers for entry in layer)
    for name in ("kube-proxy", "flannel"):
        told = {entry.path: entry.content for layer in found[name].layers for entry in layer}
        assert b"tcp 6 " in told["etc/protocols"], "nft calls protocols by their numbers, and kube-proxy by their names"
    of_flannel = {entry.path for layer in found["flannel"].layers for entry in layer}
    assert of_flannel >= {"usr/sbin/nft", "usr/sbin/iptables", "usr/sbin/ip6tables"}, "flanneld ends without these"
    assert {entry.path for layer in found["flannel-cni-plugin"].layers for entry in layer} >= {"bin/cp", "flannel"}


def test_the_earlier_kubernetes_has_images_of_its_own_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parts = _parts(tmp_path)
    for build in ("kubernetes", "etcd", "coredns"):
        for suffix in ("", SUFFIX):
            for program, _ in named(f"{build}{suffix}").programs:
                parts.program(f"{build}{suffix}", program)
    frozen = replace(parts, program=lambda build, name: tmp_path / f"{build}.{name}")
    parts.program("pause", "pause")
    monkeypatch.setattr(cluster_images, "of_this_machine", lambda say: frozen)
    said: list[str] = []
    found = cluster_images.ensure(cluster_images.OF_EARLIER, version=EARLIER, say=said.append)
    assert set(found) == {mirrored.reference(name, EARLIER) for name in cluster_images.OF_EARLIER}
    newest = cluster_images.ensure(cluster_images.OF_EARLIER, say=said.append)
    assert not found.keys() & newest.keys()
    for name in ("kube-apiserver", "kube-proxy", "etcd", "coredns"):
        assert found[mirrored.reference(name, EARLIER)] != newest[mirrored.reference(name)], name
    said.clear()
    assert cluster_images.ensure(cluster_images.OF_EARLIER, version=EARLIER, say=said.append) == found
    assert cluster_images.ensure(cluster_images.OF_EARLIER, say=said.append) == newest
    assert said == [], "neither takes the other's place"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (
            "\tlinux-vdso.so.1 (0x00007f0)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x7f)\n\t/lib64/ld-linux.so.2 (0x7f)\n",
            ("/lib/x/libc.so.6", "/lib64/ld-linux.so.2"),
        ),
        ("\tnot a dynamic executable\n", ()),
        ("\tstatically linked\n", ()),
    ],
)
def test_the_libraries_of_a_program(said: str, found: tuple[str, ...]) -> None:
    assert libraries_said(said) == found


def test_a_library_that_is_missing_is_named() -> None:
    with pytest.raises(LabError, match="could not be made") as caught:
        libraries_said("\tlibfoo.so.3 => not found\n")
    assert "libfoo.so.3" in caught.value.why


def test_images_are_made_again_only_where_a_file_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parts = _parts(tmp_path)
    monkeypatch.setattr(cluster_images, "of_this_machine", lambda say: parts)
    said: list[str] = []
    names = ["pause", "flannel-cni-plugin"]
    recipes(parts)
    first = cluster_images.ensure(names, say=said.append)
    assert set(first) == {mirrored.reference(name) for name in names}
    # Whatever is asked for is written as it is on disk: the second time nothing is.
    frozen = {path: path.read_bytes() for path in tmp_path.glob("*.*")}
    monkeypatch.setattr(
        cluster_images,
        "of_this_machine",
        lambda say: replace(parts, program=lambda build, name: tmp_path / f"{build}.{name}"),
    )
    for path, data in frozen.items():
        path.write_bytes(data)
    again = cluster_images.ensure(names, say=said.append)
    assert again == first
    assert len(said) == 2
    said.clear()
    assert cluster_images.ensure(names, say=said.append) == first
    assert said == []
    (tmp_path / "pause.pause").write_bytes(b"other")
    other = cluster_images.ensure(names, say=said.append)
    assert said == ["made the images pause"]
    assert other[mirrored.reference("pause")] != first[mirrored.reference("pause")]


def test_two_labs_of_a_user_make_the_images_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They unpack and write in one folder of the cache, which is held once more whenever an image gets its name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    at_it, most, began = 0, 0, threading.Event()
    counted = threading.Lock()

    def made(say: Any) -> dict[str, Descriptor]:
        nonlocal at_it, most
        with counted:
            at_it += 1
            most = max(most, at_it)
        began.set()
        time.sleep(0.3)  # past the moment for which the other one waits in silence
        layout = Layout(cluster_images.folder()).create()
        image = layout.add(b"{}", MANIFEST)
        layout.name("an/image:1", image)
        with counted:
            at_it -= 1
        return {"an/image:1": image}

    monkeypatch.setattr(cluster.go, "ensure", lambda builds, say: None)
    monkeypatch.setattr(cluster.cluster_files, "ensure", lambda say: False)
    monkeypatch.setattr(cluster.cluster_images, "ensure", lambda names, say: {})
    monkeypatch.setattr(cluster.workspace_image, "ensure", made)
    said: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(cluster.prepare, list[str]().append)
        assert began.wait(10)
        second = cluster.prepare(said.append)
        assert second == first.result(10) == Layout(cluster_images.folder()).images()
    assert most == 1
    assert said == ["another command makes the images already"]


def test_the_practice_site_says_where_its_cluster_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = LabServer(name="s1", address=PLACE.address(0), host_keys=())
    plain = Record(
        phase="up", backend="private", place=PLACE, password="x", servers=(server,), site_file=str(practice_site.path())
    )
    assert practice_site.of(plain).platform.cluster is None
    assert practice_site.write(plain)
    wanted = plain.model_copy(update={"cluster": True})
    assert practice_site.write(wanted)
    from homewright.site import files

    site = files.load(practice_site.path())
    assert (site.platform.cluster, site.platform.nodes) == ("kubeadm", "servers")
    assert site.cluster == nested.answers()
    assert mirrors.image(site.mirror, mirrored.reference("pause")) == "198.18.7.1:5000/registry.k8s.io/pause:3.10.2"
    assert site.mirror.plain_http
    assert not practice_site.write(wanted)
    assert practice_site.write(wanted.model_copy(update={"place": Place(number=9)}))
    assert files.load(practice_site.path()).mirror.images == "198.18.9.1:5000"
    assert practice_site.of(wanted.model_copy(update={"earlier": True})).cluster.version == EARLIER
    fresh = practice_site.of(wanted)
    assert (fresh.cluster, fresh.platform.cluster) == (nested.answers(), "kubeadm")


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        (b"/c/registry\0serve\0/s/registry.yml\0", True),
        (b"/usr/bin/python3\0-I\0-m\0http.server\0--bind\x00198.18.7.1\0", True),
        (b"bash\0", False),
        (b"vi\0registry.yml\0", False),
        (b"", False),
    ],
)
def test_a_shell_in_the_mirrors_folder_is_not_ended(command: bytes, ours: bool) -> None:
    assert services.is_service(command) is ours


class Somebody(BaseHTTPRequestHandler):
    """A web server that is none of the lab's."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def _files(folder: Path, port: int) -> services.Service:
    words = (sys.executable, "-I", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(port))
    return services.Service("files", words, f"http://127.0.0.1:{port}/")


def test_the_mirror_of_somebody_else_is_not_taken_for_the_labs(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Somebody) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        with pytest.raises(LabError, match="cannot start") as caught:
            services.start(_files(tmp_path, server.server_address[1]), tmp_path)
        server.shutdown()
        thread.join()
    assert "is not this lab's" in caught.value.why and services.running(tmp_path) == []


def test_the_labs_mirror_starts_where_nobody_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    services.start(_files(tmp_path, port), tmp_path)
    assert len(services.running(tmp_path)) == 1
    assert services.stop(tmp_path)


def test_an_answer_counts_only_while_the_process_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *words: Any, **options: Any) -> None:
            super().__init__(*words, **options)
            started.append(self)

    def answers(url: str) -> bool:
        asked.append(url)
        if len(asked) == 1:
            return False
        (tmp_path / "end").touch()
        os.waitid(os.P_PID, started[0].pid, os.WEXITED | os.WNOWAIT)  # ours has ended, and another is there by now
        return True

    monkeypatch.setattr(services, "answers", answers)
    monkeypatch.setattr(subprocess, "Popen", Popen)
    script = "until [ -e end ]; do sleep 0.01; done; echo address in use; exit 3"
    service = services.Service("registry", ("sh", "-c", script), "http://127.0.0.1:1/")
    with pytest.raises(LabError, match="did not start") as caught:
        services.start(service, tmp_path)
    assert "It ended with 3: address in use" in caught.value.why


def test_the_runtimes_script_changes_what_older_crun_does_not_take(tmp_path: Path) -> None:
    script = tmp_path / "runtime"
    script.write_text(nested.RUNTIME.replace("exec /usr/bin/crun", "exec echo"))
    config = tmp_path / "config.json"
    config.write_text('{"ociVersion":"1.3.0"}\n')
    words = ["--root", "/a b", "create", "--bundle", str(tmp_path), "--pid-file", "/p", "name"]
    done = subprocess.run(["sh", script, *words], capture_output=True, text=True, timeout=30, check=True)
    expected = [*words[:3], "--no-new-keyring", *words[3:]]
    assert done.stdout.rstrip("\n") == " ".join(["--cgroup-manager=disabled", *expected])
    assert json.loads(config.read_text()) == {"ociVersion": "1.0.2"}
    done = subprocess.run(["sh", script, "start", "name"], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "--cgroup-manager=disabled start name\n"
