"""The image of devenv before any node is asked: what it is built from, and how a node's answers are understood."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import tarfile

import pytest

from homewright.site import mirrored
from homewright.site.models import Site
from homewright.stages.components import proving
from homewright.stages.devenv import answering, nodes, recipe
from homewright.workspaces.templates import PodTemplate, shipped

SERVERS = [{"name": f"s{n}", "address": f"192.168.1.{10 + n}", "user": "ann"} for n in (1, 2)]
PLAIN = Site.model_validate({"name": "attic", "servers": SERVERS})
MIRRORED = Site.model_validate(
    {
        "name": "attic", "servers": SERVERS, "network": {"proxy": "http://proxy.lan:3128"},
        "mirror": {
            "images": "mirror.lan:5000", "plain_http": True, "files": "http://files.lan/all",
            "debian": "http://debian.lan/debian", "npm": "https://npm.lan",
        },
    }
)  # fmt: skip
TOFU = recipe.tofu(PLAIN, "amd64")


def containerfile() -> str:
    return recipe.files()["Containerfile"].decode()


def test_all_that_the_containerfile_copies_is_there_and_everything_there_is_copied() -> None:
    copied = set()
    for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", containerfile()):
        copied |= {word.rstrip("/") for word in line.split()[:-1]}
    copied -= {"authorities.cr[t]"}  # the building node's own
    assert {path.partition("/")[0] for path in recipe.files()} - {"Containerfile"} == copied


def test_it_fits_the_template() -> None:
    template = shipped()["devenv"]
    assert isinstance(template, PodTemplate)
    text = containerfile()
    assert f"EXPOSE {' '.join(str(port.container) for port in template.ports)}" in text
    assert f"USER {template.user}:{template.user}" in text and "useradd --uid 1000 " in text
    for volume in template.volumes:
        assert volume.path in re.search(r"mkdir -p (/workspace .*); ", text.replace("\\\n", ""))[1]  # type: ignore[index]
    assert f'PASSWORD = Path("/etc/homewright/{next(iter(template.files))}")' in recipe.files()["web-terminal"].decode()
    assert b"HISTFILE=/commandhistory/" in recipe.files()["zshrc"]


def test_everything_is_pinned_and_no_registry_of_packages_is_named() -> None:
    assert f"ARG BASE=debian:{mirrored.DEBIAN}\n" in containerfile()
    lock = recipe.files()["package-lock.json"].decode()
    assert "resolved" not in lock and lock.count('"integrity": "sha512-') == lock.count('"node_modules/')
    assert re.fullmatch(r"\d+\.\d+\.\d+", recipe.versions()["claude"])
    assert all(re.fullmatch(r"[0-9a-f]{64}", mirrored.opentofu(kind).sha256) for kind in ("amd64", "arm64"))


def test_another_file_another_version_and_another_machine_are_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe.inputs("amd64")
    assert before == recipe.inputs("amd64") != recipe.inputs("arm64")
    for path in recipe.files():
        changed = {**recipe.files(), path: recipe.files()[path] + b"\n"}
        with monkeypatch.context() as patch:
            patch.setattr(recipe, "files", lambda changed=changed: changed)
            assert recipe.inputs("amd64") != before, path
    monkeypatch.setattr(mirrored, "OPENTOFU", "9.9.9")
    assert recipe.inputs("amd64") != before


def test_a_site_with_mirrors_fetches_everything_there() -> None:
    given = recipe.tofu(MIRRORED, "amd64", "ab" * 32)
    assert recipe.arguments(MIRRORED, given) == {
        "BASE": f"mirror.lan:5000/{mirrored.BASE.reference}",
        "APT_MIRROR": "http://debian.lan/debian",
        "NPM_REGISTRY": "https://npm.lan",
        "OPENTOFU_URL": f"http://files.lan/all/{mirrored.opentofu('amd64').url.removeprefix('https://')}",
        "OPENTOFU_SHA256": "ab" * 32,
    }
    script = recipe.script(MIRRORED, "amd64", given)
    assert "--tls-verify=false" in script and "export http_proxy=http://proxy.lan:3128\n" in script
    around = re.search(r"export no_proxy=(\S+)", script)
    assert around is not None
    assert {"192.168.1.11", "mirror.lan", "files.lan", "debian.lan", "npm.lan"} <= set(around[1].split(","))


def test_without_mirrors_it_is_built_of_what_is_published() -> None:
    told = recipe.arguments(PLAIN, TOFU)
    assert told["BASE"] == mirrored.BASE.reference and not told["APT_MIRROR"] and not told["NPM_REGISTRY"]
    assert (told["OPENTOFU_URL"], told["OPENTOFU_SHA256"]) == (TOFU.url, mirrored.opentofu("amd64").sha256)
    script = recipe.script(PLAIN, "amd64", TOFU)
    assert "--tls-verify=true" in script and "proxy" not in script


def test_nothing_that_the_site_says_is_shell() -> None:
    names = {"debian": "http://debian.lan/$(touch${IFS}/tmp/x)';`id`"}
    script = recipe.script(Site.model_validate({"name": "attic", "mirror": names}), "amd64", TOFU)
    line = next(line for line in script.splitlines() if line.startswith("buildah bud"))
    assert f"APT_MIRROR={names['debian']}" in shlex.split(line)


@pytest.mark.parametrize("site", [PLAIN, MIRRORED])
def test_the_script_is_good_shell(site: Site) -> None:
    subprocess.run(["sh", "-n"], input=recipe.script(site, "amd64", TOFU), text=True, check=True)


SHELLS = {"packages-from": "sh", "devenv-start": "bash", "devenv-versions": "sh", "zshenv": "zsh", "zshrc": "zsh"}


@pytest.mark.parametrize(("file", "shell"), SHELLS.items())
def test_the_image_s_own_files_are_good_shell(file: str, shell: str) -> None:
    subprocess.run([shell, "-n"], input=recipe.files()[file], check=True)


def test_the_web_terminal_is_good_python() -> None:
    compile(recipe.files()["web-terminal"], "web-terminal", "exec")


def test_the_context_has_every_file_and_is_the_same_each_time() -> None:
    assert recipe.context() == recipe.context()
    with tarfile.open(fileobj=io.BytesIO(recipe.context())) as archive:
        assert {one.name for one in archive} == set(recipe.files())


ONE = f"{recipe.reference()} application/vnd.oci.image.manifest.v1+json sha256:{'0f' * 32}"


def listed(labels: str) -> str:
    return f"ls {ONE} 212.4 MiB linux/amd64 {labels}"


def checked(status: str = "complete (3/3)", unpacked: str = "true") -> str:
    return f"check {ONE} {status} 212.4 MiB/212.4 MiB {unpacked}"


OURS = f"{nodes.INPUTS}={recipe.inputs('amd64')},io.cri-containerd.image=managed,io.cri-containerd.pinned=pinned"


@pytest.mark.parametrize(
    ("lines", "good"),
    [
        ([listed(OURS), checked()], True),
        ([listed(OURS), checked("incomplete (2/3)")], False),
        ([listed(OURS), checked(unpacked="false")], False),
        ([listed(OURS)], False),
        ([listed("-"), checked()], False),
        ([listed("io.cri-containerd.image=managed"), checked()], False),
        ([listed(OURS.replace(",io.cri-containerd.pinned=pinned", "")), checked()], False),
        ([listed(f"{nodes.INPUTS}=0123,io.cri-containerd.pinned=pinned"), checked()], False),
    ],
)
def test_what_containerd_says_of_the_image(lines: list[str], good: bool) -> None:
    found = nodes.held(lines)
    assert found is not None and found.digest == f"sha256:{'0f' * 32}"
    assert found.is_good("amd64") is good


def test_a_node_without_it_has_none() -> None:
    assert nodes.held([]) is None


TOLD = "\n".join(
    [*(f"{name} {version}" for name, version in recipe.versions().items()), "zsh 5.9", "git 2.47.3", "sshd 10.0p2",
     "terminal 0.18.1"]
)  # fmt: skip


def test_the_versions_that_a_pod_names_are_compared() -> None:
    assert answering.wrong(answering.said(TOLD), "s1") == ""
    assert "tofu is 1.0.0, not" in answering.wrong(answering.said(TOLD.replace(mirrored.OPENTOFU, "1.0.0")), "s1")
    assert "user is 0:0 root, not 1000:1000 node" in answering.wrong(
        answering.said(TOLD.replace("1000:1000 node", "0:0 root")), "s1"
    )
    for name in answering.NAMED:
        lacking = "\n".join(line for line in TOLD.splitlines() if not line.startswith(name))
        assert f"{name} does not answer" in answering.wrong(answering.said(lacking), "s1")


def test_the_pod_of_the_proof_is_as_restricted_as_a_workspace_s() -> None:
    pod = proving.pod(PLAIN, "devenv-1", "true", container=answering.container(), nodeName="s1")
    container = pod["spec"]["containers"][0]
    assert container["image"] == recipe.reference() and container["imagePullPolicy"] == "Never"
    assert container["securityContext"]["runAsUser"] == 1000 and container["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["spec"]["nodeName"] == "s1"
