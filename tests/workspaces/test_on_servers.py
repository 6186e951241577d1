"""Workspaces on practice servers: real sshd, real systemd, real code-server."""

from __future__ import annotations

import base64
import itertools
import json
import socket
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from homewright.access.connection import Connection, Endpoint
from homewright.errors import HomewrightError, Unreachable
from homewright.workspaces import naming, shipping
from homewright.workspaces.errors import InstanceFailed, InstanceNotFound, NeedsAcceptance, NotOurs, StorageFailed
from homewright.workspaces.manager import Manager
from homewright.workspaces.models import Key, Specification, Workspace, WorkspacesDocument
from homewright.workspaces.nodeside import steps

pytestmark = pytest.mark.lab

Root = Callable[[str], str]
DATA = "/srv/homewright/data"


def quiet(_: str) -> None:
    pass


def eventually(what: str, condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not seen within {limit_s:g} s: {what}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def alice(manager: Manager, node: str) -> Key:
    return manager.create(Specification(key=Key(user="alice", node=node)), quiet).workspace.key


def of(manager: Manager, key: Key) -> Workspace | None:
    return next((one for one in manager.list().workspaces if one.key == key), None)


def test_the_whole_life_of_a_workspace(manager: Manager, node: str, root: Root) -> None:
    key = Key(user="erin@corp.com", name="life", node=node)
    spec = Specification(key=key, preset="medium")
    created = manager.create(spec, quiet, accept_shared_node=True)
    slug, user = created.workspace.slug, naming.system_user(created.workspace.slug)
    assert not created.existed
    assert created.workspace.state == "running"
    assert any("A workspace is a shell on that server: it reaches" in warning for warning in created.warnings)
    password = manager.password(key)
    assert root(f"stat -c '%a %U' {DATA}/.code-server/{slug}/config/config.yaml") == f"600 {user}\n"
    assert root(f"stat -c '%a' {DATA}/.code-server/{slug}/data {DATA}/projects").split() == ["700", "2775"]

    again = manager.create(spec, quiet, accept_shared_node=True)
    assert again.existed
    assert again.workspace.started_at == created.workspace.started_at
    assert manager.password(key) == password

    root(f"echo kept > {DATA}/.code-server/{slug}/data/note; echo shared > {DATA}/projects/by-erin")
    assert manager.stop(key).state == "stopped"
    assert root(f"pgrep -c -u {user} || true") == "0\n"
    assert manager.stop(key).state == "stopped"
    assert manager.start(key).state == "running"
    assert manager.start(key).state == "running"

    kept = manager.delete(key, with_storage=False)
    assert root(f"cat {kept}/note") == "kept\n"
    assert of(manager, key) is None
    assert root(f"ls /etc/systemd/system | grep -c {slug} || true") == "0\n"
    assert root(f"ls {DATA}/.code-server/{slug}") == "data\nowner.json\n", "no hash and no certificate key stay behind"
    with pytest.raises(InstanceNotFound):
        manager.delete(key, with_storage=False)

    manager.create(spec, quiet, accept_shared_node=True)
    assert manager.password(key) != password
    assert root(f"cat {DATA}/.code-server/{slug}/data/note") == "kept\n", "the storage of its earlier life"
    moved = manager.delete(key, with_storage=True)
    assert root(f"cat {moved}/data/note; stat -c %a {DATA}/.code-server/.deleted") == "kept\n700\n"
    assert root(f"test -e {DATA}/.code-server/{slug} || echo gone") == "gone\n"
    assert root(f"cat {DATA}/projects/by-erin; rm {DATA}/projects/by-erin") == "shared\n"


class Cut(Exception):
    """The controller dies here."""


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_controller_that_dies_at_a_word_is_repaired_by_doing_it_again(
    manager: Manager, node: str, every: bool
) -> None:
    key = Key(user="frank", node=node)
    spec = Specification(key=key)

    def dies(when: Callable[[int, str], bool]) -> bool:
        """Whether a controller that dies at this word came to it."""
        said = 0

        def say(text: str) -> None:
            nonlocal said
            said += 1
            if when(said, text):
                raise Cut

        try:
            manager.create(spec, say, accept_shared_node=True)
        except Cut:
            seen = of(manager, key)
            assert seen is None or seen.state in ("pending", "running", "starting"), seen
            return True
        return False

    if every:
        manager.create(spec, quiet, accept_shared_node=True)  # a node that has code-server already is told of less
        manager.delete(key, with_storage=True)

        def at(count: int) -> Callable[[int, str], bool]:
            return lambda said, _: said == count

        survived = next(count for count in itertools.count(1) if not dies(at(count)))
        assert survived > 5
    else:
        assert dies(lambda said, _: said == 1)
        assert dies(lambda _, text: text == "starting it")
    created = manager.create(spec, quiet, accept_shared_node=True)
    assert created.workspace.state == "running"
    assert [one.key for one in manager.list().workspaces].count(key) == 1
    manager.delete(key, with_storage=True)


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_node_that_dies_after_a_step_is_repaired_by_doing_it_again(
    manager: Manager, node: str, root: Root, monkeypatch: pytest.MonkeyPatch, every: bool
) -> None:
    key = Key(user="grace", node=node)
    for count in range(1, len(steps.STEPS) + 1) if every else (4,):
        sources = {module: shipping.source(module) for module in shipping._MODULES}
        sources["steps"] += f"\ndef die(job):\n    os._exit(9)\nSTEPS = (*STEPS[:{count}], die)\n"
        packed = base64.b85encode(zlib.compress(json.dumps(sources).encode())).decode()
        with monkeypatch.context() as patch:
            patch.setattr(shipping, "_sources", lambda packed=packed: packed)
            with pytest.raises(HomewrightError):
                manager.create(Specification(key=key), quiet, accept_shared_node=True)
        seen = of(manager, key)
        assert seen is not None
        assert seen.state == "pending", seen
    created = manager.create(Specification(key=key), quiet, accept_shared_node=True)
    assert created.workspace.state == "running"
    assert root("getent passwd hw-grace | wc -l") == "1\n"
    manager.delete(key, with_storage=True)


def test_a_second_owner_must_be_accepted(manager: Manager, alice: Key, node: str, root: Root) -> None:
    key = Key(user="heidi", node=node)
    with pytest.raises(NeedsAcceptance) as refused:
        manager.create(Specification(key=key), quiet)
    assert "alice" in refused.value.why
    assert of(manager, key) is None
    assert root("test -e /var/lib/homewright/workspaces/heidi || echo nothing") == "nothing\n"
    preview = manager.preview(Specification(key=key))
    assert preview.node == node
    assert preview.must_accept


def test_a_taken_port_is_named(manager: Manager, alice: Key, root: Root) -> None:
    port = manager.show(alice).port
    manager.stop(alice)
    root(
        f"systemd-run --quiet --unit=test-listener python3 -c "
        f"'import socket, signal; s = socket.create_server((\"\", {port})); signal.pause()'"
    )
    try:
        eventually("the listener", lambda: f":{port}" in root("ss -ltnH"))
        with pytest.raises(InstanceFailed) as refused:
            manager.start(alice)
        assert f"Port {port}" in refused.value.what
        assert "python3 (process " in refused.value.what
        newcomer = manager.create(Specification(key=Key(user="alice", name="other", node=alice.node)), quiet).workspace
        assert newcomer.port != port
        manager.delete(newcomer.key, with_storage=True)
    finally:
        root("systemctl stop test-listener")
    assert manager.start(alice).state == "running"


def test_a_full_disk_is_said_before_anything_is_made(manager: Manager, node: str, root: Root) -> None:
    root("mkdir -p /srv/small && mount -t tmpfs -o size=8m small /srv/small")
    try:
        settings = manager.site.workspaces.model_copy(update={"data_root": "/srv/small/data"})
        with (
            Manager(manager.site.model_copy(update={"workspaces": settings}), manager.state) as small,
            pytest.raises(StorageFailed, match="disk"),
        ):
            small.create(Specification(key=Key(user="alice", name="big", node=node)), quiet)
        assert of(manager, Key(user="alice", name="big", node=node)) is None
    finally:
        root("umount /srv/small && rmdir /srv/small")


def test_walls_with_a_gap_are_noticed(manager: Manager, alice: Key, root: Root) -> None:
    drop_in = f"/etc/systemd/system/{naming.unit('alice')}.d"
    manager.stop(alice)
    root(
        f"mkdir -p {drop_in} /tank && echo private > /tank/file && "
        f"printf '[Service]\\nBindReadOnlyPaths=/home /tank\\nCapabilityBoundingSet=CAP_NET_RAW\\n' "
        f"> {drop_in}/gap.conf && systemctl daemon-reload"
    )
    try:
        with pytest.raises(InstanceFailed, match="walls") as refused:
            manager.start(alice)
        assert "/home shows lab" in refused.value.why
        assert "/tank is seen" in refused.value.why
        assert "CapBnd" in refused.value.why
    finally:
        root(f"rm -r {drop_in} && systemctl daemon-reload")
        manager.stop(alice)
    assert manager.start(alice).state == "running", "with a disk under the root that nobody has to see"
    root("rm -r /tank")


@pytest.mark.long
def test_a_certificate_near_its_end_is_made_anew_at_the_next_start(manager: Manager, alice: Key, root: Root) -> None:
    record = "/var/lib/homewright/workspaces/alice/workspace.json"
    certificate = f"sha256sum {DATA}/.code-server/alice/config/tls.crt"
    before = root(certificate)
    manager.stop(alice)
    manager.start(alice)
    assert root(certificate) == before, "one that is good stays"
    soon = int(time.time()) + 86400
    root(f'sed -i \'s/"certificate_expires_at": [0-9.]*/"certificate_expires_at": {soon}/\' {record}')
    assert any("certificate ends on" in note for note in manager.show(alice).notes)
    manager.stop(alice)
    assert manager.start(alice).state == "running"
    assert root(certificate) != before
    assert not any("certificate" in note for note in manager.show(alice).notes)


def test_nobody_logs_in_as_a_workspace(manager: Manager, alice: Key, root: Root) -> None:
    """Its home is its own to write, so a key of its own could otherwise open a shell outside the walls."""
    home = f"{DATA}/.code-server/alice/data"
    public = manager.state.key.with_suffix(".pub").read_text().strip()
    root(f"mkdir -p {home}/.ssh && echo '{public}' > {home}/.ssh/authorized_keys && chown -R hw-alice: {home}/.ssh")
    endpoint = replace(Endpoint.of(manager.site.server(str(alice.node)), manager.state), user="hw-alice")
    with pytest.raises(Unreachable), Connection.open(endpoint):
        pass
    root(f"rm -r {home}/.ssh")


def test_what_is_not_ours_is_never_adopted(manager: Manager, node: str, root: Root) -> None:
    root("useradd --system --no-create-home hw-ivan")
    try:
        with pytest.raises(NotOurs, match="hw-ivan"):
            manager.create(Specification(key=Key(user="ivan", node=node)), quiet, accept_shared_node=True)
    finally:
        manager.delete(Key(user="ivan", node=node), with_storage=True)
        assert root("getent passwd hw-ivan | wc -l") == "1\n"
        root("userdel hw-ivan")


def test_the_password_is_nowhere_but_in_the_site_s_secrets(manager: Manager, alice: Key, root: Root) -> None:
    password = manager.password(alice)
    first, second = password[:9], password[9:]
    # Put together by the shell of the node, so that this search does not find itself.
    wanted = f"a={first}; b={second}; "
    places = f"/proc/[0-9]*/cmdline /proc/[0-9]*/environ /etc/systemd /var/lib/homewright {DATA}/.code-server"
    assert root(f'{wanted} grep -rlFs -e "$a$b" {places} || true') == ""
    assert root(f'{wanted} journalctl -q --no-pager | grep -cF -e "$a$b" || true') == "0\n"
    assert "$argon2id$" in root(f"cat {DATA}/.code-server/alice/config/config.yaml")


def test_who_is_on_is_known(manager: Manager, alice: Key) -> None:
    workspace = manager.show(alice)
    server = manager.site.server(workspace.node)
    assert manager.sessions(alice) == ()
    with socket.create_connection((server.address, workspace.port or 0)) as connection:
        here = connection.getsockname()[0]
        eventually("the session", lambda: [guest.address for guest in manager.sessions(alice)] == [here])
    eventually("its end", lambda: manager.sessions(alice) == ())


def test_its_log_has_lines_and_goes_on(manager: Manager, alice: Key, root: Root) -> None:
    assert len(list(manager.logs(alice, 5))) == 5
    lines = manager.logs(alice, 1, follow=True)
    assert next(lines)
    root(f"systemctl restart {naming.unit('alice')}")
    assert any("HTTPS server listening" in line for line in lines), "until the line was seen"
    lines.close()  # type: ignore[attr-defined]  # it is a generator
    eventually("journalctl is gone", lambda: root("pgrep -c journalctl || true") == "0\n")
    eventually("it answers again", lambda: manager.show(alice).state == "running")


def test_the_command_does_what_the_screen_does(trusted_lab: Any, manager: Manager, alice: Key) -> None:
    def homewright(verb: str, *more: str) -> Any:
        words = (f"{alice.user}/{alice.name}", "--node", str(alice.node)) if verb != "list" else ()
        done = trusted_lab.run("workspace", verb, *words, *more, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert homewright("stop", "--yes")["workspace"]["state"] == "stopped"
    assert homewright("create")["existed"] is True
    assert homewright("start")["workspace"]["state"] == "running"
    assert homewright("show")["workspace"]["started_at"] == manager.show(alice).started_at
    assert homewright("show", "--password")["password"] == manager.password(alice)
    listed = WorkspacesDocument.model_validate(homewright("list"))
    assert alice in [one.key for one in listed.workspaces]
    assert len(homewright("logs", "-n", "3")["lines"]) == 3
    assert homewright("open")["address"] == manager.show(alice).address


@pytest.mark.long
def test_a_node_without_power_is_named_and_its_workspace_comes_back(
    manager: Manager, trusted_lab: Any, alice: Key, node: str
) -> None:
    elsewhere = manager.create(Specification(key=Key(user="judy", node=manager.nodes()[1])), quiet).workspace
    trusted_lab.run("lab", "power-off", node).check_returncode()
    try:
        listing = manager.list()
        assert node in listing.unreachable
        assert listing.unreachable[node]
        assert [one.key for one in listing.workspaces] == [elsewhere.key]
        with pytest.raises(Unreachable):
            manager.show(Key(user="alice"))
    finally:
        trusted_lab.run("lab", "power-on", node).check_returncode()
    eventually("it runs again", lambda: (seen := of(manager, alice)) is not None and seen.state == "running", 120)
