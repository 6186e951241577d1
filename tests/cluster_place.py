"""A real cluster for tests: one that is there already, or a lab's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from practice_lab import own_lab

from homewright.cluster.kubeconfig import SECRET, Kubeconfig, read
from homewright.site import files
from homewright.site.models import Site
from homewright.site.paths import StateFolder
from homewright.site.secrets import Secrets


@dataclass(frozen=True)
class ClusterPlace:
    """A site with a cluster."""

    site: Site
    state: StateFolder

    @property
    def kubeconfig(self) -> str:
        found = Secrets(self.state.secrets).get(SECRET)
        assert found is not None
        return found

    def read(self) -> Kubeconfig:
        return read(self.kubeconfig, self.site.cluster.context)

    @property
    def gateway(self) -> str:
        """This machine, as the practice servers reach it."""
        assert self.site.mirror.images is not None
        return self.site.mirror.images.rpartition(":")[0]


@contextmanager
def place() -> Iterator[ClusterPlace]:
    """HOMEWRIGHT_TEST_SITE and HOMEWRIGHT_TEST_STATE name one; without them practice servers are made, in minutes."""
    site, state = os.environ.get("HOMEWRIGHT_TEST_SITE"), os.environ.get("HOMEWRIGHT_TEST_STATE")
    if site and state:
        file = Path(site)
        found = files.load(file)
        yield ClusterPlace(found, StateFolder(Path(state), file))
        return
    with own_lab("cluster") as lab:
        done = lab.run("lab", "up", "--cluster", "--yes", timeout=3600)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
        yield ClusterPlace(files.load(lab.site_file), lab.state)
