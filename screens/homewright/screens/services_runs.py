"""What the screens ask of runs: going on with them, telling their engines, looking along, and taking a site over."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.errors import SiteError
from homewright.site.paths import StateFolder

if TYPE_CHECKING:
    from homewright.cluster.snapshots import SnapshotsDocument
    from homewright.engine.client import Presence
    from homewright.engine.journal import Reader
    from homewright.engine.receipts import Receipt
    from homewright.engine.remains import Remains
    from homewright.engine.viewers import Viewers
    from homewright.takeover.opening import Taken

GONE_S = 60.0
"""How long an engine that was told to end may take: what cannot be interrupted is ended first."""


@dataclass(frozen=True)
class Standing:
    """Where a run that has not ended well stands."""

    remains: Remains
    ended: float | None
    """When it ended, Unix seconds; None while an engine is at work on it."""
    viewers: Viewers | None
    waits: bool
    """Its proofs are through, and its engine waits for a word."""
    at_boot: str
    """What becomes of it when this machine loses power; empty where nothing is to be said."""


@dataclass(frozen=True)
class Read:
    """An answer that a step reads: its dotted name, and what it is now."""

    field: str
    value: str


class RunServices:
    """Runs and their engines, as the screens use them."""

    _standing: tuple[object, Standing] | None = None

    def go_on(self, file: Path, state: StateFolder, run: str, skips: Mapping[str, str] | None = None) -> str:
        """Go on with a run that did not end well; its id. `skips` are steps to leave out, with the reason.

        Raises Busy, or whatever else the engine met.
        """
        from homewright.engine import launch

        launch.resume(file, state, run, skips=skips)
        return run

    def standing(self, file: Path, state: StateFolder) -> Standing:
        """Where a run that has not ended well stands. Raises UsageError where there is none, SiteError, StateError."""
        from homewright.cli import at_boot
        from homewright.engine import recorded, remains
        from homewright.engine.journal import Reader

        reader = Reader(state)
        changes = reader.changes()  # first: what is written from now on is of the next look
        run = reader.run()
        viewers, held = reader.viewers(run), recorded.held(reader, run)
        seen = (run, held, changes, reader.last_seq(run.id), file.stat().st_mtime_ns if file.exists() else 0)
        if self._standing is not None and self._standing[0] == seen:
            return replace(self._standing[1], viewers=viewers)
        told = " ".join(at_boot.lines(state, run))
        found = Standing(remains.look(file, state, run.id), run.finished, viewers, held and bool(run.reason), told)
        self._standing = (seen, found)  # loading a catalogue takes a tenth of a second, and this is asked twice in one
        return found

    def prove_first(self, file: Path, state: StateFolder, run: str, new_machines: Sequence[str]) -> None:
        """Let an engine prove what a run has done, and wait then for a word. Raises as `go_on`."""
        from homewright.engine import launch

        launch.resume(file, state, run, new_machines=new_machines, hold=True)

    def do_the_rest(
        self,
        file: Path,
        state: StateFolder,
        run: str,
        anew: Sequence[str],
        skips: Mapping[str, str],
        new_machines: Sequence[str],
    ) -> None:
        """Go on with a run: some steps anew, some left out, some servers as other machines. Raises as `go_on`."""
        from homewright.engine import launch

        launch.resume(file, state, run, anew=anew, skips=skips, new_machines=new_machines)

    def engine_gone(self, state: StateFolder) -> None:
        """Wait until no engine works on the site. Raises Busy where one still does after a while."""
        import time

        from homewright.engine import lock

        end = time.monotonic() + GONE_S
        while (held := lock.holder(state)) is not None:
            if time.monotonic() > end:
                raise lock.busy(held)
            time.sleep(0.1)

    def receipts(self, state: StateFolder, step: str | None = None) -> list[Receipt]:
        """What steps changed on the servers, one step alone where it is named. Raises StateError."""
        from homewright.engine import receipts
        from homewright.engine.journal import Reader

        return [receipts.receipt(row) for row in Reader(state).receipts(step)]

    def resting(
        self, file: Path, state: StateFolder, stage: str, stages: Sequence[str] | None = None
    ) -> tuple[str, ...]:
        """The later stages that are taken back before this one, in order; `stages` are folders of other catalogues.

        Raises CatalogueError, SiteError, StateError.
        """
        from homewright.catalogue import load, shipped
        from homewright.engine import resting
        from homewright.site import files

        catalogue = load([shipped(), *_folders(stages)])
        return resting.stages(files.load(file), state, catalogue, stage)

    def roll_back(self, file: Path, state: StateFolder, stage: str, stages: Sequence[str] | None = None) -> str:
        """Begin to take a stage back; the id of that run. `stages` as in `resting`. Raises as `begin`."""
        from homewright.engine import launch

        return launch.start(file, state, action="rollback", only=stage, stages=_folders(stages))

    def verify(self, file: Path, state: StateFolder, stages: Sequence[str] | None) -> str:
        """Begin to prove all that was done; the id of that run. `stages` as in `resting`. Raises as `begin`."""
        from homewright.engine import launch

        return launch.start(file, state, action="verify", stages=_folders(stages))

    def roll_back_server(self, file: Path, state: StateFolder, server: str, stages: Sequence[str] | None) -> str:
        """Begin to take back all that was put on a server that leaves the site; the id of that run.

        `stages` as in `resting`. Raises as `begin`.
        """
        from homewright.engine import launch

        return launch.start(file, state, action="rollback", servers=(server,), stages=_folders(stages))

    # Saved states of the cluster

    def saved_states(self, file: Path, state: StateFolder) -> SnapshotsDocument:
        """Every saved state on the control planes. Raises UsageError where the cluster is not ours, SiteError."""
        from homewright.cli import cluster_restore
        from homewright.site import files

        return cluster_restore.look(files.load(file), state)

    def going_back(self, file: Path, state: StateFolder, named: str, now: datetime) -> list[str]:
        """What it costs to go back to a state, in sentences. Raises as `saved_states`, and where it cannot be done."""
        from homewright.cli import cluster_restore
        from homewright.cluster import snapshots
        from homewright.site import files

        site = files.load(file)
        found = cluster_restore.look(site, state)
        wanted = snapshots.chosen(found, named)
        snapshots.require_all(found)
        return cluster_restore.cost(site, state, wanted, now)

    def put_back(self, file: Path, state: StateFolder, named: str, stages: Sequence[str] | None) -> str:
        """Begin to put the cluster back to a state, as SERVER/NAME; the id of that run. Raises as `begin`."""
        from homewright.cluster import snapshots

        server, _, name = named.partition("/")
        return self._of_cluster(file, state, stages, snapshots.wish(server, name, datetime.now(UTC)))

    def save_state(self, file: Path, state: StateFolder, stages: Sequence[str] | None) -> str:
        """Begin to save the cluster's state; the id of that run. Raises as `begin`."""
        from homewright.cluster import snapshots

        return self._of_cluster(file, state, stages, {snapshots.SAVE: "now"})

    def _of_cluster(
        self, file: Path, state: StateFolder, stages: Sequence[str] | None, given: Mapping[str, str]
    ) -> str:
        from homewright.cluster import snapshots
        from homewright.engine import launch

        return launch.start(file, state, only=snapshots.STAGE, stages=_folders(stages), given=given)

    def rings(self, file: Path) -> bool:
        """Whether the site's answers want the terminal's bell. Raises SiteError."""
        from homewright.site import files

        return files.load(file).notify.bell

    def tell(self, state: StateFolder, command: str) -> int:
        """Give the running engine a command. Raises UsageError where none is running, StateError where it is silent."""
        from homewright.engine import client

        return client.send(state, command)

    def presence(self, state: StateFolder) -> Presence:
        """Our place among the viewers of the run that goes on, or of the next one; in control where nobody else is."""
        from homewright.engine.client import Presence

        present = Presence(state, "screens", wants=True)
        present.start()
        return present

    def support_bundle(self, file: Path, state: StateFolder, target: Path) -> Path:
        """Write a support bundle of the site; where it is. Raises StateError."""
        from homewright.site import files
        from homewright.support import pack

        return Path(pack(file, files.load(file).name, state, target).file)

    def reads(self, file: Path, state: StateFolder, run: str, step: str) -> tuple[Read, ...]:
        """The answers that a step of this run reads, as they are now. Raises CatalogueError, SiteError."""
        from homewright.catalogue import load
        from homewright.site import editing, fields, files

        folder = state.run(run) / "catalogue"
        site = files.load(file)
        found = []
        for name in load(sorted(folder.iterdir(), key=lambda root: int(root.name))).step(step).reads:
            try:
                value = editing.value_text(fields.value_at(site, name))
            except SiteError:
                value = ""
            found.append(Read(name, value))
        return tuple(found)

    def set_answer(self, file: Path, field: str, text: str) -> None:
        """Set one answer as it was typed. Raises SiteError where it does not fit."""
        from homewright.site import fields, files

        files.update(file, {field: fields.parse(field, text)})

    # Taking over

    def export_due(self, state: StateFolder) -> str:
        """Why a site export is worth making now; empty where the last one is good."""
        from homewright.takeover import reminding

        return reminding.due(state)

    def old_key(self, state: StateFolder) -> str:
        """Which hosts may still let in the controller that this one took the place of; empty for none."""
        from homewright.access import key_change
        from homewright.errors import StateError
        from homewright.takeover import reminding

        try:
            return reminding.old_key(key_change.owed(state.key))
        except StateError as error:  # nothing else on the screen waits for it
            return error.what.rstrip(".")

    def owes_no_key(self, state: StateFolder, server: str) -> None:
        """This server is not the site's any more: nobody goes there to take the old controller's key away."""
        from homewright.access import key_change
        from homewright.errors import StateError

        with contextlib.suppress(StateError):  # Finished and `status` tell of a record that cannot be read
            key_change.gone(state.key, [server])

    def export(self, file: Path, state: StateFolder, target: Path, passphrase: str) -> tuple[Path, str]:
        """Write a site export; where it is, and the passphrase where one was made. Raises as `packing.export`."""
        from homewright.site.passwords import generate
        from homewright.takeover.packing import export

        made = "" if passphrase else generate()
        return Path(export(file, state, target, passphrase or made).file), made

    def passphrase_reason(self, passphrase: str) -> str:
        """Why a passphrase will not do; empty where it will."""
        from homewright.takeover.sealing import reason

        return reason(passphrase)

    def is_export(self, file: Path) -> bool:
        """Whether this is a site export."""
        from homewright.takeover.sealing import is_export

        return is_export(file)

    def take_over(self, file: Path, passphrase: str, chosen_state: str | None, gone: bool) -> Taken:
        """Take a site over from its export. Raises what `opening.read` and `opening.take_over` raise."""
        from homewright.takeover.opening import read, take_over

        opened = read(file, passphrase)
        site_file = opened.target()
        return take_over(opened, site_file, StateFolder.of(opened.site.name, chosen_state, site_file), gone=gone)


def _folders(stages: Sequence[str] | None) -> list[Path]:
    """The catalogues that the command line named, for an engine that has another working folder."""
    return [Path(folder).expanduser().absolute() for folder in stages or ()]


def page_of(reader: Reader) -> str:
    """Where to look at a run that has not ended well."""
    from homewright.engine.states import Action, State

    run = reader.run()
    if not run.state.final:
        return "resume" if reader.meta("held") == run.id else "deploy"
    return "resume" if run.action is not Action.VERIFY and run.state is not State.ROLLED_BACK else "deploy"
