"""The real command, in a home of the test's own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api_stand_in import StandIn, stand_in

from homewright.cli import main
from homewright.cluster.kubeconfig import SECRET
from homewright.site.secrets import Secrets

Run = Callable[..., "subprocess.CompletedProcess[str]"]

COMMAND = [sys.executable, "-c", "import sys; from homewright.cli import main; sys.exit(main())"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose config, state and cache lie in the test's folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOMEWRIGHT", "LC_", "LANG"))}
    homes = {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("CONFIG", "STATE", "CACHE")}
    return {**kept, **homes, "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.fixture
def homewright(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Run `homewright …` there; keyword arguments go to the environment, `stdin` to its standard input.

    Within this process, which takes a tenth of the time; in one of its own where the locale is another.
    """
    here = tmp_path / "here"
    here.mkdir()

    def run(*arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        if any(name.startswith(("LC_", "LANG", "PYTHON")) for name in more):
            return subprocess.run(
                [*COMMAND, *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="surrogateescape",
                cwd=here,
                env={**environment, **more},
                timeout=60,
                check=False,
            )
        streams = [io.BytesIO(stdin.encode(errors="surrogateescape")), io.BytesIO(), io.BytesIO()]
        with pytest.MonkeyPatch.context() as patch:
            for name in set(os.environ) - {*environment, *more}:
                patch.delenv(name)
            for name, value in {**environment, **more}.items():
                patch.setenv(name, value)
            patch.chdir(here)
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                patch.setattr(sys, name, io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape"))
            try:
                code = main(arguments)
            except SystemExit as left:  # --help
                code = int(left.code or 0)
            sys.stdout.flush()
            sys.stderr.flush()
            said = [stream.getvalue().decode(errors="surrogateescape") for stream in streams[1:]]
        return subprocess.CompletedProcess(arguments, code, *said)

    return run


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """A site of its own, without servers."""
    (tmp_path / "site.yaml").write_text("version: 1\nname: attic\n")
    return ["--site", str(tmp_path / "site.yaml"), "--state", str(tmp_path / "state")]


@pytest.fixture
def cluster(options: list[str], tmp_path: Path) -> Iterator[StandIn]:
    """The site has a cluster: its kubeconfig is among its secrets."""
    with stand_in() as server:
        document = dict(server.kubeconfig().document)
        Secrets(tmp_path / "state" / "secrets.json").set(SECRET, json.dumps(document))
        yield server
