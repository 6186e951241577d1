"""Site: what the new site is called."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input, Static

from homewright.screens.page import Page
from homewright.screens.widgets.field import Field, first_wrong


class NewSite(Page):
    """One name; everything else has a default or a screen of its own."""

    CSS_PATH = "widgets/field.tcss"
    WHERE = "Site"
    HELP = """
A site is all servers that belong together, with all answers about them.

Name: what the site is called, in titles, in its private certificate authority and in its folder. It ends up
as `name` in site.yaml. Lowercase letters, digits and hyphens, beginning with a letter.

The file is written when you go on, to the folder shown beneath the field. You can edit it by hand at any
time: comments stay, and an edit made meanwhile is noticed and never overwritten.
"""
    BINDINGS = [
        Binding("ctrl+n", "next", "next", key_display="ctrl+n", priority=True),
        Binding("escape", "back", "back", key_display="esc"),
    ]

    def body(self) -> ComposeResult:
        yield Static("\nWhat is the site called?\n", classes="lead")
        yield Field("name", "Name", rule=self._name_reason, hint="Such as home, attic or lab-2")
        yield Static(id="where", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(Input).focus()

    def _name_reason(self, value: str) -> str:
        if not value:
            return "the site needs a name"
        services = self.home.services
        return services.reason("site", "name", value) or services.name_taken(value)

    @on(Input.Changed)
    def _typed(self) -> None:
        field = self.query_one(Field)
        where = self.query_one("#where", Static)
        where.update(
            "" if field.wrong else f"\nIts answers will be kept in\n  {self.home.services.place_of(field.value)}"
        )

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_next()

    def action_next(self) -> None:
        field = self.query_one(Field)
        wrong = first_wrong([field])
        if wrong is not None:
            self.complain(wrong)
            return
        name = field.value
        services = self.home.services

        def made(file: object) -> None:
            self.home.open_site(services.place_of(name), name)
            self.home.go("servers")

        self.start("make", lambda: services.make_site(name), made)

    def action_back(self) -> None:
        self.home.back_to_welcome()
