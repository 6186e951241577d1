"""The editor of two people in a real cluster, in a browser, at the address that `open --forward` shows.

A cluster takes minutes to make: HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name one that is there already.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from browser.conftest import chromium
from browser.editor import Editor
from cluster_place import ClusterPlace, place
from playwright.sync_api import BrowserContext, expect

from homewright.workspaces.models import Key, Specification
from homewright.workspaces.one_manager import OneManager

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.long]

HOME = "/home/coder/workspace"
PATIENT_MS = 240_000
"""Half an editor's scripts through one API server, with everything else on the same two cores."""
ALICE, BOB = Key(user="h-alice"), Key(user="h-bob")


@pytest.fixture(scope="module")
def cluster_place() -> Iterator[ClusterPlace]:
    with place() as found:
        yield found


@pytest.fixture(scope="module")
def manager(cluster_place: ClusterPlace) -> Iterator[OneManager]:
    with OneManager(cluster_place.site, cluster_place.state) as made:
        for key in (ALICE, BOB):
            spec = Specification(key=key, template="code-server", preset="standard")
            made.create(spec, print, accept_open_network=True)
        yield made
        for key in (ALICE, BOB):
            made.delete(key, with_storage=True, in_cluster=True)
            made.purge(key)


@dataclass
class Person:
    key: Key
    address: str
    password: str


@pytest.fixture
def people(manager: OneManager) -> Iterator[tuple[Person, Person]]:
    with manager.forwarder(ALICE) as one, manager.forwarder(BOB) as other:
        for way in (one, other):
            threading.Thread(target=way.serve, daemon=True).start()
        yield (
            Person(ALICE, f"http://localhost:{one.port}/", manager.password(ALICE)),
            Person(BOB, f"http://localhost:{other.port}/", manager.password(BOB)),
        )


@pytest.fixture(scope="module")
def browser(browser_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with chromium(tmp_path_factory.mktemp("browser")) as context:
        yield context


def shown(editor: Editor) -> None:
    """The editor has come, all of it through the API."""
    expect(editor.page.locator(".monaco-workbench")).to_be_visible(timeout=PATIENT_MS)
    editor.opened()


def editor_of(manager: OneManager, browser: BrowserContext, key: Key) -> Editor:
    def in_pod(command: str) -> str:
        said = b""
        with manager.shell(key, ("sh", "-c", command), terminal=False, stdin=False) as shell:
            while (piece := shell.read()) is not None:
                said += piece[1]
        return said.decode()

    return Editor(browser.new_page(), in_pod, HOME)


def test_two_people_work_and_neither_opens_the_others(
    manager: OneManager, browser: BrowserContext, people: tuple[Person, Person], request: Any
) -> None:
    alice, bob = people
    assert alice.password != bob.password
    one = editor_of(manager, browser, ALICE)
    one.page.goto(alice.address, timeout=PATIENT_MS)
    one.page.locator("input[type=password]").fill(alice.password)
    one.page.keyboard.press("Enter")
    shown(one)
    one.open_terminal()
    assert one.terminal("id -un; echo hers > hers.txt") == "coder\n"

    other = editor_of(manager, browser, BOB)
    other.page.goto(bob.address, timeout=PATIENT_MS)  # with the cookie of her session: cookies ignore ports
    expect(other.page.locator("input[type=password]")).to_be_visible(timeout=PATIENT_MS)
    other.page.locator("input[type=password]").fill(alice.password)
    other.page.keyboard.press("Enter")
    expect(other.page.get_by_text("Incorrect password")).to_be_visible(timeout=PATIENT_MS)
    other.page.locator("input[type=password]").fill(bob.password)
    other.page.keyboard.press("Enter")
    shown(other)
    other.open_terminal()
    assert "hers.txt" not in other.terminal("ls -A")
    other.terminal("echo his > his.txt")


def test_a_file_is_there_after_stop_and_start(manager: OneManager, browser: BrowserContext) -> None:
    assert manager.stop(ALICE, in_cluster=True).state == "stopped"
    assert manager.start(ALICE, in_cluster=True).state == "running"
    with manager.forwarder(ALICE) as way:
        threading.Thread(target=way.serve, daemon=True).start()
        editor = editor_of(manager, browser, ALICE)
        editor.page.goto(f"http://localhost:{way.port}/", timeout=PATIENT_MS)
        password = editor.page.locator("input[type=password]")
        if password.is_visible():  # the other's session has taken the cookie's place
            password.fill(manager.password(ALICE))
            editor.page.keyboard.press("Enter")
        shown(editor)
        editor.open_file("hers.txt")
        editor.open_terminal()
        assert editor.terminal("cat hers.txt") == "hers\n"
