"""What can become of a GPU: tables of servers, composed and recorded."""

from __future__ import annotations

from typing import Any

import pytest

from homewright.discovery import parse
from homewright.discovery.bundle import of_texts
from homewright.discovery.facts import Gpu, HostFacts
from homewright.planning.gpu_groups import reaches
from homewright.planning.gpus import GpuOption, options, problems
from homewright.site.models import Site

from .composed import NVIDIA, card, function, gpu, host, site

SECOND = "0000:02:00.0"


def only(one: HostFacts, given: Site | None = None, address: str = NVIDIA) -> GpuOption:
    found = options(given or site(1), {"s1": one})
    return next(option for option in found if option.address == address)


def chosen(*choices: dict[str, Any], **answers: Any) -> Site:
    return site(1, gpus=[{"host": "s1", **choice} for choice in choices], **answers)


def passed(address: str = NVIDIA, instance: str | None = None) -> dict[str, Any]:
    return {"address": address, "use": "passthrough", "instance": instance}


ALONE = host(gpus=[gpu()], pci=card())
ROOT_PORT = host(gpus=[gpu()], pci=[function("0000:00:01.0", "0604", 1, driver="pcieport"), *card()])
WITH_NIC = host(gpus=[gpu()], pci=[*card(), function("0000:04:00.0", "0200", 1)])
WITH_DISK = host(gpus=[gpu()], pci=[*card(), function("0000:05:00.0", "0108", 1)])
USB_C = host(gpus=[gpu()], pci=[*card(), function("0000:01:00.2", "0c03", 1), function("0000:01:00.3", "0c80", 1)])
SPLIT = host(gpus=[gpu()], pci=[function(NVIDIA, "0300", 1), function("0000:01:00.1", "0403", 2)])
SPLIT_FOREIGN = host(
    gpus=[gpu()],
    pci=[function(NVIDIA, "0300", 1), function("0000:01:00.1", "0403", 2), function("0000:00:1f.2", "0106", 2)],
)
PAIR = host(gpus=[gpu(), gpu(SECOND, 1)], pci=[*card(), *card(SECOND, 1)])
TWO = host(gpus=[gpu(), gpu(SECOND, 2)], pci=[*card(), *card(SECOND, 2)])
OFF = host(gpus=[gpu(group=None)], pci=card(group=None))
DESKTOP = host(gpus=[gpu(displays=True)], pci=card(), system={"desktop": True})
DESKTOP_TWO = host(
    gpus=[gpu(), Gpu(address="0000:00:02.0", vendor="intel", iommu_group=9, displays=True)],
    pci=[*card(), function("0000:00:02.0", "0300", 9)],
    system={"desktop": True},
)
BMC = host(
    gpus=[gpu(), Gpu(address="0000:06:00.0", vendor="other", device_id="1a03:2000", iommu_group=3)],
    pci=[*card(), function("0000:06:00.0", "0300", 3)],
    system={"desktop": True},
)


@pytest.mark.parametrize(
    ("one", "possible", "words"),
    [
        (ALONE, True, ""),
        (ROOT_PORT, True, ""),
        (USB_C, True, ""),
        (SPLIT, True, "groups 1 and 2"),
        (SPLIT_FOREIGN, False, "a SATA controller (0000:00:1f.2)"),
        (WITH_NIC, False, "a network card (0000:04:00.0)"),
        (WITH_DISK, False, "an NVMe disk"),
        (PAIR, True, "0000:02:00.0 shares its group and goes to the same instance"),
        (TWO, True, ""),
        (OFF, None, "cannot be known before the IOMMU is on"),
        (host(gpus=[gpu(group=None)], pci=card(group=None), kernel={"virtualization_flag": ""}), False, "no IOMMU"),
        (host(gpus=[gpu(group=None)], pci=card(group=None), kernel={"iommu": False}), False, "although it was asked"),
        (DESKTOP, False, "it is the only GPU"),
        (DESKTOP_TWO, True, ""),
        (BMC, False, "it is the only GPU"),
        (host(gpus=[gpu()], pci=card(), system={"chassis": "laptop", "desktop": None}), False, "the only GPU"),
        (host(gpus=[gpu()], pci=card(), system={"desktop": None}), True, "whether it does is not known"),
        (host(gpus=[gpu(displays=True)], pci=card()), True, "goes dark"),
        (host(gpus=[gpu()], pci=card(), system={"virtualization": "kvm"}), False, "itself a guest (kvm)"),
        (host(gpus=[gpu(error="GPU is lost.  Reboot")], pci=card()), False, "cannot reach it (GPU is lost. Reboot)"),
        (host(gpus=[gpu(mig=True)], pci=card()), False, "split by MIG"),
        (host(gpus=[gpu()], pci=card(), system={"kvm": False}), False, "instances are containers"),
        (host(gpus=[gpu()], pci=card(), cpu=4), False, "No instance is placed on s1"),
    ],
)  # fmt: skip
def test_whether_a_virtual_machine_can_get_it(one: HostFacts, possible: bool | None, words: str) -> None:
    choice = only(one).choice("passthrough")
    assert (choice.possible, words in choice.why) == (possible, True), choice.why
    assert bool(choice.why) or possible
    assert (choice.instances == ("s1-node",)) is (possible is not False)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"platform": {"nodes": "servers"}}, "no instance that could get it"),
        ({"platform": {"cluster": "existing"}}, "no instance of ours"),
        ({"instances": {"kind": "container"}}, "instances are containers"),
    ],
)
def test_answers_that_leave_nobody_to_pass_it_to(answers: dict[str, Any], words: str) -> None:
    choice = only(ALONE, site(1, **answers)).choice("passthrough")
    assert choice.possible is False and words in choice.why


def test_the_management_controllers_screen_is_nobodys_gpu() -> None:
    option = only(BMC, address="0000:06:00.0")
    assert option.choice("passthrough").possible is False and option.choice("containers").possible is False
    assert option.proposed == "desktop"


@pytest.mark.parametrize(
    ("one", "answers", "address", "use"),
    [
        (ALONE, {}, NVIDIA, "passthrough"),
        (WITH_NIC, {}, NVIDIA, "containers"),
        (OFF, {}, NVIDIA, "containers"),
        (DESKTOP, {}, NVIDIA, "desktop"),
        (DESKTOP_TWO, {}, NVIDIA, "passthrough"),
        (DESKTOP_TWO, {}, "0000:00:02.0", "desktop"),
        (ALONE, {"platform": {"nodes": "servers"}}, NVIDIA, "containers"),
        (TWO, {}, SECOND, "passthrough"),
        (TWO, {"gpus": [{"host": "s1", "address": NVIDIA, "use": "containers"}]}, SECOND, "containers"),
    ],
)
def test_what_is_proposed(one: HostFacts, answers: dict[str, Any], address: str, use: str) -> None:
    option = only(one, site(1, **answers), address)
    assert option.proposed == use and option.why


def test_what_nobody_chose_stays_as_it_is() -> None:
    assert only(ALONE).chosen is None
    option = only(ALONE, chosen(passed()))
    assert (option.chosen, option.instance) == ("passthrough", "s1-node")


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (gpu(driver="nvidia", processes=2, displays=True), "driver nvidia, 2 processes, a monitor"),
        (gpu(driver="nvidia", processes=1, mig=True), "driver nvidia, 1 process, MIG"),
        (gpu(boot_display=True), "the firmware's screen"),
        (gpu(), ""),
    ],
)
def test_who_uses_it_now(one: Gpu, words: str) -> None:
    assert only(host(gpus=[one], pci=card())).used_by == words


@pytest.mark.parametrize(
    ("one", "choices", "words"),
    [
        (ALONE, [passed()], ""),
        (ALONE, [passed("0000:09:00.0")], "s1 has no GPU 0000:09:00.0: it has 0000:01:00.0"),
        (ALONE, [passed(instance="n9")], "there is no such instance"),
        (WITH_NIC, [passed()], "cannot be passed through to an instance: its IOMMU group 1 also holds"),
        (TWO, [passed(), {"address": SECOND, "use": "containers"}], "not both"),
        (TWO, [passed(), passed(SECOND)], ""),
        (PAIR, [passed()], "shares its IOMMU group with 0000:02:00.0"),
        (PAIR, [passed(), passed(SECOND)], ""),
        (DESKTOP, [passed()], "a desktop needs a second one"),
        (OFF, [passed()], ""),
    ],
)
def test_choices_that_cannot_be_carried_out(one: HostFacts, choices: list[dict[str, Any]], words: str) -> None:
    found = problems(chosen(*choices), {"s1": one})
    assert any(words in problem.reason for problem in found) if words else not found, found
    assert all(problem.do for problem in found)


def test_two_cards_of_one_group_go_to_one_instance() -> None:
    nodes = [{"name": name, "host": "s1"} for name in ("n1", "n2")]
    split = chosen(passed(instance="n1"), passed(SECOND, "n2"), instances={"nodes": nodes})
    assert ["different instances" in problem.reason for problem in problems(split, {"s1": PAIR})] == [True]
    both = chosen(passed(instance="n1"), passed(SECOND, "n1"), instances={"nodes": nodes})
    assert problems(both, {"s1": PAIR}) == ()
    unnamed = chosen(passed(), instances={"nodes": nodes})
    assert ["to no instance" in problem.reason for problem in problems(unnamed, {"s1": ALONE})] == [True]


def test_an_instance_on_another_server_gets_nothing() -> None:
    known = {"s1": ALONE, "s2": host("s2")}
    choices = [{"host": "s1", **passed(instance="n2")}]
    one = site(2, gpus=choices, instances={"nodes": [{"name": "n1", "host": "s1"}, {"name": "n2", "host": "s2"}]})
    assert ["which is on s2" in problem.reason for problem in problems(one, known)] == [True]


RECORDED: dict[str, dict[str, tuple[tuple[int, ...], bool]]] = {
    "intel-z370-desktop-gpu-with-root-port": {"0000:01:00.0": ((2,), True)},
    "ryzen-b350-gpu-shares-group-with-nic": {"0000:06:00.0": ((12,), False), "0000:07:00.0": ((13,), True)},
    "ryzen-b550-gt710-shares-group-with-nic": {"0000:04:00.0": ((13,), False), "0000:2b:00.0": ((14,), True)},
    "ryzen-x570-gtx1080-acs-override": {"0000:0b:00.0": ((35, 36), True)},
    "ryzen-x670-two-identical-rtx4090": {"0000:01:00.0": ((15,), True), "0000:03:00.0": ((17,), True)},
    "laptop-msi-gf72-gtx1060-no-audio-function": {"0000:01:00.0": ((1,), True)},
    "dual-xeon-e5-three-geforce-aspeed": {"0000:04:00.0": ((20,), True), "0000:82:00.0": ((41,), True)},
    "thinkpad-p52-hybrid-quadro-p1000": {},
}


@pytest.mark.parametrize("name", RECORDED)
def test_groups_of_machines_that_people_published(machines: Any, name: str) -> None:
    found = reaches(parse(of_texts(machines / name)))
    wanted = RECORDED[name]
    assert {a: (found[a].groups, not found[a].foreign) for a in wanted} == wanted
    assert bool(found) == bool(wanted)
