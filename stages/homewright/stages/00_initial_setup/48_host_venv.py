"""The virtual environment belongs to the server's user, has the pinned packages, and they are whole and load."""

import shlex
from pathlib import Path, PurePosixPath

from homewright.engine.runners.host import Host, Proof, broken, proved
from homewright.stages.environment_file import venv_of

FAMILY = "python3-venv python3.[0-9]*-venv python3-pip-whl python3-setuptools-whl python3-distutils python3-lib2to3"
"""What python3-venv brings with it, and what rollback may take away again; the same list is in the x9 file."""

DOES_NOT_WORK = 4
"""Exit code of works.py."""


def verify(host: Host) -> Proof:
    venv = venv_of(host.site, host.name)
    owner = host.run(["stat", "-c", "%U", venv], check=False).stdout.strip()
    if owner != host.user:
        return broken(f"{venv} on {host.name} " + (f"belongs to {owner}." if owner else "is missing."))
    strange = host.run(["find", venv, "!", "-user", host.user, "-print", "-quit"]).stdout.strip()
    if strange:
        return broken(f"{strange} on {host.name} does not belong to {host.user}.")
    python = f"{venv}/bin/python"
    # One process for both, and most of what they need is loaded once.
    texts = b"".join((Path(__file__).parent / name).read_bytes() for name in ("pins.py", "works.py"))
    words = shlex.join([python, "-I", "-", *host.site.host_venv.packages])
    # Whatever of ansible is loaded must leave no ~/.ansible behind.
    script = f"cd /; d=$(mktemp -d); trap 'rm -rf $d' EXIT; ANSIBLE_HOME=$d {words}"
    checked = host.run(script, sudo=False, stdin=texts, timeout=120, check=False)
    lines = checked.stdout.splitlines()
    if checked.exit_code == DOES_NOT_WORK and len(lines) > 1:
        return broken(f"{lines[-2]} in {venv} on {host.name} does not work: {lines[-1]}.")
    if checked.exit_code != 0:
        said = next(filter(None, lines), "") or _last(checked.stderr) or "its Python does not start"
        return broken(f"{venv} on {host.name}: {said}.")
    return proved(f"{', '.join(host.site.host_venv.packages)} are in {venv}, whole, and load.")


def _last(text: str) -> str:
    return text.strip().rsplit("\n", 1)[-1]


def capture(host: Host) -> dict[str, object]:
    venv = venv_of(host.site, host.name)
    missing = [str(path) for path in PurePosixPath(venv).parents if not host.exists(str(path))]
    listed = host.run(f"dpkg-query -W -f '${{db:Status-Abbrev}} ${{Package}}\\n' {_quoted(FAMILY)}", check=False).stdout
    packages = [line.split()[1] for line in listed.splitlines() if line.startswith("ii ")]
    return {"venv": host.stat(venv), "missing": missing, "packages": packages}


def _quoted(patterns: str) -> str:
    return " ".join(shlex.quote(pattern) for pattern in patterns.split())
