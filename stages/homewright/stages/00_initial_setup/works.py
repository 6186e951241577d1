"""Run by a virtual environment's own Python: what it is there for loads and starts, all of it in this one process.

Exit code 4 where it does not; the last two lines are then its name, and why. Each program's own file is run, as its
first line would have it run: alone each takes half a second, and most of what they load is the same.
"""

import contextlib
import gc
import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

MODULES = ("kubernetes", "ansible")
PROGRAMS = ("copier", "ansible-playbook")


def load(name: str) -> None:
    importlib.import_module(name)


def start(name: str) -> None:
    folder = Path(sys.executable).parent
    path = folder / name
    first = path.read_text(errors="replace").partition("\n")[0].strip()
    if not os.access(path, os.X_OK):
        raise PermissionError("it may not be executed")
    if Path(first[2:]).parent != folder or not os.access(first[2:], os.X_OK):
        # A path too long for a first line is written in another way, which only the kernel and a shell follow.
        done = subprocess.run([path, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode:
            raise RuntimeError(done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}")
        return
    sys.argv = [str(path), "--version"]
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as ended:
            if ended.code not in (None, 0):
                raise RuntimeError(f"exit code {ended.code}") from None


def trouble() -> str:
    for attempt, names in ((load, MODULES), (start, PROGRAMS)):
        for name in names:
            try:
                attempt(name)
            except BaseException as error:  # whatever a damaged package raises, SystemExit too
                last = (str(error).strip().splitlines() or [""])[-1]
                return f"{name}\n{type(error).__name__}: {last}"
    return ""


if __name__ == "__main__":
    gc.disable()  # it would look through 200,000 objects again and again, none of which goes before the end
    said = trouble()
    print(said, flush=True)
    os._exit(4 if said else 0)  # nothing is to be put in order
