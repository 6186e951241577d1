"""Every check of GPUs, and of what the servers make together; each case of a recorded machine.

A change alters facts of that machine, where no recorded one shows the case.
"""

from __future__ import annotations

from dataclasses import replace

from checking import Case, Change, Scene

from homewright.discovery.facts import Kernel, Software

RTX_3090, GT_1030, RTX_3060, GTX_1060 = "0000:07:00.0", "0000:06:00.0", "0000:07:00.0", "0000:01:00.0"


def choosing(host: str, address: str, use: str = "passthrough", **more: object) -> Change:
    return lambda s: s.answering(gpus=[{"host": host, "address": address, "use": use, **more}])


def kernel(**values: object) -> Change:
    return lambda s: s.having("birch", "kernel", **values)


def gpu(**values: object) -> Change:
    return lambda s: s.with_gpu("birch", RTX_3090, **values)


def chain(*changes: Change) -> Change:
    def all_of_them(s: Scene) -> Scene:
        for change in changes:
            s = change(s)
        return s

    return all_of_them


def off(s: Scene) -> Scene:
    """A kernel that was not asked for its IOMMU, and shows no groups."""
    pci = tuple(function.model_copy(update={"iommu_group": None}) for function in s.facts["birch"].pci)
    return s.having("birch", "kernel", iommu=False, cmdline=("ro",)).knowing("birch", pci=pci)


def unasked(*sources: str, **sections: object) -> Change:
    return lambda s: s.missing("birch", *sources, **sections)


CASES: list[tuple[str, str, str, Change | None, str, str]] = [
    # check, site, server, change, status, what is said
    ("gpu.iommu", "attic", "birch", None, "passed", "on"),
    ("gpu.iommu", "trouble", "pine", None, "passed", "off"),
    ("gpu.iommu", "attic", "birch", chain(off, choosing("birch", RTX_3090)), "pending", "Stage 10, step 20"),
    ("gpu.iommu", "attic", "birch", chain(off, kernel(cmdline=("amd_iommu=on",)), choosing("birch", RTX_3090)),
     "failed", "in spite of amd_iommu=on"),
    ("gpu.iommu", "attic", "birch",
     chain(off, unasked("iommu", kernel=Kernel()), choosing("birch", RTX_3090)), "unknown", "was not asked"),
    ("gpu.group", "attic", "birch", choosing("birch", RTX_3090), "passed", "group 17"),
    ("gpu.group", "trouble", "elder", choosing("elder", GT_1030), "failed", "a network card"),
    ("gpu.group", "trouble", "elder", None, "warning", "containers only"),
    ("gpu.group", "trouble", "elder",
     lambda s: s.answering(gpus=[
         {"host": "elder", "address": GT_1030, "use": "desktop"},
         {"host": "elder", "address": RTX_3060, "use": "containers"},
     ]), "passed", "not needed"),
    ("gpu.group", "trouble", "pine", None, "unknown", "before the IOMMU is on"),
    ("gpu.choices", "attic", "birch", choosing("birch", RTX_3090), "passed", RTX_3090),
    ("gpu.choices", "attic", "birch", choosing("birch", "0000:0a:00.0"), "failed", "is not there"),
    ("gpu.choices", "attic", "birch", chain(choosing("birch", RTX_3090), unasked("pci", gpus=())), "unknown", "pci"),
    ("gpu.choices", "attic", "maple",
     lambda s: s.answering(gpus=[
         {"host": "maple", "address": "0000:81:00.0", "use": "containers"},
         {"host": "maple", "address": "0000:c1:00.0", "use": "containers"},
     ]), "passed", "same model"),
    ("gpu.desktop", "attic", "birch", choosing("birch", RTX_3090), "passed", "headless"),
    ("gpu.desktop", "trouble", "pine", choosing("pine", GTX_1060), "failed", "only one"),
    ("gpu.desktop", "attic", "cedar", choosing("cedar", "0000:01:00.0"), "passed", "1 stay"),
    ("gpu.desktop", "attic", "birch",
     chain(choosing("birch", RTX_3090), lambda s: s.having("birch", "system", desktop=None)), "unknown", "not known"),
    # graphics of a management controller are no desktop's
    ("gpu.desktop", "attic", "maple",
     lambda s: s.having("maple", "system", desktop=True).answering(gpus=[
         {"host": "maple", "address": "0000:81:00.0", "use": "passthrough"},
         {"host": "maple", "address": "0000:c1:00.0", "use": "passthrough"},
     ]), "failed", "only one"),
    ("gpu.one-use", "attic", "birch", choosing("birch", RTX_3090), "passed", "passthrough"),
    ("gpu.one-use", "attic", "maple",
     lambda s: s.answering(gpus=[
         {"host": "maple", "address": "0000:81:00.0", "use": "passthrough"},
         {"host": "maple", "address": "0000:c1:00.0", "use": "containers"},
     ]), "failed", "both"),
    ("gpu.one-use", "attic", "birch", chain(choosing("birch", RTX_3090), lambda s: s.without("birch")), "unknown",
     "no route to host"),
    ("gpu.hotplug", "attic", "birch", choosing("birch", RTX_3090), "passed", "its instance"),
    ("gpu.hotplug", "attic", "birch",
     lambda s: s.answering(
         gpus=[{"host": "birch", "address": RTX_3090, "use": "passthrough", "instance": "n1"}],
         instances={"nodes": [{"name": "n1", "host": "cedar"}]},
     ), "failed", "which is on cedar"),
    ("gpu.hotplug", "attic", "birch",
     chain(choosing("birch", RTX_3090), lambda s: s.answering(instances={"kind": "container"})), "failed",
     "instances are containers"),
    ("gpu.hotplug", "attic", "birch", chain(choosing("birch", RTX_3090), lambda s: s.without("birch")), "unknown",
     "no route to host"),
    ("gpu.nouveau", "attic", "birch", None, "passed", "not loaded"),
    ("gpu.nouveau", "trouble", "pine", None, "failed", "loaded"),
    ("gpu.nouveau", "attic", "birch", chain(gpu(driver=None), unasked("modules", kernel=Kernel())), "unknown",
     "was not asked"),
    ("gpu.secure-boot", "attic", "birch", None, "passed", "off"),
    ("gpu.secure-boot", "trouble", "elder", None, "warning", "on"),
    ("gpu.secure-boot", "attic", "birch",
     chain(unasked("secure-boot"), lambda s: s.having("birch", "system", secure_boot=None)), "unknown", "not asked"),
    ("gpu.driver", "attic", "birch", None, "passed", "580.95.05"),
    ("gpu.driver", "trouble", "elder", None, "failed", "535.274.02"),
    ("gpu.driver", "attic", "birch", gpu(driver_version="570.133.20"), "warning", "570.133.20"),
    ("gpu.driver", "trouble", "pine", None, "pending", "Stage 30"),
    ("gpu.driver", "attic", "birch", chain(gpu(driver_version=""), unasked("nvidia-smi")), "unknown", "was not asked"),
    ("gpu.compute", "attic", "birch", None, "passed", "8.6"),
    ("gpu.compute", "trouble", "pine", None, "failed", "older than 7.0"),
    ("gpu.compute", "trouble", "elder", None, "failed", "GT 1030"),
    ("gpu.compute", "attic", "birch", gpu(compute_capability=""), "passed", "7.0 or newer"),
    ("gpu.compute", "attic", "birch", gpu(compute_capability="10.3"), "passed", "10.3"),
    ("gpu.compute", "attic", "birch", chain(gpu(compute_capability="", device_id=""), unasked("nvidia-smi")),
     "unknown", "was not asked"),
    ("gpu.open-modules", "attic", "birch", None, "passed", "RTX 3090"),
    ("gpu.open-modules", "trouble", "pine", None, "warning", "GTX 1060"),
    # Volta: new enough for CUDA, too old for the open modules
    ("gpu.open-modules", "attic", "birch", gpu(compute_capability="7.0", device_id="10de:1db4"), "warning", "580"),
    ("gpu.open-modules", "attic", "birch", chain(gpu(compute_capability="", device_id=""), unasked("nvidia-smi")),
     "unknown", "was not asked"),
    ("gpu.answers", "attic", "birch", None, "passed", "1 of 1"),
    ("gpu.answers", "trouble", "elder", None, "failed", "GPU is lost"),
    ("gpu.answers", "attic", "birch", unasked("nvidia-smi"), "unknown", "was not asked"),
    ("gpu.xid", "attic", "birch", None, "passed", "none"),
    ("gpu.xid", "trouble", "elder", None, "failed", "Xid 79"),
    ("gpu.xid", "attic", "birch", kernel(xid=("NVRM: Xid (PCI:0000:07:00): 31, pid=7, name=python3, Ch 00000008",)),
     "warning", "Xid 31"),
    ("gpu.xid", "attic", "birch", unasked("kernel-log", kernel=Kernel()), "unknown", "was not asked"),
    ("gpu.mig", "attic", "birch", gpu(mig=False), "passed", "off"),
    ("gpu.mig", "attic", "birch", gpu(mig=True), "warning", RTX_3090),
    ("gpu.mig", "attic", "birch", lambda s: s.without("birch"), "unknown", "no route to host"),
    ("gpu.device-plugin", "attic", "birch", None, "passed", "none"),
    ("gpu.device-plugin", "attic", "birch",
     lambda s: s.having("birch", "software", device_plugin=("nvidia-device-plugin",)), "failed", "nvidia-device"),
    ("gpu.device-plugin", "attic", "birch",
     lambda s: replace(s, done=frozenset({"40/core/gpu-operator/10"})).having(
         "birch", "software", device_plugin=("nvidia-device-plugin",)
     ), "passed", "the platform's own"),
    ("gpu.device-plugin", "attic", "birch", unasked("software", software=Software()), "unknown", "was not asked"),
]  # fmt: skip


def first(count: int) -> Change:
    return lambda s: s.answering(servers=s.site.model_dump(mode="json")["servers"][:count])


def bare(s: Scene) -> Scene:
    for host in s.facts:
        s = s.knowing(host, gpus=())
    return s


SITE_CASES: list[tuple[str, Change | None, str, str]] = [
    ("topology.quorum", None, "passed", "3 servers"),
    ("topology.quorum", first(2), "warning", "birch alone keeps the databases"),
    ("topology.quorum", first(1), "warning", "1 server"),
    ("topology.gpu", None, "passed", "2 in maple"),
    ("topology.gpu", bare, "warning", "none"),
    ("topology.gpu", chain(bare, lambda s: s.without("maple")), "unknown", "maple"),
]


ALL: list[Case] = [
    *(Case(check, site, (host,), change, status, says) for check, site, host, change, status, says in CASES),
    *(Case(check, "attic", (), change, status, says) for check, change, status, says in SITE_CASES),
]
