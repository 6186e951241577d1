"""Platform: the cluster, its names and certificates, the administrator, services with what each costs, accounts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from homewright.screens.answers import AnswersPage, heading
from homewright.screens.glyphs import look
from homewright.screens.page import Box, TooSmall
from homewright.screens.widgets.cells import fit
from homewright.screens.widgets.field import Field, Tick

if TYPE_CHECKING:
    from homewright.planning.documents import Misfit
    from homewright.planning.platform import Cost, PlatformPlan
    from homewright.screens.services_planning import Known
    from homewright.site.models import Site

ANSWERS = {
    "cluster": "platform.cluster",
    "nodes": "platform.nodes",
    "zone": "zone",
    "issuer": "platform.tls.issuer",
    "tls_email": "platform.tls.email",
    "admin_name": "platform.administrator.name",
    "admin_email": "platform.administrator.email",
}
CLUSTERS = {
    "microk8s": "MicroK8s, from the snap store",
    "kubeadm": "kubeadm, without snaps",
    "existing": "one that exists already",
}
PASSWORD = "platform/administrator-password"
TOKENS = {
    "github": "accounts/github-token",
    "hugging_face": "accounts/hugging-face-token",
    "cloudflare": "tls/cloudflare-token",
    "zerotier": "overlay/zerotier-token",
}
SERVICE = "service-"
"""What the ticks of optional services are called, before the service's id."""
DEVENV = "devenv-image"
DEVENV_TEXT = "build the image of devenv (terminal and agent)"
ELSEWHERE = "  ! needs kubeadm"


class Platform(AnswersPage):
    """What the servers become."""

    CSS_PATH = ["widgets/frame.tcss", "widgets/field.tcss", "platform.tcss"]
    WHERE = "Platform"
    STEP = 7
    HELP = """
What runs on the servers, and who administers it. At the top stands what all of it asks for and whether the
cluster's nodes have it. No question here needs an account somewhere: what does is left out without one.

Cluster       none is made until you choose: MicroK8s where every server has snaps, kubeadm elsewhere, or one
              that is there (platform.cluster)
Nodes         LXD instances, or the servers themselves (platform.nodes)
Zone          the platform's own domain; the same answer as on Network (zone)
Certificates  the site's own authority, which every computer has to be told to trust once; or Let's Encrypt, for
              a public zone at Cloudflare (platform.tls.issuer, platform.tls.email)
Administrator name and e-mail (platform.administrator), and a password: type one, or ctrl+g makes one and
              shows it once. It is a secret: never in site.yaml, never shown again
Services      the core is always wanted; space adds an optional one (platform.optional)
Workspaces    space has the image of devenv, a terminal with an agent, built on a node and brought to all others:
              no registry has it (workspaces.devenv_image)
Accounts      tokens of GitHub, Hugging Face, Cloudflare, ZeroTier: secrets too; ctrl+r forgets the one under
              the cursor

ctrl+s saves, ctrl+n saves and goes on. Line by line: homewright site set FIELD VALUE, and
homewright site secret set NAME
"""
    SECRETS = {"password": PASSWORD, **TOKENS}
    BINDINGS = [
        Binding("ctrl+g", "generate", "make a password", key_display="ctrl+g", priority=True),
        Binding("ctrl+r", "forget", "forget secret", key_display="ctrl+r", priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._stages: tuple[str, ...] | None = None
        self._plan: PlatformPlan | None = None

    def above(self) -> ComposeResult:
        with Vertical(id="asks", classes="frame") as frame:
            frame.border_title = "what it asks for"
            yield Static(id="asked", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        services, stages = self.home.services, self.home.options.stages

        def titled(found: dict[str, str]) -> None:
            self._stages = tuple(found)
            self._weigh_now()

        self.start("stages", lambda: services.stage_titles(stages), titled)

    def form(self, known: Known) -> Sequence[Widget]:
        site = known.site
        settings = site.platform
        plan = self.home.services.decided(known, site).platform
        proposed = plan.cluster if not plan.chosen else ""
        none = f"none for now (proposed: {CLUSTERS[proposed].partition(',')[0]})" if proposed else "none for now"
        clusters = [("", none), *CLUSTERS.items()]
        nodes = [("instances", "LXD instances on the servers"), ("servers", "the servers themselves")]
        issuers = [("private-ca", "the site's own authority"), ("letsencrypt", "Let's Encrypt, by Cloudflare's DNS")]
        core = [one for one in plan.costs if one.kind == "core"]
        made: list[Widget] = [
            heading("Cluster"),
            self._choice("cluster", "Cluster", settings.cluster or "", clusters),
            self._choice("nodes", "Nodes", settings.nodes, nodes),
            heading("Names and certificates"),
            self._line("zone", "Zone", site.zone, "Such as home.internal; none: everything by address"),
            self._choice("issuer", "Certificates", settings.tls.issuer, issuers),
            self._line("tls_email", "E-mail", settings.tls.email, "Where Let's Encrypt writes to; may be empty"),
            heading("Administrator"),
            self._line("admin_name", "Name", settings.administrator.name, "What you sign in with"),
            self._line("admin_email", "E-mail", settings.administrator.email, "Where services write to; may be empty"),
            Field("password", "Password", rule=self.rule("password"), secret=True),
            heading("Core services: always wanted"),
            Static(f"{', '.join(one.title for one in core)}. {_sum(core)}.", classes="list", markup=False),
            heading("Optional services: space adds one"),
            *(Tick(self._cost(one), id=f"{SERVICE}{one.id}") for one in plan.costs if one.kind == "optional"),
            heading("Workspaces in the cluster: code-server's image comes from its registry"),
            Tick(DEVENV_TEXT, id=DEVENV),
            heading("Accounts: none is needed"),
        ]
        accounts = {one.name: one for one in self.home.services.accounts()}
        for name, kept in TOKENS.items():
            made.append(Field(name, accounts[kept].title.removesuffix(" token"), rule=self.rule(name), secret=True))
        for tick in made:
            if isinstance(tick, Tick) and (
                site.workspaces.devenv_image if tick.id == DEVENV else service_of(tick) in settings.optional
            ):
                tick.set_reactive(Tick.on, True)
        return made

    def _line(self, name: str, label: str, value: str | None, hint: str) -> Field:
        return Field(name, label, value=value or "", rule=self.rule(name), hint=hint)

    def _choice(self, name: str, label: str, value: str, options: Sequence[tuple[str, str]]) -> Field:
        return Field(name, label, value=value, rule=self.rule(name), options=options)

    @staticmethod
    def _cost(one: Cost) -> str:
        return f"{fit(one.title, 12)} {one.cpu:>4g} CPU {one.memory:>4g} GiB {one.disk:>3g} GiB disk"

    # What the fields mean

    def answer_of(self, name: str) -> str:
        return ANSWERS.get(name, "")

    def changes(self) -> dict[str, Any]:
        known = self._known
        assert known is not None
        found = super().changes()
        devenv = self.query_one(f"#{DEVENV}", Tick).on
        if devenv != known.site.workspaces.devenv_image:
            found["workspaces.devenv_image"] = devenv or None
        wanted = [service_of(tick) for tick in self.query(Tick) if tick.on and tick.id != DEVENV]
        if set(wanted) != set(known.site.platform.optional):
            found["platform.optional"] = wanted or None
        return found

    def shape(self, name: str, text: str) -> str:
        services, known = self.home.services, self._known
        if name in self.SECRETS:
            if text:
                return self._password_reason(text) if name == "password" else services.secret_reason(TOKENS[name], text)
            return self._needed(name, known)
        if name == "admin_name":
            wrong = services.reason("administrator", "name", text)
            return "must be lowercase letters, digits and . _ -, and start with a letter" if wrong else ""
        if not text:
            return ""
        if name == "zone":
            return services.reason("site", "zone", text)
        return services.reason("administrator", "email", text) if name.endswith("email") else ""

    def _needed(self, name: str, known: Known | None) -> str:
        """Why an empty token is wrong: only where an answer on these screens cannot do without it."""
        if known is None or name == "password" or TOKENS[name] in known.secrets:
            return ""
        if name == "cloudflare" and self.field("issuer").value == "letsencrypt":
            return "Let's Encrypt needs it, to see that the zone is yours; the site's own authority does not"
        if name == "zerotier" and known.site.network.overlay.kind == "zerotier":
            return "the overlay needs it; on Network you can do without the overlay"
        return ""

    def _password_reason(self, text: str) -> str:
        known = self._known
        names = [known.site.name, self.field("admin_name").value] if known else []
        return self.home.services.strength(text, names).reason

    # What planning makes of them

    @on(Tick.Changed)
    def _ticked(self) -> None:
        self._weigh_now()

    def weigh(self, site: Site) -> Sequence[Misfit]:
        known = self._known
        assert known is not None
        plan = self._plan = self.home.services.decided(known, site).platform
        self.field("cluster").hint(plan.why)
        about = "Each is isolated, and can be made anew" if site.platform.nodes == "instances" else NO_INSTANCES
        self.field("nodes").hint(about)
        public = site.platform.tls.issuer == "letsencrypt"
        self.field("issuer").hint(PUBLIC if public else PRIVATE)
        self.field("tls_email").display = public
        kept = PASSWORD in known.secrets
        self.field("password").hint(self._about_password(kept))
        for one in self.home.services.accounts():
            name = next(name for name, kept_as in TOKENS.items() if kept_as == one.name)
            without = f"For {one.purpose}. Without it {one.without}."
            self.field(name).hint(
                "One is kept; another replaces it, ctrl+r forgets it" if one.name in known.secrets else without
            )
        tick = self.query_one(f"#{DEVENV}", Tick)
        tick.text = DEVENV_TEXT + ("" if site.platform.cluster in (None, "kubeadm") else ELSEWHERE)
        tick.refresh()
        self._show_costs(plan)
        return [one for one in plan.problems if one.field.startswith("platform.")]

    def _about_password(self, kept: bool) -> str:
        text = self.field("password").value
        if not text:
            return "One is kept; another replaces it" if kept else "At least 12 characters; or ctrl+g makes one"
        known = self._known
        names = [known.site.name, self.field("admin_name").value] if known else []
        found = self.home.services.strength(text, names)
        return f"{found.word}: a guess in 2^{found.bits:.0f}"

    def _show_costs(self, plan: PlatformPlan) -> None:
        """What all of it asks for, whether it fits, which single services would not; and what this version runs."""
        for one in plan.costs:
            for tick in self.query(f"#{SERVICE}{one.id}").results(Tick):
                verdict = self._fits_too(plan, one) if plan.chosen and not one.wanted else ""
                tick.text = f"{self._cost(one)}{verdict}"
                tick.refresh()
        fits = plan.fits if plan.chosen else None
        state = {True: "done", False: "warning", None: "unknown" if plan.chosen else "pending"}[fits]
        style = {True: "$text-success", False: "$text-warning", None: "$quiet"}[fits]
        lines = [Content.styled(f"{look(state).mark(self.ascii)} {plan.why_fits}", style)]
        if self._stages is not None and not any(stage.startswith("40") for stage in self._stages):
            last = self._stages[-1] if self._stages else "none"
            lines.append(
                Content.styled(
                    f"{look('warning').mark(self.ascii)} The stages of this version end with {last}, before the "
                    "cluster and its services: their answers are kept for later. Plan shows what runs now.",
                    "$text-warning",
                )
            )
        elif self._stages is not None and plan.chosen and (without := _without_stage(plan.costs, self._stages)):
            lines.append(
                Content.styled(
                    f"{look('warning').mark(self.ascii)} {without} of these services have no stage in this version "
                    "yet: that they are wanted is kept for later. Plan shows what runs now.",
                    "$text-warning",
                )
            )
        self.query_one("#asked", Static).update(Content("\n").join(lines))

    def _fits_too(self, plan: PlatformPlan, one: Cost) -> str:
        """Whether one more service would fit; empty where that is not known."""
        has, asked = plan.has, plan.asked
        if has.cpu is None or has.memory is None or has.disk is None:
            return ""
        short = [
            word
            for word, more, used, there in (
                ("CPU", one.cpu, asked.cpu or 0, has.cpu),
                ("memory", one.memory, asked.memory or 0, has.memory),
                ("disk", one.disk, asked.disk or 0, has.disk),
            )
            if used + more > there
        ]
        return f"  ! short: {', '.join(short)}" if short else ""

    # Passwords and secrets

    def action_generate(self) -> None:
        """Make the administrator's password, show it once and keep it."""
        self._make_password(lambda: self.say("The administrator's password is kept.", "ok"))

    def _make_password(self, then: Callable[[], None]) -> None:
        known, sitting, services = self._known, self.home.sitting, self.home.services
        if known is None or sitting is None:
            return
        made = services.make_password()

        def kept(_: None) -> None:
            self._known = type(known)(known.site, known.facts, known.secrets | {PASSWORD})
            self.field("password").value = ""
            self._weigh_now()
            then()

        def answer(yes: bool | None) -> None:
            if yes:
                self.start("secret", lambda: services.keep_secrets(sitting.state, {PASSWORD: made}), kept)

        self.app.push_screen(PasswordBox(made, self.field("admin_name").value), answer)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "forget":
            return self._under() in (self._known.secrets if self._known else ())
        if action == "generate":
            return self._known is not None and bool(super().check_action(action, parameters))
        return super().check_action(action, parameters)

    def _under(self) -> str:
        """The secret whose field has the focus; empty for none."""
        focused = self.focused
        for name, kept in self.SECRETS.items():
            for field in self.query(f"#field-{name}").results(Field):
                if isinstance(focused, Input) and field.control_widget is focused:
                    return kept
        return ""

    def on_descendant_focus(self) -> None:
        """Keys that belong to the field; of an optional service, where its figures come from."""
        self.refresh_bindings()
        tick = self.focused
        if isinstance(tick, Tick) and tick.id == DEVENV:
            self.say("A node builds it in some minutes, and each gets about a gigabyte; no registry has it.")
        elif isinstance(tick, Tick) and self._plan is not None:
            one = next(one for one in self._plan.costs if one.id == service_of(tick))
            self.say(f"{one.title}: {'; '.join(text for text in (one.source, one.note) if text)}.")

    def action_forget(self) -> None:
        from homewright.screens.ask import AskBox

        known, sitting, services = self._known, self.home.sitting, self.home.services
        name = self._under()
        if known is None or sitting is None or name not in known.secrets:
            return

        def forgotten(_: bool) -> None:
            self._known = type(known)(known.site, known.facts, known.secrets - {name})
            self._weigh_now()
            self.refresh_bindings()
            self.say(f"{name} is forgotten.", "ok")

        def answer(yes: bool | None) -> None:
            if yes:
                self.start("secret", lambda: services.forget_secret(sitting.state, name), forgotten)

        lines = [f"{name} leaves the site's secrets. It is not taken back where it comes from."]
        self.app.push_screen(AskBox("forget this secret?", lines, "forget"), answer)

    def action_next(self) -> None:
        """Save and go on. Where no password was ever given one is made, and shown, on the way."""

        def on() -> None:
            if self._known is not None and PASSWORD not in self._known.secrets:
                self._make_password(self.onward)
            else:
                self.onward()

        self._settle(on)


NO_INSTANCES = "No instances are made: the servers' own system is what the cluster runs on"
PRIVATE = "Works without any account; every computer has to trust it once, Finished says how"
PUBLIC = "Every browser trusts it; the zone must be public, yours, and at Cloudflare"


def service_of(tick: Tick) -> str:
    """The optional service that a tick is about."""
    return str(tick.id).removeprefix(SERVICE)


def _sum(costs: Sequence[Cost]) -> str:
    total = [sum(getattr(one, part) for one in costs) for part in ("cpu", "memory", "disk")]
    return f"Together they ask for {total[0]:.1f} CPUs, {total[1]:.1f} GiB of memory and {total[2]:.0f} GiB of disk"


def _without_stage(costs: Sequence[Cost], stages: Sequence[str]) -> int:
    """How many of the services that are wanted no stage would install."""
    brought = {stage.rpartition("/")[2] for stage in stages} | ({"coredns"} if "40/core/dns" in stages else set())
    return sum(one.wanted and one.id not in brought for one in costs)


class PasswordBox(Box[bool]):
    """A password that was made: shown here, once."""

    BINDINGS = [Binding("enter", "keep", show=False, priority=True), Binding("c", "copy", show=False)]

    def __init__(self, password: str, name: str) -> None:
        super().__init__()
        self._password = password
        self._name = name

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = "the administrator's password"
            yield Static(f"This one was made for {self._name}:", markup=False)
            yield Static(self._password, id="shown", markup=False)
            yield Static(
                "It is shown this once. Write it down, or put it into your password manager, before you go on. It is "
                "kept in the site's secrets, apart from site.yaml.",
                markup=False,
            )
            yield Static(id="copied")
            parts = ("enter ", "bold"), "keep it    ", ("c ", "bold"), "copy it    ", ("esc ", "bold"), "back"
            yield Static(Content.assemble(*parts), classes="buttons")
        yield TooSmall()

    def action_keep(self) -> None:
        self.dismiss(True)

    def action_copy(self) -> None:
        """Copied through the terminal, which not every terminal allows."""
        self.app.copy_to_clipboard(self._password)
        self.query_one("#copied", Static).update("Sent to the terminal's clipboard; some terminals do not take it.")
