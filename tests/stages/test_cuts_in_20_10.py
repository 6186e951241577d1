"""Power cuts inside 20/10, the one step of the catalogue that is not repeatable: a cluster is formed, members join."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from engine.bench import Bench
from engine.cutting import Cutting
from practice_lab import Lab
from server_listing import unlike

from homewright.catalogue import shipped

pytestmark = [pytest.mark.lab, pytest.mark.long]

CUTS = (
    "begun s1 LXD",
    "ended s3 LXD",
    "begun s1 Cluster of one",
    "ended s1 Cluster of one",
    "begun s1 Trust in the site's certificate",
    "ended s1 Trust in the site's certificate",
    "begun s2 Join the cluster",
    "ended s2 Join the cluster",
    "begun s3 Join the cluster",
    "ended s3 Join the cluster",
    "events host-finished 20/10 s1",
    "states row 20/10 s2 succeeded",
)
"""In the step's order. A cut comes up to 0.1 s after what it is called by, so it falls into the work that follows."""
SURE = ("begun s1 LXD", "begun s1 Cluster of one", "begun s2 Join the cluster", "begun s3 Join the cluster")
"""What every run comes by; the others only where the engine before was cut off early enough."""


def ran(lab: Lab, *words: str) -> None:
    done = lab.run(*words, timeout=1800)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_a_cluster_is_formed_whatever_is_cut_off(
    trusted_lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab: Lab = trusted_lab
    ran(lab, "discover")
    catalogue = tmp_path / "short"  # forming a cluster needs no bridge, and instances are made by steps after it
    shutil.copytree(shipped() / "20_lxd_setup", catalogue / "20_lxd_setup")
    stage = catalogue / "20_lxd_setup" / "stage.yaml"
    text = stage.read_text()
    stage.write_text(text[: text.index("  - id: 20/20")])
    bench = Bench(lab, tmp_path)
    cutting = Cutting(bench, tmp_path, monkeypatch, [catalogue])
    before = cutting.files(), cutting.system()
    try:
        made = cutting.cut_among(*CUTS, only="20")
        assert [cut for cut in SURE if cut not in made] == [], made
        recovered = list((bench.state.run(cutting.run) / "steps").glob("*-recover"))
        assert len(recovered) >= len(SURE), "what was cut off was inspected first"
        members = json.loads(lab.on("s1", "LXD_CONF=/tmp/lxc lxc cluster list --format json"))
        assert sorted((one["server_name"], one["status"]) for one in members) == [
            (name, "Online") for name in lab.servers
        ]
        ran(lab, "--stages", str(catalogue), "verify", "--only", "20")
    finally:
        ran(lab, "--stages", str(catalogue), "rollback", "20", "--yes")
    assert unlike(before[0], cutting.files()) == []
    assert unlike(before[1], cutting.system()) == []
