"""A `stage.yaml` for somebody's own folder of numbered playbooks, written from their numbering and what they say."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from homewright.catalogue import playbooks
from homewright.catalogue.loading import LEFT_OUT, STAGE_FILE, load
from homewright.catalogue.models import Group
from homewright.errors import CatalogueError, UsageError
from homewright.site.paths import write_atomically

NUMBERED = re.compile(r"([0-9])([0-9])_(.+)\.(ya?ml|py)")
GROUPS: tuple[str, ...] = get_args(Group)
CALLED: Mapping[str, Group] = {
    **dict.fromkeys(("baremetal", "bare_metal", "baremetals", "hosts", "nodes", "host_nodes"), "servers"),
    **dict.fromkeys(("lxd", "lxd_hosts", "lxd_cluster"), "lxd_servers"),
    **dict.fromkeys(("vms", "containers", "lxd_instances"), "instances"),
    **dict.fromkeys(
        ("microk8s_control_plane", "k8s_control_plane", "kube_control_plane", "control_plane", "masters", "master"),
        "kubernetes_control_plane",
    ),
    **dict.fromkeys(("microk8s_workers", "k8s_workers", "kube_node", "workers"), "kubernetes_workers"),
    **dict.fromkeys(("gpu", "gpus", "gpu_nodes", "gpu_servers"), "gpu_hosts"),
    **dict.fromkeys(("dns", "dns_servers", "bind9"), "dns_server"),
}
"""What other trees call our groups."""
HEAD = """\
# Written by `homewright stages new` from the numbering of the files beside it, and yours from here on: look at hosts
# and minutes of each step, and name under `reads` the answers of site.yaml that it depends on.
"""


class Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Warned(Document):
    """Something that somebody has to look at."""

    file: str
    line: int | None
    """None where it is about the file as a whole."""
    reason: str
    do: str


class Made(Document):
    """The stage of one folder."""

    file: str
    """Its stage.yaml."""
    id: str
    title: str
    steps: tuple[str, ...]
    """Ids of its steps."""
    text: str
    """What stands in the file."""
    written: bool
    warnings: tuple[Warned, ...]


class ScaffoldDocument(Document):
    """What `homewright stages new --json` prints."""

    version: Literal[1] = 1
    stages: tuple[Made, ...]
    kept: tuple[str, ...]
    """Files stage.yaml that were there already, and were left alone."""
    problems: tuple[str, ...]
    """Why the catalogue cannot be run yet; none where it can."""


@dataclass
class _Ten:
    """The files of one ten."""

    number: str
    files: dict[str, list[Path]] = field(default_factory=dict)
    """By their last digit."""

    def first(self, digit: str) -> Path | None:
        return self.files[digit][0] if digit in self.files else None


def scaffold(folder: Path, *, title: str = "", stage: str = "", write: bool = True) -> ScaffoldDocument:
    """A stage.yaml in every folder of numbered files, the given one and those below; one that is there is left alone.

    `title` and `stage` (its id) are for the given folder itself. Raises UsageError where there is nothing to do,
    CatalogueError where a file cannot be written.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise UsageError(f"{folder} is no folder.", "", ["name a folder of numbered playbooks: 10_….yaml, 18_…, 19_…"])
    places = [place for place in (root, *_below(root)) if _tens(place)]
    if not places:
        raise UsageError(
            f"{folder} has no numbered files.",
            "Neither it nor a folder below has files such as 10_install.yaml, 18_test.yaml, 19_rollback.yaml.",
            ["number them: x0 to x7 do the work, x8 proves it, x9 takes it back"],
        )
    made, kept = [], []
    for place in places:
        file = place / STAGE_FILE
        if file.exists():
            kept.append(str(file))
            continue
        named = place == root
        made.append(_made(place, (stage if named else "") or stage_id(root, place), title if named else "", write))
    problems: tuple[str, ...] = ()
    if write:
        try:
            load([root])
        except CatalogueError as error:
            told = error.why.splitlines()  # one line a problem, or the reason of the only one
            problems = tuple(map(str.strip, told)) if len(told) > 1 else (f"{error.what} {error.why}".strip(),)
    return ScaffoldDocument(stages=tuple(made), kept=tuple(kept), problems=problems)


def stage_id(root: Path, place: Path) -> str:
    """The id of a folder's stage: numbers count alone, as in 40_platform/core/harbor, which is 40/core/harbor."""
    parts = place.relative_to(root).parts or (root.name,)
    names = []
    for part in parts:
        number = re.match(r"([0-9]{2})_", part)
        names.append(number[1] if number else re.sub(r"[^0-9a-z_]+", "_", part.lower()).strip("_") or "stage")
    return "/".join(names)


def _below(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_dir() and not set(path.relative_to(root).parts) & set(LEFT_OUT):
            yield path


def _tens(folder: Path) -> list[_Ten]:
    """The tens that have a file which does the work."""
    tens: dict[str, _Ten] = {}
    for path in sorted(folder.iterdir()):
        match = NUMBERED.fullmatch(path.name)
        if match is not None and path.is_file():
            tens.setdefault(match[1], _Ten(match[1])).files.setdefault(match[2], []).append(path)
    return [ten for _, ten in sorted(tens.items()) if ten.first("0")]


def _made(place: Path, stage: str, title: str, write: bool) -> Made:
    warnings: list[Warned] = []
    called: dict[str, str] = {}
    steps = [_step(stage, ten, called, warnings) for ten in _tens(place)]
    for path in sorted(place.rglob("*.y*ml")):
        if path.name != STAGE_FILE and not set(path.relative_to(place).parts) & set(LEFT_OUT):
            own = NUMBERED.fullmatch(path.name) is not None and path.parent == place
            if own or "tasks" in path.parts or "handlers" in path.parts:
                warnings += [
                    Warned(file=str(path), line=one.line, reason=one.reason, do=one.do)
                    for one in playbooks.faults(path.read_text(encoding="utf-8", errors="replace"))
                ]
    name = title or re.sub(r"^[0-9]{2}_", "", place.name).replace("_", " ").replace("-", " ").capitalize()
    document: dict[str, Any] = {"id": stage, "title": name, "requires": []}
    if called:
        document["groups"] = called
    text = HEAD + _yaml({**document, "steps": steps})
    file = place / STAGE_FILE
    if write:
        try:
            write_atomically(file, text.encode(), mode=0o644)
        except OSError as error:
            raise CatalogueError(f"{file} cannot be written.", f"{error.strerror}.") from error
    return Made(
        file=str(file),
        id=stage,
        title=name,
        steps=tuple(str(step["id"]) for step in steps),
        text=text,
        written=write,
        warnings=tuple(warnings),
    )


def _step(stage: str, ten: _Ten, called: dict[str, str], warnings: list[Warned]) -> dict[str, Any]:
    run = ten.first("0")
    assert run is not None
    match = NUMBERED.fullmatch(run.name)
    assert match is not None
    name, suffix = match[3], match[4]
    title, hosts = _said(run, called, warnings)
    step: dict[str, Any] = {
        "id": f"{stage}/{ten.number}0",
        "title": title or name.replace("_", " ").capitalize(),
        "runner": _runner(run),
        "run": run.name,
    }
    for part, digit, ending in (("verify", "8", "py"), ("rollback", "9", suffix)):
        file = ten.first(digit)
        step[part] = file.name if file else f"{ten.number}{digit}_{name}.{ending}"
        if file is None:
            does = "proves it" if digit == "8" else "takes it back"
            warnings.append(_whole(run, f"nothing {does}", f"write {step[part]}: without it the catalogue is refused"))
        elif digit == "8" and file.suffix != ".py":
            why = f"{file.name} is a playbook: it proves by ending well and changing nothing, in ten times as long"
            warnings.append(_whole(file, why, "where that is too slow: def verify(host) in a .py"))
    for digit, files in sorted(ten.files.items()):
        for other in files[0 if digit in "1234567" else 1 :]:
            why = f"{other.name} is not run by itself: each ten does its work in one file"
            warnings.append(_whole(other, why, f"import it from {run.name}, or give it a ten of its own"))
    step |= {"hosts": hosts, "minutes": 1}
    return step


def _said(run: Path, called: dict[str, str], warnings: list[Warned]) -> tuple[str, str]:
    """Title and group of hosts, of what a file says of itself."""
    text = run.read_text(encoding="utf-8", errors="replace")
    if run.suffix == ".py":
        first = re.match(r'\s*(?:#.*\n)*\s*"""(.+?)(?:\.?"""|\.?\n)', text)
        return (first[1].strip() if first else ""), "servers"
    try:
        found = playbooks.plays(text)
    except YAMLError:
        return "", "servers"  # that it is no YAML is told as a fault
    if not found:
        warnings.append(_whole(run, f"{run.name} has no play", "write at least one, with hosts and tasks"))
        return "", "servers"
    groups = [_group(run, play, called, warnings) for play in found]
    known = [group for group in groups if group]
    if len(set(known)) > 1:
        why = (
            f"{run.name} has plays for {' and '.join(dict.fromkeys(known))}: the step runs on the servers of {known[0]}"
        )
        warnings.append(_whole(run, why, "choose under hosts the group that has them all, such as servers"))
    return found[0].name, known[0] if known else "servers"


def _group(run: Path, play: playbooks.Play, called: dict[str, str], warnings: list[Warned]) -> str:
    """Which of our groups a play's pattern is."""
    pattern = play.hosts.strip()
    if pattern in GROUPS:
        return pattern
    if pattern in ("all", "*"):
        return "servers"

    def warn(reason: str, do: str) -> None:
        warnings.append(Warned(file=str(run), line=play.line, reason=reason, do=do))

    if pattern in ("localhost", "127.0.0.1"):
        warn("hosts: localhost is no server of the site, so the play would be left out", "use hosts: controller")
        return "controller"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", pattern):
        warn(f"hosts: {pattern} is a pattern whose servers are not known", "choose them under hosts in stage.yaml")
        return ""
    group = CALLED.get(pattern)
    if group is None:
        do = f"correct it in stage.yaml, under groups; ours are {', '.join(GROUPS)}"
        warn(f"hosts: {pattern} is no group of the inventory, and was taken for servers", do)
    called[pattern] = group or "servers"
    return called[pattern]


def _runner(run: Path) -> str:
    if run.suffix != ".py":
        return "ansible"
    return "pyinfra" if re.search(r"^\s*(from|import) pyinfra\b", run.read_text(errors="replace"), re.M) else "python"


def _whole(path: Path, reason: str, do: str) -> Warned:
    return Warned(file=str(path), line=None, reason=reason, do=do)


def _yaml(document: Mapping[str, Any] | Sequence[Any]) -> str:
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()
