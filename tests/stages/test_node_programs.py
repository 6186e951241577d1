"""A node's programs: each under its own digest, fetched once, called by links that are put right one by one."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from folder_server import FolderServer

from homewright.access.remote import CommandFailed
from homewright.site.mirrors import Fetch
from homewright.site.models import Site
from homewright.stages.cluster import nodes

CURL = """#!/bin/sh
for word; do
    [ "$previous" != -o ] || to=$word
    previous=$word
done
echo "$word" >>{root}/fetched
cp {root}/published/"${word##*/}" "$to"
"""
KUBE = b"#!/bin/sh\nexit 0\n"
Wanted = dict[str, tuple[Fetch, str]]


def archive() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as packed:
        for name in ("containerd", "containerd-shim-runc-v2", "ctr"):
            info = tarfile.TarInfo(f"bin/{name}")
            info.size, info.mode = len(KUBE), 0o755
            packed.addfile(info, io.BytesIO(KUBE))
    return made.getvalue()


@pytest.fixture
def server(tmp_path: Path) -> FolderServer:
    made = FolderServer(tmp_path)
    made.tools({"curl": CURL})
    made.at("/usr/local/bin/.keep")
    (tmp_path / "published").mkdir()
    return made


def publish(server: FolderServer, **programs: bytes) -> Wanted:
    """What is fetched, by name: `containerd` is an archive."""
    found: Wanted = {}
    for name, data in programs.items():
        (server.root / "published" / name).write_bytes(data)
        fetch = Fetch(f"http://mirror.lan/{name}", f"http://mirror.lan/{name}.sha256", archive=name == "containerd")
        found[name] = (fetch, hashlib.sha256(data).hexdigest())
    return found


def install(server: FolderServer, wanted: Wanted) -> bool:
    host: Any = server
    return nodes.fetch(host, wanted) | nodes.link(host, wanted)


def fetched(server: FolderServer) -> list[str]:
    file = server.root / "fetched"
    return [line.rpartition("/")[2] for line in file.read_text().splitlines()] if file.exists() else []


def test_what_is_one_file_is_fetched_once_and_called_by_each_name(server: FolderServer) -> None:
    wanted = publish(server, containerd=archive(), kubeadm=KUBE, kubelet=KUBE, kubectl=b"#!/bin/sh\nexit 3\n")
    assert install(server, wanted)
    assert fetched(server) == ["containerd", "kubeadm", "kubectl"]
    for name in ("kubeadm", "kubelet", "kubectl"):
        link = server.root / "usr/local/bin" / name
        assert link.is_symlink() and link.read_bytes() == (server.root / "published" / name).read_bytes()
        assert link.stat().st_mode & 0o777 == 0o755
    for name in ("containerd", "containerd-shim-runc-v2", "ctr"):
        assert (server.root / nodes.PROGRAMS.lstrip("/") / "bin" / name).read_bytes() == KUBE
    left = [path.name for path in (server.root / nodes.PROGRAMS.lstrip("/")).iterdir() if path.name.startswith(".")]
    assert left == []


def test_a_second_time_nothing_is_fetched_and_nothing_changed(server: FolderServer) -> None:
    wanted = publish(server, containerd=archive(), kubeadm=KUBE)
    assert install(server, wanted)
    assert not install(server, wanted)
    assert len(fetched(server)) == 2


@pytest.mark.parametrize("damage", ["gone", "elsewhere", "another file"])
def test_a_link_that_is_wrong_is_put_right(server: FolderServer, damage: str) -> None:
    wanted = publish(server, containerd=archive(), kubeadm=KUBE)
    install(server, wanted)
    link = server.root / "usr/local/bin/kubeadm"
    link.unlink()
    if damage == "elsewhere":
        link.symlink_to("/bin/false")
    elif damage == "another file":
        link.write_bytes(b"mine")
    assert install(server, wanted)
    assert link.is_symlink() and link.read_bytes() == KUBE and len(fetched(server)) == 2


def test_another_version_is_fetched_beside_the_one_that_runs(server: FolderServer) -> None:
    install(server, publish(server, kubeadm=KUBE))
    before = (server.root / "usr/local/bin/kubeadm").resolve()
    assert install(server, publish(server, kubeadm=KUBE + b"# 1.37\n"))
    after = (server.root / "usr/local/bin/kubeadm").resolve()
    assert before != after and before.exists() and after.read_bytes().endswith(b"# 1.37\n")


def test_what_is_not_what_its_checksum_names_is_never_called(server: FolderServer) -> None:
    wanted = publish(server, kubeadm=KUBE)
    (server.root / "published" / "kubeadm").write_bytes(b"#!/bin/sh\nevil\n")
    with pytest.raises(CommandFailed):
        install(server, wanted)
    assert not (server.root / "usr/local/bin/kubeadm").exists()
    assert not any(path.name == wanted["kubeadm"][1][:20] for path in server.root.rglob("*"))


def test_an_archive_that_is_not_unpacked_whole_is_not_kept(server: FolderServer) -> None:
    # Its checksum fits, and tar fails: as it does where the disk is full.
    with pytest.raises(CommandFailed):
        install(server, publish(server, containerd=archive()[:-40]))
    kept = [path.name for path in (server.root / nodes.PROGRAMS.lstrip("/")).iterdir()]
    assert all(name.startswith(".") for name in kept), "nothing has the name of its digest"
    assert not (server.root / nodes.PROGRAMS.lstrip("/") / "bin").exists()
    assert install(server, publish(server, containerd=archive())), "and what was left is in nobody's way"


SYSCTL = """#!/bin/sh
case $1 in -q) echo "$*" >>{root}/set ;; esac
"""


def virtual(server: FolderServer, kind: str, **capture: Any) -> Any:
    """An instance that is a node."""
    one = {"name": "n1", "host": "s1", "role": "control-plane"}
    answers = {"platform": {"cluster": "kubeadm"}, "instances": {"kind": kind, "nodes": [one]}}
    servers = [{"name": "s1", "address": "192.168.1.11", "user": "ann"}]
    made: Any = server
    made.site = Site.model_validate({"name": "attic", "servers": servers, **answers})
    made.name, made.through, made.facts, made.capture = "n1", object(), {}, capture
    return made


def test_a_virtual_machine_has_limits_of_its_own_kernel_and_a_container_its_servers(server: FolderServer) -> None:
    container = virtual(server, "container")
    assert nodes.limits(container) == {} and "fs." not in nodes.files(container)[nodes.SYSCTL][0]
    machine = virtual(server, "virtual-machine", limits={"fs.aio-max-nr": 999999, "fs.inotify.max_user_instances": 128})
    assert nodes.files(machine)[nodes.SYSCTL][0].splitlines()[1:] == [
        "net.ipv4.ip_forward = 1",
        "fs.inotify.max_user_instances = 1024",
        "fs.inotify.max_user_watches = 1048576",
        "fs.aio-max-nr = 999999",
    ]
    machine.through = None
    assert nodes.limits(machine) == {}, "a server has them from 10/00"


def test_a_virtual_machine_gets_the_limits_of_before_back(server: FolderServer) -> None:
    before = {"fs.inotify.max_user_instances": 128, "fs.inotify.max_user_watches": 12345, "fs.aio-max-nr": 65536}
    for name, value in {**before, "net.ipv4.ip_forward": 1}.items():
        server.at(f"/proc/sys/{name.replace('.', '/')}", f"{value}\n")
    nothing = dict.fromkeys(("dpkg-query", "systemctl", "apt-get", "pkill", "umount"), "#!/bin/sh\n")
    server.tools({**nothing, "sysctl": SYSCTL})
    machine = virtual(server, "virtual-machine")
    captured = nodes.before(machine)
    assert captured["limits"] == before and nodes.before(virtual(server, "container"))["limits"] == {}
    # Folders that this machine itself may have are none of a test's.
    nodes.remove(machine, {**captured, "folders": [*nodes.FOLDERS, *nodes.EMPTY]})
    assert (server.root / "set").read_text().splitlines() == [f"-q -w {name}={value}" for name, value in before.items()]
