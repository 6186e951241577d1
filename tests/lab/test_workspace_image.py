"""The workspaces' image: which packages go in, where their files lie, and who owns what."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from homewright.errors import LabError
from homewright.lab import cluster, oci, workspace_image
from homewright.lab.workspace_image import closure, merged, packages_said, system
from homewright.mirror.layout import MANIFEST, Descriptor, Layout

SAID = (
    "git\tinstalled\t1:2.39\t\t\tlibc6 (>= 2.34), perl:any | other, mta\n"
    "libc6\tinstalled\t2.36\t\tlibgcc-s1\t\n"
    "libgcc-s1\tinstalled\t12\t\t\tlibc6\n"
    "perl\tinstalled\t5.36\tlibfile-perl (= 1), perl5\t\t\n"
    "postfix\tinstalled\t3.7\tmta, default-mta\t\t\n"
    "gone\tconfig-files\t1\t\t\t\n"
)


def test_a_package_comes_with_all_that_it_needs() -> None:
    installed = packages_said(SAID)
    assert "gone" not in installed and installed["git"].version == "1:2.39"
    assert closure(installed, ["git"]) == ("git", "libc6", "libgcc-s1", "perl", "postfix")
    with pytest.raises(LabError, match="the Debian package zsh") as missing:
        closure(installed, ["git", "zsh"])
    assert "apt-get install zsh" in missing.value.do
    broken = packages_said(SAID.replace("perl\tinstalled", "perl\tconfig-files"))
    with pytest.raises(LabError, match="package perl"):
        closure(broken, ["git"])


@pytest.mark.parametrize(("path", "wanted"), [
    ("bin/bash", "usr/bin/bash"), ("lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
    ("usr/bin/git", "usr/bin/git"), ("var/lib/misc", "var/lib/misc"), ("bin", "bin"), ("binary/x", "binary/x"),
])  # fmt: skip
def test_programs_lie_in_usr(path: str, wanted: str) -> None:
    assert merged(path) == wanted


def test_settings_and_manuals_of_this_machine_stay_here() -> None:
    paths = ["/.", "/etc/hostname", "/usr/share/doc/bash/copyright", "/bin/bash", "/usr/bin", "/nowhere/at/all"]
    found = {entry.path: entry for entry in system(paths)}
    assert "etc/hostname" not in found and "usr/share/doc/bash/copyright" not in found and "nowhere/at/all" not in found
    assert found["usr/bin/bash"].content == Path("/bin/bash")
    assert found["bin"].link == "usr/bin" and found["home/coder"].owner == 1000
    assert b"coder:x:1000" in bytes(found["etc/passwd"].content)  # type: ignore[arg-type]  # ours are bytes


def test_a_layer_keeps_owners_and_long_names(tmp_path: Path) -> None:
    long = "/".join(["a-folder-of-a-package"] * 14)
    layout = Layout(tmp_path).create()
    layer = oci.write_layer((oci.Entry("home/coder", folder=True, owner=1000), oci.Entry(long, b"x")), layout)
    with tarfile.open(
        fileobj=io.BytesIO((tmp_path / "blobs" / layer.digest.replace(":", "/")).read_bytes())
    ) as archive:
        assert archive.getmember("home/coder").uid == archive.getmember("home/coder").gid == 1000
        assert archive.getmember(long).uid == 0


def test_the_image_has_the_name_that_the_template_pulls() -> None:
    assert workspace_image.reference().startswith("codercom/code-server:")


def test_two_labs_make_it_one_after_the_other_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the cache, and what one unpacks is not to be removed by the other."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cluster.go, "ensure", lambda builds, say: None)
    monkeypatch.setattr(cluster.cluster_files, "ensure", lambda say: False)
    monkeypatch.setattr(cluster.cluster_images, "ensure", lambda names, say: {})
    monkeypatch.setattr(workspace_image.code_server, "ensure", lambda say: tmp_path / "bundle")
    monkeypatch.setattr(workspace_image.code_server, "checksum_path", lambda bundle: tmp_path / "checksum")
    (tmp_path / "checksum").write_text("0\n")
    monkeypatch.setattr(workspace_image, "PACKAGES", ("git",))
    monkeypatch.setattr(workspace_image, "run", lambda words, what: SAID if "-W" in words else "")
    began, made = threading.Event(), list[str]()

    def make(bundle: Path, base: object, layout: Layout) -> Descriptor:
        made.append(threading.current_thread().name)
        began.set()
        time.sleep(0.5)  # nobody comes in beside it
        return layout.add(b"{}", MANIFEST)

    monkeypatch.setattr(workspace_image, "_made", make)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(cluster.prepare, lambda text: None)
        assert began.wait(30)
        other = pool.submit(cluster.prepare, lambda text: None)
        assert one.result(60) == other.result(60) == Layout(cluster.cluster_images.folder()).images()
    assert len(made) == 1
