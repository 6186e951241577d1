"""SSH: first contact, host keys, and the one connection layer that everything of ours uses."""

import sys

# paramiko loads a task runner for `Match exec` in an ssh_config, which is never run here (ssh_config.py): 70 ms of each
# command. A module that is None counts as not installed, and paramiko does without.
sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]  # docs.python.org/3/reference/import.html#the-module-cache
