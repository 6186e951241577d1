"""What is written on a node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from homewright.workspaces.backends.node_unit import HIDDEN, Layout, checked_path, config_text, unit_text
from homewright.workspaces.errors import WorkspaceError
from homewright.workspaces.templates import NodeTemplate, on_servers

LAYOUT = Layout("alice", "hw-alice", "/srv/homewright/data", "homewright-data", "/opt/homewright/code-server/4-abc")


def settings(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def node() -> NodeTemplate:
    return on_servers()["node"]


def test_the_walls_are_whole() -> None:
    unit = settings(unit_text("alice/default", LAYOUT, node(), node().preset("small")))
    assert unit["User"] == ["hw-alice"]
    assert unit["SupplementaryGroups"] == ["homewright-data"]
    assert unit["UMask"] == ["0002"]
    assert unit["NoNewPrivileges"] == unit["PrivateTmp"] == unit["PrivateDevices"] == ["yes"]
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == [""]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["ProtectProc"] == ["invisible"]
    hidden = unit["TemporaryFileSystem"][0].split()
    assert {f"{path}:ro" for path in (*HIDDEN, "/srv/homewright/data")} == set(hidden)
    assert unit["BindPaths"] == [
        "/srv/homewright/data/projects /srv/homewright/data/datasets /srv/homewright/data/jobs "
        "/srv/homewright/data/.code-server/alice/data"
    ]
    assert unit["BindReadOnlyPaths"][0].split() == [
        "/srv/homewright/data/.code-server/alice/config",
        "/opt/homewright/code-server/4-abc",
    ]


def test_disks_mounted_under_the_root_are_hidden_too() -> None:
    unit = settings(unit_text("alice/default", LAYOUT, node(), node().preset("small"), ("/tank", "/odd name")))
    hidden = unit["TemporaryFileSystem"][0].split()
    assert "/tank:ro" in hidden
    assert not [path for path in hidden if "odd" in path], (
        "systemd would read it otherwise; the proof notices such a one"
    )


def test_limits_come_from_the_preset() -> None:
    unit = settings(unit_text("alice/default", LAYOUT, node(), node().preset("medium")))
    assert unit["CPUQuota"] == ["400%"]
    assert unit["MemoryMax"] == [str(8 << 30)]
    assert unit["TasksMax"] == ["4096"]


def test_a_mount_that_is_not_writable_is_bound_so() -> None:
    template = node().model_copy(
        update={"mounts": (node().mounts[0], node().mounts[1].model_copy(update={"writable": False}))}
    )
    unit = settings(unit_text("alice/default", LAYOUT, template, template.preset("small")))
    assert "/srv/homewright/data/datasets" in unit["BindReadOnlyPaths"][0].split()
    assert "/srv/homewright/data/datasets" not in unit["BindPaths"][0].split()


def test_no_proxy_and_no_secret_reaches_its_environment() -> None:
    text = unit_text("alice/default", LAYOUT, node(), node().preset("small"))
    unit = settings(text)
    assert not [line for line in unit["Environment"] if "proxy" in line.lower()]
    assert {"http_proxy", "HTTPS_PROXY", "no_proxy"} <= set(unit["UnsetEnvironment"][0].split())
    assert "password" not in text.lower()


@pytest.mark.parametrize("title", ["50% off/$HOME", "two\nlines", 'a "quote" \\ here', "%n-%H"])
def test_a_user_s_id_cannot_write_into_the_unit(title: str) -> None:
    text = unit_text(title, LAYOUT, node(), node().preset("small"))
    assert text.count("\n[Service]\n") == 1
    description = settings(text)["Description"][0]
    assert "%" not in description.replace("%%", "")


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here; the lab tests start the unit"
)
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    file = tmp_path / "homewright-workspace-alice.service"
    file.write_text(unit_text("alice/default", LAYOUT, node(), node().preset("small")))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    assert "Unknown" not in done.stderr
    assert "Failed to parse" not in done.stderr


def test_the_configuration_is_yaml_with_the_hash_alone() -> None:
    digest = "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"
    config = YAML(typ="safe", pure=True).load(config_text(LAYOUT, "10.0.0.7", 8500, digest))
    assert config["hashed-password"] == digest
    assert config["bind-addr"] == "10.0.0.7:8500"
    assert config["auth"] == "password"
    assert config["cookie-suffix"] == "alice"
    assert config["disable-telemetry"] is True
    assert config["disable-update-check"] is True
    assert "password" not in {name for name in config if name != "hashed-password"}
    assert len(config["session-socket"]) < 108


@pytest.mark.parametrize(
    "path",
    ["/srv/a b", "/srv/a:b", "/srv/100%", "/etc", "/etc/x", "//etc/x", "/usr/share/x", "/lib64/x", "/tmp/x", "srv"],
)
def test_a_data_root_that_systemd_would_read_otherwise_is_refused(path: str) -> None:
    with pytest.raises(WorkspaceError):
        checked_path(path)
    for good in ("/data/home_wright-1.2", "/library/data", "/systems", "/devices/data"):
        assert checked_path(good) == good
