"""The editors of two people by their own addresses, over HTTPS, each in a browser that trusts the site's authority.

A cluster takes minutes to make: HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name one that is there already.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from browser.conftest import launched, trusting_home
from browser.editor import Editor, wait_for
from browser.test_editor_in_a_cluster import PATIENT_MS, editor_of, shown
from cluster_place import ClusterPlace, place
from git_server import git_server
from playwright.sync_api import BrowserContext, Error, expect, sync_playwright

from homewright.planning import zone
from homewright.workspaces.models import Key, Repository, Specification
from homewright.workspaces.one_manager import OPEN_NETWORK, OneManager

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.long]

ANN, BEN = Key(user="g-ann"), Key(user="g-ben")
TOKEN = "s3cret-t0ken"
LIMIT_S = 300.0


@dataclass
class Person:
    """One person: a workspace, a browser of their own."""

    key: Key
    address: str
    password: str
    browser: BrowserContext


@pytest.fixture(scope="module")
def cluster_place() -> Iterator[ClusterPlace]:
    with place() as found:
        yield found


@pytest.fixture(scope="module")
def manager(cluster_place: ClusterPlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneManager]:
    """Both have a workspace; hers has a private repository, cloned with her own credentials."""
    folder = tmp_path_factory.mktemp("git")
    with (
        git_server(folder, cluster_place.gateway, {ANN.user: TOKEN}) as git,
        OneManager(cluster_place.site, cluster_place.state) as made,
    ):
        repository = Repository(url=git.make(f"{ANN.user}/project", "what she works on"), branch="main")
        made.give_credentials(ANN.user, repository.url, ANN.user, TOKEN)
        for key, cloned in ((ANN, repository), (BEN, None)):
            spec = Specification(key=key, template="code-server", preset="standard", repository=cloned)
            made.create(spec, print, accept_open_network=True)
        yield made
        for key in (ANN, BEN):
            made.delete(key, with_storage=True, in_cluster=True)
            made.purge(key)
        made.give_credentials(ANN.user, repository.url, "", None)


@pytest.fixture(scope="module")
def people(
    manager: OneManager, cluster_place: ClusterPlace, browser_tools: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Person, Person]]:
    site = cluster_place.site
    names = f"--host-resolver-rules=MAP *.{site.zone} {zone.planned(site, {}).ingress}"
    with ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())
        found = []
        for key in (ANN, BEN):
            home = trusting_home(tmp_path_factory.mktemp(key.user), cluster_place.state.authority / "ca.crt")
            browser = stack.enter_context(launched(playwright, home, names))
            found.append(Person(key, manager.show(key).address, manager.password(key), browser))
        yield found[0], found[1]


def go(editor: Editor, address: str) -> None:
    """Open an address; no certificate is asked about. What has just started may not be behind it at once."""

    def answered() -> bool:
        try:
            answer = editor.page.goto(address, timeout=60_000)
        except Error:
            return False
        return answer is not None and answer.status == 200

    wait_for(f"{address} to answer", answered, LIMIT_S)


def sign_in(editor: Editor, address: str, password: str) -> None:
    go(editor, address)
    box = editor.page.locator("input[type=password]")
    expect(box).to_be_visible(timeout=PATIENT_MS)
    box.fill(password)
    editor.page.keyboard.press("Enter")


@pytest.fixture(scope="module")
def hers(manager: OneManager, people: tuple[Person, Person]) -> Editor:
    """Her editor, after she has signed in: her session holds from then on, for her password stays the same."""
    ann, _ = people
    editor = editor_of(manager, ann.browser, ANN)
    sign_in(editor, ann.address, ann.password)
    shown(editor)
    return editor


def test_each_opens_their_own_and_only_that(
    manager: OneManager, people: tuple[Person, Person], hers: Editor, cluster_place: ClusterPlace
) -> None:
    ann, ben = people
    zone_of = cluster_place.site.zone
    assert [one.address for one in people] == [f"https://code-{one.key.user}.{zone_of}/" for one in people]
    assert ann.password != ben.password
    hers.open_terminal()
    assert hers.terminal("cat project/README.md; git -C project status --short --branch") == (
        "what she works on## main...origin/main\n"
    )
    hers.terminal("echo hers > hers.txt")
    hers.open_file("README.md")

    his = editor_of(manager, ben.browser, BEN)
    sign_in(his, ann.address, ben.password)
    expect(his.page.get_by_text("Incorrect password")).to_be_visible(timeout=PATIENT_MS)
    sign_in(his, ben.address, ben.password)
    shown(his)
    his.open_terminal()
    assert his.terminal("ls -A; id -un").split()[-1] == "coder"
    assert "hers.txt" not in his.terminal("ls -A")
    his.page.goto(ann.address, timeout=PATIENT_MS)  # with the session of his own
    expect(his.page.locator("input[type=password]")).to_be_visible(timeout=PATIENT_MS)


def test_that_the_network_keeps_nobody_apart_is_said(manager: OneManager) -> None:
    """flannel honours no NetworkPolicy: where one's pod reaches the other's, that has to be accepted first."""
    preview = manager.preview(Specification(key=Key(user="g-new"), template="code-server", preset="standard"))
    asked = f"exec 3<>/dev/tcp/code-server-{ANN.user}/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && head -1 <&3"
    answered = in_pod(manager, BEN, f'timeout 10 bash -c "{asked}" 2>/dev/null')
    assert (preview.must_accept == OPEN_NETWORK) == bool(answered), answered
    assert not answered or " 302 " in answered, "behind it is still the question for the password"


def in_pod(manager: OneManager, key: Key, command: str) -> str:
    said = b""
    with manager.shell(key, ("sh", "-c", command), terminal=False, stdin=False) as shell:
        while (piece := shell.read()) is not None:
            said += piece[1]
    return said.decode()


def by_stop_and_start(manager: OneManager) -> None:
    assert manager.stop(ANN, in_cluster=True).state == "stopped"
    assert manager.start(ANN, in_cluster=True).state == "running"


def by_its_pod(manager: OneManager) -> None:
    api = manager.require_cluster().api
    path = ("Pod", "codeserver-instances", f"code-server-{ANN.user}-0")
    before = api.get(*path)
    assert before is not None
    api.delete(before)
    limit = time.monotonic() + LIMIT_S
    while (now := api.get(*path)) is None or now["metadata"]["uid"] == before["metadata"]["uid"]:
        assert time.monotonic() < limit
        time.sleep(1)
    while manager.show(ANN).state != "running":
        assert time.monotonic() < limit, manager.show(ANN)
        time.sleep(1)


@pytest.mark.parametrize("ended", [by_stop_and_start, by_its_pod])
def test_her_file_outlives(
    manager: OneManager, people: tuple[Person, Person], hers: Editor, ended: Callable[[OneManager], None]
) -> None:
    ann, _ = people
    in_pod(manager, ANN, "echo hers > /home/coder/workspace/hers.txt")
    ended(manager)
    editor = editor_of(manager, ann.browser, ANN)
    for page in ann.browser.pages[:-1]:
        page.close()
    go(editor, ann.address)
    shown(editor)
    editor.open_terminal()
    assert editor.terminal("cat hers.txt") == "hers\n"
