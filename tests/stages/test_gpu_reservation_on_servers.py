"""Reserving a GPU on a practice server that is told to be a recorded machine: files, initial file system, way back.

No practice server has a GPU: what the probe would say is the recording's, all else is real, initramfs-tools too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
from driving import CONTROLLER, Practice
from recorded_gpus import reserving, restarted, without_arguments
from server_listing import CHANGEABLE, files_command, listing, unlike

from homewright.catalogue import shipped
from homewright.discovery.facts import HostFacts
from homewright.engine.runners.host import Host, Proof
from homewright.engine.runners.protocol import Cancel, Emitter
from homewright.engine.runners.python import hosts_of
from homewright.engine.runners.request import HostRequest, StepRequest
from homewright.engine.runners.source import loaded
from homewright.engine.states import Action, Verdict
from homewright.planning.boot import DRACUT, MODULES, SCRIPT
from homewright.stages.gpu_reservation import BUILT, CannotReserve, reservation
from homewright.stages.restart import WAITS

pytestmark = [pytest.mark.lab, pytest.mark.long]

CARD = "0000:01:00.0"


class Told:
    """The three files of 10/20 on one practice server, with the facts that they are told."""

    def __init__(self, practice: Practice, work: Path) -> None:
        self.site, self.facts = reserving("twins", CARD)
        self.server = practice.names[-1]
        self.practice = practice
        way = practice.site.server(self.server)
        request = StepRequest(
            run="tests", step="10/20", action=Action.RUN, file=work,
            hosts=(HostRequest(name=self.facts.host, address=way.address, port=way.port, user=way.user),),
            site=self.site.model_dump(mode="json"), key_file=practice.state.key,
            known_hosts=practice.state.known_hosts, secrets_file=practice.state.secrets, work=work,
            fence=practice.fence, controller=CONTROLLER,
        )  # fmt: skip
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        never = cast(Cancel, SimpleNamespace(asked=False))
        self.host: Host = hosts_of(request, Emitter(self._nowhere, "10/20"), never)[0]

    def close(self) -> None:
        self.host.close()
        os.close(self._nowhere)

    def _module(self, name: str) -> ModuleType:
        module: Any = loaded(shipped() / "10_baremetal_infra" / name)
        module.probe, module.parse = (lambda connection: None), (lambda bundle: self.facts)
        return cast(ModuleType, module)

    def run(self) -> int:
        """How many things it changed."""
        self.host.changed = 0
        self._module("20_gpu_reservation.py").run(self.host)
        return self.host.changed

    def verify(self) -> Proof:
        return cast(Proof, self._module("28_gpu_reservation.py").verify(self.host))

    def capture(self) -> None:
        self.host.capture = self._module("28_gpu_reservation.py").capture(self.host)

    def rollback(self) -> int:
        self.host.changed = 0
        self._module("29_gpu_reservation.py").rollback(self.host)
        return self.host.changed

    def on(self, command: str) -> str:
        return self.practice.on(self.server, command)


@pytest.fixture(scope="module")
def told(practice: Practice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    one = Told(practice, tmp_path_factory.mktemp("gpu"))
    one.on("DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends initramfs-tools >/dev/null")
    yield one
    one.close()


def test_reserved_proved_broken_mended_and_taken_back(told: Told) -> None:
    before = listing(told.practice.on, [told.server], files_command(CHANGEABLE))
    told.capture()
    assert told.run() == 2
    assert told.run() == 0
    assert told.verify() == Proof(Verdict.PROVED, "2 functions are reserved from the next start on.")
    assert told.on(f"cat {WAITS}") == "GPUs are reserved for virtual machines\n"
    for command, why in (
        (f"rm {SCRIPT}", "is missing"),
        (f"sed -i 's/0000:01:00.0/0000:03:00.0/' {SCRIPT}", "not what it should be"),
        (f"chmod 644 {SCRIPT}", "is 644 root:root, not 755"),
        (f"rm {MODULES}", "is missing"),
        (f"mkdir -p {Path(DRACUT).parent}; cp {MODULES} {DRACUT}", "is no longer needed"),
        (f"echo 0 >{BUILT}", "was not built from these files"),
    ):
        told.on(command)
        proof = told.verify()
        assert (proof.verdict, why in proof.reason) == (Verdict.BROKEN, True), proof
        assert told.run() > 0
        assert told.verify().verdict is Verdict.PROVED
    told.on(f"rm {WAITS}")  # as a start does
    assert "belongs to" in told.verify().reason and told.verify().verdict is Verdict.BROKEN
    unbound = told.facts
    told.facts = restarted(unbound, reservation(told.site, unbound, {}))
    assert told.verify() == Proof(Verdict.PROVED, "vfio-pci has 0000:01:00.0, 0000:01:00.1.")
    assert told.run() == 0
    assert told.rollback() == 2
    assert told.verify().verdict is Verdict.BROKEN
    assert told.rollback() == 0
    # Folders that were made for our files, and are empty now, stay.
    left = unlike(before, listing(told.practice.on, [told.server], files_command(CHANGEABLE)), ["dracut.conf.d"])
    assert left == []
    told.on(f"rm -f {WAITS}; rmdir {Path(DRACUT).parent} 2>/dev/null || true")
    told.facts = unbound


def test_a_server_without_a_boot_loader_that_we_know_is_refused_before_any_change(told: Told) -> None:
    kept: HostFacts = told.facts
    told.facts = without_arguments(kept)  # so that the kernel needs arguments, and with them GRUB
    try:
        with pytest.raises(CannotReserve, match="has no update-grub"):
            told.run()
        assert told.on(f"ls {SCRIPT} {MODULES} 2>/dev/null || true") == ""
    finally:
        told.facts = kept
