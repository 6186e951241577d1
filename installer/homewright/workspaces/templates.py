"""Templates: what a workspace is made from. Those that come with Homewright, and an administrator's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationError

from homewright.errors import Problem, UsageError
from homewright.site import complaints
from homewright.site.document import DocumentError, Node, read
from homewright.workspaces.errors import TemplateError
from homewright.workspaces.models import WorkspaceModel
from homewright.workspaces.template_models import NodePreset, NodeTemplate, PodTemplate, Preset

__all__ = ["FOLDER", "NodePreset", "NodeTemplate", "PodTemplate", "Preset", "Template", "TemplatesDocument",
           "digest", "folder_of", "load", "on_servers", "parse", "require", "shipped"]  # fmt: skip

FOLDER = "workspace-templates"
"""Beside the site file: one YAML file a template. One of a shipped template's name takes its place."""

LATER = ("tolerations",)
"""Fields that templates of the same format had not from the beginning."""

Template: TypeAlias = NodeTemplate | PodTemplate
_MODELS: dict[str, type[NodeTemplate] | type[PodTemplate]] = {"node": NodeTemplate, "kubernetes": PodTemplate}


class TemplatesDocument(WorkspaceModel):
    """What `homewright workspace templates --json` prints."""

    version: Literal[1] = 1
    templates: tuple[Annotated[Template, Field(discriminator="backend")], ...]


def digest(template: Template) -> str:
    """Twelve hex digits of what it says: a workspace remembers which version of its template it was made from."""
    # A field that came later counts where it says something: else every workspace would be of an older version.
    later = {name for name in LATER if not getattr(template, name, None)}
    return hashlib.sha256(template.model_dump_json(exclude=later).encode()).hexdigest()[:12]


@lru_cache(maxsize=32)
def parse(text: str, source: str) -> Template:
    """A template from its YAML, kept: a list asks for it again for each of its workspaces.

    Raises TemplateError with file, line, field and reason of every problem.
    """
    try:
        tree = read(text)
    except DocumentError as error:
        field = complaints.dotted(error.path, None)
        reason = f"cannot be read: {error.reason}"
        raise _wrong([Problem(source, error.line, error.column, field, reason, error.remedy)]) from None
    data = tree.plain()
    if not isinstance(data, dict):
        raise _wrong([Problem(source, 1, 1, "", "must hold fields (name: value), one a line", "name another file")])
    backend = data.get("backend")
    model = _MODELS.get(backend) if isinstance(backend, str) else None
    if model is None:
        line, column = tree.at(("backend",)) if "backend" in data else (1, 1)
        reason = "must be node or kubernetes" if "backend" in data else "the field backend is missing"
        raise _wrong([Problem(source, line, column, "backend", reason, "write node or kubernetes")])
    return _validated(model, tree, source)


def _validated(model: type[NodeTemplate] | type[PodTemplate], tree: Node, source: str) -> Template:
    data = tree.plain()
    try:  # strict, by way of JSON: only there is a list taken for a tuple
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        found = complaints.problems(error.errors(include_url=False), model, tree, data, source)
        raise _wrong([_of_a_template(problem) for problem in found]) from None


def _of_a_template(problem: Problem) -> Problem:
    remedy = problem.remedy.replace("homewright schema site", "homewright schema workspace-templates")
    return Problem(problem.file, problem.line, problem.column, problem.field, problem.reason, remedy)


def shipped() -> dict[str, Template]:
    """The templates that come with Homewright, by name. Raises TemplateError."""
    folder = resources.files("homewright.assets") / "templates"
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return _by_name((file.name, file.read_text(encoding="utf-8")) for file in files if file.name.endswith(".yaml"))


def on_servers() -> dict[str, NodeTemplate]:
    """The templates of workspaces on servers, by name."""
    return {name: template for name, template in shipped().items() if isinstance(template, NodeTemplate)}


def folder_of(site_file: Path) -> Path:
    """Where the templates of a site's own are."""
    return site_file.absolute().parent / FOLDER


def load(folder: Path | None) -> dict[str, Template]:
    """The shipped templates and those in a folder, by name. Raises TemplateError."""
    found = shipped()
    if folder is None or not folder.is_dir():
        return found
    texts = []
    for file in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
        try:
            texts.append((str(file), file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateError(
                f"{file} cannot be read.", f"{error}.", ["look at the file and its permissions"]
            ) from None
    own = _by_name(texts)
    found |= own
    _require_apart(found)
    return found


def _by_name(texts: Iterable[tuple[str, str]]) -> dict[str, Template]:
    found: dict[str, Template] = {}
    for source, text in texts:
        template = parse(text, source)
        if template.name in found:
            reason = f"another file has a template {template.name} too"
            raise _wrong([Problem(source, 1, 1, "name", reason, "choose another name for one of them")])
        found[template.name] = template
    return found


def _require_apart(templates: dict[str, Template]) -> None:
    """Two templates never use the same names: what one makes would be taken for the other's."""
    places: dict[tuple[str, str], str] = {}
    hosts: dict[str, str] = {}
    for template in templates.values():
        if not isinstance(template, PodTemplate):
            continue
        claims = [volume.claim.replace("{workload}", f"{template.prefix}-{{slug}}") for volume in template.volumes]
        taken = [((template.namespace, claim), places) for claim in (*claims, template.prefix)]
        other = next((known[place] for place, known in taken if place in known), hosts.get(template.host))
        if other is not None:
            raise TemplateError(
                f"The templates {other} and {template.name} use the same names.",
                f"Both make things of one name in {template.namespace}, or addresses that begin with {template.host}-.",
                ["give one of them a namespace, a prefix and a host of its own"],
            )
        for place, known in taken:
            known[place] = template.name
        hosts[template.host] = template.name


def require(templates: dict[str, Template], name: str) -> Template:
    """The template of this name. Raises UsageError where there is none."""
    if name not in templates:
        raise UsageError(f"There is no template {name}.", "", [f"choose one of: {', '.join(templates)}"])
    return templates[name]


def _wrong(problems: list[Problem]) -> TemplateError:
    first = problems[0]
    if len(problems) == 1:
        return TemplateError(f"The template {first.where()} is wrong.", f"{first.reason}.", [first.remedy])
    return TemplateError(
        f"{len(problems)} things are wrong in the template {first.file}.",
        "\n       ".join(f"{problem.where()}: {problem.reason}." for problem in problems),
        list(dict.fromkeys(problem.remedy for problem in problems)),
    )
