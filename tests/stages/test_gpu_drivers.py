"""Which NVIDIA driver an instance gets, once, and what is read of its bus and of nvidia-smi."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from homewright.access.connection import Completed
from homewright.errors import HomewrightError
from homewright.site.models import MirrorSettings
from homewright.stages import gpu_drivers
from homewright.stages import gpu_drivers_effect as drivers

UBUNTU = ["nvidia-driver-535-server", "nvidia-driver-550", "nvidia-driver-570-server", "nvidia-driver-570-server-open",
          "nvidia-driver-libs", "nvidia-driver-535-server-open"]  # fmt: skip


@pytest.mark.parametrize(
    ("system", "known", "wanted"),
    [
        ("ubuntu", UBUNTU, "nvidia-driver-570-server-open"),
        ("ubuntu", UBUNTU[:3], "nvidia-driver-570-server"),
        ("ubuntu", ["nvidia-driver-550"], ""),
        ("ubuntu", [], ""),
        ("debian", ["nvidia-driver", "nvidia-driver-libs"], "nvidia-driver"),
        ("debian", ["nvidia-driver-libs"], ""),
    ],
)
def test_the_driver_is_the_newest_for_servers(system: str, known: list[str], wanted: str) -> None:
    assert gpu_drivers.package(system, known) == wanted


def test_only_gpus_of_nvidia_count() -> None:
    bus = (
        "0000:05:00.0 030000: 10de:2204\n0000:05:00.1 040300: 10de:1aef\n0000:06:00.0 030200: 10de:20b5\n"
        "0000:07:00.0 030000: 1002:744c\n0000:08:00.0 020000: 8086:1572\n"
    )
    assert gpu_drivers.functions(bus) == ["0000:05:00.0", "0000:06:00.0"]
    assert gpu_drivers.functions("") == []


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (
            "GPU 0: NVIDIA A2 (UUID: GPU-1)\nGPU 1: NVIDIA GeForce RTX 3090 (UUID: GPU-2)\n",
            ["NVIDIA A2", "NVIDIA GeForce RTX 3090"],
        ),
        ("GPU 0: NVIDIA H100 (UUID: GPU-1)\n  MIG 1g.10gb Device 0: (UUID: MIG-1)\n", ["NVIDIA H100"]),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", []),
        ("No devices found.\n", []),
    ],
)
def test_what_nvidia_smi_lists(said: str, names: list[str]) -> None:
    assert gpu_drivers.listed(said) == names


class Instance:
    """An instance with a GPU, and packages that can be installed and taken away."""

    def __init__(self, *there: str) -> None:
        self.name, self.capture, self.changed = "s1-node", dict[str, Any](), 0
        self.site = SimpleNamespace(mirror=MirrorSettings())
        self.packages, self.before = list(there), list(there)
        self.ran: list[str] = []

    def run(self, command: Any, **_: Any) -> Completed:
        self.ran.append(str(command))
        return Completed("nvidia-driver\n" if "pkgnames" in str(command) else "", "", 0)

    @contextmanager
    def task(self, name: str) -> Iterator[Any]:
        task = SimpleNamespace(changed=False)
        yield task
        self.changed += bool(task.changed)

    @property
    def seen(self) -> drivers.Seen:
        listed = ["NVIDIA L4"] if "nvidia-driver" in self.packages else []
        return drivers.Seen(["0000:05:00.0"], False, listed, "", "debian")


@pytest.mark.parametrize("somebodys", [False, True])
def test_the_driver_is_installed_once_and_goes_where_it_came_from_us(
    somebodys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(host: Instance, names: list[str], **_: Any) -> bool:
        host.packages += [*names, "nvidia-driver-libs"]
        return True

    def remove(host: Instance, names: list[str], before: list[str]) -> bool:
        found = host.packages
        host.packages = list(before) if names else found
        return host.packages != found

    monkeypatch.setattr(drivers.packages, "installed", lambda host: list(host.packages))
    monkeypatch.setattr(drivers.packages, "install", install)
    monkeypatch.setattr(drivers.packages, "remove", remove)
    instance = Instance("bash", *["nvidia-driver"] * somebodys)
    host: Any = instance
    instance.capture = drivers.capture(host)
    for changed in (0 if somebodys else 1, 0):
        instance.changed = 0
        drivers.install(host, instance.seen)
        assert instance.changed == changed
    assert ("modprobe nvidia" in instance.ran) is not somebodys
    for changed in (0 if somebodys else 1, 0):
        instance.changed = 0
        drivers.remove(host)
        assert (instance.changed, instance.packages) == (changed, instance.before)


def test_without_a_gpu_no_driver_is_installed() -> None:
    host: Any = Instance()
    with pytest.raises(HomewrightError, match="no NVIDIA GPU on its PCI bus"):
        drivers.install(host, drivers.Seen([], False, [], "", "debian"))
    assert host.ran == []
