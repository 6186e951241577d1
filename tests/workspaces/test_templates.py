"""Templates are data, and wrong data is refused with its field."""

from __future__ import annotations

import pytest

from homewright.errors import UsageError
from homewright.workspaces.errors import WorkspaceError
from homewright.workspaces.templates import parse, shipped

GOOD = """
version: 1
name: t
title: T
summary: S
backend: node
default_preset: small
presets: {small: {title: Small, cpu: 0.5, memory: 512MiB, tasks: 100}}
mounts: [{folder: projects}]
opens: projects
"""


def test_the_shipped_template_fits_the_product() -> None:
    node = shipped()["node"]
    assert [(mount.folder, mount.writable) for mount in node.mounts] == [
        ("projects", True),
        ("datasets", True),
        ("jobs", True),
    ]
    assert "shell on that host outside every NetworkPolicy" in node.warning
    assert node.probe.path == "/healthz"
    assert node.probe.start_timeout_s == 300
    assert node.preset("small").memory_bytes == 4 << 30


def test_a_small_preset_may_be_a_fraction() -> None:
    assert parse(GOOD, "t").preset("small").memory_bytes == 512 << 20


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("version: 1", "version: 2", "version"),
        ("512MiB", "512MB", "presets.small.memory"),
        ("cpu: 0.5", "cpu: 0", "presets.small.cpu"),
        ("default_preset: small", "default_preset: big", "default_preset big"),
        ("opens: projects", "opens: jobs", "opens jobs"),
        ("folder: projects", "folder: .ml-agent", "mounts.0.folder"),
        ("folder: projects", "folder: ../etc", "mounts.0.folder"),
        ("opens: projects", "opens: projects\nenvironment: {HTTPS_PROXY: 'http://p:3128'}", "proxy"),
        ("opens: projects", "opens: projects\nenvironment: {'A B': c}", "'A B'"),
        ("opens: projects", 'opens: projects\nenvironment: {A: "x\\ny"}', "'A'"),
        ("opens: projects", "opens: projects\nprobe: {path: /login}", "probe.path"),
        ("opens: projects", "opens: projects\nextra: 1", "extra"),
        ("title: T", "title: [", "cannot be read"),
    ],
)
def test_a_wrong_template_says_what_is_wrong(before: str, after: str, says: str) -> None:
    with pytest.raises(WorkspaceError) as refused:
        parse(GOOD.replace(before, after), "t.yaml")
    assert "t.yaml" in refused.value.what
    assert says in refused.value.as_text()


def test_an_unknown_preset_names_the_ones_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        shipped()["node"].preset("huge")
    assert "small, medium, large" in refused.value.as_text()
