"""Catalogues from disk: folders with a `stage.yaml` in each stage's folder, validated as a whole."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from homewright.catalogue import prompts, rules
from homewright.catalogue.models import Stage, Step
from homewright.catalogue.text import read
from homewright.errors import CatalogueError, Problem
from homewright.site import complaints
from homewright.site.document import DocumentError, Node
from homewright.site.paths import sync

STAGE_FILE = "stage.yaml"
LEFT_OUT = ("__pycache__", ".git", ".venv", ".mypy_cache", ".ruff_cache", "node_modules")
"""Folders that are no part of a catalogue: they are neither copied nor counted in its digest."""
SYNCED_AT_ONCE = 16


@dataclass(frozen=True)
class Catalogue:
    """Stages in the order in which they run."""

    stages: tuple[Stage, ...]
    digest: str
    """SHA-256 over every file of every root."""
    roots: tuple[Path, ...]
    folders: dict[str, Path]
    """Each stage's folder."""

    def steps(self) -> Iterator[Step]:
        """All steps in order."""
        for stage in self.stages:
            yield from stage.steps

    def step(self, step: str) -> Step:
        """The step of this id; KeyError where there is none."""
        for found in self.steps():
            if found.id == step:
                return found
        raise KeyError(step)

    def stage(self, stage: str) -> Stage:
        """The stage of this id, also by its folder's name. Raises CatalogueError where there is none."""
        for found in self.stages:
            if stage in (found.id, self.folders[found.id].name):
                return found
        known = ", ".join(found.id for found in self.stages)
        raise CatalogueError(f"There is no stage {stage}.", f"The catalogue has: {known}.", ["homewright plan"])

    def stage_of(self, step: str) -> Stage:
        """The stage that a step belongs to; KeyError where there is none."""
        for stage in self.stages:
            if any(found.id == step for found in stage.steps):
                return stage
        raise KeyError(step)

    def file(self, step: Step, part: str) -> Path:
        """The numbered file of a step; KeyError where it has none (only `recover` may be missing)."""
        name = {"run": step.run, "verify": step.verify, "rollback": step.rollback, "recover": step.recover}[part]
        if name is None:
            raise KeyError(part)
        return self.folders[self.stage_of(step.id).id] / name

    def requires(self, step: Step) -> tuple[str, ...]:
        """The steps that must have succeeded before this one, through its stage too."""
        return rules.requires(self.stages, step)

    def step_digest(self, step: Step) -> str:
        """Which version of a step this is: its definition and its own files."""
        total = hashlib.sha256(json.dumps(step.model_dump(mode="json"), sort_keys=True).encode())
        for part in ("run", "verify", "rollback", "recover"):
            if part != "recover" or step.recover is not None:
                total.update(self.file(step, part).read_bytes())
        return total.hexdigest()

    def copy(self, target: Path, *, lasting: bool = True) -> Catalogue:
        """A copy of all roots below `target`, on the disk for good: a run uses it to its end, whatever loses power.

        Not so where it need not be `lasting`, since no other engine goes on with the run. Raises CatalogueError.
        """
        try:
            for number, root in enumerate(self.roots):
                shutil.copytree(root, target / str(number), ignore=shutil.ignore_patterns(*LEFT_OUT, "*.pyc"))
            if lasting:
                with ThreadPoolExecutor(SYNCED_AT_ONCE) as pool:  # a disk writes many at once as fast as one
                    for _ in pool.map(sync, (*target.rglob("*"), target, target.parent)):
                        pass
        except (OSError, shutil.Error) as error:
            raise CatalogueError("The catalogue could not be copied into the run.", f"{error}.") from error
        return load([target / str(number) for number in range(len(self.roots))])


def shipped() -> Path:
    """The folder of the stages that come with Homewright. Raises CatalogueError where they are not installed."""
    spec = importlib.util.find_spec("homewright.stages")
    if spec is None or not spec.submodule_search_locations:
        raise CatalogueError("Homewright's own stages are not installed.", "", ["install Homewright again"])
    return Path(spec.submodule_search_locations[0])


def load(folders: Sequence[Path]) -> Catalogue:
    """The catalogue of these folders; a stage of a later folder replaces one with the same id.

    Raises CatalogueError with file, line, field, reason and remedy of everything that is wrong.
    """
    roots = tuple(Path(folder).absolute() for folder in folders)
    stages: dict[str, Stage] = {}
    places: dict[str, tuple[Path, Node]] = {}
    for root in roots:
        if not root.is_dir():
            raise CatalogueError(f"{root} is no folder of stages.", "", ["name a folder: homewright --stages DIR"])
        seen: dict[str, Path] = {}
        for file in _stage_files(root):
            stage, tree = read_stage(file)
            if stage.id in seen:
                raise _wrong([_at(file, tree, ("id",), f"{seen[stage.id]} has this id already", "choose another id")])
            seen[stage.id] = file
            stages[stage.id], places[stage.id] = stage, (file, tree)
    if not stages:
        named = ", ".join(map(str, roots))
        raise CatalogueError("There is no stage to run.", f"No {STAGE_FILE} below {named}.", ["name another folder"])
    found: list[Problem] = []
    for stage in stages.values():
        file, tree = places[stage.id]
        root = next(root for root in reversed(roots) if file.is_relative_to(root))
        found += [_at(file, tree, *wrong) for wrong in rules.wrong_files(stage, file.parent, root)]
        for playbook, line, reason in prompts.prompting(stage, file.parent):
            found.append(Problem(str(playbook), line, 1, "", reason, prompts.REMEDY))
    for stage_id, path, reason, remedy in rules.wrong_requires(tuple(stages.values())):
        found.append(_at(*places[stage_id], path, reason, remedy))
    if found:
        raise _wrong(found)
    ordered = rules.ordered(tuple(stages.values()))
    return Catalogue(ordered, _digest(roots), roots, {stage.id: places[stage.id][0].parent for stage in ordered})


def read_stage(file: Path) -> tuple[Stage, Node]:
    """One `stage.yaml` and where its values stand. Raises CatalogueError."""
    try:
        tree = read(file.read_text(encoding="utf-8"))
    except DocumentError as error:
        field = complaints.dotted(error.path, None)
        raise _wrong([Problem(str(file), error.line, error.column, field, error.reason, error.remedy)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{file} cannot be read.", f"{error}.", ["look at the file and its permissions"]) from None
    data = tree.plain()
    try:
        return Stage.model_validate_json(json.dumps(data), strict=True), tree
    except ValidationError as error:
        raise _wrong(complaints.problems(error.errors(include_url=False), Stage, tree, data, str(file))) from None


def _stage_files(root: Path) -> list[Path]:
    inside = (file for file in root.rglob(STAGE_FILE) if not set(file.relative_to(root).parts) & set(LEFT_OUT))
    return sorted(inside)


def _digest(roots: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for number, root in enumerate(roots):
        for file in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            name = file.relative_to(root)
            if set(name.parts) & set(LEFT_OUT):
                continue
            content = file.read_bytes()
            total.update(f"{number}/{name}\0{len(content)}\0".encode())
            total.update(content)
    return total.hexdigest()


def _at(file: Path, tree: Node, path: tuple[str | int, ...], reason: str, remedy: str) -> Problem:
    line, column = tree.at(path)
    return Problem(str(file), line, column, complaints.dotted(path, tree.plain()), reason, remedy)


def _wrong(problems: Sequence[Problem]) -> CatalogueError:
    first = problems[0]
    if len(problems) == 1:
        return CatalogueError(f"{first.where()} is wrong.", f"{first.reason}.", [first.remedy])
    return CatalogueError(
        f"{len(problems)} things are wrong in the catalogue.",
        "\n       ".join(f"{problem.where()}: {problem.reason}." for problem in problems),
        list(dict.fromkeys(problem.remedy for problem in problems)),
    )
