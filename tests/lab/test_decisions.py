"""What the lab decides before it touches anything."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from homewright.errors import LabError, UsageError
from homewright.lab import before, cluster, commands, machine, mirror, places, practice_site, record, sweep
from homewright.lab.code_server import prune
from homewright.lab.commands import judge
from homewright.lab.models import LabServer, LabStatus, Place, Record, ServerStatus

DEBIAN = machine.Machine(
    system="linux", distribution="debian", apt=True, lxd_socket=False, namespaces=True, packaged=True
)


@pytest.mark.parametrize(
    ("here", "word", "advice"),
    [
        (replace(DEBIAN, system="darwin"), "macOS", "servers of your own"),
        (replace(DEBIAN, namespaces=False), "namespaces", "virtual machine"),
        (replace(DEBIAN, apt=False, distribution="fedora"), "fedora has no apt-get", "lxd init"),
        (replace(DEBIAN, distribution="ubuntu", packaged=False), "snap", "snap install lxd"),
        (replace(DEBIAN, lxd_socket=True, apt=False), "debootstrap", "virtual machine"),
    ],
)
def test_a_machine_that_cannot_is_told_why_and_what_else(here: machine.Machine, word: str, advice: str) -> None:
    reason = machine.obstacle(here)
    assert reason is not None
    assert word in reason.why
    assert any(advice in step for step in reason.do)


def test_a_machine_that_can() -> None:
    assert machine.obstacle(DEBIAN) is None
    assert machine.obstacle(replace(DEBIAN, lxd_socket=True)) is None


@pytest.mark.programs
def test_a_job_beneath_the_screens_never_asks_for_the_password(tmp_path: Path) -> None:
    """There is a terminal, and sudo would ask on it."""
    (tmp_path / "sudo").write_text(f"#!/bin/sh\n[ $1 = -n ] && exit 1\ntouch {tmp_path}/asked\n")
    (tmp_path / "sudo").chmod(0o755)
    code = (
        "import threading\nfrom homewright.errors import LabError\nfrom homewright.lab.privilege import require_sudo\n"
        "def job():\n    try:\n        require_sudo(print)\n    except LabError as error:\n"
        "        print(error.as_text())\n"
        "thread = threading.Thread(target=job)\nthread.start()\nthread.join()\n"
    )
    terminal = pexpect.spawn(sys.executable, ["-c", code], env={"PATH": str(tmp_path)}, encoding="utf-8", timeout=60)
    said = terminal.read()
    terminal.close()
    assert "sudo -v" in said
    assert not (tmp_path / "asked").exists()


@pytest.mark.programs
@pytest.mark.parametrize(
    ("sudo", "words"),
    [(None, "sudo is not installed"), ("exit 1", "sudo wants a password, and there is no terminal")],
)
def test_without_root_it_says_what_is_missing(tmp_path: Path, sudo: str | None, words: str) -> None:
    if sudo is not None:
        (tmp_path / "sudo").write_text(f"#!/bin/sh\n{sudo}\n")
        (tmp_path / "sudo").chmod(0o755)
    code = (
        "from homewright.errors import LabError\nfrom homewright.lab.privilege import require_sudo\n"
        "try:\n    require_sudo(print)\nexcept LabError as error:\n    print(error.as_text())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert "You are not root here." in done.stdout
    assert words in done.stdout


@pytest.mark.parametrize(
    ("interfaces", "used", "number"),
    [
        (["lo", "eth0"], ["192.168.1.0/24", "0.0.0.0/0"], 0),
        (["hwlab0"], [], 1),
        ([], ["198.18.0.0/24"], 1),
        ([], ["198.18.0.77/32"], 1),
        (["hwlab1"], ["198.18.0.0/24"], 2),
        ([], ["198.18.0.0/17"], 128),
    ],
)
def test_the_first_free_place_is_taken(interfaces: list[str], used: list[str], number: int) -> None:
    assert places.choose(interfaces, [ipaddress.IPv4Network(text) for text in used]).number == number


def test_no_place_is_said() -> None:
    with pytest.raises(LabError, match="no room"):
        places.choose([], [ipaddress.IPv4Network("198.18.0.0/15")])


def test_addresses_of_a_place() -> None:
    place = Place(number=7)
    assert (place.bridge, place.network, place.gateway) == ("hwlab7", "198.18.7.0/24", "198.18.7.1")
    assert [place.address(index) for index in range(3)] == ["198.18.7.11", "198.18.7.12", "198.18.7.13"]
    assert len(Place(number=255).interface("s20")) <= 15  # the kernel's limit for an interface's name


LINES = """\
# deb http://old.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/own.gpg] http://mirror.example/debian bookworm main contrib # ours
deb http://mirror.example/debian bookworm-updates main
deb-src http://mirror.example/debian bookworm main
deb https://packages.example/tool bookworm stable
"""

STANZAS = """\
Types: deb deb-src
# a remark
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: trixie-security
Components: main
 non-free

Types: deb
Enabled: no
URIs: http://other.example/debian
Suites: trixie
Components: main
"""


def test_sources_on_lines() -> None:
    found = mirror.debian_sources(mirror.parse_sources(LINES, deb822=False), "bookworm")
    assert [(source.uri, source.suite) for source in found] == [
        ("http://mirror.example/debian", "bookworm"),
        ("http://mirror.example/debian", "bookworm-updates"),
    ]
    assert found[0].signed_by == "/usr/share/keyrings/own.gpg"


def test_sources_in_stanzas_of_a_newer_debian() -> None:
    found = mirror.debian_sources(mirror.parse_sources(STANZAS, deb822=True), "trixie")
    assert [(source.uri, source.suite) for source in found] == [
        ("http://mirror.example/debian", "bookworm"),
        ("http://mirror.example/debian", "bookworm-updates"),
        ("http://mirror.example/debian-security", "bookworm-security"),
    ]


def test_a_mirror_with_a_password_is_not_carried() -> None:
    text = "deb http://user:word@mirror.example/debian bookworm main\n"
    assert mirror.debian_sources(mirror.parse_sources(text, deb822=False), "bookworm") == ()
    assert mirror.carried_proxies({"http_proxy": "http://user:word@proxy.example:3128"}) == ()
    assert mirror.carried_pip("global.index-url='https://user:word@index.example/simple'", False) == ()
    assert mirror.carried_apt('Acquire::http::Proxy "http://user:word@proxy.example";') == ()


def test_what_is_carried() -> None:
    dump = (
        'APT::Architecture "amd64";\nAcquire::http::Proxy "http://proxy.example:3128";\nAcquire::Check-Date "false";\n'
    )
    assert mirror.carried_apt(dump) == (
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Check-Date "false";',
    )
    assert mirror.carried_proxies({"HTTPS_PROXY": "http://proxy.example:3128"}) == (
        ("https_proxy", "http://proxy.example:3128"),
    )
    pip = mirror.carried_pip("global.index-url='https://index.example/simple'\n:env:.find-links='/opt'", True)
    assert pip == ("index-url = https://index.example/simple", "cert = /etc/ssl/certs/ca-certificates.crt")


def status(name: str, power: str = "on", cable: str = "plugged", ssh: str = "answers") -> ServerStatus:
    return ServerStatus.model_validate(
        {"name": name, "address": "198.18.0.11", "user": "lab", "power": power, "cable": cable, "ssh": ssh}
    )


LAB = Record(
    phase="up", backend="private", place=Place(number=0), password="x", site_file="/s",
    servers=(LabServer(name="s1", address="198.18.0.11"),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("phase", "server", "state", "word"),
    [
        ("up", status("s1"), "up", ""),
        ("up", status("s1", power="off", ssh="silent"), "broken", "s1 without power"),
        ("up", status("s1", cable="unplugged", ssh="silent"), "broken", "s1 unplugged"),
        ("up", status("s1", ssh="silent"), "broken", "s1 not answering"),
        ("going up", status("s1"), "incomplete", "lab up"),
        ("going down", status("s1"), "incomplete", "lab down"),
    ],
)
def test_the_labs_state(phase: str, server: ServerStatus, state: str, word: str) -> None:
    found, reason = judge(LAB.model_copy(update={"phase": phase}), (server,), True)
    assert found == state
    assert word in (reason or "")


def test_a_daemon_or_a_mirror_that_is_gone() -> None:
    found, reason = judge(LAB.model_copy(update={"cluster": True}), (status("s1"),), True, mirrored=False)
    assert (found, "mirror" in (reason or "")) == ("broken", True)
    found, reason = judge(LAB.model_copy(update={"daemon": (7, 8)}), (status("s1"),), False)
    assert found == "broken"
    assert "daemon is gone" in (reason or "")


def test_what_the_nodes_are_is_chosen_before_there_is_a_cluster() -> None:
    assert cluster.nodes(None, None, wanted=True) == "servers"
    assert cluster.nodes(None, "instances", wanted=True) == cluster.nodes(LAB, "instances", wanted=True) == "instances"
    there = LAB.model_copy(update={"cluster": True, "nodes": "instances"})
    assert cluster.nodes(there, None, wanted=False) == cluster.nodes(there, "instances", wanted=False) == "instances"
    with pytest.raises(LabError, match="has instances as its nodes, not servers"):
        cluster.nodes(there, "servers", wanted=False)
    with pytest.raises(LabError, match="has instances as its nodes, not servers"):
        cluster.nodes(there, "servers", wanted=True)
    assert cluster.nodes(there.model_copy(update={"phase": "going up"}), "servers", wanted=True) == "servers"
    with pytest.raises(UsageError, match="none was asked for"):
        cluster.nodes(None, "instances", wanted=False)
    assert practice_site.of(there).platform.nodes == "instances"


MOUNTS = """\
27 1 254:0 / / rw - ext4 /dev/vda rw
76 52 254:0 /home/a\\040b/lab/daemon/lxd/containers/s1/rootfs / rw - ext4 /dev/vda rw
"""


@pytest.mark.parametrize(
    ("device", "path", "ours"),
    [
        ("254:0", "/home/a b/lab/daemon", True),
        ("254:1", "/home/a b/lab/daemon", False),
        ("254:0", "/home/a b/lab/dae", False),
        ("254:0", "/srv/lab/daemon", False),
    ],
)
def test_whose_mounts_these_are(device: str, path: str, ours: bool) -> None:
    assert sweep.shows(MOUNTS, device, path) is ours


def test_pruning_keeps_this_platform(tmp_path: Path) -> None:
    modules = tmp_path / "lib/vscode/node_modules"
    for name in (
        "@vscode/ripgrep-universal/bin/linux-x64/rg",
        "@vscode/ripgrep-universal/bin/darwin-arm64/rg",
        "node-pty/prebuilds/linux-x64/pty.node",
        "node-pty/prebuilds/win32-x64/conpty.node",
        "node-pty/build/Release/obj.target/pty.o",
        "@github/copilot-sdk-linux-x64/index.js",
        "@github/copilot-sdk/index.js",
        "zod/index.js.map",
    ):
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).touch()
    prune(tmp_path, "x64")
    assert sorted(str(path.relative_to(modules)) for path in modules.rglob("*") if path.is_file()) == [
        "@github/copilot-sdk/index.js",
        "@vscode/ripgrep-universal/bin/linux-x64/rg",
        "node-pty/prebuilds/linux-x64/pty.node",
    ]


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for /proc/sys, and a place for what is noted."""
    for name, value in ((before.FORWARD, "0"), *((name, "128") for name in before.LEAST)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    monkeypatch.setattr(before, "SETTINGS", tmp_path)
    monkeypatch.setattr(before, "FILE", tmp_path / "noted.json")
    monkeypatch.setattr(before, "RUN_LXC", tmp_path / "lxc")
    return tmp_path


def test_the_last_of_several_labs_puts_the_settings_back(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raised() -> None:
        for name, value in ((before.FORWARD, "1"), *((name, str(least)) for name, least in before.LEAST.items())):
            (kernel / name).write_text(value)

    names = ["lo"]
    monkeypatch.setattr(places, "interfaces", lambda: names)
    before.note()
    raised()
    before.note()  # a second lab: what it finds is the first one's doing
    names[:] = ["lo", "hwlab1"]
    before.put_back()
    assert before.read_setting(before.FORWARD) == "1", "the second lab still needs it"
    names[:] = ["lo"]
    before.put_back()
    assert {name: before.read_setting(name) for name in (before.FORWARD, *before.LEAST)} == {
        before.FORWARD: "0", **dict.fromkeys(before.LEAST, "128"),
    }  # fmt: skip
    assert not before.FILE.exists()


def test_a_setting_that_somebody_has_changed_since_stays(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "interfaces", list)
    before.note()
    (kernel / "fs/inotify/max_user_instances").write_text("4096")
    before.put_back()
    assert before.read_setting("fs/inotify/max_user_instances") == "4096"


def test_what_was_noted_before_a_reboot_counts_no_more(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(before, "boot_id", lambda: "another")
        before.note()
    (kernel / before.FORWARD).write_text("1")
    before.put_back()
    assert before.read_setting(before.FORWARD) == "1"
    assert not before.FILE.exists()


def test_a_lab_whose_file_is_lost_is_still_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert commands._left_behind(print) is None
    record.daemon_folder().mkdir(parents=True)
    found = commands._left_behind(print)
    assert found is not None
    assert (found.backend, found.phase) == ("private", "going down")
    assert commands._count(found, None) == commands.SERVERS, "how many it had is lost too"


def test_a_server_whose_host_keys_were_not_written_down_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_status", lambda lab: LabStatus(state="up"))
    monkeypatch.setattr(practice_site, "path", lambda: tmp_path)
    known = LAB.servers[0].model_copy(update={"host_keys": ("ssh-ed25519 AAAA",)})
    assert commands._is_whole(LAB.model_copy(update={"servers": (known,)}))
    assert not commands._is_whole(LAB.model_copy(update={"servers": (known, LAB.servers[0])}))
