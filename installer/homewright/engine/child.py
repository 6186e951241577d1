"""The first moments of a step runner: tied to its engine's life, its events on descriptor 3, then the runner itself.

``python -m homewright.engine.child DESCRIPTOR PARENT MODULE REQUEST``. Imports next to nothing: the pyinfra runner must
patch the interpreter before anything else is there.
"""

import ctypes
import os
import runpy
import signal
import sys

EVENTS = 3
PR_SET_PDEATHSIG = 1


def main() -> None:
    descriptor, parent, module, *rest = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        os._exit(1)  # the engine ended before the kernel knew that we belong to it
    if int(descriptor) != EVENTS:
        os.dup2(int(descriptor), EVENTS, inheritable=True)
        os.close(int(descriptor))
    sys.argv[1:] = rest
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
