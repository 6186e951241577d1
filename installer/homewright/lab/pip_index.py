"""The Python packages of stage 00 in the practice servers' image, as an index of its own.

Three servers that ask the public index each read hundreds of releases of each of some forty packages: 11.4 s of
processor time a server, where installing them from files takes 3.4 (pip 23.0). They are the real packages, and the
stage asks for them as it asks any index: the practice site names this one as its mirror.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

FOLDER = PurePosixPath("/usr/share/practice")
"""On a practice server."""

INDEX = f"file://{FOLDER}/simple"
"""What the practice site has for `mirror.pip_index`."""

FETCH = f"""\
set -e
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
# Debian's pip as one file, which need not be installed; python3-venv brings the same one.
apt-get download -qq python3-pip-whl
dpkg-deb -x python3-pip-whl_*.deb .
for pip in usr/share/python-wheels/pip-*.whl; do break; done
mkdir -p {FOLDER}/wheels
python3 "$pip/pip" download --quiet --no-cache-dir --disable-pip-version-check \\
  --retries 5 --only-binary :all: --dest {FOLDER}/wheels "$@"
rm -rf /root/.cache
"""
"""In the image, as root: fetches these requirements, and what they require, for the image's own Python."""


def index(wheels: Iterable[str]) -> Mapping[str, str]:
    """The pages of an index that has these files: their paths below FOLDER, and their texts.

    See packaging.python.org/specifications/simple-repository-api.
    """
    files: dict[str, list[str]] = {}
    for wheel in sorted(wheels):
        name = re.sub(r"[-_.]+", "-", wheel.split("-", 1)[0]).lower()
        files.setdefault(name, []).append(wheel)
    pages = {f"simple/{name}": _page(f"../../wheels/{wheel}" for wheel in held) for name, held in files.items()}
    pages["simple"] = _page(f"{name}/" for name in files)
    return {f"{folder}/index.html": text for folder, text in pages.items()}


def _page(links: Iterable[str]) -> str:
    rows = "".join(f'<a href="{html.escape(link)}">{html.escape(PurePosixPath(link).name)}</a>\n' for link in links)
    return f"<!DOCTYPE html>\n<title>Packages</title>\n{rows}"
