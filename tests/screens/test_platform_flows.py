"""The platform screen by keyboard alone: every answer judged as typed, secrets kept and never shown again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from piloting import Compare, Make, both, closed, complains, drive, page, shows, text_of, until
from recorded_sites import lay_out
from textual.pilot import Pilot
from textual.widgets import Input

from homewright.screens.terminal import Terminal
from homewright.screens.widgets.field import Field, Tick
from homewright.site import files
from homewright.site.secrets import Secrets

SIZE = (80, 24)
PASSWORD = "Canary7-Gravel-Otter"
ADMINISTRATOR = "platform/administrator-password"


def field(pilot: Pilot[object], name: str) -> Field:
    return pilot.app.screen.query_one(f"#field-{name}", Field)


async def loaded(pilot: Pilot[object]) -> None:
    await until(pilot, shows(pilot, "No cluster is chosen, so nothing is asked for yet"))


def test_the_password_is_judged_as_it_is_typed_and_never_shown_again(make_app: Make) -> None:
    file, state = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("platform", file=file, name="attic")(pilot)
        await loaded(pilot)
        one = field(pilot, "password")
        assert one.value == "" and one.query_one(Input).placeholder == "", "never a placeholder"
        one.control_widget.focus()
        await pilot.press(*"Password1234")
        await until(pilot, shows(pilot, "is easy to guess"))
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "✗ Password: is easy to guess", "7/9 Platform"))
        one.query_one(Input).value = ""
        await pilot.press(*"Canary7-G")
        await until(pilot, shows(pilot, "has 9 characters"))
        await pilot.press(*"ravel-Otter")
        await until(pilot, shows(pilot, "strong: a guess in 2^"))
        assert PASSWORD not in text_of(pilot.app)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "8/9 Plan"))
        await pilot.press("escape")
        await loaded(pilot)
        field(pilot, "password").control_widget.focus()
        await until(pilot, shows(pilot, "One is kept; another replaces it"))
        assert PASSWORD not in text_of(pilot.app)
        await pilot.press("ctrl+r")
        await until(pilot, shows(pilot, "forget this secret?"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "is forgotten", "or ctrl+g makes one"))

    drive(make_app(), SIZE, flow)
    assert Secrets(state.secrets).names() == ()
    assert PASSWORD not in file.read_text()


def test_without_a_password_one_is_made_and_shown_once(make_app: Make) -> None:
    file, state = lay_out("attic")
    shown: list[str] = []

    async def flow(pilot: Pilot[object]) -> None:
        await page("platform", file=file, name="attic")(pilot)
        await loaded(pilot)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "It is shown this once"))
        shown.extend(re.findall(r"[a-zA-Z0-9]{6}(?:-[a-zA-Z0-9]{6}){3}", text_of(pilot.app)))
        await closed(pilot, "escape")
        await until(pilot, shows(pilot, "7/9 Platform"))
        assert Secrets(state.secrets).names() == ()
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "It is shown this once"))
        shown.extend(re.findall(r"[a-zA-Z0-9]{6}(?:-[a-zA-Z0-9]{6}){3}", text_of(pilot.app)))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "8/9 Plan"))
        await pilot.press("escape")
        await loaded(pilot)
        assert shown[1] not in text_of(pilot.app)
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "8/9 Plan"))

    drive(make_app(), SIZE, flow)
    assert len(set(shown)) == 2 and Secrets(state.secrets).get(ADMINISTRATOR) == shown[1]


WRONG = [
    ("zone", "Home", "must be a domain"),
    ("admin_name", "Root!", "must be lowercase letters"),
    ("admin_name", "", "must be lowercase letters"),
    ("admin_email", "me", "must be an e-mail address"),
    ("github", "gho_abcdefgh", "ends by itself"),
    ("hugging_face", "hf", "does not look like one"),
    ("cloudflare", "0123456789abcdef0123456789abcdef01234", "Global API Key"),
    ("zerotier", "8056c2e21c000001", "is a network id"),
]


def test_wrong_answers_are_told_beneath_their_field(make_app: Make) -> None:
    file, state = lay_out("attic")
    before = file.read_text()

    async def flow(pilot: Pilot[object]) -> None:
        await page("platform", file=file, name="attic")(pilot)
        await loaded(pilot)
        for name, text, reason in WRONG:
            one = field(pilot, name)
            right, one.value = one.value, text
            await until(pilot, complains(one, reason))
            await pilot.press("ctrl+n")
            await until(pilot, shows(pilot, f"✗ {one.label}: ", "7/9 Platform"))
            assert pilot.app.focused is one.control_widget, name
            one.value = right

    drive(make_app(), SIZE, flow)
    assert file.read_text() == before and Secrets(state.secrets).names() == ()


def test_lets_encrypt_wants_a_zone_and_a_token(make_app: Make) -> None:
    file, state = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("platform", file=file, name="attic")(pilot)
        await loaded(pilot)
        assert not field(pilot, "tls_email").display
        field(pilot, "issuer").control_widget.focus()
        await pilot.press("right")
        await until(pilot, shows(pilot, "✗ Let's Encrypt vouches for names, and the site has no zone"))
        field(pilot, "zone").control_widget.focus()
        await pilot.press(*"home.example")
        await until(pilot, lambda: not field(pilot, "issuer").wrong)
        field(pilot, "tls_email").value = "me"
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "✗ E-mail: must be an e-mail address"))
        field(pilot, "tls_email").value = "me@home.example"
        await pilot.press("ctrl+n")
        await until(pilot, shows(pilot, "✗ Cloudflare: Let's Encrypt needs it"))
        field(pilot, "cloudflare").value = "cfut_" + "a" * 48
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Saved in site.yaml"))

    drive(make_app(), SIZE, flow)
    site = files.load(file)
    assert (site.zone, site.platform.tls.issuer, site.platform.tls.email) == (
        "home.example",
        "letsencrypt",
        "me@home.example",
    )
    assert Secrets(state.secrets).names() == ("tls/cloudflare-token",)


def test_optional_services_say_what_they_cost_and_whether_they_fit(make_app: Make) -> None:
    nodes = [{"name": "n1", "host": "birch", "role": "control-plane", "cpu": 8}]
    file, _ = lay_out("attic", instances__nodes=nodes, platform__cluster="microk8s")

    async def flow(pilot: Pilot[object]) -> None:
        await page("platform", file=file, name="attic")(pilot)
        await until(pilot, shows(pilot, "! The platform asks for"))
        tick = pilot.app.screen.query_one("#service-ollama", Tick)
        tick.focus()
        await until(pilot, shows(pilot, "Ollama: its README: 8 GB for models", "8 GiB  30 GiB disk", "! short: "))
        await pilot.press("space")
        await until(pilot, lambda: tick.on and "short" not in tick.text)
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Saved in site.yaml"))

    drive(make_app(), SIZE, flow)
    assert files.load(file).platform.optional == ("ollama",)


def test_the_image_of_devenv_is_asked_for_where_a_cluster_can_have_it(make_app: Make) -> None:
    file, _ = lay_out("attic", platform__cluster="kubeadm", platform__optional=["ollama"])

    async def flow(pilot: Pilot[object]) -> None:
        await page("platform", file=file, name="attic")(pilot)
        await until(pilot, shows(pilot, "7/9 Platform"))
        tick = pilot.app.screen.query_one("#devenv-image", Tick)
        tick.focus()
        await until(pilot, shows(pilot, "[ ] build the image of devenv", "A node builds it in some minutes"))
        await pilot.press("space", "ctrl+s")
        await until(pilot, shows(pilot, "[x] build the image of devenv", "Saved in site.yaml"))
        assert files.load(file).workspaces.devenv_image
        field(pilot, "cluster").control_widget.focus()
        await pilot.press("right")
        await until(pilot, lambda: tick.text.endswith("! needs kubeadm"))
        await pilot.press("left")
        await until(pilot, lambda: not tick.text.endswith("kubeadm"))
        tick.focus()
        await pilot.press("space", "ctrl+s")
        await until(pilot, shows(pilot, "[ ] build the image of devenv", "Saved in site.yaml"))

    drive(make_app(), SIZE, flow)
    assert not files.load(file).workspaces.devenv_image
    assert files.load(file).platform.optional == ("ollama",), "the other ticks are as they were"


def test_the_kind_of_cluster_is_proposed_with_its_reason(make_app: Make) -> None:
    file, _ = lay_out("attic")

    async def flow(pilot: Pilot[object]) -> None:
        await page("platform", ("none for now (proposed: MicroK8s)",), file=file, name="attic")(pilot)
        await until(pilot, shows(pilot, "Every server runs Ubuntu"))
        await pilot.press("right", "right")
        await until(pilot, shows(pilot, "kubeadm, without snaps", "You chose it."))
        await pilot.press("ctrl+s")
        await until(pilot, shows(pilot, "Saved in site.yaml"))

    drive(make_app(), SIZE, flow)
    assert files.load(file).platform.cluster == "kubeadm"


def test_services_that_no_stage_brings_are_told(make_app: Make, tmp_path: Path) -> None:
    file, _ = lay_out("attic", platform__cluster="kubeadm", platform__optional=["prometheus"])
    folder = tmp_path / "stages" / "prometheus"
    folder.mkdir(parents=True)
    (folder / "stage.yaml").write_text("id: 40/optional/prometheus\ntitle: Prometheus\nsummary: Figures.\nsteps: []\n")

    async def flow(pilot: Pilot[object]) -> None:
        await page("platform", ("12 of these services have no stage",), file=file, name="attic")(pilot)
        pilot.app.screen.query_one("#service-ollama", Tick).on = True
        await until(pilot, shows(pilot, "13 of these services have no stage"))

    app = make_app()
    app.options.stages = [str(tmp_path / "stages")]
    drive(app, SIZE, flow)


@both
def test_platform_of_a_healthy_site(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file, _ = lay_out("attic", zone="home.internal", platform__optional=["ollama", "awx"])
    act = page("platform", ("would ask for",), file=file, name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_platform_where_things_are_wrong(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    nodes = [{"name": "n1", "host": "elder", "role": "control-plane", "cpu": 4}]
    answers = {"platform__tls__issuer": "letsencrypt", "platform__cluster": "kubeadm", "instances__nodes": nodes}
    file, _ = lay_out("trouble", **answers)
    steps = (("The platform asks for", "have no stage"), "ctrl+n", ("✗ Certificates",))
    act = page("platform", *steps, file=file, name="trouble")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


@both
def test_services_and_accounts(snap_compare: Compare, make_app: Make, size: tuple[int, int]) -> None:
    file, _ = lay_out("attic", platform__optional=["prometheus"], platform__cluster="microk8s")
    act = page("platform", ("It asks for", "have no stage"), "shift+tab " * 6 + "shift+tab", file=file, name="attic")
    assert snap_compare(make_app(), terminal_size=size, run_before=act)


def test_platform_on_a_terminal_of_ascii(
    snap_compare: Compare, make_app: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = lay_out("attic")
    monkeypatch.setenv("TERM", "linux")
    act = page("platform", ("would ask for",), file=file, name="attic")
    assert snap_compare(make_app(Terminal(ascii=True)), terminal_size=SIZE, run_before=act)
