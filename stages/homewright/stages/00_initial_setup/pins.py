"""Run by a virtual environment's own Python with pinned requirements as arguments: whether they are met, and whole.

Prints what is wrong, and on a second line the packages whose files are not all there. Exit code 3 where something is
wrong; any other than 0 and 3 means that this environment is of no use at all.
"""

import csv
import os
import sys
from importlib.metadata import distributions

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name


def lost_of(found):
    """Files of a package that are not there, by its own list: `found.files` makes an object of each and is slow."""
    listed = found.read_text("RECORD")
    if listed is None:
        return [str(file) for file in found.files or [] if file.suffix != ".pyc" and not file.locate().exists()]
    root = str(found.locate_file(""))
    names = [row[0] for row in csv.reader(listed.splitlines()) if row]
    return [name for name in names if not name.endswith(".pyc") and not os.access(f"{root}/{name}", os.F_OK)]


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
    lost = lost_of(found)
    if lost:
        wrong.append(f"{name} lacks {len(lost)} files, such as {lost[0]}")
        damaged.append(f"{name}=={found.version}")
print("; ".join(wrong))
print(" ".join(damaged))
if wrong:
    sys.exit(3)
