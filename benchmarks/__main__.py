"""`make bench`: every figure as a ratio against a peer or a limit of the same run.

Those that need practice servers share three of the benchmarks' own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from playbook import practice_site  # noqa: E402 - each benchmark is a script of its own; this folder is no package


def carried_out(script: Path, environment: dict[str, str]) -> int:
    """Its exit code. Whoever ends this waits until the benchmark has taken down what it made."""
    working = subprocess.Popen([sys.executable, str(script)], cwd=FOLDER.parent, env=environment)
    try:
        return working.wait()
    except KeyboardInterrupt:  # which it has heard too
        working.wait()
        raise
    except SystemExit:
        working.terminate()
        working.wait()
        raise


def main() -> int:
    """Run each benchmark in a process of its own, one after another; returns how many failed to run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = 0
    with practice_site() as (site, state):
        environment = {**os.environ, "HOMEWRIGHT_TEST_SITE": str(site), "HOMEWRIGHT_TEST_STATE": str(state)}
        for script in sorted(FOLDER.glob("[a-z]*.py")):
            print(f"== {script.stem}", flush=True)
            failed += carried_out(script, environment) != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
