"""One engine as a process: ``python -m homewright.engine --site FILE --state DIR --run ID`` (see `launch.start`)."""

from __future__ import annotations

import argparse
import os
import resource
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="homewright.engine")
    parser.add_argument("--site", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--detach", action="store_true")
    args = parser.parse_args()
    folder = args.state / "runs" / args.run
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # its memory has secrets, and so has its runners'
    if args.detach:
        child = os.fork()  # before any thread and any import that could make one
        if child:
            (folder / "engine.pid").write_text(str(child))
            return 0
    else:
        (folder / "engine.pid").write_text(str(os.getpid()))

    from homewright.engine.process import Engine, refuse
    from homewright.errors import HomewrightError
    from homewright.site.paths import StateFolder

    state = StateFolder(args.state)
    try:
        return Engine(args.site, state, args.run).live()
    except HomewrightError as error:
        print(error.as_text(), file=sys.stderr)
        if not (folder / "ready").exists():
            refuse(state, args.run, error)
        return error.exit_code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of a connection that hangs must not keep the engine alive
