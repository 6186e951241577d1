"""When a certificate in the cluster has to be issued anew."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homewright.cluster import certificates
from homewright.site.authority import Authority

NAMES = ("home.internal", "*.home.internal")
Secret = dict[str, Any]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.of(tmp_path_factory.mktemp("site") / "ca", "home")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.of(tmp_path_factory.mktemp("other") / "ca", "other")


def made(authority: Authority, names: tuple[str, ...] = NAMES) -> Secret:
    return certificates.secret(authority, "certificates", "platform-tls", names, {"a": "b"})


def test_a_fresh_one_is_good_and_tells_what_it_is_for(authority: Authority) -> None:
    found = made(authority)
    assert certificates.due(found, NAMES, authority, datetime.now(UTC)) == ""
    assert certificates.wanted_names(found) == NAMES
    assert found["metadata"]["labels"] == {"a": "b"}
    assert base64.b64decode(found["data"]["ca.crt"]) == authority.certificate_pem
    assert certificates.ends(found) > datetime.now(UTC) + timedelta(days=390)


def without(found: Secret, entry: str) -> Secret:
    return {**found, "data": {name: value for name, value in found["data"].items() if name != entry}}


def changed(found: Secret, **data: str) -> Secret:
    return {**found, "data": {**found["data"], **data}}


CASES: dict[str, tuple[Callable[[Authority, Authority], Secret], str]] = {
    "no key": (lambda own, other: without(made(own), "tls.key"), "has no certificate with its key"),
    "no base64": (lambda own, other: changed(made(own), **{"tls.crt": "%"}), "has no certificate with its key"),
    "another's key": (
        lambda own, other: changed(made(own), **{"tls.key": made(own)["data"]["tls.key"]}),
        "has a key that is not its certificate's",
    ),
    "another authority": (lambda own, other: made(other), "the site's authority has not signed"),
    "other names": (lambda own, other: made(own, ("a.internal",)), "is for a.internal, not for home.internal"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_with_it_is_told(case: str, authority: Authority, other: Authority) -> None:
    make, why = CASES[case]
    assert why in certificates.due(make(authority, other), NAMES, authority, datetime.now(UTC))


def test_one_without_its_root_is_due(authority: Authority) -> None:
    found = made(authority)
    end = b"-----END CERTIFICATE-----\n"
    leaf = base64.b64decode(found["data"]["tls.crt"]).split(end)[0] + end
    alone = changed(found, **{"tls.crt": base64.b64encode(leaf).decode()})
    assert certificates.due(alone, NAMES, authority, datetime.now(UTC)) == "does not carry the site's authority"


@pytest.mark.parametrize(("days", "said"), [(360, ""), (368, "ends on "), (398, "has ended on ")])
def test_it_is_renewed_thirty_days_before_its_end(authority: Authority, days: int, said: str) -> None:
    later = datetime.now(UTC) + timedelta(days=days)
    told = certificates.due(made(authority), NAMES, authority, later)
    assert told.startswith(said) if said else told == ""


def test_one_that_ends_with_its_authority_is_not_renewed_for_ever(authority: Authority) -> None:
    leaf = authority.issue("x", NAMES, (), days=4000)
    data = {"tls.crt": base64.b64encode(leaf.chain_pem).decode(), "tls.key": base64.b64encode(leaf.key_pem).decode()}
    found = {"metadata": {}, "data": data}
    assert certificates.due(found, NAMES, authority, authority.expires - timedelta(days=5)) == ""


def test_what_has_no_names_is_not_ours_to_renew() -> None:
    assert certificates.wanted_names({"metadata": {}}) == ()
