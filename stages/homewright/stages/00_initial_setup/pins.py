"""Run by a virtual environment's own Python: says which of the packages named are missing or of another version."""

import sys
from importlib.metadata import PackageNotFoundError, version

from pip._vendor.packaging.requirements import Requirement

wrong = []
for text in sys.argv[1:]:
    requirement = Requirement(text)
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        wrong.append(f"{requirement.name} is missing")
        continue
    if not requirement.specifier.contains(found, prereleases=True):
        wrong.append(f"{requirement.name} is {found}, not {requirement.specifier}")
print("; ".join(wrong))
sys.exit(bool(wrong))
