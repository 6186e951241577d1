"""The cluster, what its services cost, and what is left out without an account."""

from __future__ import annotations

import typing
from typing import Any

import pytest

from homewright.planning import instances
from homewright.planning.components import CORE, OPTIONAL
from homewright.planning.decisions import decide
from homewright.planning.platform import PlatformPlan, cluster, need, propose
from homewright.site.answers import OptionalService
from homewright.site.models import Site

from .composed import host, hosts, site


def planned(given: Site, known: Any, secrets: tuple[str, ...] = ()) -> PlatformPlan:
    return propose(given, known, instances.place(given, known, need=need(given)), secrets)


@pytest.mark.parametrize(
    ("systems", "internet", "wanted", "words"),
    [
        (["ubuntu", "ubuntu"], True, "microk8s", "Every server runs Ubuntu"),
        (["ubuntu", "debian"], True, "kubeadm", "s2 runs debian"),
        (["ubuntu", "ubuntu"], False, "microk8s", "Every server runs Ubuntu"),
        (["ubuntu"], True, "microk8s", "not every server has told"),
    ],
)
def test_which_cluster(systems: list[str], internet: bool, wanted: str, words: str) -> None:
    known = {}
    for number, system in enumerate(systems, start=1):
        one = host(f"s{number}", system={"os_id": system})
        known[f"s{number}"] = one.model_copy(update={"names": one.names.model_copy(update={"internet": internet})})
    kind, why = cluster(site(2), known)
    assert kind == wanted and words in why
    assert cluster(site(2, platform={"cluster": "existing"}), known) == ("existing", "You chose it.")


def test_every_optional_service_has_a_cost_with_a_source() -> None:
    assert {one.id for one in OPTIONAL} == set(typing.get_args(OptionalService))
    for one in (*CORE, *OPTIONAL):
        assert one.source and one.cpu > 0 and one.memory > 0, one


def test_what_is_wanted_is_summed_and_compared() -> None:
    found = planned(site(3), hosts(3))
    assert found.fits is True and found.asked.cpu is not None and found.has.cpu is not None
    assert found.asked.cpu <= found.has.cpu
    more = planned(site(3, platform={"optional": ["ollama", "prometheus"]}), hosts(3))
    assert more.asked.memory is not None and found.asked.memory is not None
    assert more.asked.memory == pytest.approx(found.asked.memory + 10)
    assert {cost.id for cost in more.costs if cost.kind == "optional" and cost.wanted} == {"ollama", "prometheus"}


def test_what_does_not_fit_says_what_is_short() -> None:
    small = {"s1": host(cpu=8, memory=16, disk=100)}
    found = planned(site(1, platform={"cluster": "kubeadm"}), small)
    assert found.fits is False and "CPUs" in found.why_fits and "GiB of disk" in found.why_fits
    assert "take larger instances" in found.why_fits, "no service was ticked that could be left out"
    more = planned(site(1, platform={"cluster": "kubeadm", "optional": ["valkey"]}), small)
    assert "take fewer services" in more.why_fits


def test_without_a_cluster_nothing_is_asked_for() -> None:
    for known, words in (({"s1": host(cpu=8, memory=16, disk=100)}, " of 8"), (hosts(1), "would ask for 7 of 9 CPUs")):
        found = planned(site(1), known)
        assert found.why_fits.startswith("No cluster is chosen, so nothing is asked for yet.")
        assert words in found.why_fits and "take" not in found.why_fits
    decided = {one.topic: one.chosen for one in decide(site(1), hosts(1)).decisions}
    assert decided["room for the platform"] == "not asked for yet"
    assert decided["cluster"] == "none yet (microk8s is proposed)"


@pytest.mark.parametrize(
    ("answers", "known", "fits"),
    [
        ({"platform": {"nodes": "servers"}}, {"s1": host()}, True),
        ({"platform": {"nodes": "servers"}}, {}, None),
        ({"platform": {"nodes": "servers"}}, {"s1": host(cpu=2)}, False),
        ({"platform": {"cluster": "existing"}}, {"s1": host()}, None),
    ],
)
def test_other_nodes_than_instances(answers: Any, known: Any, fits: bool | None) -> None:
    found = planned(site(1, **answers), known)
    assert found.fits is fits and found.why_fits


def test_what_needs_an_account_is_left_out_with_the_reason() -> None:
    assert len(planned(site(1), hosts(1)).skipped) == 3
    overlay = {"overlay": {"kind": "zerotier", "network_id": "0123456789abcdef"}}
    tokens = ("accounts/github-token", "accounts/hugging-face-token")
    (left,) = planned(site(1, network=overlay), hosts(1), tokens).skipped
    assert left.why == "there is no ZeroTier token"
    full = planned(site(1, network=overlay), hosts(1), (*tokens, "overlay/zerotier-token"))
    assert full.skipped == () and full.problems == ()


@pytest.mark.parametrize(
    ("answers", "field"),
    [
        ({"network": {"overlay": {"kind": "zerotier"}}}, "network.overlay.network_id"),
        ({"platform": {"tls": {"issuer": "letsencrypt"}}}, "platform.tls.issuer"),
        ({"platform": {"cluster": "microk8s", "nodes": "servers"}}, "platform.cluster"),
    ],
)
def test_answers_that_want_another(answers: Any, field: str) -> None:
    known = {"s1": host(system={"os_id": "debian", "os_name": "Debian 12"})}
    assert [problem.field for problem in planned(site(1, **answers), known).problems] == [field]
