from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Practice


@pytest.fixture(scope="module")
def practice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    """Trusted practice servers; HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name some that are there already."""
    work = tmp_path_factory.mktemp("runner")
    site, state = os.environ.get("HOMEWRIGHT_TEST_SITE"), os.environ.get("HOMEWRIGHT_TEST_STATE")
    if not site or not state:
        lab: Any = request.getfixturevalue("trusted_lab")
        words = list(lab.state_args)
        site, state = str(lab.site_file), words[words.index("--state") + 1]
    practice = Practice.of(Path(site), Path(state), work)
    practice.hold()
    yield practice
    practice.give_back()
