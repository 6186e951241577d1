"""`homewright schema`: every document that --json prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from homewright.cli.schema import SCHEMAS, model

if TYPE_CHECKING:
    from .conftest import Run


def test_the_contracts_documents_are_there() -> None:
    assert {"site", "facts", "plan", "run", "workspaces", "lab"} <= set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_has_a_version_and_a_schema(name: str) -> None:
    assert "version" in model(name).model_fields
    schema = model(name).model_json_schema(mode="serialization")
    assert schema["type"] == "object" and "version" in schema["properties"]


def test_the_command_lists_and_prints(homewright: Run) -> None:
    assert homewright("schema").stdout.split() == list(SCHEMAS)
    schema = json.loads(homewright("schema", "site").stdout)
    assert schema["properties"]["servers"]["description"].startswith("The servers")
    assert json.loads(homewright("schema", "--json").stdout)["schemas"] == list(SCHEMAS)
