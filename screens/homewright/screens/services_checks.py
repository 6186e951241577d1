"""What the hardware, checks and GPU screens ask of discovery, checks and planning. Rooms are imported when asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.errors import HomewrightError

if TYPE_CHECKING:
    from homewright.discovery.bundle import RawBundle
    from homewright.discovery.facts import HostFacts
    from homewright.site.models import Site
    from homewright.site.paths import StateFolder

OnFacts = Callable[[str, "HostFacts | HomewrightError"], None]


class CheckServices:
    """Facts, checks and GPUs, as the screens use them."""

    # Facts

    def look(self, site: Site, state: StateFolder, hosts: Sequence[str], on_facts: OnFacts) -> None:
        """Ask these servers for their facts, side by side; they are recorded. `on_facts` hears of each as it answers.

        Raises StateError where the state folder cannot be written.
        """
        from homewright import discovery

        discovery.gather(site, state, hosts, on_facts)

    def save_bundles(self, site: Site, state: StateFolder, folder: Path, on_facts: OnFacts) -> int:
        """Ask every server again and keep what it literally says, one file a server; how many did say something.

        Raises StateError where the folder cannot be written.
        """
        from homewright import discovery
        from homewright.site.paths import make_folder, write_atomically

        make_folder(folder)
        kept: list[str] = []

        def keep(bundle: RawBundle) -> None:
            write_atomically(folder / f"{bundle.host}.json", bundle.model_dump_json(indent=1).encode())
            kept.append(bundle.host)

        discovery.gather(site, state, None, on_facts, on_bundle=keep)
        return len(kept)
