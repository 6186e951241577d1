"""Reserving GPUs against recorded machines: the files that a server gets, and a second run that changes none."""

from __future__ import annotations

import pytest
from recorded_gpus import reserving, restarted, without_arguments

from homewright.planning.boot import GRUB, HOOK, MODULES, SCRIPT
from homewright.stages.gpu_reservation import CannotReserve, not_bound, reservation

CARDS = [
    ("headless", ["0000:07:00.0"], "iommu=pt", "0000:07:00.0 0000:07:00.1"),
    ("split-functions", ["0000:01:00.0"], "intel_iommu=on iommu=pt", "0000:01:00.0 0000:01:00.1"),
    ("twins", ["0000:01:00.0"], "iommu=pt", "0000:01:00.0 0000:01:00.1"),
    ("twins", ["0000:03:00.0"], "iommu=pt", "0000:03:00.0 0000:03:00.1"),
    (
        "twins",
        ["0000:01:00.0", "0000:03:00.0"],
        "iommu=pt",
        "0000:01:00.0 0000:01:00.1 0000:03:00.0 0000:03:00.1",
    ),
]
"""Recorded machine, GPUs, the kernel's arguments (headless and twins are AMD, split-functions is Intel; twins has two
identical cards), functions."""

EXPECTED_SCRIPT = """\
#!/bin/sh
if [ "$1" = prereqs ]; then exit 0; fi
# Kept by Homewright: these functions belong to virtual machines. Each gets the name of its driver before
# any other is loaded, and is taken from one that was quicker.
for function in FUNCTIONS; do
    device=/sys/bus/pci/devices/$function
    [ -e "$device" ] || continue
    echo vfio-pci >"$device/driver_override"
    case $(readlink "$device/driver") in
        */vfio-pci | "") ;;
        *) echo "$function" >"$device/driver/unbind" ;;
    esac
done
modprobe vfio-pci
for function in FUNCTIONS; do
    [ ! -e "/sys/bus/pci/devices/$function" ] || echo "$function" >/sys/bus/pci/drivers_probe
done
"""


@pytest.mark.parametrize(("name", "addresses", "arguments", "functions"), CARDS)
def test_the_files_of_recorded_machines(name: str, addresses: list[str], arguments: str, functions: str) -> None:
    site, facts = reserving(name, *addresses)
    done = reservation(site, without_arguments(facts), {})
    kept = "# Kept by Homewright: GPUs that virtual machines get.\n"
    assert done.files == {
        GRUB: f'{kept}GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {arguments}"\n',
        SCRIPT: EXPECTED_SCRIPT.replace("FUNCTIONS", functions),
        HOOK: '#!/bin/sh\nif [ "$1" = prereqs ]; then exit 0; fi\n'
        f"{kept}. /usr/share/initramfs-tools/hook-functions\nmanual_add_modules vfio-pci vfio_iommu_type1\n",
        MODULES: f"{kept}vfio-pci\nvfio_iommu_type1\n",
    }
    assert done.functions == tuple(functions.split())
    assert done.commands == ("update-grub", "update-initramfs -u -k all")
    assert [done.mode(path) for path in (GRUB, SCRIPT, HOOK, MODULES)] == [0o644, 0o755, 0o755, 0o644]


@pytest.mark.parametrize(("name", "addresses", "_arguments", "_functions"), CARDS)
def test_a_second_run_changes_nothing(name: str, addresses: list[str], _arguments: str, _functions: str) -> None:
    site, facts = reserving(name, *addresses)
    before = without_arguments(facts)
    done = reservation(site, before, {})
    assert not_bound(before, done.functions)
    for later in (before, restarted(before, done)):  # before the restart, and after it
        again = reservation(site, later, done.files)
        assert again == done
        assert (again.obsolete, again.digest) == ((), done.digest)
    assert not_bound(restarted(before, done), done.functions) == ""


def test_arguments_that_somebody_else_gives_the_kernel_stay_theirs() -> None:
    site, facts = reserving("headless", "0000:07:00.0")
    assert "iommu=pt" in facts.kernel.cmdline
    assert GRUB not in reservation(site, facts, {}).files


def test_a_card_that_is_not_chosen_any_more_leaves_the_files() -> None:
    both, facts = reserving("twins", "0000:01:00.0", "0000:03:00.0")
    done = reservation(both, facts, {})
    one, _ = reserving("twins", "0000:03:00.0")
    later = reservation(one, restarted(facts, done), done.files)
    assert "0000:01:00" not in "".join(later.files.values())
    assert later.digest != done.digest


@pytest.mark.parametrize(
    ("name", "address", "why"),
    [
        ("shared-group", "0000:06:00.0", "a network card"),
        ("mig", "0000:c1:00.0", "split by MIG"),
        ("proxmox-guest", "0000:01:00.0", "itself a guest"),
    ],
)
def test_what_cannot_be_given_away_is_refused(name: str, address: str, why: str) -> None:
    site, facts = reserving(name, address)
    with pytest.raises(CannotReserve) as refused:
        reservation(site, facts, {})
    assert why in refused.value.what
    assert refused.value.why == "Nothing was changed."
    assert refused.value.do


def test_containers_and_files_of_others_are_refused() -> None:
    site, facts = reserving("headless", "0000:07:00.0")
    contained = facts.model_copy(update={"system": facts.system.model_copy(update={"virtualization": "lxc"})})
    with pytest.raises(CannotReserve, match=r"itself a guest \(lxc\)"):
        reservation(site, contained, {})
    with pytest.raises(CannotReserve, match="is not Homewright's"):
        reservation(site, facts, {MODULES: "vfio-pci\n"})


def test_a_function_of_another_driver_and_one_that_is_gone() -> None:
    site, facts = reserving("headless", "0000:07:00.0")
    done = reservation(site, facts, {})
    bound = restarted(facts, done)
    taken = tuple(f.model_copy(update={"driver": "nvidia"}) if f.address == "0000:07:00.0" else f for f in bound.pci)
    assert "belongs to nvidia" in not_bound(bound.model_copy(update={"pci": taken}), done.functions)
    gone = tuple(f for f in bound.pci if f.address != "0000:07:00.1")
    assert "no 0000:07:00.1 any more" in not_bound(bound.model_copy(update={"pci": gone}), done.functions)
