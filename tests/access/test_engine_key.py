"""The engine's key is one key, however many first contacts ask for it at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from homewright.access import engine_key


def test_first_contacts_that_begin_together_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(max_workers=16) as pool:
        lines = set(pool.map(lambda _: engine_key.ensure(tmp_path / "state" / "id_ed25519", "homewright@x"), range(64)))
    assert len(lines) == 1
    assert (tmp_path / "state" / "id_ed25519").stat().st_mode & 0o777 == 0o600
