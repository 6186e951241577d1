"""Accepting a warning: the reason is kept in the site's file, and nothing else can be accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from checking import scene

from homewright.checks.accepting import accept
from homewright.checks.models import Finding
from homewright.errors import UsageError
from homewright.site import files


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    files.save(path, scene("trouble").site)
    path.write_text(path.read_text() + "# mine\n")
    return path


def finding(check: str, *about: str) -> Finding:
    found = scene("trouble").find(check, *about)
    assert found is not None
    return found


def test_the_reason_is_kept_with_what_was_measured(site_file: Path) -> None:
    accept(site_file, finding("host.swap", "pine"), "  it has\nlittle memory ")
    kept = files.load(site_file)
    assert [(one.check, one.subjects, one.reason, one.measured) for one in kept.accepted] == [
        ("host.swap", ("pine",), "it has little memory", "/swap.img")
    ]
    assert "# mine" in site_file.read_text()
    accept(site_file, finding("host.docker", "pine"), "needed for the old jobs")
    accept(site_file, finding("host.swap", "pine"), "it has little memory, really")
    assert [(one.check, one.reason) for one in files.load(site_file).accepted] == [
        ("host.docker", "needed for the old jobs"),
        ("host.swap", "it has little memory, really"),
    ]


@pytest.mark.parametrize(
    ("check", "about", "what"),
    [
        ("host.kernel", ("pine",), "Kernel has failed: only a warning can be accepted."),
        ("host.cpu", ("pine",), "Processors is no warning but passed."),
        ("host.cpu", ("rowan",), "Processors is no warning but unknown."),
    ],
)
def test_nothing_but_a_warning_can_be_accepted(site_file: Path, check: str, about: tuple[str, ...], what: str) -> None:
    before = site_file.read_bytes()
    with pytest.raises(UsageError) as refused:
        accept(site_file, finding(check, *about), "because I say so")
    assert refused.value.what == what
    assert site_file.read_bytes() == before


@pytest.mark.parametrize("reason", ["", "  ", "ok", "x" * 501])
def test_a_reason_has_to_say_something(site_file: Path, reason: str) -> None:
    with pytest.raises(UsageError, match="takes a reason"):
        accept(site_file, finding("host.swap", "pine"), reason)
