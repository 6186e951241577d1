"""`homewright site secret` and `site import`, by the real command."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from homewright.site import files
from homewright.site.secrets import Secrets

if TYPE_CHECKING:
    from .conftest import Run

TOKEN = "ghp_" + "c4n4ry" * 6


def test_secrets_are_kept_and_never_shown(homewright: Run, tmp_path: Path) -> None:
    homewright("site", "new", "attic", "--here")
    listed = homewright("site", "secret", "list")
    assert "accounts/github-token: none, so the step" in listed.stdout
    kept = homewright("site", "secret", "set", "accounts/github-token", stdin=f"{TOKEN}\n")
    assert kept.returncode == 0 and TOKEN not in kept.stdout + kept.stderr
    listed = homewright("site", "secret", "list", "--json")
    assert TOKEN not in listed.stdout
    assert {one["name"] for one in json.loads(listed.stdout)["secrets"] if one["kept"]} == {"accounts/github-token"}
    places = [file for file in tmp_path.rglob("*") if file.is_file() and TOKEN in file.read_text(errors="replace")]
    assert [stat.S_IMODE(file.stat().st_mode) for file in places] == [0o600]
    assert places[0].name == "secrets.json" and "site.yaml" not in str(places)
    assert homewright("site", "secret", "unset", "accounts/github-token").stdout.endswith("forgotten\n")
    assert homewright("site", "secret", "unset", "accounts/github-token").stdout.endswith("there was none\n")


def test_a_secret_of_the_wrong_shape_is_refused(homewright: Run) -> None:
    homewright("site", "new", "attic", "--here")
    for name, value, words in [
        ("accounts/github-token", "ghs_abcdefgh\n", "ends by itself"),
        ("platform/administrator-password", "Password1234\n", "easy to guess"),
        ("accounts/github-token", "", "Standard input is empty"),
        ("workspace/alice@s2/password", "x\n", "accounts/github-token"),
    ]:
        refused = homewright("site", "secret", "set", name, stdin=value)
        assert refused.returncode == 2 and words in refused.stderr and "  do:  " in refused.stderr
        assert not value.strip() or value.strip() not in refused.stderr + refused.stdout
    made = homewright("site", "secret", "set", "accounts/github-token", "--generate")
    assert made.returncode == 2 and "github.com/settings/tokens" in made.stderr


def test_the_administrators_password_is_made_and_shown_once(homewright: Run) -> None:
    homewright("site", "new", "attic", "--here")
    made = homewright("site", "secret", "set", "platform/administrator-password", "--generate")
    password = made.stdout.strip()
    assert made.returncode == 0 and len(password) == 27
    assert "platform/administrator-password: kept" in homewright("site", "secret", "list").stdout
    assert password not in homewright("site", "secret", "list", "--json").stdout


def test_servers_come_out_of_an_inventory(homewright: Run, tmp_path: Path) -> None:
    homewright("site", "new", "attic", "--here", "--server", "s1=ann@10.0.0.1")
    inventory = tmp_path / "hosts.ini"
    inventory.write_text(
        "[gpu]\ng[1:2] ansible_user=ops\ng1 ansible_host=10.0.0.11\ng2 ansible_host=10.0.0.12\n"
        "[rest]\nfar.example ansible_user=ops\nold ansible_host=10.0.0.1\n"
    )
    listed = homewright("site", "import", "--from", str(inventory)).stdout
    assert "g1  ops@10.0.0.11:22  in gpu\n" in listed and "not to be taken over: address must be" in listed
    none = homewright("site", "import", "--from", str(inventory), "--group", "rest")
    assert none.returncode == 2 and "far address must be" in none.stderr and "old is here already" in none.stderr
    other = homewright("site", "import", "--from", str(inventory), "--group", "nope")
    assert other.returncode == 2 and "name one of: gpu, rest" in other.stderr
    added = homewright("site", "import", "--from", str(inventory), "--group", "gpu")
    assert added.returncode == 0 and "Added:  g1, g2" in added.stdout
    assert [server.address for server in files.load(tmp_path / "here" / "site.yaml").servers] == [
        "10.0.0.1", "10.0.0.11", "10.0.0.12",
    ]  # fmt: skip


KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://192.168.1.11:6443"}}]
users: [{name: u, user: {token: c4n4ryc4n4ry}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


def test_a_kubeconfig_is_kept_whole_and_forgotten(homewright: Run, tmp_path: Path) -> None:
    homewright("site", "new", "attic", "--here")
    assert "cluster/kubeconfig: none, so no cluster" in homewright("site", "secret", "list").stdout
    kept = homewright("site", "secret", "set", "cluster/kubeconfig", stdin=KUBECONFIG)
    assert (kept.returncode, kept.stdout) == (0, "cluster/kubeconfig: kept\n")
    (file,) = tmp_path.rglob("secrets.json")
    assert Secrets(file).get("cluster/kubeconfig") == KUBECONFIG
    for text, words in [("", "is not typed"), ("current-context: x\n", "no contexts")]:
        refused = homewright("site", "secret", "set", "cluster/kubeconfig", stdin=text)
        assert refused.returncode != 0 and words in refused.stderr and "Traceback" not in refused.stderr
    assert Secrets(file).get("cluster/kubeconfig") == KUBECONFIG
    assert homewright("site", "secret", "unset", "cluster/kubeconfig").stdout.endswith("forgotten\n")
    assert Secrets(file).get("cluster/kubeconfig") is None
