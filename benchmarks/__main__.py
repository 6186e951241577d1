"""`make bench`: every figure as a ratio against a peer or a limit of the same run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run each benchmark in a process of its own, one after another; returns how many failed to run."""
    folder = Path(__file__).parent
    failed = 0
    for script in sorted(folder.glob("[a-z]*.py")):
        print(f"== {script.stem}", flush=True)
        failed += subprocess.run([sys.executable, str(script)], cwd=folder.parent).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
