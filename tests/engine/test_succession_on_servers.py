"""A site moves to another machine with an export: the new controller works on, the old one is refused and told why."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from practice_lab import COMMAND

from homewright.access import engine_key
from homewright.engine import lock
from homewright.engine.journal import Reader
from homewright.engine.runners.guard import FENCE_FILE
from homewright.site.paths import StateFolder

from .bench import SLOW, Bench, keeping
from .conftest import wait_for

pytestmark = pytest.mark.lab

FILE = "/tmp/homewright-moved"


class Elsewhere:
    """Another machine, as far as Homewright can tell: folders of its own, and nothing in them."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        self.environment = {
            **bench.lab.environment,
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words], env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=300
        )


@pytest.fixture
def there(bench: Bench, tmp_path: Path) -> Iterator[Elsewhere]:
    folder = tmp_path / "there"
    folder.mkdir()
    yield Elsewhere(bench, folder)
    let_in_again(bench)
    for host in bench.hosts:  # the servers are other tests', too
        bench.on(host, f"rm -f {FENCE_FILE} {FILE} /tmp/homewright-slow")


def let_in_again(bench: Bench) -> None:
    """The old controller's key is back on all servers, past SSH."""
    install = engine_key.install_script(engine_key.public(bench.state.key))
    for server in bench.site.servers:
        bench.lab.on(server.name, f"su {server.user} -c 'sh -s'", install.encode())


def export(bench: Bench, folder: Path) -> tuple[Path, Path]:
    phrase = folder / "phrase"
    phrase.touch(0o600)
    phrase.write_text("correct horse battery staple\n")
    target = folder / "practice.age"
    words = ("export", "--encrypt", str(target), "--passphrase-file", str(phrase))
    done = bench.lab.run("site", *words)
    assert done.returncode == 0, done.stderr
    return target, phrase


def test_the_site_goes_on_elsewhere_and_the_old_controller_is_refused(
    bench: Bench, there: Elsewhere, tmp_path: Path
) -> None:
    bench.tiny.step(1, *keeping(FILE))
    applied = bench.run("apply", "--yes")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert "No site export has been made" in bench.run("status").stdout
    file, phrase = export(bench, tmp_path)
    assert "export" not in bench.run("status").stdout
    assert json.loads(bench.run("status", "--json").stdout)["export_due"] == ""
    taken = there.run("site", "import", str(file), "--passphrase-file", str(phrase), "--json")
    assert taken.returncode == 0, taken.stderr
    found = json.loads(taken.stdout)
    # One that is slow to answer is left to the next contact, and named.
    assert sorted([*found["fenced"], *found["not_fenced"]]) == sorted(bench.hosts)
    assert sorted(found["not_fenced"]) == sorted(found["old_key"])

    stages = ("--stages", str(bench.tiny.root))
    verified = there.run("verify", *stages, "--only", "90")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(there.run("status", "--json").stdout)["old_key"] == []
    closed = bench.run("apply", "--yes")
    assert closed.returncode == 1, closed.stdout + closed.stderr
    assert "takes the site over" in closed.stdout + closed.stderr, "its key opens nothing any more"
    let_in_again(bench)  # whatever way it finds back in: no server is its own any more

    listed = there.run("workspace", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "workspaces" in json.loads(listed.stdout)

    refused = bench.run("apply", "--yes")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "is no longer looked after from here" in refused.stdout + refused.stderr
    assert "was taken over by" in refused.stdout + refused.stderr

    back = there.run("rollback", "90", *stages, "--yes")
    assert back.returncode == 0, back.stdout + back.stderr
    for host in bench.hosts:
        assert bench.on(host, f"ls {FILE} 2>/dev/null") == ""
    assert bench.run("apply", "--yes").returncode == 3, "refused also where every server was given back"


def test_a_run_that_died_with_its_controller_goes_on_elsewhere(bench: Bench, there: Elsewhere, tmp_path: Path) -> None:
    """The old controller never gave its servers back: whoever knows that it is gone says so."""
    bench.tiny.step(1, *keeping(FILE)).step(2, SLOW)
    for host in bench.hosts:
        bench.on(host, "touch /tmp/homewright-slow")
    started = bench.run("apply", "--yes", "--detach")
    assert started.returncode == 0, started.stderr
    run = bench.wait_for_text("tick 5")
    file, phrase = export(bench, tmp_path)
    holder = lock.holder(bench.state)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    wait_for(lambda: lock.holder(bench.state) is None, "the engine's end")

    words = ("site", "import", str(file), "--passphrase-file", str(phrase))
    kept = there.run(*words)
    assert kept.returncode == 3, kept.stdout
    assert "may be at work" in kept.stderr and "--old-is-gone" in kept.stderr
    assert not [path for path in there.folder.rglob("*") if path.is_file()]
    taken = there.run(*words, "--old-is-gone", "--yes")
    assert taken.returncode == 0, taken.stderr
    state = StateFolder(there.folder / "state" / "homewright" / "sites" / bench.site.name)
    assert Reader(state).run().state == "interrupted"
    shown = there.run("resume", "--look")
    assert "90/10 Step 1: done; to be proved" in shown.stdout
    assert "90/20 Step 2: cut off" in shown.stdout
    for host in bench.hosts:
        bench.lab.on(host, "rm /tmp/homewright-slow")  # the old controller's key opens nothing any more
    resumed = there.run("resume", "--yes")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert Reader(state).run(run).state == "succeeded"
    shutil.rmtree(there.folder / "state")
