"""What a verb tells the steps of its run stays with the run: through resumes, and to every server of a step."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from homewright.engine import launch
from homewright.engine.launch import RunRequest
from homewright.engine.runners.python import hosts_of
from homewright.engine.runners.request import HostRequest, StepRequest, Way
from homewright.engine.states import Action
from homewright.site.models import Site
from homewright.site.paths import StateFolder

GIVEN = {"restore": "abc s1 20260131T120000Z.db"}


def test_it_stays_with_the_run(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    folder = state.run("r1")
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps(asdict(RunRequest("apply", given=GIVEN))))
    with launch.alone(folder):
        _, request = launch.ask_again(state, "r1")
    assert (request.given, request.attempt) == (GIVEN, 2)
    assert RunRequest.read(folder).given == GIVEN


def test_nodes_that_are_instances_have_each_other_as_peers_through_their_servers(tmp_path: Path) -> None:
    servers = [{"name": f"s{n}", "address": f"192.168.1.1{n}", "user": "ann"} for n in (1, 2)]
    nodes = [{"name": f"n{n}", "host": f"s{n}"} for n in (1, 2)]
    answers = {"instances": {"nodes": nodes}, "network": {"lxd": "10.100.0.0/24"}, "servers": servers}
    site = Site.model_validate({"name": "attic", **answers})
    through = Way(name="s1", address="192.168.1.11", port=22, user="ann")
    asked = HostRequest(name="n1", address="10.100.0.2", port=22, user="ann", through=through)
    request = StepRequest(
        run="r1", step="40/core/cluster/20", action=Action.RUN, file=tmp_path / "20_x.py", hosts=(asked,),
        site=site.model_dump(mode="json"), key_file=tmp_path / "key", known_hosts=tmp_path / "known",
        secrets_file=tmp_path / "secrets.json", work=tmp_path, fence=1, controller="c",
    )  # fmt: skip
    first = hosts_of(request, cast(Any, None), cast(Any, None))[0]
    assert [peer.name for peer in first.peers] == ["s1", "s2", "n2"]
    other = first.peers[-1]
    assert (other.address, other.requested) == ("10.100.0.3", False)
    assert other.through is not None and other.through.address == "192.168.1.12"
    on_server = request.model_copy(
        update={"hosts": (HostRequest(name="s1", address="192.168.1.11", port=22, user="ann"),)}
    )
    assert [peer.name for peer in hosts_of(on_server, cast(Any, None), cast(Any, None))[0].peers] == ["s2"]


def test_every_server_of_a_step_is_told(tmp_path: Path) -> None:
    servers = [{"name": f"s{n}", "address": f"192.168.1.1{n}", "user": "ann"} for n in (1, 2)]
    site = Site.model_validate({"name": "attic", "servers": servers})
    request = StepRequest(
        run="r1", step="40/core/cluster/20", action=Action.RUN, file=tmp_path / "20_x.py",
        hosts=(HostRequest(name="s1", address="192.168.1.11", port=22, user="ann"),),
        site=site.model_dump(mode="json"), key_file=tmp_path / "key", known_hosts=tmp_path / "known",
        secrets_file=tmp_path / "secrets.json", work=tmp_path, fence=1, controller="c", given=GIVEN,
    )  # fmt: skip
    read = StepRequest.model_validate_json(request.model_dump_json())
    assert [(host.name, host.given) for host in hosts_of(read, cast(Any, None), cast(Any, None))] == [
        ("s1", GIVEN), ("s2", GIVEN),
    ]  # fmt: skip
