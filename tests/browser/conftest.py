"""A real Chromium that trusts the site's authority, in front of a real workspace. No certificate error is ignored."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Playwright, sync_playwright

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def trusting_home(folder: Path, certificate: Path) -> Path:
    """A home whose certificate store holds the authority: what a person does once in their own browser."""
    store = folder / ".pki" / "nssdb"
    store.mkdir(parents=True)
    database = f"sql:{store}"
    subprocess.run(["certutil", "-d", database, "-N", "--empty-password"], check=True)
    subprocess.run(["certutil", "-d", database, "-A", "-t", "C,,", "-n", "site", "-i", str(certificate)], check=True)
    return folder


@contextmanager
def chromium(home: Path, *options: str) -> Iterator[BrowserContext]:
    """With a home of its own, and perhaps further options: how names are found, say."""
    with sync_playwright() as playwright, launched(playwright, home, *options) as context:
        yield context


@contextmanager
def launched(playwright: Playwright, home: Path, *options: str) -> Iterator[BrowserContext]:
    """The same, where several people have one each: there is one Playwright a thread."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    context = playwright.chromium.launch_persistent_context(
        str(home / "profile"),
        executable_path=CHROMIUM,
        headless=True,
        viewport={"width": 1280, "height": 800},
        args=[*OPTIONS, *sandbox, *options],
        env={**os.environ, "HOME": str(home)},
    )
    try:
        yield context
    finally:
        context.close()


@pytest.fixture(scope="module")
def browser_tools() -> None:
    """Name what is missing, rather than fail in the middle."""
    missing = [tool for tool in ("chromium", "certutil") if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"missing: {', '.join(missing)} (Debian: apt install chromium libnss3-tools)")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A picture of the page goes beside a failure."""
    report = yield
    editor = getattr(item, "funcargs", {}).get("editor")
    if report.when == "call" and report.failed and editor is not None:
        picture = Path(os.environ.get("HOMEWRIGHT_TEST_PICTURES", item.config.rootpath / ".pytest_cache"))
        picture.mkdir(exist_ok=True)
        editor.page.screenshot(path=str(picture / f"{item.name}.png"))
    return report
