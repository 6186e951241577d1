"""Fields' docstrings, read when a schema or a new site file shows them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from homewright.site import described
from homewright.site.models import Site


class Part(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    size: int
    """How large it is,
    in GiB."""
    plain: str = ""


class Whole(Part):
    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """What it is called."""
    parts: tuple[Part, ...] = ()
    """What it is made of."""
    best: Part | None = None


class QuickPart(BaseModel):
    size: int
    """How large it is,
    in GiB."""
    plain: str = ""


class QuickWhole(QuickPart):
    name: str
    """What it is called."""
    parts: tuple[QuickPart, ...] = ()
    """What it is made of."""
    best: QuickPart | None = None


def test_schemas_say_what_pydantic_would_have_read_at_import() -> None:
    made = str(described.schema(QuickWhole)).replace("Quick", "")
    assert made == str(Whole.model_json_schema())
    assert "What it is made of." in made


def test_what_a_model_inherits_is_described_and_what_nobody_described_is_not() -> None:
    assert described.descriptions(QuickWhole) == {
        "size": "How large it is,\nin GiB.",
        "name": "What it is called.",
        "parts": "What it is made of.",
    }


def test_the_sites_models_leave_it_until_it_is_asked_for() -> None:
    assert Site.model_fields["servers"].description is None
    assert described.schema(Site)["properties"]["servers"]["description"].startswith("The servers")
