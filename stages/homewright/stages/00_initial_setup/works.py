"""Run by a virtual environment's own Python with pinned requirements as arguments: what it is there for is of use.

Its modules load; its programs may be executed, and their packages are byte by byte what pip installed, which tells more
than to start them and costs a server a tenth of it. Exit code 4 where something is not so; the last lines are then
the package that it comes from, its name, and why. What is not among the requirements is not looked at.
"""

import base64
import csv
import gc
import hashlib
import importlib
import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

MODULES = {"kubernetes": "kubernetes", "ansible": "ansible-core"}
PROGRAMS = {"copier": "copier", "ansible-playbook": "ansible-core"}
"""Each with the package that it comes from."""


def load(name: str, package: str) -> None:
    importlib.import_module(name)


def find(name: str, package: str) -> None:
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
    found = distribution(package)
    for part, digest, _ in csv.reader((found.read_text("RECORD") or "").splitlines()):
        kind, _, wanted = digest.partition("=")
        content = Path(str(found.locate_file(part))).read_bytes() if wanted else b""
        if wanted and _text(hashlib.new(kind, content).digest()) != wanted:
            raise ValueError(f"{part} is not what was installed")


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def trouble(requirements: list[str]) -> str:
    asked = {re.split(r"[^\w.-]", text.strip(), maxsplit=1)[0].lower().replace("_", "-") for text in requirements}
    for attempt, names in ((load, MODULES), (find, PROGRAMS)):
        for name, package in names.items():
            try:
                if package in asked:
                    attempt(name, package)
            except BaseException as error:  # whatever a damaged package raises, SystemExit too
                last = (str(error).strip().splitlines() or [""])[-1]
                return f"{package}=={distribution(package).version}\n{name}\n{type(error).__name__}: {last}"
    return ""


if __name__ == "__main__":
    gc.disable()  # it would look through 200,000 objects again and again, none of which goes before the end
    said = trouble(sys.argv[1:])
    print(said, flush=True)
    os._exit(4 if said else 0)  # nothing is to be put in order
