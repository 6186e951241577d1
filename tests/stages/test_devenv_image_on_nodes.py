"""The image of devenv on a practice cluster: built there without Docker, the same on every node, and lived in.

HOMEWRIGHT_TEST_LAB names the folder of a lab that is up with its cluster and a class of storage; else one is made.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import pytest
from browser.conftest import chromium
from driving import Practice
from playwright.sync_api import expect
from practice_lab import Lab, cluster_lab, ran
from stage_on_servers import StageOnServers

from homewright.catalogue import load, shipped
from homewright.cluster import client
from homewright.cluster.client import Cluster, wait
from homewright.engine.remedies import match
from homewright.engine.states import Action
from homewright.site import files
from homewright.site.secrets import Secrets
from homewright.stages.devenv import nodes, recipe
from homewright.workspaces.backends.kubernetes import streams
from homewright.workspaces.backends.kubernetes.manifests import CONTAINER
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.one_manager import OneManager

pytestmark = [pytest.mark.lab, pytest.mark.long]

STAGE = "40/core/devenv"
STEP = f"{STAGE}/10"
KEY = Key(user="d-ann")
WORKLOAD = f"devenv-{KEY.user}"
SECRET = f"/api/v1/namespaces/devenv/secrets/devenv-secrets-{KEY.user}"
LOOK = f"{nodes.CTR} images ls name=={recipe.reference()} | sed 1d"
PACKAGES = "dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' | awk '$1 == \"ii\" { print $2 }'"
LEFT = f"ls -d {recipe.FOLDER} {recipe.RUN} 2>/dev/null; true"
WAIT_S = 240.0


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with cluster_lab("devenv") as made:
        if not made.state.secrets.exists():
            ran(made.run("trust", "--all", "--practice"))
            ran(made.run("apply", "--yes", "--plain", timeout=3600))
        yield made


@pytest.fixture(scope="module")
def before(lab: Lab) -> dict[str, set[str]]:
    """The packages of each server before the step."""
    return {name: set(lab.on(name, PACKAGES).split()) for name in lab.servers}


@pytest.fixture(scope="module")
def built(lab: Lab, before: dict[str, set[str]]) -> str:
    """What the first run said."""
    ran(lab.run("site", "set", "workspaces.devenv_image", "true"))
    ran(lab.run("lab", "up", "--yes", timeout=3600))
    return ran(lab.run("apply", "--only", STAGE, "--yes", "--plain", timeout=3600))


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[Cluster]:
    with closing(Cluster(client.of_site(Secrets(lab.state.secrets)))) as cluster:
        yield cluster


@pytest.fixture
def stage(lab: Lab, built: str, tmp_path: Path) -> Iterator[StageOnServers]:
    practice = Practice.of(lab.site_file, lab.state.root, tmp_path)
    practice.hold()
    yield StageOnServers(practice, load([shipped()]))
    practice.give_back()


def digests(lab: Lab) -> set[str]:
    return {lab.on(name, LOOK).split()[2] for name in lab.servers}


def test_it_is_built_once_and_every_node_has_the_same(lab: Lab, built: str) -> None:
    assert built.count(f"building {recipe.reference()}") == 1
    [digest] = digests(lab)
    assert digest in built
    assert not [lab.on(name, LEFT) for name in lab.servers if lab.on(name, LEFT)], "nothing of the build is left"
    again = ran(lab.run("apply", "--only", STAGE, "--yes", "--plain", timeout=900))
    assert "changed:" not in again and "building" not in again, again


def test_its_proof_names_what_is_in_it(stage: StageOnServers) -> None:
    for verdict, why in stage.verdicts(STEP).values():
        assert verdict == "proved", why
        assert f"tofu {recipe.versions()['tofu']}, claude {recipe.versions()['claude']}" in why


Damage = Callable[[Practice, str], object]
IMAGE = f"{nodes.CTR} images"
DAMAGES: dict[str, tuple[str, str]] = {
    "gone": (f"{IMAGE} rm --sync {recipe.reference()}", "has no image"),
    "of other files": (f"{IMAGE} label {recipe.reference()} {nodes.INPUTS}=0123", "built of other files"),
    "another's": (
        f"other=$({IMAGE} ls -q | grep busybox | head -n 1); {IMAGE} tag --force $other {recipe.reference()}",
        "not one that was built here",
    ),
    "not kept": (
        f"{IMAGE} label {recipe.reference()} {nodes.PINNED.partition('=')[0]}=",
        "may remove",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_seen_and_mended_by_the_image_of_another_node(stage: StageOnServers, lab: Lab, damage: str) -> None:
    practice = stage.practice
    name, before = practice.names[-1], digests(lab)
    script, why = DAMAGES[damage]
    practice.on(name, script)
    verdict, said = stage.verdicts(STEP, hosts=[name])[name]
    assert (verdict, why in said) == ("broken", True), said
    outcome = stage.run(STEP)
    assert not [line for line in outcome.lines() if "building" in line] or len(practice.names) == 1
    stage.assert_proved(STEP)
    assert len(practice.names) == 1 or digests(lab) == before


def test_where_there_is_no_room_nothing_is_begun(stage: StageOnServers) -> None:
    practice = stage.practice
    for name in practice.names:
        practice.on(name, f"{IMAGE} rm --sync {recipe.reference()}")
        practice.on(name, f"mkdir -p {recipe.FOLDER} && mount -t tmpfs -o size=64m none {recipe.FOLDER}")
    try:
        outcome = stage.carry_out(STEP, Action.RUN)
        assert set(outcome.changed.values()) == {0} and "failed" in outcome.states.values()
        [why] = {reason for reason in outcome.reasons.values() if "room" in reason}
        assert match(stage.step(STEP).remedies, [why]) is not None
    finally:
        for name in practice.names:
            practice.on(name, f"umount {recipe.FOLDER} && rmdir {recipe.FOLDER}")
    stage.run(STEP)
    stage.assert_proved(STEP)


@pytest.fixture(scope="module")
def manager(lab: Lab, built: str) -> Iterator[OneManager]:
    with OneManager(files.load(lab.site_file), lab.state) as made:
        yield made


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of the user's."""
    file = tmp_path_factory.mktemp("ssh") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


@pytest.fixture(scope="module")
def workspace(manager: OneManager, api: Cluster, identity: Path) -> Iterator[Key]:
    """One that knows its user's key, and a credential."""
    manager.create(Specification(key=KEY, template="devenv", preset="standard"), print, accept_open_network=True)
    given = {"SSH_AUTHORIZED_KEYS": identity.with_suffix(".pub").read_text(), "TFE_TOKEN": "t0ken"}
    api.merge(SECRET, {"stringData": given})
    manager.stop(KEY, in_cluster=True)
    assert manager.start(KEY, in_cluster=True).state == "running", "its probe answers"
    yield KEY
    manager.delete(KEY, with_storage=True, in_cluster=True)
    manager.purge(KEY)


@contextmanager
def led(manager: OneManager, port: int) -> Iterator[int]:
    """A port of this machine that leads to one of the workspace's."""
    place = streams.Place("devenv", f"{WORKLOAD}-0", CONTAINER)
    with streams.Forwarder(streams.port_opener(manager.require_cluster().api, place, port)) as way:
        threading.Thread(target=way.serve, daemon=True).start()
        yield way.port


def ssh(port: int, identity: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    options = (
        "BatchMode=yes", "IdentitiesOnly=yes", "PreferredAuthentications=publickey", "HostKeyAlias=devenv",
        "StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={identity.parent / 'known'}",
    )  # fmt: skip
    flags = [word for one in options for word in ("-o", one)]
    return subprocess.run(
        ["ssh", "-F", "none", "-i", str(identity), *flags, "-p", str(port), *words], input=stdin,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_its_user_s_key_opens_it_and_no_other(
    manager: OneManager, workspace: Key, identity: Path, tmp_path: Path
) -> None:
    with led(manager, 2222) as port:
        done = ssh(port, identity, "node@localhost", "devenv-versions; pwd; print $TFE_TOKEN; print -l $HOME $SHELL")
        assert done.returncode == 0, done.stderr
        for name, version in recipe.versions().items():
            assert f"{name} {version}\n" in done.stdout
        assert done.stdout.splitlines()[-3:] == ["t0ken", "/home/node", "/bin/zsh"]
        other = tmp_path / "other"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
        refused = ssh(port, other, "node@localhost", "true")
        assert refused.returncode == 255 and "Permission denied (publickey)" in refused.stderr
        assert "Permission denied" in ssh(port, identity, "root@localhost", "true").stderr


def test_its_processes_have_no_rights(manager: OneManager, workspace: Key, identity: Path) -> None:
    with led(manager, 2222) as port:
        said = ssh(port, identity, "node@localhost", "cat /proc/1/status; id -u; command -v sudo").stdout
    assert re.search(r"(?m)^CapEff:\s+0+$", said) and re.search(r"(?m)^CapBnd:\s+0+$", said)
    assert re.search(r"(?m)^NoNewPrivs:\s+1$", said) and re.search(r"(?m)^Uid:(\s+1000){4}$", said)
    assert said.splitlines()[-1] == "1000", "and no sudo"


def test_history_and_host_key_outlive_the_pod(
    manager: OneManager, api: Cluster, workspace: Key, identity: Path
) -> None:
    with led(manager, 2222) as port:
        typed = "print in-the-$((40 + 2))nd-year\nexit\n"
        done = ssh(port, identity, "-tt", "node@localhost", stdin=typed)
        assert "in-the-42nd-year" in done.stdout, done
    pods = f"/api/v1/namespaces/devenv/pods/{WORKLOAD}-0"
    uid = api.get(pods)["metadata"]["uid"]
    api.delete(pods)

    def fresh() -> str:
        found = api.find(pods)
        ready = found is not None and found["metadata"]["uid"] != uid and manager.show(KEY).state == "running"
        return "" if ready else "not yet"

    assert not wait(WAIT_S, fresh)
    with led(manager, 2222) as port:  # another host key would be refused here: accept-new takes only the first
        done = ssh(port, identity, "node@localhost", "cat /commandhistory/.zsh_history; ls ~/.claude/ssh")
    assert "print in-the-$((40 + 2))nd-year" in done.stdout and "host_ed25519" in done.stdout, done


def test_the_web_terminal_asks_for_the_password_and_nothing_else_opens_it(manager: OneManager, workspace: Key) -> None:
    jar = urllib.request.HTTPCookieProcessor(CookieJar())
    browser = urllib.request.build_opener(jar)

    def ask(path: str, **form: str) -> tuple[int, str, str]:
        data = urlencode(form).encode() if form else None
        try:
            with browser.open(f"http://localhost:{port}{path}", data=data, timeout=30) as answer:
                return answer.status, answer.url, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, "", ""

    with led(manager, 8080) as port:
        assert json.loads(ask("/healthz")[2])["status"] == "alive"
        status, url, page = ask("/")
        assert status == 200 and "/sign-in" in url
        token = re.search(r'name="_xsrf" value="([^"]+)"', page)
        assert token is not None
        assert ask("/terminals/main")[0] == 401
        assert ask("/sign-in", _xsrf=token[1], password="nobody's")[0] == 401
        assert ask("/sign-in", password=manager.password(KEY))[0] == 403, "from a page of its own alone"
        assert "xterm.js" in ask("/sign-in", _xsrf=token[1], password=manager.password(KEY))[2]


def test_in_a_browser_it_is_a_terminal_whose_shell_goes_on(manager: OneManager, workspace: Key, tmp_path: Path) -> None:
    def typed(line: str, wanted: str) -> None:
        page.keyboard.type(f"{line}\n")
        expect(page.locator(".xterm-rows")).to_contain_text(wanted, timeout=60_000)

    with led(manager, 8080) as port, chromium(tmp_path) as context:
        page = context.new_page()
        page.goto(f"http://localhost:{port}/")
        page.fill("#password", manager.password(KEY))
        page.click("button")
        expect(page.locator(".xterm-rows")).to_contain_text("/workspace", timeout=60_000)
        typed("mine=$((40 + 2)); print here-$mine", "here-42")
        page.reload()
        expect(page.locator(".xterm-rows")).to_contain_text("here-42", timeout=60_000)
        typed("print still-$mine", "still-42")


def test_a_node_that_a_workspace_uses_keeps_it_and_the_others_do_not(
    lab: Lab, api: Cluster, workspace: Key, before: dict[str, set[str]]
) -> None:
    used = api.get(f"/api/v1/namespaces/devenv/pods/{WORKLOAD}-0")["spec"]["nodeName"]
    done = ran(lab.run("rollback", STAGE, "--yes", "--plain", timeout=900))
    assert f"containers on {used} are made of it" in done
    assert {name for name in lab.servers if lab.on(name, LOOK)} == {used}
    assert {name: set(lab.on(name, PACKAGES).split()) for name in lab.servers} == before
    assert not [name for name in lab.servers if lab.on(name, LEFT)]
