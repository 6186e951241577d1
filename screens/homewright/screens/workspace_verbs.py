"""Verbs on workspaces, as keys of the manager's screen: on the marked ones, else on the one under the cursor."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.screens.page import Page
from homewright.screens.widgets.labelled import Line

if TYPE_CHECKING:
    from homewright.workspaces.bulk import Outcome
    from homewright.workspaces.manager import Listing
    from homewright.workspaces.models import Workspace
    from homewright.workspaces.one_manager import OneManager as Manager

STOPPING = "stopping"
MOST = 6
"""Lines of a question that are shown of many."""


class WorkspaceVerbs(Page):
    """What the keys do. The screen itself says which workspaces are meant."""

    def __init__(self) -> None:
        super().__init__()
        self.listing: Listing | None = None
        self.acting: dict[str, str] = {}
        """Of each workspace on which something is being done what that is."""
        self._batches = 0
        self._then_start: set[str] = set()
        """Of those that are being stopped the ones that are to be started after that."""

    @property
    def manager(self) -> Manager:
        raise NotImplementedError

    def here(self) -> Workspace | None:
        """The one under the cursor."""
        raise NotImplementedError

    def chosen(self) -> list[Workspace]:
        """The marked ones, else the one under the cursor."""
        raise NotImplementedError

    def draw(self) -> None:
        """Show what has changed."""
        raise NotImplementedError

    def poll(self) -> None:
        """Look again soon."""
        raise NotImplementedError

    def action_export(self) -> None:
        from homewright.site.paths import write_atomically

        listing, sitting = self.listing, self.home.sitting
        if listing is None or sitting is None:
            return
        file = Path.home() / f"homewright-{sitting.name}-workspaces.json"
        data = json.dumps(listing.document().model_dump(mode="json"), indent=2, ensure_ascii=False).encode()
        self.start("export", lambda: write_atomically(file, data), lambda _: self.say(f"Saved in {file}", "ok"))

    def _act(self, chosen: list[Workspace], doing: str, work: Callable[[Workspace], object], done: str) -> None:
        """Do something to each, a few at a time; what failed is shown at the end, all of it."""
        from homewright.workspaces.bulk import Task, each

        self._batches += 1
        name = f"act {self._batches}"
        tasks = [Task(str(one.key), partial(work, one)) for one in chosen]
        for task in tasks:
            self.acting[task.name] = f"{doing}, when others are done …" if len(tasks) > 1 else f"{doing} …"

        def begun(key: str) -> None:
            then = ", then starting" if key in self._then_start else ""
            self.acting[key] = f"{doing}{then} …"
            self.draw()

        def ended(said: tuple[Outcome[object], int]) -> None:
            outcome, count = said
            if outcome.name in self._then_start and outcome.error is None:
                self.acting[outcome.name] = f"{STOPPING} is done, starting next …"
            else:
                self.acting.pop(outcome.name, None)
            many = f" ({count} of {len(tasks)})" if len(tasks) > 1 else ""
            if outcome.error is None:
                self.say(f"{outcome.name}: {done}{many}.", "ok")
            elif len(tasks) > 1:
                self.say(f"{outcome.name}: {outcome.error.what}{many}", "failed")
            self.draw()

        def over(outcomes: tuple[Outcome[object], ...]) -> None:
            for task in tasks:
                self.acting.pop(task.name, None)
            failures = [outcome for outcome in outcomes if outcome.error is not None]
            stopped = {outcome.name for outcome in outcomes if outcome.error is None}
            following = [one for one in chosen if str(one.key) in self._then_start & stopped]
            self._then_start -= {task.name for task in tasks}
            self._start(following)
            self.draw()
            self.poll()
            if failures:
                self._show_failures(failures, len(tasks))

        self.draw()
        begins = self.jobs.teller(name, begun)
        tells = self.jobs.teller(name, ended)
        self.start(name, lambda: each(tasks, lambda outcome, count: tells((outcome, count)), begins), over)

    def _show_failures(self, failures: Sequence[Outcome[object]], tried: int) -> None:
        from homewright.screens.text_box import TextBox

        if tried == 1 and failures[0].error is not None:
            self.problem(failures[0].error)
            return
        self.say("")
        lines = [
            Line("", text, whole=True)
            for one in failures
            if one.error is not None
            for text in (one.name, *one.error.as_text().splitlines(), "")
        ]
        self.app.push_screen(TextBox(f"{len(failures)} of {tried} failed", lines))

    def action_start(self) -> None:
        """Start; those that we are stopping just now start once all of them are stopped."""
        chosen = self.chosen()
        for one in filter(self.stops, chosen):
            self._then_start.add(str(one.key))
            self.acting[str(one.key)] = f"{STOPPING}, then starting …"
        self._start([one for one in chosen if self.may_start(one)])
        self.draw()

    def may_start(self, one: Workspace) -> bool:
        """Whether it can be started now: also one that ends, if somebody else ends it."""
        return str(one.state) in ("stopped", "stopping", "error") and str(one.key) not in self.acting

    def stops(self, one: Workspace) -> bool:
        """Whether it is being stopped by us, or waits for that."""
        return self.acting.get(str(one.key), "").startswith(STOPPING)

    def _start(self, chosen: list[Workspace]) -> None:
        manager = self.manager
        if chosen:
            self._act(chosen, "starting", lambda one: manager.start(one.key, in_cluster=in_cluster(one)), "runs")

    def action_stop(self) -> None:
        """Stop; where somebody is on, ask first and say who."""
        self._end("stop", STOPPING.capitalize(), "stopped", self.manager.stop)

    def action_restart(self) -> None:
        """End and start again; where somebody is on, ask first and say who."""
        self._end("restart", "Restarting", "runs", self.manager.restart)

    def _end(self, verb: str, doing: str, done: str, work: Callable[..., object]) -> None:
        from homewright.screens.ask import AskBox

        chosen = [one for one in self.chosen() if str(one.key) not in self.acting]
        manager = self.manager

        def end(yes: bool | None) -> None:
            if yes:
                self._act(chosen, doing.lower(), lambda one: work(one.key, in_cluster=in_cluster(one)), done)

        def seen(on: list[str]) -> None:
            self.say("")
            if not on:
                end(True)
                return
            lines = [f"{doing} ends these sessions; unsaved work in their terminals is lost:", *_some(on)]
            self.app.push_screen(AskBox(f"{verb} {_names(chosen)}?", lines, verb), end)

        self.say("Looking who is on …")
        self.start("sessions", lambda: _who(manager, chosen), seen)

    def action_delete(self) -> None:
        """Delete the marked ones, else the one under the cursor: what is typed says which."""
        from homewright.screens.workspace_boxes import DeleteBox

        chosen = [one for one in self.chosen() if str(one.key) not in self.acting]
        if not chosen:
            return
        manager = self.manager

        def answered(with_storage: bool | None) -> None:
            if with_storage is not None:
                self._act(
                    chosen,
                    "deleting",
                    lambda one: manager.delete(one.key, with_storage, in_cluster=in_cluster(one)),
                    "deleted",
                )

        def seen(on: list[str]) -> None:
            self.say("")
            self.app.push_screen(DeleteBox(chosen, _some(on)), answered)

        self.say("Looking who is on …")
        self.start("sessions", lambda: _who(manager, chosen), seen)

    def action_events(self) -> None:
        """What the cluster said about one, and who did what."""
        from homewright.screens.workspace_boxes import EventBox

        one = self.here()
        if one is not None:
            self.app.push_screen(EventBox(one, self.manager))

    def action_write(self) -> None:
        """Write what one is made of to a file."""
        from homewright.site.paths import write_atomically

        one = self.here()
        if one is None:
            return
        manager, file = self.manager, Path.home() / f"homewright-{one.slug}.json"

        def write() -> None:
            document = {"apiVersion": "v1", "kind": "List", "items": list(manager.export(one.key))}
            write_atomically(file, json.dumps(document, indent=2, ensure_ascii=False).encode())

        self.start("write", write, lambda _: self.say(f"Saved in {file}", "ok"))

    def action_given_up(self) -> None:
        """Storage that was given up: to take back, or to be rid of."""
        from homewright.screens.given_up import GivenUpBox

        self.app.push_screen(GivenUpBox(self.manager))

    def action_change(self) -> None:
        """Another size: for the marked ones, else the one under the cursor."""
        from homewright.screens.workspace_boxes import SizeBox

        chosen = [one for one in self.chosen() if in_cluster(one)]
        manager = self.manager
        if not chosen:
            return

        def answered(preset: str | None) -> None:
            if preset:
                self._act(chosen, "changing", lambda one: manager.set(one.key, preset=preset), f"gets size {preset}")

        template = manager.known_templates.get(chosen[0].template)
        if template is not None and all(one.template == template.name for one in chosen):
            self.app.push_screen(SizeBox(_names(chosen), template, chosen[0].preset), answered)
        else:
            self.say("Mark workspaces of one template: each has sizes of its own.", "failed")

    def action_rename(self) -> None:
        """Another title. What it is called in commands stays."""
        from homewright.screens.ask import LineBox

        one = self.here()
        if one is None:
            return
        manager = self.manager

        def answered(title: str | None) -> None:
            if title is not None and title != one.title:
                self._act([one], "renaming", lambda it: manager.rename(it.key, title), "has its new title")

        hint = "Shown with it; its name and address stay"
        self.app.push_screen(LineBox(f"title of {one.key}", "Title", value=one.title, hint=hint, yes="keep"), answered)

    def action_details(self) -> None:
        from homewright.screens.workspace_boxes import DetailBox

        one = self.here()
        if one is not None:
            self.app.push_screen(DetailBox(one, self.manager, self.now()))

    def action_logs(self) -> None:
        from homewright.screens.workspace_boxes import LogBox

        one = self.here()
        if one is not None:
            self.app.push_screen(LogBox(one, self.manager))

    def action_shell(self) -> None:
        """A terminal inside of it."""
        from homewright.screens import workspace_inside

        one = self.here()
        if one is not None:
            workspace_inside.shell(self, self.manager, one)

    def action_repository(self) -> None:
        """How its repository is, and bringing it up to date."""
        from homewright.screens.workspace_inside import RepositoryBox

        one = self.here()
        if one is not None:
            self.app.push_screen(RepositoryBox(one, self.manager))

    def action_credentials(self) -> None:
        """What its user's git signs in with in the cluster."""
        from homewright.screens.workspace_git import CredentialsBox

        one = self.here()
        if one is not None and in_cluster(one):
            self.app.push_screen(CredentialsBox(one.key.user, self.manager))
        elif one is not None:
            self.say(f"{one.key} is on a server: its user's git keeps its own credentials there.", "failed")

    def action_address(self) -> None:
        from homewright.screens.workspace_boxes import CopyBox
        from homewright.screens.workspace_inside import ForwardBox

        one = self.here()
        if one is not None and not one.address:
            self.app.push_screen(ForwardBox(one, self.manager))
        elif one is not None:
            lines = [
                "Open it in a browser. The browser must trust this site's certificate authority once:",
                "t on the workspaces screen says how.",
            ]
            if one.by_name not in ("", one.address):
                lines += ["", "For computers that ask the site's DNS server:", one.by_name]
            self.app.push_screen(CopyBox(f"address of {one.key}", one.address, lines, "address"))

    def action_password(self) -> None:
        from homewright.screens.workspace_boxes import CopyBox

        one = self.here()
        if one is None:
            return
        manager = self.manager

        def known(password: str) -> None:
            lines = ["Its editor asks for this password. Give it to nobody but its user."]
            self.app.push_screen(CopyBox(f"password of {one.key}", password, lines, ""))

        self.start("password", lambda: manager.password(one.key), known)


def in_cluster(one: Workspace) -> bool:
    """Whether it was listed in the cluster; then its verbs go there, whatever has its name on a server."""
    return one.key.node is None


def _names(chosen: Sequence[Workspace]) -> str:
    return str(chosen[0].key) if len(chosen) == 1 else f"{len(chosen)} workspaces"


def _some(lines: Sequence[str]) -> list[str]:
    """As many as a box has room for, and how many more there are."""
    return [*lines[:MOST], f"  and {len(lines) - MOST} more"] if len(lines) > MOST else list(lines)


def _who(manager: Manager, chosen: Sequence[Workspace]) -> list[str]:
    """Who is on, a line each; where that cannot be told, why: it keeps the verb from none of the others."""
    from homewright.workspaces.bulk import Task, each

    lines = []
    for outcome in each([Task(str(one.key), partial(manager.sessions, one.key)) for one in chosen]):
        if outcome.error is not None:
            lines.append(f"  {outcome.name}: unknown: {outcome.error.what}")
            continue
        for session in outcome.result or ():
            count = "1 connection" if session.connections == 1 else f"{session.connections} connections"
            known = f"from {session.address}, {count}" if session.connections else session.address
            lines.append(f"  {outcome.name}: {known}")
    return lines
