"""`homewright site`, by the real command."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from homewright.site import files

if TYPE_CHECKING:
    from .conftest import Run

SERVERS = ("--server", "s1=ann@10.0.0.1", "--server", "s2=bob@10.0.0.2:2222")


def test_a_site_from_nothing_to_valid(homewright: Run, tmp_path: Path) -> None:
    new = homewright("site", "new", "attic", *SERVERS, "--host-key", "s1=SHA256:" + "a" * 43, "--zone", "home.internal")
    file = tmp_path / "config" / "homewright" / "attic" / "site.yaml"
    assert (new.returncode, new.stderr) == (0, "")
    assert f"Written: {file}" in new.stdout and "homewright --site attic trust --all" in new.stdout
    site = files.load(file)
    assert [(server.name, server.user, server.port) for server in site.servers] == [
        ("s1", "ann", 22),
        ("s2", "bob", 2222),
    ]
    assert homewright("site", "validate").stdout == f"{file}: valid; site attic, 2 servers\n"
    assert json.loads(homewright("--json", "site", "show").stdout) == site.model_dump(mode="json")
    shown = homewright("site", "show").stdout
    assert files.parse(shown.encode(), "shown") == site
    assert homewright("site", "show", "servers.s2.port").stdout == "2222\n"


def test_here_site_option_and_no_second_one(homewright: Run, tmp_path: Path) -> None:
    assert homewright("site", "new", "attic", "--here", *SERVERS).returncode == 0
    assert (tmp_path / "here" / "site.yaml").exists()
    again = homewright("site", "new", "cellar", "--here", *SERVERS)
    assert again.returncode == 2 and "already holds a site" in again.stderr
    assert homewright("--site", "x/y.yaml", "site", "new", "cellar").returncode == 0
    assert files.load(tmp_path / "here" / "x" / "y.yaml").name == "cellar"
    both = homewright("--site", "z.yaml", "site", "new", "b", "--here")
    assert both.returncode == 2 and "two places" in both.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("attic", "--server", "s1"), "NAME=USER@ADDRESS"),
        (("attic", "--server", "s1=ann@house"), "IPv4"),
        (("Attic",), "lowercase"),
        (("attic", "--server", "s1=a@10.0.0.1", "--server", "s2=a@10.0.0.1"), "two servers have the address"),
        (("attic", "--server", "s1=a@10.0.0.1", "--host-key", "s2=x"), "--host-key s2=x"),
        (("attic", "--zone", "home"), "two labels"),
        ((), "no terminal to ask on"),
    ],
)
def test_new_refuses_with_a_reason_and_writes_nothing(
    homewright: Run, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = homewright("site", "new", *arguments)
    assert result.returncode == 2 and words in result.stderr and "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("site.yaml"))


def test_set_and_unset_keep_comments(homewright: Run, tmp_path: Path) -> None:
    homewright("site", "new", "attic", "--here", *SERVERS)
    file = tmp_path / "here" / "site.yaml"
    file.write_text(file.read_text().replace("name: attic", "name: attic  # ours"))
    result = homewright("site", "set", "servers.s1.port", "2200", "zone", "home.internal", "environment.N", "1")
    assert result.returncode == 0 and "servers.s1.port: 2200" in result.stdout
    assert "# ours" in file.read_text() and 'N: "1"' in file.read_text()
    assert homewright("site", "unset", "zone", "servers.s2").returncode == 0
    site = files.load(file)
    assert (site.zone, len(site.servers)) == (None, 1)
    for arguments, words in [
        (("set", "servers.s1.port", "x"), "no whole number"),
        (("set", "servers.s1"), "has no value"),
        (("set", "name", "cellar"), "not renamed"),
        (("set", "workspaces.data_group", "shadow"), "a group of its own"),
        (("set", "workspaces.data_root", "/srv/our data"), "systemd gives other characters a meaning"),
        (("set", "workspaces.code_server.bundle", "code-server.tar.gz"), "begins with / or ~/"),
        (("unset", "servers.s9"), "no such entry"),
        (("unset", "environment.M"), "no such entry"),
        (("show", "servers.s9.address"), "no such entry"),
        (("set", "zoen", "x"), "did you mean zone?"),
    ]:
        failed = homewright("site", *arguments)
        assert failed.returncode == 2 and words in failed.stderr


def test_servers_are_added_and_removed_one_at_a_time(homewright: Run, tmp_path: Path) -> None:
    file = tmp_path / "here" / "site.yaml"
    homewright("site", "new", "attic", "--here")
    assert homewright("site", "add-server", "s1=ann@10.0.0.1").returncode == 0
    file.write_text(file.read_text().replace("address: 10.0.0.1", "address: 10.0.0.1  # under the stairs"))
    added = homewright("site", "add-server", "s2=bob@10.0.0.2:2222", "--host-key", "SHA256:" + "a" * 43, "--json")
    assert json.loads(added.stdout)["added"]["port"] == 2222
    assert "# under the stairs" in file.read_text()
    for arguments, words in [
        (("add-server", "s2=bob@10.0.0.3"), "two servers have the name"),
        (("add-server", "s3=bob@10.0.0.2"), "two servers have the address"),
        (("add-server", "10.0.0.3"), "add-server 10.0.0.3 is not understood"),
        (("remove-server", "s9"), "name one of: s1, s2"),
    ]:
        failed = homewright("site", *arguments)
        assert failed.returncode == 2 and words in failed.stderr and "  do:  " in failed.stderr
    assert homewright("site", "remove-server", "s1").returncode == 0
    assert [(server.name, server.port) for server in files.load(file).servers] == [("s2", 2222)]


def test_servers_come_out_of_an_ssh_config(homewright: Run, tmp_path: Path) -> None:
    homewright("site", "new", "attic", "--here", "--server", "s1=ann@10.0.0.1")
    config = tmp_path / "config"
    config.write_text(
        "Host *.example !x\n  User nobody\n"
        "Host Attic_2\n  HostName 10.0.0.2\n  User bob\n  Port 2222\n"
        "Host old\n  HostName 10.0.0.1\n"
        "Host far\n  HostName far.example\n  User ann\n"
    )
    listed = json.loads(homewright("site", "import", "--from", str(config), "--json").stdout)
    assert {host["name"]: host["reason"][:19] for host in listed["hosts"]} == {
        "attic-2": "", "far": "address must be an ", "old": "is here already",
    }  # fmt: skip
    for name, words in [
        ("far", "over: address must be an IPv4"),
        ("old", "over: is here already"),
        ("s9", "one of: attic-2, far, old"),
    ]:
        refused = homewright("site", "import", name, "--from", str(config))
        assert refused.returncode == 2 and words in refused.stderr
    assert homewright("site", "import", "attic-2", "--from", str(config)).returncode == 0
    server = files.load(tmp_path / "here" / "site.yaml").server("attic-2")
    assert (server.address, server.user, server.port) == ("10.0.0.2", "bob", 2222)
    gone = homewright("site", "import", "--from", str(tmp_path / "nowhere"))
    assert gone.returncode == 2 and "cannot be read" in gone.stderr
    empty = homewright("site", "import", HOME=str(tmp_path / "nowhere"))
    assert empty.returncode == 0 and "names no host" in empty.stdout


def test_validate_lists_all_problems(homewright: Run, tmp_path: Path) -> None:
    (tmp_path / "here" / "site.yaml").write_text("version: 1\nnmae: attic\nzone: x\n")
    result = homewright("site", "validate")
    assert result.returncode == 2 and result.stdout == ""
    assert "line 2, column 1: nmae" in result.stderr and "line 3, column 1: zone" in result.stderr
    document = json.loads(homewright("site", "validate", "--json").stdout)
    assert [problem["line"] for problem in document["error"]["problems"]] == [2, 3]


@pytest.mark.programs
def test_ansible_reads_the_inventory_by_process_substitution(
    homewright: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    homewright("site", "new", "attic", "--here", *SERVERS)
    homewright("site", "set", "environment.X", "{{ 1 + 1 }}")
    ansible = Path(sys.executable).parent / "ansible-inventory"
    program = f"{ansible} -i <({sys.executable} -c 'from homewright.cli import main; main()' site inventory) --list"
    result = subprocess.run(
        ["bash", "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path / "here",
        env={**environment, "HOME": str(tmp_path)},
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    listed = json.loads(result.stdout)
    s2 = listed["_meta"]["hostvars"]["s2"]
    assert (s2["ansible_host"], s2["ansible_port"], s2["ansible_user"]) == ("10.0.0.2", 2222, "bob")
    for option in ("StrictHostKeyChecking=yes", f"UserKnownHostsFile={tmp_path}", "IdentitiesOnly=yes", "-F none"):
        assert option in s2["ansible_ssh_common_args"]
    assert s2["site"]["environment"]["X"] == {"__ansible_unsafe": "{{ 1 + 1 }}"}
    groups = set(listed["all"]["children"])
    assert {
        "servers", "lxd_servers", "instances", "kubernetes_control_plane", "microk8s_control_plane",
        "kubernetes_workers", "gpu_hosts", "dns_server", "controller",
    } <= groups  # fmt: skip
    assert listed["servers"]["hosts"] == ["s1", "s2"]


def answer_on_a_terminal(answers: list[str], environment: dict[str, str], folder: Path) -> tuple[int, str]:
    """`site new` on a real pseudo-terminal: each answer is typed once its question stands there."""
    main, terminal = pty.openpty()
    code = "import sys; from homewright.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "site", "new", "--here"],
        stdin=terminal, stdout=terminal, stderr=terminal, cwd=folder, env=environment, close_fds=True,
    )  # fmt: skip
    os.close(terminal)
    seen = ""
    while True:
        ready, _, _ = select.select([main], [], [], 30)
        assert ready, f"no question within 30 s: {seen!r}"
        try:
            part = os.read(main, 4096).decode()
        except OSError:  # the terminal's other end is closed
            break
        if not part:
            break
        seen += part
        if seen.endswith(": ") and answers:
            seen += "\n"
            os.write(main, answers.pop(0).encode() + b"\n")
    os.close(main)
    return process.wait(timeout=30), seen


@pytest.mark.programs
def test_questions_are_asked_until_they_are_answered_well(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "asked"
    folder.mkdir()
    answers = ["Bad Name", "attic", "s1=ann@nowhere", "s1=ann@10.0.0.1", "s1=ann@10.0.0.2", "s2=ann@10.0.0.2", ""]
    code, seen = answer_on_a_terminal(answers, environment, folder)
    assert code == 0, seen
    assert "lowercase" in seen and "IPv4" in seen and "two servers have the name s1" in seen
    assert [server.name for server in files.load(folder / "site.yaml").servers] == ["s1", "s2"]


def test_a_read_only_folder_is_told(homewright: Run, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file where the folder should be")
    result = homewright("site", "new", "attic")
    assert result.returncode == 1 and "cannot be written" in result.stderr and "Traceback" not in result.stderr
