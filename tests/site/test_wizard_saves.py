"""The wizard's saves go through the site's files: an edit by hand meanwhile is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from homewright.errors import SiteError
from homewright.screens.services import Services
from homewright.site import files
from homewright.site.models import Server, Site


def test_a_list_of_servers_that_was_changed_by_hand_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    one = Server(name="s1", address="10.0.0.1", user="ann")
    shown = files.save(file, Site(name="attic", servers=(one,)))
    file.write_text(file.read_text() + "zone: home.internal  # by hand\n")
    two = Server(name="s2", address="10.0.0.2", user="ann")
    saved = Services().put_servers(file, [one, two], shown)
    assert [server.name for server in saved.servers] == ["s1", "s2"] and saved.zone == "home.internal"
    with pytest.raises(SiteError, match="changed by somebody else"):
        Services().put_servers(file, [one], shown)
    assert "# by hand" in file.read_text() and len(files.load(file).servers) == 2
