"""Recorded answers: facts of three servers, workspaces in every state, and a run as an engine writes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from homewright.discovery.facts import (
    Clock,
    Cpu,
    Disk,
    FileSystem,
    Gpu,
    HostFacts,
    Kernel,
    Memory,
    Missing,
    Nic,
    PciFunction,
    System,
)
from homewright.engine.events import Event, Kind, Level
from homewright.engine.journal.writer import Writer
from homewright.engine.states import State
from homewright.errors import HomewrightError
from homewright.site.paths import StateFolder
from homewright.workspaces.manager import Created, Listing, Preview
from homewright.workspaces.models import (
    GivenUp,
    Key,
    Problem,
    Repository,
    RepositoryFound,
    ServerTold,
    Session,
    Specification,
    Workspace,
    WorkspaceEvent,
    WorkspaceState,
)
from homewright.workspaces.repositories import Synced
from homewright.workspaces.templates import NodeTemplate, Template, shipped

NOW = 1767355440.0
"""2026-01-02 12:04 UTC."""
RUN = "20260102-115800-c0de"
GIB = 1 << 30


def facts_of(name: str) -> HostFacts:
    number = int(name[-1])
    gpus = (Gpu(address="0000:01:00.0", vendor="nvidia", name="GeForce RTX 3090", driver="nvidia", iommu_group=12),)
    return HostFacts(
        host=name,
        gathered_at=NOW - 60,
        system=System(os_name="Ubuntu 24.04.3 LTS", kernel="6.8.0-60-generic", kvm=number != 3),
        cpu=Cpu(model="AMD Ryzen 7 5700G", threads=16),
        memory=Memory(total=64 * GIB, available=50 * GIB, swap=0),
        disks=(Disk(name="nvme0n1", size=1000 * GIB, kind="nvme", mounts=("/", "/boot")),),
        file_systems=(FileSystem(mount="/", size=900 * GIB, free=700 * GIB),),
        nics=(
            Nic(name="eno1", up=True, addresses=(f"192.168.1.1{number}/24",), speed_mbps=1000, default_route=True),
            Nic(name="eno2", up=False),
        ),
        gpus=gpus if number == 1 else (),
        missing=(Missing(source="iommu", reason="the IOMMU is off"),) if number == 2 else (),
    )


def troubled(name: str) -> HostFacts:
    """A desktop with nearly everything that can be in the way, and sources that gave nothing."""
    facts = facts_of(name)
    pci = (
        PciFunction(address="0000:00:01.0", class_id="0604", vendor_id="8086", device_id="460d", iommu_group=2),
        PciFunction(address="0000:01:00.0", class_id="0300", vendor_id="10de", device_id="2204", iommu_group=2),
        PciFunction(address="0000:01:00.1", class_id="0403", vendor_id="10de", device_id="1aef", iommu_group=2),
        PciFunction(
            address="0000:02:00.0",
            class_id="0200",
            vendor_id="8086",
            device_id="15f3",
            name="Ethernet Controller I225-V",
            driver="igc",
            iommu_group=2,
        ),
    )
    gpu = Gpu(
        address="0000:01:00.0",
        vendor="nvidia",
        name="NVIDIA GeForce RTX 3090",
        driver="nvidia",
        driver_version="550.54.14",
        iommu_group=2,
        memory=24 * GIB,
        boot_display=True,
        displays=True,
        processes=3,
    )
    return facts.model_copy(
        update={
            "system": System(
                os_id="ubuntu",
                os_version="22.04",
                os_name="Ubuntu 22.04.5 LTS",
                kernel="5.15.0-91-generic",
                architecture="x86_64",
                hostname="Attic_One",
                product="Micro-Star International Co., Ltd. MS-7D25",
                chassis="desktop",
                desktop=True,
                secure_boot=True,
                sudo=False,
            ),
            "cpu": Cpu(model="12th Gen Intel(R) Core(TM) i7-12700K", cores=12, threads=20, sockets=1),
            "memory": Memory(total=8 * GIB, available=GIB // 2, swap=2 * GIB),
            "kernel": Kernel(iommu=True, virtualization_flag="vmx", nested=False, modules=("nouveau",)),
            "file_systems": (FileSystem(mount="/", size=120 * GIB, free=4 * GIB),),
            "nics": (
                Nic(name="wlp3s0", kind="wifi", up=True, addresses=("192.168.1.11/24",), default_route=True, dhcp=True),
                Nic(name="enp2s0", kind="ethernet", speed_mbps=100),
                *(Nic(name=f"veth{number}", kind="virtual", up=True) for number in range(7)),
            ),
            "pci": pci,
            "gpus": (gpu,),
            "clock": Clock(offset_s=86_391.0, synchronised=False, timezone="Europe/Vienna"),
            "missing": (
                Missing(source="kernel-log", reason="sudo: a password is required"),
                Missing(source="package-locks", reason="sudo: a password is required"),
                Missing(source="nvidia-smi", reason="Unable to determine the device handle for GPU 0000:01:00.0"),
            ),
        }
    )


def workspace(user: str, state: WorkspaceState, node: str = "s2", **more: object) -> Workspace:
    slug = user.split("@")[0]
    return Workspace.model_validate(
        {
            "key": Key(user=user, node=node),
            "slug": slug,
            "template": "node",
            "preset": "small",
            "state": state,
            "node": node,
            "port": 8500,
            "address": f"https://192.168.1.1{node[-1]}:8500/",
            **more,
        }
    )


def listing(polled_at: float = NOW) -> Listing:
    running = {
        "cpu": 0.4,
        "memory": 1288490189,
        "last_active_at": NOW - 125,
        "connections": 2,
        "started_at": NOW - 9000,
    }
    return Listing(
        (
            workspace("alice", WorkspaceState.RUNNING, "s2", **running),
            workspace("bob@corp.com", WorkspaceState.STARTING, "s3", reason="waiting for the editor to answer"),
            workspace(
                "carol",
                WorkspaceState.ERROR,
                "s3",
                reason="its editor ended with 1, five times in a minute",
                remedy="look at its log (l), then start it again (s)",
            ),
            workspace("dave", WorkspaceState.STOPPED, "s2", last_active_at=NOW - 3 * 86400),
        ),
        {},
        polled_at,
    )


class Way:
    """A port of this machine that leads nowhere."""

    port = 8080

    def __init__(self) -> None:
        self.closed = threading.Event()

    def serve(self) -> None:
        self.closed.wait()

    def close(self) -> None:
        self.closed.set()


REPOSITORY = Repository(url="https://git.example.org/team/project.git", branch="main")
FOUND = (
    RepositoryFound(name="erin/dotfiles", url="https://git.example.org/erin/dotfiles.git", branch="main"),
    RepositoryFound(name="erin/notes", url="https://git.example.org/erin/notes.git", branch="main", private=True),
    RepositoryFound(
        name="team/old", url="https://git.example.org/team/old.git", branch="master", private=True, archived=True
    ),
    RepositoryFound(name="team/project", url=REPOSITORY.url, branch="main"),
)
"""What Erin's git server lists."""


@dataclass
class Looking:
    """What renews itself: it says what the manager has now."""

    manager: Manager
    changed: Callable[[], None]

    def listing(self) -> Listing:
        return self.manager.list()

    def poke(self) -> None:
        self.changed()

    def close(self) -> None:
        pass


@dataclass
class Manager:
    """A manager of workspaces that nobody has: what it is asked is noted, what it answers is set."""

    now: Listing
    asked: list[tuple[object, ...]] = field(default_factory=list)
    guests: tuple[Session, ...] = ()
    must_accept: str = ""
    refuse: HomewrightError | None = None
    name: str = "node"
    problems: tuple[Problem, ...] = ()
    good: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    kept: tuple[GivenUp, ...] = ()
    failing: frozenset[str] = frozenset()
    """Workspaces that do not start."""

    anyway: bool | None = None
    """Whether the one that was created last was to be made although it will not start."""

    way: Way = field(default_factory=lambda: Way())
    in_cluster: bool = False
    """The site has a cluster."""
    misses: tuple[Problem, ...] = ()
    route: str = ""
    """What leads to a workspace in the cluster, where it is shown alone."""
    signs_in: dict[str, bool] = field(default_factory=dict)
    """Git servers that credentials are kept for, and whether they accept them."""

    def templates(self) -> dict[str, Template]:
        return {name: one for name, one in shipped().items() if self.in_cluster or isinstance(one, NodeTemplate)}

    def nodes(self) -> tuple[str, ...]:
        return ("s2", "s3")

    def list(self) -> Listing:
        if self.refuse is not None:
            raise self.refuse
        return self.now

    def live(self, changed: Callable[[], None]) -> Looking:
        changed()
        return Looking(self, changed)

    def preview(self, spec: Specification) -> Preview:
        warning = self.templates()[spec.template].warning
        return Preview(
            spec.key.node or "s3", (warning,) if warning else (), self.must_accept, None, self.problems, self.good,
            self.unknown, self.misses if spec.repository is not None else (),
        )  # fmt: skip

    def given_up(self) -> tuple[GivenUp, ...]:
        return self.kept

    def undelete(self, key: Key) -> tuple[str, ...]:
        self.asked.append(("undelete", str(key)))
        self.kept = tuple(one for one in self.kept if one.key != key)
        return ()

    def purge(self, key: Key) -> None:
        self.asked.append(("purge", str(key)))
        self.kept = tuple(one for one in self.kept if one.key != key)

    def events(self, key: Key) -> tuple[WorkspaceEvent, ...]:
        return (
            WorkspaceEvent(at=NOW - 60, what="created", about="workspace", message="by root@here"),
            WorkspaceEvent(at=NOW - 40, what="FailedScheduling", about="Pod", warning=True, count=3,
                           message="0/3 nodes are available: 3 Insufficient \x1b[2Jnvidia.com/gpu."),
        )  # fmt: skip

    def export(self, key: Key) -> tuple[dict[str, object], ...]:
        return ({"kind": "StatefulSet", "metadata": {"name": f"code-server-{key.user}"}},)

    def set(self, key: Key, *, preset: str) -> None:
        self.asked.append(("set", str(key), preset))

    def rename(self, key: Key, title: str) -> None:
        self.asked.append(("rename", str(key), title))

    @property
    def known_templates(self) -> dict[str, Template]:
        return shipped()

    def create(
        self, spec: Specification, say: Callable[[str], None], *, accept_shared_node: bool, accept_open_network: bool,
        anyway: bool,
    ) -> Created:  # fmt: skip
        self.anyway = anyway
        if self.problems and not anyway:
            raise HomewrightError("It would not start.")
        self.asked.append(("create", str(spec.key), spec.preset, accept_shared_node, accept_open_network))
        if spec.repository is not None:
            self.asked.append(("repository", spec.repository))
        say("starting it")
        made = workspace(spec.key.user, WorkspaceState.RUNNING, spec.key.node or "s3")
        self.now = Listing((*self.now.workspaces, made), {}, NOW)
        return Created(made, False)

    def start(self, key: Key, *, in_cluster: bool) -> None:
        self.asked.append(("start", str(key), in_cluster))
        if key.user in self.failing:
            raise HomewrightError(f"{key} does not start.", "No node has room.", ["stop another workspace"])

    def restart(self, key: Key, *, in_cluster: bool) -> None:
        self.asked.append(("restart", str(key), in_cluster))

    def stop(self, key: Key, *, in_cluster: bool) -> None:
        self.asked.append(("stop", str(key), in_cluster))

    def delete(self, key: Key, with_storage: bool, *, in_cluster: bool) -> str:
        self.asked.append(("delete", str(key), with_storage, in_cluster))
        return ""

    def forwarder(self, key: Key) -> Way:
        self.asked.append(("forwarder", str(key)))
        return self.way

    def sync(self, key: Key, mode: str = "pull") -> tuple[Repository, Synced]:
        self.asked.append(("sync", str(key), mode))
        if mode == "pull":
            return REPOSITORY, Synced("main", pulled=2, ahead=0, behind=0)
        return REPOSITORY, Synced("main", ahead=0, behind=2)

    def show(self, key: Key) -> Workspace:
        return next(one for one in self.now.workspaces if one.key == key).model_copy(update={"route": self.route})

    def credentials(self, user: str) -> tuple[str, ...]:
        return tuple(self.signs_in)

    def give_credentials(self, user: str, url: str, name: str, token: str | None) -> tuple[str, ...]:
        self.asked.append(("credentials", user, url, name, token))
        if token is None:
            self.signs_in.pop(url)
        else:
            self.signs_in[url] = token == "opensesame"
        return self.credentials(user)

    def repositories_of(self, user: str) -> tuple[ServerTold, ...]:
        said = {True: f"it accepts them: {user} there", False: "it does not accept the credentials"}
        return tuple(
            ServerTold(
                server=server, kind="gitea", accepted=accepted, words=said[accepted],
                repositories=FOUND if accepted else (),
            )
            for server, accepted in self.signs_in.items()
        )  # fmt: skip

    def password(self, key: Key) -> str:
        return "correct horse battery"

    def sessions(self, key: Key) -> tuple[Session, ...]:
        return self.guests

    def logs(self, key: Key, lines: int) -> Iterator[str]:
        yield "[12:00:01] info  HTTPS server listening on 0.0.0.0:8500"
        yield "[12:01:40] info  \x1b]0;a title\x07session opened\x1b[2J"

    def close(self) -> None:
        pass


STEPS = (
    ("00/10", "Names", "pyinfra", 0.2),
    ("00/20", "SSH keys", "python", 0.2),
    ("00/30", "Environment", "pyinfra", 0.1),
    ("00/40", "Host Python environment", "ansible", 1.5),
)
HOSTS = ("s1", "s2", "s3")


def write_run(state: StateFolder, ending: str = "running", lines: int = 12) -> None:
    """A run of stage 00: `running` in its second step, `failed` in it, or `succeeded`."""
    writer = Writer(state, RUN)
    began = NOW - 200
    writer.transition(
        Event(Kind.RUN_STARTED, "Run started: 4 steps on 3 servers.", ts=began),
        writer.add_run(action="run", state="running", created=began, started=began, percent=12.0, left_s=110.0),
        *(
            writer.add_step(step, host, stage="00", title=title, runner=runner, position=at, state="pending", minutes=m)
            for at, (step, title, runner, m) in enumerate(STEPS)
            for host in ("", *HOSTS)
        ),
    )
    _step(writer, "00/10", began + 1, began + 21, State.SUCCEEDED)
    step = "00/20"
    writer.transition(
        Event(Kind.STEP_STARTED, f"{step} SSH keys: started on s1, s2, s3", step=step, ts=began + 22),
        writer.set_step(step, "", state="running", started=began + 22),
        *(writer.set_step(step, host, state="running", started=began + 22) for host in HOSTS),
    )
    for number in range(lines):
        host = HOSTS[number % 3]
        writer.line(Event(Kind.LINE, f"line {number + 1} of the key exchange", step=step, host=host, ts=began + 23))
    if ending == "running":
        _host(writer, step, "s1", State.SUCCEEDED, began + 30)
    elif ending == "failed":
        _fail(writer, step, began + 40)
    else:
        for host in HOSTS:
            _host(writer, step, host, State.SUCCEEDED, began + 30)
        writer.transition(
            Event(Kind.STEP_FINISHED, f"{step} SSH keys: done.", step=step, ts=began + 41),
            writer.set_step(step, "", state="succeeded", finished=began + 41, changed=3),
        )
        _step(writer, "00/30", began + 42, began + 50, State.SUCCEEDED)
        _step(writer, "00/40", began + 51, began + 140, State.SUCCEEDED)
        writer.transition(
            Event(Kind.RUN_FINISHED, "Run done, 9 changed.", ts=began + 141),
            writer.set_run(state="succeeded", finished=began + 141, percent=100.0, left_s=None, changed=9),
        )
    writer.close()


def _step(writer: Writer, step: str, started: float, finished: float, state: State) -> None:
    writer.transition(
        Event(Kind.STEP_STARTED, f"{step} started", step=step, ts=started),
        writer.set_step(step, "", state="running", started=started),
    )
    for host in HOSTS:
        _host(writer, step, host, state, finished)
    writer.transition(
        Event(Kind.STEP_FINISHED, f"{step} done.", step=step, ts=finished),
        writer.set_step(step, "", state=str(state), finished=finished, changed=3),
    )


def _host(writer: Writer, step: str, host: str, state: State, ts: float) -> None:
    writer.transition(
        Event(Kind.HOST_FINISHED, step=step, host=host, data={"state": str(state), "changed": 1}, ts=ts),
        writer.set_step(step, host, state=str(state), finished=ts, changed=1),
    )


def _fail(writer: Writer, step: str, ts: float) -> None:
    reason = "No space left on device: /home/admin/.ssh/authorized_keys"
    writer.line(
        Event(Kind.LINE, "write failed: No space left on device", step=step, host="s2", level=Level.ERROR, ts=ts)
    )
    for host, state in (("s1", State.SUCCEEDED), ("s2", State.FAILED), ("s3", State.SUCCEEDED)):
        writer.transition(
            Event(
                Kind.HOST_FINISHED,
                step=step,
                host=host,
                data={"state": str(state), "changed": 0, "reason": reason if state is State.FAILED else ""},
                ts=ts,
            ),
            writer.set_step(step, host, state=str(state), finished=ts, reason=reason if host == "s2" else ""),
        )
    writer.transition(
        Event(Kind.STEP_FINISHED, f"{step} SSH keys: failed on s2.", step=step, level=Level.ERROR, ts=ts + 1),
        writer.set_step(
            step,
            "",
            state="failed",
            finished=ts + 1,
            reason=f"s2: {reason}",
            say="The disk of a server is full.",
            do='["See what fills it: df -h /; sudo du -xh --max-depth=2 / | sort -h | tail", "Make room"]',
        ),
    )
    writer.transition(
        Event(Kind.RUN_FINISHED, "Run failed.", level=Level.ERROR, ts=ts + 2),
        writer.set_run(state="failed", finished=ts + 2, percent=30.0, left_s=None),
    )
