"""The real command, in a home of the test's own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from homewright.cli import main

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
