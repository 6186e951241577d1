"""How workers come by their rows (tests/conftest.py): each takes the next when it begins the last test of its own."""

from __future__ import annotations

from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController


class RowsInTurn(LoadGroupScheduling):
    """As xdist's own, which gives a worker its next row two tests before the end of one.

    Those two can be the longest of all, and the row waits behind them while another worker has nothing left to do.
    """

    def _reschedule(self, node: WorkerController) -> None:
        # A worker begins a test once it knows the one that comes after it: with one left it needs another.
        # A row may have nothing left to do: of a worker that died, those that it had ended come back too. One more call
        # gives one more row, and none would come for a worker that has nothing to tell.
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) <= 1:
            super()._reschedule(node)
        if not self.workqueue:
            super()._reschedule(node)
