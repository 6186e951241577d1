"""Which NVIDIA driver an instance gets, and what is read of its bus and of nvidia-smi."""

from __future__ import annotations

import pytest

from homewright.stages import gpu_drivers

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
