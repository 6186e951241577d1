"""ansible-playbook as the ansible runner starts it: it and its forks end with their parent, and it can be stopped.

It is a process of its own because ansible-runner gives it a terminal and with that a session of its own, which no
signal to the runner's process group reaches.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from homewright.engine.runners.protocol import die_with_parent

_parent = 0


def _note_parent() -> None:
    global _parent
    _parent = os.getpid()


def stop_between_tasks(cancel_file: Path) -> None:
    """Once this file is there, no further task begins; those that run come to their end."""
    from ansible.plugins.strategy import StrategyBase

    queue = StrategyBase._queue_task

    def queue_unless_cancelled(self: Any, *arguments: Any, **more: Any) -> Any:
        if cancel_file.exists():
            self._tqm._terminated = True
            return None
        return queue(self, *arguments, **more)

    StrategyBase._queue_task = queue_unless_cancelled


def tell_causes() -> None:
    """Have the results of failed tasks say what was raised: from 2.19 on they say `(traceback unavailable)` instead.

    Its own switch for that prints whole tracebacks everywhere, and no file and line of a playbook that is wrong. The
    names are internal to ansible-core; where they are others, nothing is changed.
    """
    try:
        from ansible._internal._templating import _transform
        from ansible.module_utils._internal import _event_utils, _messages

        mapping = _transform._type_transform_mapping
        kind = _messages.ErrorSummary
        brief = _event_utils.format_event_brief_message
    except (ImportError, AttributeError):
        return
    mapping[kind] = lambda summary: brief(summary.event)


def main() -> None:
    die_with_parent(int(os.environ.pop("HOMEWRIGHT_PARENT", "0")) or None)
    os.register_at_fork(before=_note_parent, after_in_child=lambda: die_with_parent(_parent))
    stop_between_tasks(Path(os.environ["HOMEWRIGHT_CANCEL_FILE"]))
    tell_causes()
    from ansible.cli.playbook import main as playbook

    playbook(["ansible-playbook", *sys.argv[1:]])


if __name__ == "__main__":
    main()
