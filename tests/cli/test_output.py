"""Documents for programs: the same text, whichever way it is made."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from homewright.cli.output import as_text
from homewright.discovery.bundle import Source
from homewright.discovery.facts import FactsDocument
from homewright.discovery.machines import load


def slowly(model: BaseModel, *, readable: bool) -> str:
    return json.dumps(model.model_dump(mode="json"), ensure_ascii=not readable, indent=2)


@pytest.mark.parametrize("name", ["attic", "trouble", "mig"])
@pytest.mark.parametrize("readable", [True, False])
def test_a_document_is_the_same_text_whichever_way_it_is_made(name: str, readable: bool) -> None:
    document = FactsDocument(hosts=tuple(load(name).facts().values()), failures=())
    assert as_text(document, readable=readable) == slowly(document, readable=readable)


@pytest.mark.parametrize("readable", [True, False])
def test_a_name_of_bytes_that_are_no_text_is_printed_all_the_same(readable: bool) -> None:
    text = as_text(Source(stdout="Ä\udcff"), readable=readable)
    assert text == slowly(Source(stdout="Ä\udcff"), readable=readable)
    assert ("Ä" in text) is readable and json.loads(text)["stdout"] == "Ä\udcff"


def test_what_is_no_model_is_a_document_too() -> None:
    assert as_text({"ä": [1]}, readable=True) == '{\n  "ä": [\n    1\n  ]\n}'
    assert as_text({"ä": []}, readable=False) == '{\n  "\\u00e4": []\n}'
