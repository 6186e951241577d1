"""What must hold between stages, steps and files: numbering, requirements without cycles, an order. Pure but for
looking whether files are there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from homewright.catalogue.models import Stage, Step

Wrong = tuple[tuple[str | int, ...], str, str]
"""Path of the field in stage.yaml, reason, remedy."""

_NUMBERED = re.compile(r"([0-9])([0-9])_")
_CODE = (".py", ".yaml", ".yml")


def wrong_files(stage: Stage, folder: Path, root: Path) -> Iterator[Wrong]:
    """What is wrong with a stage's files: missing, outside of the catalogue, or against the numbering."""
    for index, step in enumerate(stage.steps):
        for part in ("run", "verify", "rollback", "recover"):
            name = getattr(step, part)
            if name is None:
                continue
            at: tuple[str | int, ...] = ("steps", index, part)
            if not (folder / name).resolve().is_relative_to(root.resolve()):
                yield at, f"{name} lies outside of the catalogue", "keep the step's files beside stage.yaml"
            elif not (folder / name).is_file():
                yield at, f"there is no file {name}", f"make it: {folder / name}"
        for part, reason in misnumbered(step):
            yield ("steps", index, part), reason, "x0 to x7 do the work, x8 verifies, x9 rolls back, in one ten"
        if not step.verify.endswith(_CODE):
            reason = f"{step.verify} is neither a Python file nor a playbook"
            yield ("steps", index, "verify"), reason, "a proof is def verify(host) in a .py, or a playbook"
    numbered = {path.name for path in folder.iterdir() if path.is_file() and path.suffix in _CODE}
    for first, missing in unproved(numbered):
        yield ("steps",), f"{first} has no {missing}", f"every x0 has an x8 and an x9: add {missing}…"


def misnumbered(step: Step) -> Iterator[tuple[str, str]]:
    """Parts of a step that are against the numbering; files without a number are anybody's own and free."""
    first = _NUMBERED.match(Path(step.run).name)
    if first is None:
        return
    allowed = {"run": "01234567", "verify": "8", "rollback": "9", "recover": "01234567"}
    for part, digits in allowed.items():
        name = getattr(step, part)
        if name is None:
            continue
        match = _NUMBERED.match(Path(name).name)
        if match is None or match[1] != first[1] or match[2] not in digits:
            yield (
                part,
                f"{name} should be numbered {first[1]}{digits if len(digits) == 1 else '0 to ' + first[1] + '7'}",
            )


def unproved(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Files x0 without an x8 or x9 in the same folder, and what is missing."""
    known = [(match[1], match[2], name) for name in sorted(names) if (match := _NUMBERED.match(name))]
    there = {(ten, one) for ten, one, _ in known}
    for ten, one, name in known:
        if one == "0":
            yield from ((name, f"{ten}{wanted}_") for wanted in "89" if (ten, wanted) not in there)


def wrong_requires(stages: tuple[Stage, ...]) -> Iterator[tuple[str, tuple[str | int, ...], str, str]]:
    """Stage id and what is wrong: ids twice, ids of another stage, requirements that do not exist, cycles."""
    steps: dict[str, str] = {}
    ids = {stage.id for stage in stages}
    all_steps = {step.id for stage in stages for step in stage.steps}
    for stage in stages:
        for index, step in enumerate(stage.steps):
            at: tuple[str | int, ...] = ("steps", index, "id")
            if step.id in steps:
                yield stage.id, at, f"stage {steps[step.id]} has a step {step.id} already", "choose another id"
            steps[step.id] = stage.id
            if not step.id.startswith(f"{stage.id}/"):
                yield stage.id, at, f"{step.id} is no step of stage {stage.id}", f"begin it with {stage.id}/"
            for number, wanted in enumerate(step.requires or ()):
                if wanted not in all_steps:
                    yield stage.id, ("steps", index, "requires", number), f"there is no step {wanted}", "correct the id"
        for number, wanted in enumerate(stage.requires or ()):
            if wanted not in ids:
                yield stage.id, ("requires", number), f"there is no stage {wanted}", "correct the id"
    owner = {step.id: stage.id for stage in stages for step in stage.steps}
    needed = {step.id: _within(stage, step) for stage in stages for step in stage.steps}
    circle = cycle(needed)
    if circle:
        yield owner[circle[0]], ("steps",), f"steps wait for one another: {' → '.join(circle)}", "remove one requires"
    circle = cycle({stage.id: before(stages, stage) for stage in stages})
    if circle:
        yield circle[0], ("requires",), f"stages wait for one another: {' → '.join(circle)}", "remove one requires"


def before(stages: tuple[Stage, ...], stage: Stage) -> tuple[str, ...]:
    """The stages that a stage requires: those it names, else the one before it by id."""
    if stage.requires is not None:
        return stage.requires
    earlier = [other.id for other in stages if other.id < stage.id]
    return (max(earlier),) if earlier else ()


def requires(stages: tuple[Stage, ...], step: Step) -> tuple[str, ...]:
    """The steps that must have succeeded before this one: its own requirements, or at its stage's beginning the last
    steps of the stages before (of those that have any)."""
    stage = next(stage for stage in stages if any(other.id == step.id for other in stage.steps))
    own = _within(stage, step)
    if own:
        return own
    by_id = {other.id: other for other in stages}
    return tuple(last for name in before(stages, stage) if name in by_id for last in _last_steps(by_id[name]))


def ordered(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Stages, and the steps in each, so that everything comes after what it requires; else by id."""
    by_id = {stage.id: stage for stage in stages}
    names = _sorted({stage.id: before(stages, stage) for stage in sorted(stages, key=lambda stage: stage.id)})
    result = []
    for name in names:
        stage = by_id[name]
        steps = {step.id: step for step in stage.steps}
        inner = {step.id: tuple(other for other in _within(stage, step) if other in steps) for step in stage.steps}
        result.append(stage.model_copy(update={"steps": tuple(steps[step] for step in _sorted(inner))}))
    return tuple(result)


def cycle(graph: Mapping[str, tuple[str, ...]]) -> list[str]:
    """One circle in a graph of requirements, its first name repeated at its end; empty where there is none."""
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(graph[start]))] if start not in done else []
        path += [start] if stack else []
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                done.add(name)
                stack.pop()
                path.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following in graph and following not in done:
                path.append(following)
                stack.append((following, iter(graph[following])))
    return []


def _within(stage: Stage, step: Step) -> tuple[str, ...]:
    if step.requires is not None:
        return step.requires
    position = [other.id for other in stage.steps].index(step.id)
    return (stage.steps[position - 1].id,) if position else ()


def _last_steps(stage: Stage) -> tuple[str, ...]:
    """The steps that no other step of the stage requires."""
    needed = {name for step in stage.steps for name in _within(stage, step)}
    return tuple(step.id for step in stage.steps if step.id not in needed)


def _sorted(graph: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Names after what they require, otherwise in the graph's own order."""
    names = list(graph)
    placed: list[str] = []
    while len(placed) < len(graph):
        ready = [n for n in names if n not in placed and all(r in placed or r not in graph for r in graph[n])]
        if not ready:
            return names  # a circle, which wrong_requires tells
        placed.append(ready[0])
    return placed
