"""Tiny catalogues for real servers: each step is a few lines of Python."""

from __future__ import annotations

import textwrap
from pathlib import Path

import yaml  # ansible-core brings it

PROVED = """
from homewright.engine.runners.host import proved

def verify(host):
    return proved("as wanted")
"""
NOTHING = """
def {name}(host):
    pass
"""


class Tiny:
    """Stage 90, or another one, made step by step."""

    def __init__(self, folder: Path, stage: str = "90") -> None:
        self.root = folder
        self.stage = stage
        self.folder = folder / f"{stage}_tiny"
        self.folder.mkdir(parents=True)
        self.steps: list[dict[str, object]] = []

    def step(self, number: int, run: str, verify: str = PROVED, rollback: str = "", **more: object) -> Tiny:
        ansible = run.lstrip().startswith("- ")
        names = {
            "run": f"{number}0_do.yaml" if ansible else f"{number}0_do.py",
            "verify": f"{number}8_do.py",
            "rollback": f"{number}9_do.py",
        }
        bodies = {"run": run, "verify": verify, "rollback": rollback or NOTHING.format(name="rollback")}
        for part, name in names.items():
            (self.folder / name).write_text(textwrap.dedent(bodies[part]))
        kind = "ansible" if ansible else "python"
        made = {
            "id": f"{self.stage}/{number}0",
            "title": f"Step {number}",
            "runner": kind,
            "minutes": 0.1,
            **names,
            **more,
        }
        self.steps.append(made)
        stage = {"id": self.stage, "title": "Tiny", "requires": [], "steps": self.steps}
        (self.folder / "stage.yaml").write_text(yaml.safe_dump(stage, sort_keys=False))
        return self
