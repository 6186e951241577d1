"""From one Kubernetes to another: which way it is, and what is told of it before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from homewright.catalogue import Catalogue
from homewright.catalogue.models import Stage
from homewright.planning import Plan, plan, upgrades
from homewright.planning.difference import difference, sentences
from homewright.planning.upgrades import Way, way

from .composed import hosts, site


@pytest.mark.parametrize(
    ("running", "wanted", "expected"),
    [
        ([], "1.36.3", Way.SAME),
        (["v1.36.3"], "1.36.3", Way.SAME),
        (["1.36.1"], "1.36.3", Way.PATCH),
        (["1.35.4"], "1.36.3", Way.MINOR),
        (["1.35.10"], "1.36.0", Way.MINOR),
        (["1.34.4"], "1.36.3", Way.SKIPS),
        (["1.36.3"], "1.37.0", Way.MINOR),
        (["1.36.3"], "2.37.0", Way.SKIPS),
        (["1.36.3"], "1.36.2", Way.BACK),
        (["1.36.3"], "1.35.4", Way.BACK),
        (["1.36.10"], "1.36.9", Way.BACK),
        (["1.35.4", "1.36.3"], "1.36.3", Way.MINOR),  # it was cut off
        (["1.35.4", "1.36.3"], "1.35.4", Way.BACK),  # the answer was put back meanwhile
        (["1.35.4", "1.36.3"], "1.36.4", Way.MINOR),
        (["1.35.4", "1.36.3"], "1.37.2", Way.SKIPS),
    ],
)
def test_which_way_it_is(running: list[str], wanted: str, expected: Way) -> None:
    assert way(running, wanted) is expected
    refused = upgrades.refusal(running, wanted)
    assert (refused is not None) == (expected in (Way.SKIPS, Way.BACK))


def test_what_to_do_instead_is_told() -> None:
    what, why, do = upgrades.refusal(["1.34.4"], "1.36.3") or ("", "", ())
    assert what == "The cluster runs Kubernetes 1.34.4, and cluster.version is 1.36.3."
    assert "one minor version at a time" in why and "go to one of 1.35 first" in do[0]
    what, why, do = upgrades.refusal(["v1.36.3", "1.35.4"], "1.35.4") or ("", "", ())
    assert "runs Kubernetes 1.35.4, 1.36.3" in what and "no way back" in why
    assert do[0].endswith("homewright site set cluster.version 1.36.3"), "what it is on its way to"


@pytest.mark.parametrize("text", ["1.36", "v1.36.3-beta.1", "", "latest", "1.36.3 "])
def test_what_is_no_released_version(text: str) -> None:
    assert not upgrades.is_version(text)
    with pytest.raises(ValueError, match="is no version"):
        upgrades.parsed(text)


def of(version: str | None) -> Plan:
    step = {
        "id": "40/10", "title": "T", "runner": "python", "run": "a", "verify": "b", "rollback": "c",
        "reads": ["cluster.version"],
    }  # fmt: skip
    stage = Stage.model_validate({"id": "40", "title": "40", "steps": [step]})
    answers = {"cluster": {"version": version}} if version else {}
    return plan(site(2, **answers), Catalogue((stage,), "c0ffee", (), {"40": Path("/40_x")}), hosts(2))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("1.35.4", None, "upgraded to Kubernetes 1.36.3 (the answer was 1.35.4)"),
        ("1.35.4", "1.36.1", "upgraded to Kubernetes 1.36.1 (the answer was 1.35.4)"),
        (None, "1.35.4", "no way from 1.36.3 back to 1.35.4: apply refuses that"),
        ("1.34.4", "1.36.3", "a minor version would be left out: apply refuses that"),
        ("1.35.4", "1.35.4", ""),
    ],
)
def test_a_plan_says_what_another_version_means(before: str | None, after: str | None, said: str) -> None:
    told = " ".join(sentences(difference(of(before), of(after))))
    assert said in told and bool(told) is bool(said)
    untouched = " ".join(sentences(difference(of(before), of(after), made=False)))
    assert "Kubernetes" not in untouched, "where nothing was made of it there is no cluster to upgrade"
