"""A roll-back with nothing written down of the state before, as the second in a row: what is there is left alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from homewright import stages
from homewright.access.connection import Completed
from homewright.lxd.identity import Identity
from homewright.planning.boot import OURS
from homewright.site.models import Server, Site
from homewright.site.secrets import Secrets
from homewright.stages import environment_file, kernel_settings, overlay_effect, resolvers
from homewright.stages.lxd import cluster, packages
from homewright.stages.lxd.standing import Lxd, judge, owner_of

NETWORK = "8056c2e21c000001"
SITE = Site.model_validate(
    {
        "name": "home",
        "servers": [{"name": f"s{n}", "address": f"192.168.1.1{n}", "user": "lab"} for n in (1, 2, 3)],
        "network": {"overlay": {"kind": "zerotier", "network_id": NETWORK}},
    }
)
JOINED = f'[{{"id": "{NETWORK}", "status": "OK", "assignedAddresses": ["10.147.17.9/24"]}}]'


class Recorder:
    """A server where everything that stages know of is there, and which writes down what is changed on it."""

    def __init__(self, secrets: Path, capture: Mapping[str, Any], files: Mapping[str, str], name: str = "s1") -> None:
        self.name, self.site, self.capture, self.files = name, SITE, capture, dict(files)
        self.address = SITE.server(name).address
        self.secrets = Secrets(secrets / "secrets.json")
        self.requested, self.peers, self.facts = True, (), {}
        self.error: Exception | None = None
        self.connection = None
        self.changes: list[str] = []

    def run(self, command: Any, **_: Any) -> Completed:
        words = command if isinstance(command, str) else " ".join(command)
        told = {
            "dpkg-query": "ii  lxd\nii  lxd-client\nii  iptables\nii  zerotier-one\nii  nvidia-driver\nii  bind9\n",
            "listnetworks": JOINED,
            "zerotier-cli info": "200 info abcdef0123 1.14.0 ONLINE",
        }
        said = next((text for sign, text in told.items() if sign in words), "")
        changing = (
            "purge",
            "userdel",
            "groupdel",
            " leave ",
            "rmdir",
            "-delete",
            "snap remove",
            "rm ",
            "disable",
            "stop",
        )
        if any(sign in words for sign in changing):
            self.changes.append(words)
        return Completed(said, "", 0)

    show = run

    def exists(self, path: str) -> bool:
        return path in self.files

    def read(self, path: str) -> bytes | None:
        return self.files[path].encode() if path in self.files else None

    def stat(self, path: str) -> str | None:
        return "644 root:root" if path in self.files else None

    def write(self, path: str, data: bytes, **_: Any) -> bool:
        self.changes.append(f"write {path}")
        return True

    def remove(self, path: str) -> bool:
        if path in self.files:
            self.changes.append(f"rm {path}")
        return path in self.files

    def say(self, text: str) -> None:
        pass

    @contextmanager
    def task(self, name: str) -> Any:
        yield SimpleNamespace(name=name, changed=False)


def step(path: str) -> ModuleType:
    file = Path(stages.__path__[0]) / path
    spec = importlib.util.spec_from_file_location(f"twice_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def taken_back(path: str, host: Recorder) -> None:
    module = step(path)
    if hasattr(module, "rollback_all"):
        module.rollback_all([host])
    else:
        module.rollback(host)
    if host.error is not None:
        raise host.error


THEIRS = "# an administrator's\n"
EVERYTHING = dict.fromkeys(
    (
        kernel_settings.FILE, kernel_settings.MODULES_FILE, *OURS, *packages.FOLDERS, packages.SHARED,
        overlay_effect.HOME, "/etc/bind", "/etc/systemd/resolved.conf.d", resolvers.RESOLV,
    ),
    THEIRS,
)  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "10_baremetal_infra/09_kernel.py",
        "10_baremetal_infra/29_gpu_reservation.py",
        "30_networking/19_overlay.py",
        "30_networking/29_dns.py",
        "30_networking/39_gpu_drivers.py",
    ],
)
def test_what_was_there_before_us_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    host = Recorder(tmp_path, {}, EVERYTHING)
    clock = "homewright.stages.clock_service.installed"
    monkeypatch.setattr(clock, lambda host: [])
    taken_back(path, host)
    assert host.changes == []


@pytest.mark.parametrize(
    ("path", "file", "text"),
    [
        ("10_baremetal_infra/09_kernel.py", kernel_settings.FILE, kernel_settings.text({})),
        ("10_baremetal_infra/09_kernel.py", kernel_settings.MODULES_FILE, kernel_settings.modules_text()),
        (
            "10_baremetal_infra/29_gpu_reservation.py",
            OURS[0],
            "# Kept by Homewright: GPUs that virtual machines get.\n",
        ),
    ],
)
def test_a_file_that_says_that_it_is_ours_goes_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, file: str, text: str
) -> None:
    host = Recorder(tmp_path, {}, {kernel_settings.FILE: THEIRS, file: text})
    monkeypatch.setattr("homewright.stages.clock_service.installed", lambda host: [])
    monkeypatch.setattr("homewright.stages.restart.ask_for", lambda host, why: None)
    module = step(path)
    if "kernel" in path:
        module.rollback(host)
    else:
        monkeypatch.setattr(module, "uses_dracut", lambda facts: False)
        monkeypatch.setattr(module, "probe", lambda connection: None)
        monkeypatch.setattr(module, "parse", lambda text: None)
        module.rollback(host)
    assert host.changes == [f"rm {file}"]


@pytest.mark.parametrize(
    ("found", "capture", "gone"),
    [
        ({"answers": True}, {}, False),
        ({"answers": True, "pools": ("default",), "networks": ("lxdbr0",)}, {}, False),
        ({"why_not": "refused"}, {}, False),
        ({"answers": True, "owner": "OURS", "clustered": True}, {}, True),
        ({"answers": True, "owner": "OURS"}, {}, True),
        ({"answers": True}, {"package": "", "packages": [], "folders": []}, True),
    ],
)
def test_an_lxd_that_does_not_say_that_it_is_ours_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], capture: dict[str, Any], gone: bool
) -> None:
    host = Recorder(tmp_path, capture, EVERYTHING)
    who = Identity.of(host.secrets)
    if found.get("owner"):
        found = {**found, "owner": owner_of(SITE, who)}
    there = Lxd(package="deb", folder="/var/lib/lxd", **found)
    stood = SimpleNamespace(host=host, found=there, state=judge("s1", there, SITE, who, False)[0], why="")
    monkeypatch.setattr(cluster, "stand", lambda hosts: {"s1": stood})
    taken_back("20_lxd_setup/19_lxd.py", host)
    assert any("purge" in change for change in host.changes) is gone
    assert ("rm /var/lib/lxd" in host.changes) is ("folders" in capture), "only what is known to have come with LXD"


def test_the_environment_file_is_known_by_its_content() -> None:
    site = Site(name="home", servers=(Server(name="s1", address="192.168.1.11", user="lab"),))
    assert environment_file.is_ours(environment_file.text(site, "s1", ()))
    assert environment_file.is_ours(environment_file.HOOK_TEXT)
    assert not environment_file.is_ours(THEIRS) and not environment_file.is_ours("")
