"""What an edit changes, what of the old plan stays behind, and the plans that are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from homewright.catalogue import Catalogue, load, shipped
from homewright.catalogue.models import Stage
from homewright.discovery.facts import HostFacts
from homewright.planning import Plan, kept, plan
from homewright.planning.answers import belongs, flattened
from homewright.planning.difference import Difference, difference, sentences, summary
from homewright.site.paths import StateFolder

from .composed import gpu, host, hosts, site


def catalogue(digest: str = "c0ffee") -> Catalogue:
    def step(number: str, **more: Any) -> dict[str, Any]:
        base = {"title": "T", "runner": "python", "run": "a", "verify": "b", "rollback": "c"}
        return {"id": f"{number}/10", **base, **more}

    steps = (
        ("00", None, step("00", reads=["servers", "zone"], changes={"files": ["/etc/hosts"]})),
        (
            "10",
            None,
            step("10", reads=["host_venv"], changes={"files": ["{host_venv}/"], "packages": ["python3-venv"]}),
        ),
        ("20", "zone", step("20", changes={"files": ["/etc/bind/named.conf"]})),
    )
    stages = tuple(Stage.model_validate({"id": i, "title": i, "when": w, "steps": [s]}) for i, w, s in steps)
    return Catalogue(stages, digest, (), {stage.id: Path(f"/{stage.id}_x") for stage in stages})


def of(count: int = 2, known: dict[str, HostFacts] | None = None, digest: str = "c0ffee", **answers: Any) -> Plan:
    return plan(site(count, **answers), catalogue(digest), hosts(count) if known is None else known)


def told(found: Difference) -> str:
    return "\n".join(sentences(found))


def test_every_file_and_package_of_each_server() -> None:
    servers = [
        {"name": "s1", "address": "192.168.1.11", "user": "root"},
        {"name": "s2", "address": "192.168.1.12", "user": "ann"},
    ]
    found = plan(site(1, servers=servers), catalogue(), hosts(2))
    fence = [("/var/lib/homewright/fence.json", ""), ("/var/lib/homewright/fence.lock", "")]
    for name, venv in (("s1", "/root/.venv/"), ("s2", "/home/ann/.venv/")):
        on = found.on(name)
        assert on is not None
        assert [(use.path, use.step) for use in on.files] == [*fence, ("/etc/hosts", "00/10"), (venv, "10/10")]
        assert [(use.name, use.step) for use in on.packages] == [("python3-venv", "10/10")]


def test_a_plan_says_what_was_decided_and_why() -> None:
    found = of(2, known=hosts(2, gpus=[gpu()]))
    topics = {decision.topic for decision in found.decisions}
    assert {"LAN", "range of pods", "bridge of s1", "instance s2-node", "control plane", "cluster"} <= topics
    assert "GPU 0000:01:00.0 of s1" in topics
    assert all(decision.why.endswith(".") and decision.chosen for decision in found.decisions)


def test_answers_that_do_not_fit_are_in_the_plan() -> None:
    found = of(1, network={"pods": "192.168.1.0/25"})
    assert {problem.field for problem in found.problems} == {"network.pods"}


def test_nothing_is_different_from_itself() -> None:
    found = difference(of(), of())
    assert found.empty and told(found) == "" and summary(found) == ""


def test_a_changed_answer_the_steps_that_read_it_and_the_old_state() -> None:
    found = difference(of(), of(zone="home.internal"))
    assert [(c.what, c.before, c.after) for c in found.answers] == [("zone", None, "home.internal")]
    assert [(s.step, s.because, s.hosts) for s in found.steps_again] == [("00/10", ("zone",), ("s1", "s2"))]
    assert [(c.what, c.before, c.after) for c in found.stages] == [
        ("20", "skipped, zone is not set in the site", "runs")
    ]
    assert {(o.path, o.becomes) for o in found.old_state} == {("/etc/hosts", "replaced")}
    assert [c.after for c in found.files_added] == ["/etc/bind/named.conf"] * 2
    assert "Answer zone: new, home.internal." in told(found)


def test_a_moved_folder_leaves_the_old_one_behind() -> None:
    found = difference(of(), of(host_venv={"folder": "/opt/venv"}))
    assert {(o.host, o.path, o.becomes) for o in found.old_state} == {
        ("s1", "/home/ann/.venv/", "left"),
        ("s2", "/home/ann/.venv/", "left"),
    }
    assert "homewright rollback 10" in told(found)
    assert {change.after for change in found.files_added} == {"/opt/venv/"}


def test_a_server_that_left_keeps_what_it_has() -> None:
    found = difference(of(3), of(2))
    left = [o for o in found.old_state if o.host == "s3"]
    assert {o.path for o in left} >= {"/etc/hosts", "/home/ann/.venv/", "/var/lib/homewright/fence.json"}
    assert all(o.becomes == "left" and "no server of the site any more" in o.say for o in left)
    assert {c.what for c in found.answers} >= {"servers (order)", "servers.s3.address"}


def test_another_machine_other_hardware_another_catalogue() -> None:
    after = hosts(2, gpus=[gpu()]) | {"s2": host("s2", cpu=32, system={"machine_id": "other"})}
    found = difference(of(2), of(2, known=after, digest="beef"))
    assert [change.what for change in found.machines] == [
        "s1 has other GPUs",
        "s2 is another machine",
        "s2 has other processors",
    ]
    assert found.catalogue and "The stages are another version." in told(found)
    assert [c.what for c in difference(of(2, known={}), of(2)).machines] == ["s1 is known now", "s2 is known now"]


def test_a_decision_that_a_server_changed() -> None:
    found = difference(of(1), of(1, known={"s1": host(system={"kvm": False})}))
    assert [(c.what, c.before, c.after) for c in found.decisions] == [
        ("kind of instances", "virtual machines", "containers")
    ]


def test_stages_that_were_not_asked_for_are_no_difference() -> None:
    partly = plan(site(2), catalogue(), hosts(2), only="10")
    assert difference(of(), partly).empty
    whole = difference(partly, of())
    assert not whole.stages and not whole.old_state and {c.after for c in whole.files_added} == {"/etc/hosts"}


def test_a_long_difference_is_cut() -> None:
    assert summary(difference(of(3), of(2)), 2).count("more differences") == 1


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"zone": "a.b"}, {}),
        ({"host_venv": {"folder": "/opt/x"}}, {}),
        ({}, {"s1": host(system={"machine_id": "other"})}),
        ({}, {"s1": host(cpu=4)}),
        ({}, {"s1": host(gpus=[gpu()])}),
        ({}, {"s1": host(address="192.168.1.11/16")}),
    ],
)
def test_the_digest_is_another_one_where_a_decision_rests_on_it(change: Any, known: Any) -> None:
    assert of(2).digest != of(2, known=hosts(2) | known, **change).digest


def test_what_changes_by_the_second_is_not_in_the_digest() -> None:
    one = host()
    later = one.model_copy(
        update={
            "gathered_at": 99.0,
            "memory": one.memory.model_copy(update={"available": 1, "total": (one.memory.total or 0) - 4096}),
            "file_systems": tuple(fs.model_copy(update={"free": fs.free - 10**9}) for fs in one.file_systems),
        }
    )
    assert of(1, known={"s1": one}).digest == of(1, known={"s1": later}).digest


def test_answers_by_their_names() -> None:
    gpus = [{"host": "s1", "address": "0000:01:00.0", "use": "desktop"}]
    found = flattened(site(1, gpus=gpus, platform={"optional": ["awx"]}))
    assert found["servers.s1.user"] == "ann" and found["platform.optional"] == '["awx"]'
    assert found["gpus.s1/0000:01:00.0.use"] == "desktop" and "zone" not in found


@pytest.mark.parametrize(
    ("answer", "reads", "yes"),
    [
        ("zone", ["zone"], True),
        ("servers.s1.port", ["servers"], True),
        ("network", ["network.lxd"], True),
        ("zones", ["zone"], False),
        ("zone", [], False),
    ],
)
def test_which_answers_a_step_reads(answer: str, reads: list[str], yes: bool) -> None:
    assert belongs(answer, reads) is yes


def test_plans_are_kept_and_a_part_leaves_the_rest(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    assert kept.applied(state) is None and kept.approved(state) is None
    whole = of()
    kept.approve(state, whole)
    kept.apply(state, whole)
    assert kept.approved(state) == whole and kept.applied(state) == whole
    kept.apply(state, plan(site(2), catalogue(), hosts(2), only="00"))
    again = kept.applied(state)
    assert again is not None and difference(again, whole).empty
    kept.roll_back(state, frozenset({"10"}))
    rest = kept.applied(state)
    assert rest is not None
    assert {change.after for change in difference(rest, whole).files_added} == {
        "/home/ann/.venv/",
        "package python3-venv",
    }
    (tmp_path / "state" / "plans" / "applied.json").write_text("{half")
    assert kept.applied(state) is None


def test_a_plan_of_another_site_is_not_mixed_in() -> None:
    other = of().model_copy(update={"site": "cellar"})
    partly = plan(site(2), catalogue(), hosts(2), only="00")
    assert kept.merged(other, partly) == partly
    assert difference(other, of()).other_site


def test_the_shipped_stages_say_what_they_change() -> None:
    in_lxd = {
        "20/30",
        "20/40",
    }  # what these make is LXD's, and no file of the server; what is done through the cluster's API is the cluster's
    of_others = {"40/core/cluster/40"}  # what it replaces is declared by the steps that made it, and goes with them
    done = load([shipped()]).steps()
    steps = [step for step in done if step.id not in in_lxd | of_others and step.hosts != "kubernetes_api"]
    assert all(step.changes.files or step.changes.packages for step in steps)
