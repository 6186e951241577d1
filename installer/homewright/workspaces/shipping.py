"""How a request reaches `nodeside` on a node: its source and the request travel on stdin, into one python3.

Nothing is installed there, so a node never runs a version other than the controller's.
"""

from __future__ import annotations

import base64
import json
import zlib
from functools import cache
from importlib import resources
from typing import Any

from homewright.access.connection import Completed, Connection
from homewright.workspaces import errors
from homewright.workspaces.errors import WorkspaceError
from homewright.workspaces.observation import printable

_PACKAGE = "homewright.workspaces.nodeside"
_MODULES = ("records", "steps", "bundles", "look", "serve")
"""In the order of their imports."""

_START = """\
import base64, json, sys, types, zlib
for name in ("homewright", "homewright.workspaces", "{package}"):
    sys.modules[name] = types.ModuleType(name)
for name, source in json.loads(zlib.decompress(base64.b85decode("{sources}"))).items():
    module = sys.modules["{package}." + name] = types.ModuleType("{package}." + name)
    exec(compile(source, name + ".py", "exec"), module.__dict__)
    setattr(sys.modules["{package}"], name, module)
print(module.serve(json.loads(base64.b64decode("{request}"))))
"""

_ERRORS: dict[str, type[WorkspaceError | errors.InstanceNotFound]] = {
    kind.code: kind
    for kind in (
        errors.InstanceNotFound, errors.NotOurs, errors.ChangedMeanwhile, errors.StorageFailed, errors.InstanceFailed,
        errors.BundleError, WorkspaceError,
    )
}  # fmt: skip


def source(module: str) -> str:
    """The text of one module of `nodeside`."""
    return (resources.files(_PACKAGE) / f"{module}.py").read_text(encoding="utf-8")


@cache
def _sources() -> str:
    text = json.dumps({module: source(module) for module in _MODULES})
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def program(request: dict[str, Any]) -> bytes:
    """What python3 reads on the node."""
    packed = base64.b64encode(json.dumps(request).encode()).decode()
    return _START.format(package=_PACKAGE, sources=_sources(), request=packed).encode()


def ask(connection: Connection, request: dict[str, Any], timeout: float = 120.0) -> dict[str, Any]:
    """Have a node do a request and return its answer.

    Raises Unreachable, CommandFailed (no python3, no sudo), and the node's own refusals as WorkspaceErrors.
    """
    completed = connection.run(["python3", "-I", "-"], sudo=True, stdin=program(request), timeout=timeout)
    return answer(completed, connection.endpoint.name)


def answer(completed: Completed, node: str) -> dict[str, Any]:
    """The node's answer out of what it printed. Raises WorkspaceErrors."""
    try:
        document = json.loads(completed.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise WorkspaceError(
            f"{node} gave no answer that can be understood.",
            printable((completed.stderr or completed.stdout)[-300:]),
            ["try again"],
        ) from error
    if "error" in document:
        said = document["error"]
        kind = _ERRORS.get(said["code"], WorkspaceError)
        raise kind(f"{node}: {printable(said['what'])}", printable(said["why"]), [*map(printable, said["do"])])
    ok: dict[str, Any] = document["ok"]
    return ok
