"""The answers about network, GPUs, instances and platform: what the wizard asks after the servers are known.

An answer that is None is planning's to propose; what it proposes, and why, is shown before anything is done.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from homewright.site.values import (
    Address,
    Cidr,
    Email,
    HostName,
    Model,
    PciAddress,
    SignInName,
    ZeroTierNetwork,
)


class Overlay(Model):
    """A network across the internet that the servers and their users join."""

    kind: Literal["none", "zerotier"] = "none"
    """`none`: the LAN alone; `zerotier`: an account's network is joined (its API token is a secret)."""
    network_id: ZeroTierNetwork | None = None
    """ZeroTier's network id."""
    range: Cidr | None = None
    """The addresses of the overlay; by default a free range is proposed."""


class NetworkSettings(Model):
    """All address ranges of the site. They may have any prefix and must never overlap."""

    lan: Cidr | None = None
    """The network that the servers are in; by default the one of their addresses."""
    gateway: Address | None = None
    """The way out of the LAN; by default the servers' own default route."""
    resolvers: tuple[Address, ...] = ()
    """DNS servers that the platform's own forwards to; by default those that the servers use now."""
    lxd: Cidr | None = None
    """The network of LXD's instances; by default a free range is proposed."""
    pods: Cidr | None = None
    """The cluster's pods; by default 10.1.0.0/16 (MicroK8s' own) where that is free."""
    services: Cidr | None = None
    """The cluster's service addresses; every workspace takes one, so by default a free /16 is proposed."""
    load_balancer: Cidr | None = None
    """Addresses of the LAN that the cluster may give to load balancers; by default none are taken without a word."""
    overlay: Overlay = Overlay()
    proxy: str | None = Field(default=None, pattern=r"^https?://[^\s@]+$")
    """An HTTP proxy that the servers need for the internet, without a password."""


class GpuChoice(Model):
    """What becomes of one GPU."""

    host: HostName
    """The server that it is in."""
    address: PciAddress
    """Its full PCI address."""
    use: Literal["containers", "passthrough", "desktop"]
    """`containers`: the server's containers share it; `passthrough`: a virtual machine gets it; `desktop`: kept."""
    instance: HostName | None = None
    """The instance that gets it, where it is passed through."""


class Reserve(Model):
    """What every server keeps for itself."""

    cpu: Annotated[int, Field(ge=0, le=1024)] = 4
    """Logical processors."""
    memory: Annotated[int, Field(ge=0, le=1_000_000)] = 8
    """GiB."""
    disk: Annotated[int, Field(ge=0, le=1_000_000)] = 50
    """GiB."""


class Instance(Model):
    """One LXD instance: a node of the cluster."""

    name: HostName
    """What it is called."""
    host: HostName
    """The server that it runs on."""
    role: Literal["control-plane", "worker"] = "worker"
    """What it is in the cluster."""
    cpu: Annotated[int, Field(ge=2, le=1024)] = 4
    """Logical processors; at least 2."""
    memory: Annotated[int, Field(ge=2, le=1_000_000)] = 8
    """GiB; at least 2."""
    disk: Annotated[int, Field(ge=20, le=1_000_000)] = 50
    """GiB; at least 20."""
    address: Address | None = None
    """Its fixed address; by default the next free one of LXD's range."""


class InstanceSettings(Model):
    """The LXD instances that become the cluster's nodes."""

    kind: Literal["virtual-machine", "container"] | None = None
    """By default a virtual machine where every server can run one, else a container."""
    storage: Literal["zfs", "btrfs", "lvm", "dir"] | None = None
    """What LXD keeps them in, on all servers alike; by default the best that every server's LXD can use."""
    reserve: Reserve = Reserve()
    nodes: tuple[Instance, ...] | None = None
    """All of them; by default one on each server is proposed."""
    gone: tuple[HostName, ...] = ()
    """Instances that are taken away with all that is in them, which is nowhere else; any other stays until named."""


class Tls(Model):
    """Who vouches for the platform's addresses."""

    issuer: Literal["private-ca", "letsencrypt"] = "private-ca"
    """`private-ca`: the site's own; `letsencrypt`: by DNS-01 at Cloudflare (its API token is a secret)."""
    email: Email | None = None
    """Where Let's Encrypt writes to."""


class Administrator(Model):
    """Who administers the platform."""

    name: SignInName = "admin"
    """The name to sign in with."""
    email: Email | None = None
    """Where the platform's services write to."""


OptionalService = Literal[
    "jupyterhub",
    "prometheus",
    "awx",
    "mlflow",
    "qdrant",
    "valkey",
    "pgadmin",
    "knative",
    "opensearch",
    "ollama",
    "litellm",
]
"""What can be added to the platform (platform.md's last row)."""


class PlatformSettings(Model):
    """The cluster and what runs on it."""

    cluster: Literal["microk8s", "kubeadm", "existing"] | None = None
    """By default MicroK8s where every server has snaps, else kubeadm; `existing` is reached by a kubeconfig."""
    nodes: Literal["instances", "servers"] = "instances"
    """Whether LXD instances or the servers themselves are the nodes."""
    tls: Tls = Tls()
    administrator: Administrator = Administrator()
    optional: tuple[OptionalService, ...] = ()
    """The optional services that are wanted."""


class Acceptance(Model):
    """A warning that somebody has looked at and accepted."""

    check: str
    """The check's id."""
    subjects: tuple[str, ...] = ()
    """The server, or the two servers, that it was about; none for one about the site."""
    reason: Annotated[str, Field(min_length=3, max_length=500)]
    """Why it is acceptable here."""
    measured: str = ""
    """What was measured then: a later, other value asks again."""


class RunSettings(Model):
    """How runs go about their work."""

    side_by_side: Annotated[int, Field(ge=1, le=32)] = 4
    """How many steps may be at work at the same time, where they do not depend on one another."""
    pause_before_risks: bool = False
    """Pause before every step that reboots servers or could lock you out, until you let the run continue."""
    revert_minutes: Annotated[float, Field(gt=0, le=120)] | None = None
    """How long a server waits before it takes a step back that could lock you out; by default what the step says."""


class NotifySettings(Model):
    """Who is told when a step has failed or a run has ended, and nobody looks."""

    command: tuple[str, ...] = ()
    """A command, word by word, run without a shell for at most ten seconds; what happened is JSON on its input."""
    bell: bool = True
    """Ring the terminal's bell where somebody has the run on the screen or is attached to it."""
