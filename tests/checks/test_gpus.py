"""Checks of GPUs: what a table of cases cannot say."""

from __future__ import annotations

from check_cases.gpus import GTX_1060, choosing
from checking import scene


def test_a_server_without_a_gpu_of_nvidias_has_no_findings_about_gpus() -> None:
    known = scene("attic").knowing("birch", gpus=()).judge()
    assert not [found.check for found in known if found.category == "gpu" and found.subjects == ("birch",)]


def test_a_gpu_that_only_draws_the_desktop_may_be_old() -> None:
    kept = choosing("pine", GTX_1060, "desktop")(scene("trouble"))
    for check in ("gpu.compute", "gpu.driver", "gpu.open-modules"):
        assert kept.find(check, "pine") is None


def test_two_gpus_in_one_group_go_together_or_not_at_all() -> None:
    maple = scene("attic").facts["maple"]
    pci = tuple(f.model_copy(update={"iommu_group": 2}) if f.iommu_group == 15 else f for f in maple.pci)
    alone = choosing("maple", "0000:81:00.0")(scene("attic").knowing("maple", pci=pci)).find("gpu.group", "maple")
    assert alone is not None and alone.status == "failed" and "0000:c1:00.0" in alone.measured
    both = scene("attic").knowing("maple", pci=pci).answering(
        gpus=[{"host": "maple", "address": a, "use": "passthrough"} for a in ("0000:81:00.0", "0000:c1:00.0")]
    )  # fmt: skip
    assert (found := both.find("gpu.group", "maple")) is not None and found.status == "passed"
