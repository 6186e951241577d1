"""New workspace: who, which template and size, where; and beside it, live, whether that will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static

from homewright.errors import HomewrightError
from homewright.screens.ask import parts_of
from homewright.screens.glyphs import look
from homewright.screens.page import Page, size_text, span_text
from homewright.screens.widgets.field import Choice, Field, Tick, first_wrong
from homewright.screens.widgets.log_pane import clean

if TYPE_CHECKING:
    from homewright.discovery.facts import HostFacts
    from homewright.workspaces.manager import Created, Preview
    from homewright.workspaces.models import Repository, RepositoryFound, Specification
    from homewright.workspaces.one_manager import OneManager as Manager
    from homewright.workspaces.templates import Template

ANY = "any"
CHECK_AFTER_S = 0.4
"""After the last key, before the nodes are asked."""


@dataclass(frozen=True)
class Ground:
    """What the form starts from."""

    templates: Mapping[str, Template]
    nodes: tuple[str, ...]
    facts: Mapping[str, HostFacts]


class NewWorkspace(Page):
    """One workspace to be made."""

    CSS_PATH = ["widgets/frame.tcss", "widgets/field.tcss", "new_workspace.tcss"]
    WHERE = "new workspace"
    HELP = """
User      who it is for: the user's true id, such as alice or bob@corp.com
Name      one user may have several; the first is called default
Template  what it is made of. `node` is a VS Code beside the worker on a server: it shares the server's
          projects, datasets and jobs
Preset    its size: the most processors and memory that it may take
Repository what is cloned before a workspace in the cluster starts: an https:// address without a name or a token
          in it. ctrl+r shows what its user has on Gitea, to choose from, and takes what the user signs in with
Node      which server; any takes the one with the fewest workspaces. The master gets none where there are
          several servers

Beneath (beside, on a wide terminal) stands what making it would mean: where it goes, whether it would start
(room on the nodes, quota, storage, image, name), whether its repository can be cloned, and what you should know.
A node workspace is a shell on
that server, as a user of its own without sudo.

ctrl+s makes it. That takes a minute or two where the editor has to be brought to the server first.
"""
    BINDINGS = [
        Binding("ctrl+s", "create", "create", key_display="ctrl+s", priority=True),
        Binding("ctrl+r", "repositories", "repositories", key_display="ctrl+r", priority=True),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def __init__(self, manager: Manager | None = None, goto: Callable[[str], None] = lambda _: None) -> None:
        super().__init__()
        self._manager = manager
        self._goto = goto
        self._ground: Ground | None = None
        self._preview: Preview | None = None
        self._previewed_spec: Specification | None = None
        self._wanted: Specification | None = None
        self._timer: Timer | None = None
        self._said: list[str] = []
        self._begun = 0.0
        self._made: Created | None = None

    def body(self) -> ComposeResult:
        with Horizontal(id="new"):
            with Vertical(id="form"):
                user, hint = self.home.services.login(), "alice, or bob@corp.com"
                yield Field("user", "User", value=user, rule=self._rule("user"), hint=hint, placeholder="who it is for")
                hint = "One user may have several"
                yield Field("name", "Name", value="default", rule=self._rule("name"), hint=hint)
                yield Field("template", "Template", options=[])
                yield Field("preset", "Preset", options=[])
                yield Field("node", "Node", options=[])
                hint = "Nothing for none; ctrl+r to choose"
                yield Field("repository", "Repository", rule=self._no_repository, hint=hint, placeholder="https://…")
                yield Field("branch", "Branch", hint="Nothing for the server's own")
                history = [("shallow", "the newest commit alone"), ("full", "the whole history")]
                yield Field("history", "History", options=history)
                yield Tick("I accept the warning", id="accept")
            with VerticalScroll(id="check", classes="frame"):
                yield Static("Looking …", id="check-text")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#accept").display = False
        self.query_one("#check").border_title = "will it do?"
        self.query_one("#field-user", Field).control_widget.focus()
        manager, sitting, services = self._manager, self.home.sitting, self.home.services
        assert manager is not None and sitting is not None
        self.start(
            "ground",
            lambda: Ground(manager.templates(), tuple(manager.nodes()), services.facts(sitting.state)),
            self._grounded,
        )
        self.set_interval(1.0, self._tick)

    def _rule(self, field: str) -> Callable[[str], str]:
        def rule(value: str) -> str:
            from homewright.workspaces.naming import unfit

            if not value:
                return "this is needed"
            return self.home.services.reason("key", field, value) or unfit(value)

        return rule

    def _grounded(self, ground: Ground) -> None:
        self._ground = ground
        templates = [(name, f"{name} · {template.title}") for name, template in ground.templates.items()]
        self._choice("template").set_options(templates)
        nodes = [(ANY, "any"), *((node, node) for node in ground.nodes)]
        self._choice("node").set_options(nodes if len(ground.nodes) > 1 else nodes[1:])
        self._offer_presets()
        self._offer_repository()
        for field in self.query(Field):
            if field.query(Choice) and len(field.query_one(Choice).options) > 1:
                field.hint("left and right change it")
        self._check_soon()

    def _choice(self, field: str) -> Choice:
        return self.query_one(f"#field-{field}", Field).query_one(Choice)

    def _template(self) -> Template | None:
        return self._ground.templates.get(self._choice("template").value) if self._ground else None

    def _no_repository(self, value: str) -> str:
        from homewright.workspaces.repositories import parse

        try:
            parse(value or "https://none/none")
        except HomewrightError as error:
            return error.why.rstrip(".")
        return ""

    def _offer_repository(self) -> None:
        """What is asked of a repository, where the template takes one, and where one is named."""
        template = self._template()
        takes = getattr(template, "repositories", None) is not None
        fields = {field.field: field for field in self.query(Field)}
        if fields["repository"].display != takes:
            fields["repository"].display = takes
            self.refresh_bindings()
        # The cluster's scheduler finds one.
        fields["node"].display = template is None or template.backend == "node"
        for name in ("branch", "history"):
            fields[name].display = takes and bool(fields["repository"].value)

    def _repository(self) -> Repository | None:
        """What is to be cloned. Raises UsageError for a branch that is none."""
        from homewright.workspaces.repositories import parse

        fields = {field.field: field for field in self.query(Field)}
        if not fields["repository"].display or not fields["repository"].value:
            return None
        return parse(fields["repository"].value, fields["branch"].value, full=fields["history"].value == "full")

    def _offer_presets(self) -> None:
        template = self._template()
        if template is not None:
            presets = [
                (name, f"{name} · {preset.cpu:g} CPU, {preset.memory}") for name, preset in template.presets.items()
            ]
            choice = self._choice("preset")
            first = not choice.options
            choice.set_options(presets)
            if first:
                choice.choose(template.default_preset)

    # The live check

    @on(Input.Changed)
    @on(Choice.Changed)
    def _changed(self, message: Input.Changed | Choice.Changed) -> None:
        if isinstance(message, Choice.Changed) and message.choice is self._choice("template"):
            self._offer_presets()
        self._offer_repository()
        self._check_soon()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.focus_next()

    def _check_soon(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(CHECK_AFTER_S, self._check)

    def _spec(self) -> Specification | None:
        from homewright.workspaces.models import Key, Specification

        fields = {field.field: field for field in self.query(Field)}
        if self._ground is None or any(field.wrong for field in fields.values()):
            return None
        try:
            repository = self._repository()
        except HomewrightError as error:
            self.say(error.what, "failed")
            return None
        node, template = fields["node"].value, self._template()
        if template is not None and template.backend == "kubernetes":
            node = ANY  # the cluster's scheduler finds one
        return Specification(
            key=Key(user=fields["user"].value, name=fields["name"].value, node=None if node in (ANY, "") else node),
            template=fields["template"].value,
            preset=fields["preset"].value,
            repository=repository,
        )

    def _check(self) -> None:
        spec, manager = self._spec(), self._manager
        if self.jobs.running("create") or self._made is not None:
            return
        if spec is None or manager is None:
            self._preview = None
            self._show(
                Content("Fill in the fields at the left." if self.app.size.width >= 100 else "Fill in the fields.")
            )
            return
        self.start("preview", lambda: manager.preview(spec), lambda found: self._previewed(found, spec), self._refused)

    def _refused(self, error: HomewrightError) -> None:
        if self._wanted is not None:
            self.say("")  # the nodes were looked at
        self._preview = self._wanted = None
        self.query_one("#accept").display = False
        self._show(parts_of(error))

    def _previewed(self, preview: Preview, spec: Specification) -> None:
        accept = self.query_one("#accept", Tick)
        if self._preview is None or _to_accept(self._preview) != _to_accept(preview):
            accept.on = False  # what was accepted is another warning
        self._preview, self._previewed_spec = preview, spec
        accept.display = bool(_to_accept(preview))
        done, warning = look("done").mark(self.ascii), look("warning").mark(self.ascii)
        lines: list[Content] = []
        if preview.existing is not None:
            state = preview.existing.state
            lines.append(
                Content.styled(f"{warning} It is there already ({state}); nothing new is made.", "$text-warning")
            )
        else:
            lines.append(Content.styled(f"{done} It goes to {preview.node}.", "$text-success"))
        lines += self._fits(preview.node)
        failed, unknown = look("failed").mark(self.ascii), look("unknown").mark(self.ascii)
        for problem in preview.problems:
            lines.append(Content.styled(f"{failed} It would not start: {problem.reason}.", "$text-error"))
            lines.append(Content.styled(f"  What to do: {problem.remedy}.", "$text-error"))
        for miss in preview.misses:
            lines.append(Content.styled(f"{failed} It starts, but {miss.reason}.", "$text-error"))
            lines.append(Content.styled(f"  What to do: {miss.remedy}.", "$text-error"))
        lines += [Content.styled(f"{done} {text[:1].upper()}{text[1:]}.", "$text-success") for text in preview.good]
        lines += [Content(f"{unknown} {text[:1].upper()}{text[1:]}") for text in preview.unknown]
        lines += [Content.styled(f"{warning} {text}", "$text-warning") for text in preview.warnings]
        if preview.must_accept:
            lines.append(Content.styled(f"{warning} To be accepted: {preview.must_accept}", "$text-warning"))
        self._show(Content("\n").join(lines))
        wanted, self._wanted = self._wanted, None
        if wanted == spec == self._spec():
            self.action_create()

    def _fits(self, node: str) -> list[Content]:
        """Whether the preset fits the node, by the facts that were gathered last."""
        template, ground = self._template(), self._ground
        if template is None or ground is None or node not in ground.facts:
            return []
        preset = template.presets[self._choice("preset").value]
        facts = ground.facts[node]
        total, threads = facts.memory.total, facts.cpu.threads
        if total is None or threads is None:
            return []
        fits = preset.memory_bytes <= total and preset.cpu <= threads
        mark = look("done" if fits else "warning").mark(self.ascii)
        words = f"{node} has {threads} threads and {size_text(total)} memory"
        verdict = "it fits" if fits else "it may take more than there is"
        return [Content.styled(f"{mark} {words}: {verdict}.", "$text-success" if fits else "$text-warning")]

    def _show(self, text: Content) -> None:
        self.query_one("#check-text", Static).update(text)

    # Its repository

    def action_repositories(self) -> None:
        """Choose from what its user has."""
        from homewright.screens.workspace_git import RepositoriesBox

        fields = {field.field: field for field in self.query(Field)}
        manager, user = self._manager, fields["user"]
        if user.wrong:
            self.complain(user)
        if manager is None or user.wrong:
            return

        def chosen(found: RepositoryFound | None) -> None:
            self._check_soon()  # credentials may have been given meanwhile
            if found is not None:
                fields["repository"].value, fields["branch"].value = found.url, found.branch
                fields["repository"].control_widget.focus()

        self.app.push_screen(RepositoriesBox(user.value, manager), chosen)

    # Making it

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "create":
            free = not self.jobs.running("create") and self._made is None
            return free and bool(super().check_action(action, parameters))
        if action == "repositories" and not any(field.display for field in self.query("#field-repository")):
            return False
        return super().check_action(action, parameters)

    def action_create(self) -> None:
        """Make it; or go to the first thing that is wrong."""
        wrong = first_wrong(list(self.query(Field)))
        if wrong is not None:
            self.complain(wrong)
            return
        spec, manager, preview = self._spec(), self._manager, self._preview
        accept = self.query_one("#accept", Tick)
        if spec is None or manager is None:
            self.say("Still looking at the nodes.", "warning")
            return
        if preview is None or spec != self._previewed_spec:
            # What stands there is of another workspace: nobody has accepted anything of this one yet.
            self._wanted = spec
            self.say("Looking at the nodes first.", "warning")
            self._check()
            return
        if _to_accept(preview) and not accept.on:
            accept.focus()
            other = _other(preview)
            self.say(f"Accept the warning first (space), or {other}.", "failed")
            return
        # One tick, and each of the two is accepted where it was shown alone.
        accepted = accept.on and bool(preview.must_accept)
        anyway = accept.on and bool(preview.problems or preview.misses)
        self.say("")
        self._said, self._begun = [], self.now()
        self.query_one("#check").border_title = "making it"
        tell = self.jobs.teller("create", self._tells)
        self.start(
            "create",
            lambda: manager.create(
                spec, tell, accept_shared_node=accepted, accept_open_network=accepted, anyway=anyway
            ),
            self._created,
            self._failed,
        )
        self._tells("looking at the node")

    def _tells(self, line: str) -> None:
        if not line.startswith("warning:"):
            self._said.append(f"{span_text(self.now() - self._begun):>5}  {clean(line)}")
        self._show(Content("\n".join(self._said)))
        self.query_one("#check").scroll_end(animate=False)

    def _tick(self) -> None:
        if self.jobs.running("create"):
            self.retitle(span_text(self.now() - self._begun))

    def _failed(self, error: HomewrightError) -> None:
        self.query_one("#check").border_title = "that did not work"
        self._show(Content("\n").join([*(Content(line) for line in self._said), Content(), parts_of(error)]))
        self.query_one("#check").scroll_end(animate=False)

    def _created(self, made: Created) -> None:
        self._made = made
        one = made.workspace
        self._goto(str(one.key))
        self.app.pop_screen()
        page = self.home.page
        if page is not None:
            words = "was there already" if made.existed else "runs"
            page.say(f"{one.key} {words}: {one.address}   (o address, p password)", "ok")

    def action_back(self) -> None:
        if self.jobs.running("create"):
            self.say("It is still being made. Leaving with ctrl+q stops that; making it again goes on.", "warning")
            return
        self.app.pop_screen()


def _to_accept(preview: Preview) -> tuple[str, ...]:
    """What somebody has to accept before it is made: that it is not kept apart, would not start, or lacks something."""
    lacking = (problem.reason for problem in (*preview.problems, *preview.misses))
    return tuple(filter(None, (preview.must_accept, *lacking)))


def _other(preview: Preview) -> str:
    """What somebody may do who does not accept it."""
    if preview.problems:
        return "take another size"
    return "see to its repository (ctrl+r)" if preview.misses else "choose another node"
