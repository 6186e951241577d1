"""Mangled bundles give facts that can be kept and read again, or a typed error; never a traceback."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest

from homewright.discovery import RawBundle, parse
from homewright.discovery.bundle import framed, load
from homewright.discovery.facts import HostFacts
from homewright.discovery.plausible import MOST_MEMORY, MOST_STORAGE
from homewright.errors import SiteError

from .conftest import recordings
from .mangling import bits, bundles, escapes, mangled
from .running import here

COMPOSED = Path(__file__).parents[2] / "assets" / "homewright" / "assets" / "machines"
CONTROL = re.compile(r"\\u00[01][0-9a-f]|\\[bfr]|[\x7f-\x9f]")
"""Control characters as JSON writes them: none may get into facts, which are shown on terminals."""
BACKSLASH = r"\\"
MOST_SECONDS = 1.0
"""For one mangled bundle, however it is mangled: a pattern that runs away would show here."""


@pytest.fixture(scope="module")
def originals() -> list[RawBundle]:
    """Those that the project composed, and those that people published where they are there.

    None is this machine's own: seeds are fixed, so that what one run finds the next one finds too.
    """
    folders = [folder for folder in sorted(COMPOSED.iterdir()) if any(folder.glob("*.json"))]
    published = [recordings()] if recordings().is_dir() else []
    return bundles([*folders, *published])


def campaign(originals: list[RawBundle], count: int, first: int = 0) -> float:
    """Parse so many mangled bundles; returns the longest that one took, seconds."""
    longest = 0.0
    for seed in range(first, first + count):
        original = originals[seed % len(originals)]
        bundle = mangled(original, seed)
        began = time.process_time()
        try:
            facts = parse(bundle)
            kept = facts.model_dump_json()
        except Exception as error:
            raise AssertionError(f"{original.host}, seed {seed}") from error
        longest = max(longest, time.process_time() - began)
        assert all(0 < disk.size <= MOST_STORAGE for disk in facts.disks), f"{original.host}, seed {seed}"
        assert (facts.memory.total or 0) <= MOST_MEMORY, f"{original.host}, seed {seed}"
        if seed % 10 == 0:
            assert HostFacts.model_validate_json(kept) == facts, f"{original.host}, seed {seed}"
            assert not CONTROL.search(kept.replace(BACKSLASH, "")), f"{original.host}, seed {seed}"
    return longest


def test_five_hundred_mangled_bundles(originals: list[RawBundle]) -> None:
    assert campaign(originals, 500) < MOST_SECONDS


@pytest.mark.long
def test_a_hundred_thousand_mangled_bundles(originals: list[RawBundle]) -> None:
    began = time.process_time()
    longest = campaign(originals, 100_000, first=10_000)
    print(
        f"100,000 mangled bundles of {len(originals)} machines: facts every time, "
        f"{time.process_time() - began:.0f} s of CPU, the longest {longest * 1000:.0f} ms"
    )
    assert longest < MOST_SECONDS


def test_what_this_machine_says_may_be_mangled_too() -> None:
    for seed in range(20):
        parse(mangled(here(), seed))


def test_a_bundle_file_that_is_mangled_is_read_or_refused_in_words(tmp_path: Path, originals: list[RawBundle]) -> None:
    text = originals[0].model_dump_json()
    file = tmp_path / "mangled.json"
    for seed in range(150):
        chance = random.Random(seed)
        damaged = bits(text, chance) if seed % 2 else escapes(text[: chance.randrange(len(text))], chance)
        file.write_bytes(damaged.encode("utf-8", "replace"))
        try:
            parse(load(file)[0])
        except SiteError as error:
            assert "mangled.json" in error.what


def test_the_wire_itself_may_be_mangled(originals: list[RawBundle]) -> None:
    whole = originals[0]
    stdout = "".join(
        f"\n\036source {name}\n{source.stdout}\n\036exit {source.exit_code}\n" for name, source in whole.sources.items()
    )
    for seed in range(150):
        chance = random.Random(seed)
        parse(framed("a", 1.0, bits(stdout, chance), escapes(stdout[:2000], chance), 2.0))
        parse(framed("a", 1.0, stdout[: chance.randrange(len(stdout))], "", 2.0))
