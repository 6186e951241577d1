"""A node is taken back and nothing of others goes with it. The scripts run in a folder that is the server's root
to them; programs only write down what they are told, and umount works on a list of mounts there."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from folder_server import FolderServer as Server

from homewright.access.remote import CommandFailed
from homewright.stages.cluster import documents, etcd, forming, leaving, look, nodes, renewing, resetting

TOOLS = {
    "kubeadm": "exit $(cat {root}/kubeadm-fails 2>/dev/null || echo 0)",
    "umount": '[ ! -e {root}/busy ] || exit 32; for one; do :; done; grep -vF " $one " {mounts} >{mounts}.new; '
    "mv {mounts}.new {mounts}",
    "ip": 'case $* in *route*) cat {root}/routes 2>/dev/null ;; esac',
    "systemctl": "", "nft": "", "ss": "", "pkill": "",
}  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Server:
    made = Server(tmp_path)
    mounts = made.at("/proc/mounts", "")
    noted = f"#!/bin/sh\necho {{name}} $* >>{tmp_path}/said\n"
    made.tools({name: noted.format(name=name) + text.replace("{mounts}", str(mounts)) for name, text in TOOLS.items()})
    return made


def ours(server: Server) -> str:
    """Mark a server as a node of the site."""
    mark = forming.owner(server)  # type: ignore[arg-type]  # what it asks of a host, the folder has
    server.at(look.OWNER, f"{mark}\n")
    return mark


STRANGERS = (
    "/etc/kubernetes/audit/policy.yaml", "/var/lib/etcd/default/member/wal", "/var/lib/cni/results/podman-1",
)  # fmt: skip
NODES_OWN = (
    "/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/admin.conf", "/etc/kubernetes/manifests/etcd.yaml",
    "/var/lib/etcd/member/wal", "/var/lib/kubelet/config.yaml", "/var/lib/cni/results/cbr0-1", "/var/log/pods/a/0.log",
)  # fmt: skip


def leave(server: Server) -> None:
    leaving.leave(server, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("cut_off", [False, True], ids=["formed", "reset cut off"])
def test_a_node_loses_what_is_the_clusters_and_nothing_else(server: Server, cut_off: bool) -> None:
    ours(server)
    own = [server.at(path) for path in NODES_OWN if not (cut_off and ("conf" in path or "etc" in path))]
    others = [server.at(path) for path in STRANGERS]
    server.at(look.FORMED)
    leave(server)
    assert not any(file.exists() for file in own) and all(file.exists() for file in others)
    assert (server.root / "var/lib/kubelet").is_dir() != cut_off
    assert not server.exists(look.FORMED)
    said = (server.root / "said").read_text()
    assert ("--skip-phases remove-etcd-member" in said) != cut_off


@pytest.mark.parametrize("before", [[], ["/etc/kubernetes"]])
def test_a_folder_goes_where_there_was_none_and_nothing_is_in_it(server: Server, before: list[str]) -> None:
    ours(server)
    for path in NODES_OWN:
        server.at(path)
    stranger = server.at("/var/lib/etcd/default/member/wal")
    server.capture = {"folders": before}
    leave(server)
    there = {path for path in resetting.FOLDERS if (server.root / path.lstrip("/")).exists()}
    assert there == {"/var/lib/etcd", *before} and stranger.exists()


def test_no_secret_of_the_cluster_stays(server: Server) -> None:
    ours(server)
    server.at("/etc/kubernetes/kubelet.conf")
    saved, other = server.at(f"{etcd.SNAPSHOTS}/20260101T000000Z.db"), server.at("/var/lib/homewright/fence.json")
    leave(server)
    assert not saved.parent.exists() and other.exists()


@pytest.mark.parametrize(("verb", "flags"), [("init", "--skip-token-print --config"), ("join", "--config")])
def test_kubeadm_prints_no_token(server: Server, verb: str, flags: str) -> None:
    forming.kubeadm(server, verb, "token: abc", 60)  # type: ignore[arg-type]
    assert f"kubeadm {verb} {flags} {server.root}{forming.CONFIG}\n" in (server.root / "said").read_text()
    assert not server.exists(forming.CONFIG)


def test_what_was_never_ours_is_not_touched(server: Server) -> None:
    files = [server.at(path) for path in (*STRANGERS, "/var/lib/kubelet/config.yaml", "/var/log/pods/a/0.log")]
    leave(server)
    server.at(look.OWNER, "garden/9999\n")
    leave(server)
    assert all(file.exists() for file in files)
    assert not (server.root / "said").exists()


VOLUME = "/var/lib/kubelet/pods/a/volumes/kubernetes.io~local-volume/data"


def test_volumes_are_let_go_of_before_their_folders_go(server: Server) -> None:
    ours(server)
    server.at("/etc/kubernetes/kubelet.conf")
    kept = server.at(f"{VOLUME}/of a person")
    place = kept.parent
    server.at("/proc/mounts", f"/dev/sdb1 {place} ext4 rw 0 0\n/dev/sdc1 {server.root}/home ext4 rw 0 0\n")
    server.at("/busy")
    with pytest.raises(CommandFailed) as caught:
        leave(server)
    assert "still mounted" in caught.value.completed.stdout and kept.exists()
    assert server.exists("/etc/kubernetes/kubelet.conf"), "it is taken back anew later"
    (server.root / "busy").unlink()
    leave(server)
    assert not kept.exists(), "the folder that was below the mount"
    assert "/home ext4" in (server.root / "proc/mounts").read_text()
    assert f"umount {place}" in (server.root / "said").read_text()


def test_nothing_is_removed_where_kubeadm_fails(server: Server) -> None:
    ours(server)
    file = server.at("/etc/kubernetes/kubelet.conf")
    server.at("/kubeadm-fails", "7")
    with pytest.raises(CommandFailed) as caught:
        leave(server)
    assert caught.value.completed.exit_code == 7 and file.exists()


@pytest.mark.parametrize("mine", [True, False])
def test_programs_units_and_folders_of_others_stay(server: Server, mine: bool) -> None:
    program = server.at(f"{nodes.PROGRAMS}/0123")
    kubectl = server.root / "usr/local/bin/kubectl"
    kubectl.parent.mkdir(parents=True)
    kubectl.symlink_to(program if mine else server.at("/opt/kubectl"))
    unit = server.at("/etc/systemd/system/kubelet.service", nodes._KUBELET if mine else "[Service]\nExecStart=/k\n")
    kept, hollow = server.at(STRANGERS[0]), server.root / "opt/cni/bin"
    hollow.mkdir(parents=True)
    script = ["sh", "-euc", nodes._GONE, "sh", "/usr/local/bin/kubectl", "/etc/systemd/system/kubelet.service"]
    server.run([*script, *nodes.OWN])
    server.run(nodes._STOP)
    server.run(["sh", "-euc", nodes._HOLLOW, "sh", *nodes.FOLDERS])
    assert (kubectl.is_symlink(), unit.exists()) == (not mine, not mine)
    assert kept.exists() and not program.exists() and not hollow.exists()
    assert "disable -q --now kubelet" not in (server.root / "said").read_text(), "the unit is gone, or another's"


def test_a_look_tells_ours_from_others(server: Server) -> None:
    program = server.at(f"{documents.PROGRAMS}/0123")
    folder = server.root / "usr/local/bin"
    folder.mkdir(parents=True)
    (folder / "kubeadm").symlink_to(program)
    (folder / "kubelet").symlink_to("/snap/bin/kubelet")
    server.at("/usr/local/bin/kubectl", "of an administrator")
    server.at("/etc/systemd/system/kubelet.service", nodes._KUBELET)
    server.at("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf")
    server.at("/var/lib/etcd/default/member/wal")
    server.at("/proc/meminfo", "MemTotal: 8000000 kB\n")
    server.at("/proc/swaps", "Filename\n")
    server.at("/routes", "default via 10.9.0.1 dev eth0\n10.9.0.0/24 dev eth0 proto kernel\n"
                         "multicast 224.0.0.0/4 dev eth0 scope link\nblackhole 10.1.0.0/16 proto bird\n")  # fmt: skip
    seen = look.look(server)  # type: ignore[arg-type]
    assert [path.removeprefix(str(server.root)) for path in seen.foreign] == [
        "/usr/local/bin/kubelet", "/usr/local/bin/kubectl", "/usr/lib/systemd/system/kubelet.service.d",
        "/var/lib/etcd/default",
    ]  # fmt: skip
    assert not seen.config
    assert seen.routes == (
        ("default", "eth0"), ("10.9.0.0/24", "eth0"), ("224.0.0.0/4", "eth0"), ("10.1.0.0/16", "blackhole"),
    )  # fmt: skip
    server.at("/etc/kubernetes/pki/ca.crt")
    assert look.look(server).config  # type: ignore[arg-type]


def certificate(days: int) -> str:
    """One that ends in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=9), now + timedelta(days=days))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("api", "own", "renewed", "asked"),
    [
        (300, 300, False, False),
        (59, 300, True, True),
        (300, 59, True, True),
        (-1, 59, True, True),
        (-1, -1, True, False),
    ],
)
def test_certificates_that_end_soon_are_renewed_after_etcd_was_saved_where_it_can_be_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch, api: int, own: int, renewed: bool, asked: bool
) -> None:
    server.at("/etc/kubernetes/pki/apiserver.crt", certificate(api))
    server.at("/etc/kubernetes/pki/etcd/server.crt", certificate(own))
    saved: list[bool] = []
    monkeypatch.setattr(etcd, "snapshot", lambda host: saved.append((server.root / "said").exists()))
    assert renewing.renew(server) is renewed  # type: ignore[arg-type]
    assert saved == ([False] if asked else []), "saved before anything is called"
    said = server.root / "said"
    assert (said.exists() and "kubeadm certs renew all" in said.read_text()) is renewed
    assert bool(server.told) == (renewed and not asked)


def test_a_container_of_somebody_that_is_called_etcd_is_left_alone(server: Server) -> None:
    server.at("/etc/kubernetes/pki/apiserver.crt", certificate(-1))
    server.at("/etc/kubernetes/pki/etcd/server.crt", certificate(-1))
    ctr = server.at(f"{documents.PROGRAMS}/bin/ctr", CTR.replace("{root}", str(server.root)))
    ctr.chmod(0o755)
    renewing.renew(server)  # type: ignore[arg-type]
    killed = re.findall(r"SIGTERM (\S+)", (server.root / "said").read_text())
    assert killed == [f"{name}-own" for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")]
    assert etcd.members(server) == {"s1": "1f"}  # type: ignore[arg-type]


CTR = """#!/bin/sh
# As containerd's: a filter's conditions, between commas, must all be met.
shift 4
case "$1 $2" in
"containers list")
    case $4 in labels.\\"io.kubernetes.container.name\\"==*) ;; *) exit 1 ;; esac
    name=${4#*==}; name=${name%%,*}
    echo $name-own
    case $4 in *,labels.\\"io.kubernetes.pod.namespace\\"==kube-system) ;; *) echo $name-stranger ;; esac ;;
"tasks kill") echo "$*" >>{root}/said ;;
"tasks list") printf 'TASK PID STATUS\\netcd-own 1 RUNNING\\netcd-stranger 2 RUNNING\\n' ;;
"tasks exec") [ "$5" = etcd-own ] && echo '{"members": [{"name": "s1", "ID": 31}]}' ;;
esac
"""


@pytest.mark.parametrize(("hours", "saved"), [(1, True), (23, True), (25, False), (None, False), (-48, False)])
def test_a_saved_state_of_today_is_found(server: Server, hours: int | None, saved: bool) -> None:
    now = datetime.now(UTC)
    if hours is not None:
        server.at(f"{etcd.SNAPSHOTS}/{now - timedelta(hours=hours):%Y%m%dT%H%M%SZ}.db", "x")
    server.at(f"{etcd.SNAPSHOTS}/restoring-1", "x")
    assert etcd.is_saved(server, now) is saved  # type: ignore[arg-type]


def kept(server: Server, *years: int) -> list[str]:
    """The years of what is saved, once there were states of these and one more was saved."""
    for year in years:
        server.at(f"{etcd.SNAPSHOTS}/{year}0101T000000Z.db", f"{year}")
    server.at("/var/lib/etcd/.homewright-snapshot", "now")
    ctr = server.at(f"{documents.PROGRAMS}/bin/ctr", CTR.replace("{root}", str(server.root)))
    ctr.chmod(0o755)
    path = etcd.snapshot(server)  # type: ignore[arg-type]
    assert Path(path).read_text() == "now", "what is told to be saved is there"
    return sorted(file.name[:4] for file in (server.root / etcd.SNAPSHOTS.lstrip("/")).glob("*.db"))


def test_the_oldest_saved_states_go(server: Server) -> None:
    this = str(datetime.now(UTC).year)
    assert kept(server, 2001, 2002, 2003, 2004, 2005, 2006) == ["2003", "2004", "2005", "2006", this]


def test_a_state_that_is_being_put_back_stays(server: Server) -> None:
    wanted = server.at(f"{etcd.SNAPSHOTS}/20010101T000000Z.db")
    wanted.with_name("restoring-1").hardlink_to(wanted)
    assert kept(server, 2001, 2002, 2003, 2004, 2005, 2006)[:3] == ["2001", "2003", "2004"]


def test_a_clock_that_went_backwards_takes_nothing_away_that_was_just_saved(server: Server) -> None:
    this = str(datetime.now(UTC).year)
    assert kept(server, 2091, 2092, 2093, 2094, 2095, 2096) == [this, "2093", "2094", "2095", "2096"]
