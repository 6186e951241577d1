"""Why a value does not fit, as it stands beside its field: in our words, not in a library's."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from homewright.site.complaints import said
from homewright.site.models import Server


@pytest.mark.parametrize(
    ("field", "given", "words"),
    [
        ("port", "c", "must be a whole number"),
        ("port", "99999", "must be at most 65535"),
        ("port", "0", "must be at least 1"),
        ("user", "root;rm", "is no Linux user name"),
        ("address", "300.1.1.1", "must be an IPv4 address, such as 192.168.1.10"),
    ],
)
def test_what_stands_beside_a_field(field: str, given: str, words: str) -> None:
    known = Server.model_fields[field]
    adapter = TypeAdapter(known.rebuild_annotation())
    with pytest.raises(ValidationError) as caught:
        adapter.validate_python(given)
    assert said(caught.value.errors()[0]) == words
