"""The index of Python packages in the practice servers' image: read as pip reads one."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin

import pytest

from homewright.lab import image, pip_index, practice_site
from homewright.lab.mirror import Mirror
from homewright.lab.models import Place, Record
from homewright.site.models import HostVenv

WHEELS = (
    "PyYAML-6.0.2-cp311-cp311-manylinux_2_17_x86_64.whl",
    "ansible_core-2.19.14-py3-none-any.whl",
    "ruamel.yaml.clib-0.2.12-cp311-cp311-manylinux_2_17_x86_64.whl",
    "typing_extensions-4.15.0-py3-none-any.whl",
    "typing_extensions-4.14.0-py3-none-any.whl",
)
NOWHERE = Mirror(uri=None, keyring="", sources=(), apt=(), pip=(), proxies=(), authorities=())


class Links(HTMLParser):
    """What a page leads to, as a browser would go there."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [urljoin(self.address, value) for name, value in attrs if (tag, name) == ("a", "href") and value]


def followed(address: str) -> list[str]:
    """The addresses on the page of a folder."""
    pages = pip_index.index(WHEELS)
    links = Links(address)
    links.feed(pages[str(PurePosixPath(address.removeprefix(f"file://{pip_index.FOLDER}/")) / "index.html")])
    return links.found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("pyyaml", WHEELS[:1]),
        ("ansible-core", WHEELS[1:2]),
        ("ruamel-yaml-clib", WHEELS[2:3]),
        ("typing-extensions", tuple(sorted(WHEELS[3:]))),
    ],
)
def test_a_package_is_found_by_its_normalised_name(asked: str, found: tuple[str, ...]) -> None:
    page = f"{pip_index.INDEX}/{asked}/"
    assert page in followed(f"{pip_index.INDEX}/")
    assert followed(page) == [f"file://{pip_index.FOLDER}/wheels/{name}" for name in found]


def test_there_is_no_page_beside_those_that_are_listed() -> None:
    listed = {address.removeprefix(f"file://{pip_index.FOLDER}/") for address in followed(f"{pip_index.INDEX}/")}
    assert {f"{name}index.html" for name in listed} | {"simple/index.html"} == set(pip_index.index(WHEELS))
    assert all(re.fullmatch(r"simple/[a-z0-9-]+/", name) for name in listed)


def test_the_practice_site_asks_that_index_and_other_packages_are_another_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(
        backend="private", phase="up", place=Place(number=0), password="secret", servers=(), site_file="/site.yaml"
    )
    assert practice_site.of(record).mirror.pip_index == pip_index.INDEX
    before = image.image(tmp_path, NOWHERE)
    assert image.image(tmp_path, NOWHERE) == before
    assert image.image(tmp_path, replace(NOWHERE, keyring="other")) != before
    monkeypatch.setattr(image, "HostVenv", lambda: HostVenv(packages=("ansible-core==1.0",)))
    assert image.image(tmp_path, NOWHERE) != before
