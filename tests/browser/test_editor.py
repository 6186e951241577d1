"""A workspace as its owner meets it: in a browser. The tests build on each other, as a morning's work does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import vsix
from browser.conftest import chromium, trusting_home
from browser.editor import Editor

from homewright.access.connection import Connection, Endpoint
from homewright.site import files
from homewright.site.paths import StateFolder
from homewright.workspaces.manager import Manager
from homewright.workspaces.models import Key, Specification
from homewright.workspaces.nodeside.inside import SOCKETS

pytestmark = [pytest.mark.lab, pytest.mark.browser]

DECOYS = ("/run/docker.sock", "/run/containerd/containerd.sock", "/var/lib/lxd/unix.socket")
CANARIES = {
    "another home": "/home/lab-canary/notes",
    "root's home": "/root/canary",
    "a site file": "/etc/homewright/canary",
    "an agent's token": "{data}/.ml-agent/token",
    "another workspace's data": "{data}/.code-server/bob/data/canary",
    "another workspace's certificate key": "{data}/.code-server/bob/config/tls.key",
    "the intent records": "/var/lib/homewright/workspaces/bob/workspace.json",
}


@pytest.fixture(scope="module")
def manager(trusted_lab: Any) -> Iterator[Manager]:
    site = files.load(Path(trusted_lab.site_file))
    with Manager(
        site, StateFolder(Path(trusted_lab.state_args[trusted_lab.state_args.index("--state") + 1]))
    ) as manager:
        yield manager


@pytest.fixture(scope="module")
def node(manager: Manager) -> Iterator[Connection]:
    server = manager.site.server(manager.nodes()[0])
    with Connection.open(Endpoint.of(server, manager.state)) as connection:
        yield connection


@pytest.fixture(scope="module")
def alice(manager: Manager, node: Connection) -> Iterator[Key]:
    """Her workspace, with a neighbour on the same node, so that there is somebody to be walled off from."""
    key = Key(user="alice", node=node.endpoint.name)
    neighbour = Key(user="bob", node=node.endpoint.name)
    manager.create(Specification(key=key), print)
    manager.create(Specification(key=neighbour), print, accept_shared_node=True)
    yield key
    for one in (key, neighbour):
        manager.delete(one, with_storage=True)


@pytest.fixture(scope="module")
def editor(
    browser_tools: None, alice: Key, manager: Manager, node: Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Editor]:
    home = trusting_home(tmp_path_factory.mktemp("browser"), manager.state.authority / "ca.crt")
    with chromium(home) as browser:

        def on_server(command: str) -> str:
            return node.run(command, sudo=True).stdout

        editor = Editor(browser.pages[0], on_server, f"{manager.site.workspaces.data_root}/projects")
        editor.sign_in(manager.show(alice).address, manager.password(alice))
        editor.open_terminal()
        yield editor


def test_a_file_written_in_the_terminal_is_in_projects_on_the_server(editor: Editor, node: Connection) -> None:
    editor.terminal("printf '# A heading\\n\\nwith *words*\\n' > notes.md")
    assert node.read(f"{editor.shared}/notes.md", sudo=True) == b"# A heading\n\nwith *words*\n"
    owned = editor.on_server(f"stat -c '%U %G %A' {editor.shared}/notes.md {editor.shared}").splitlines()
    assert owned == ["hw-alice homewright-data -rw-rw-r--", "root homewright-data drwxrwsr-x"]


def test_a_markdown_preview_opens(editor: Editor) -> None:
    editor.open_file("notes.md")
    editor.command("Markdown: Open Preview")
    editor.in_webview("h1", "A heading")


def test_an_extension_installs(editor: Editor, node: Connection) -> None:
    node.write(f"{editor.shared}/proof.vsix", vsix.packed())
    said = editor.terminal("code-server --install-extension proof.vsix")
    assert "was successfully installed" in said, said
    editor.command(vsix.TITLE)
    editor.notified(vsix.SAYS)


def test_its_environment_has_no_proxy_and_no_password(editor: Editor, manager: Manager, alice: Key) -> None:
    environment = editor.terminal("env")
    assert "HOME=" in environment
    assert not [line for line in environment.splitlines() if line.lower().partition("=")[0].endswith("_proxy")]
    assert manager.password(alice) not in environment


def test_from_the_terminal_there_is_no_way_out(editor: Editor, node: Connection, manager: Manager) -> None:
    data = manager.site.workspaces.data_root
    paths = {what: path.format(data=data) for what, path in CANARIES.items()}
    for path in paths.values():
        folder = shlex.quote(str(Path(path).parent))
        editor.on_server(f"mkdir -p {folder} && (test -e {path} || echo canary > {path}) && chmod 0644 {path}")
    for path in DECOYS:  # open to everybody: only the walls keep a workspace away from them
        bind = f"import os, socket; socket.socket(socket.AF_UNIX).bind({path!r}); os.chmod({path!r}, 0o666)"
        editor.on_server(
            f"mkdir -p {Path(path).parent} && chmod a+x {Path(path).parent} && "
            f"(test -e {path} || python3 -c {shlex.quote(bind)})"
        )
    node.write(f"{editor.shared}/probe.py", Path(__file__).with_name("probe.py").read_bytes())
    request = {"data": data, "paths": paths, "sockets": SOCKETS}
    node.write(f"{editor.shared}/probe.json", json.dumps(request).encode())
    seen = json.loads(editor.terminal("python3 probe.py"))
    try:
        assert seen["read"] == []
        assert seen["sockets"] == []
        assert seen["sudo"] != 0
        assert seen["data"] == [".code-server", "datasets", "jobs", "projects"]
        assert seen["workspaces"] == ["alice"]
        assert seen["processes"] == [seen["uid"]]
        assert seen["writable"] == []
        assert editor.on_server(f"test -S {DECOYS[0]} && cat {paths['another home']}") == "canary\n", (
            "the bait was there"
        )
    finally:
        own = [
            path
            for what, path in paths.items()
            if what not in ("another workspace's certificate key", "the intent records")
        ]
        editor.on_server(f"rm -f {' '.join(shlex.quote(path) for path in (*own, *DECOYS))}")


def test_all_is_still_there_after_stop_and_start(editor: Editor, manager: Manager, alice: Key) -> None:
    editor.terminal("printf 'alias kept=true\\n' >> ~/.bashrc")
    stopped = manager.stop(alice)
    assert stopped.state == "stopped"
    started = manager.start(alice)
    assert started.state == "running"
    editor.page.goto(started.address, timeout=60_000)  # the cookie still holds: the password is the same
    editor.opened()
    editor.open_terminal()
    assert editor.terminal("cat notes.md; grep kept ~/.bashrc").splitlines() == [
        "# A heading", "", "with *words*", "alias kept=true",
    ]  # fmt: skip
    editor.open_file("notes.md")
    editor.command(vsix.TITLE)
    editor.notified(vsix.SAYS)
