"""Run by a virtual environment's own Python with pinned requirements as arguments: whether they are met, and whole.

Prints what is wrong, and on a second line the packages whose files are not all there, or not whole. Exit code 3 where
something is wrong; any other than 0 and 3 means that this environment is of no use at all.
"""

import csv
import os
import sys
from email import message_from_string
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


def told_by(found):
    """What a package says of itself, read once. `found.metadata` is read anew each time it is asked for anything, with
    the description behind it, which is the greater part."""
    text = found.read_text("METADATA")
    return found.metadata if text is None else message_from_string(text.partition("\n\n")[0])


def needs_of(found, told):
    """What a package needs here beside itself. Extras are the greater part, and would be taken apart for nothing."""
    for text in (told.get_all("Requires-Dist") if "Requires-Dist" in told else found.requires) or []:
        if "extra" not in text.partition(";")[2]:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate():
                yield canonicalize_name(needed.name)


there = {canonicalize_name(told["Name"]): (found, told) for found in distributions() for told in [told_by(found)]}
wrong = []
for text in sys.argv[1:]:
    requirement = Requirement(text)
    _, told = there.get(canonicalize_name(requirement.name), (None, None))
    if told is None:
        wrong.append(f"{requirement.name} is missing")
    elif not requirement.specifier.contains(told["Version"], prereleases=True):
        wrong.append(f"{requirement.name} is {told['Version']}, not {requirement.specifier}")
damaged = []
for name, (found, told) in sorted(there.items()):
    lost = damaged_of(found)
    if lost:
        wrong.append(f"{name} lacks {len(lost)} files or parts of them, such as {lost[0]}")
        damaged.append(f"{name}=={told['Version']}")
    missing = sorted(set(needs_of(found, told)) - set(there))
    if missing:
        wrong.append(f"{', '.join(missing)} is missing, which {name} needs")
print("; ".join(wrong))
print(" ".join(damaged))
if wrong:
    sys.exit(3)
