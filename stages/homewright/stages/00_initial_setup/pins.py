"""Run by a virtual environment's own Python with pinned requirements as arguments: whether they are met, and whole.

Prints what is wrong, and on a second line the packages whose files are not all there, or not whole. Exit code 3 where
something is wrong; any other than 0 and 3 means that this environment is of no use at all.
"""

import csv
import os
import sys
from importlib.metadata import distributions

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name


def damaged_of(found):
    """Files of a package that are not there or not as long as pip wrote down. `found.files` is slow."""
    listed = found.read_text("RECORD")
    if listed is None:
        return [str(file) for file in found.files or [] if file.suffix != ".pyc" and not file.locate().exists()]
    root = str(found.locate_file(""))
    rows = (row for row in csv.reader(listed.splitlines()) if len(row) == 3 and not row[0].endswith(".pyc"))
    return [name for name, _, size in rows if not is_whole(f"{root}/{name}", size)]


def is_whole(path, size):
    try:
        return os.stat(path).st_size == int(size or -1) or not size  # noqa: PTH116  # a Path for each takes longer
    except OSError:
        return False


def needs_of(found):
    """What a package needs here beside itself. Extras are the greater part, and would be taken apart for nothing."""
    for text in found.requires or []:
        if "extra" not in text.partition(";")[2]:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate():
                yield canonicalize_name(needed.name)


there = {canonicalize_name(found.metadata["Name"]): found for found in distributions()}
wrong = []
for text in sys.argv[1:]:
    requirement = Requirement(text)
    found = there.get(canonicalize_name(requirement.name))
    if found is None:
        wrong.append(f"{requirement.name} is missing")
    elif not requirement.specifier.contains(found.version, prereleases=True):
        wrong.append(f"{requirement.name} is {found.version}, not {requirement.specifier}")
damaged = []
for name, found in sorted(there.items()):
    lost = damaged_of(found)
    if lost:
        wrong.append(f"{name} lacks {len(lost)} files or parts of them, such as {lost[0]}")
        damaged.append(f"{name}=={found.version}")
    missing = sorted(set(needs_of(found)) - set(there))
    if missing:
        wrong.append(f"{', '.join(missing)} is missing, which {name} needs")
print("; ".join(wrong))
print(" ".join(damaged))
if wrong:
    sys.exit(3)
