"""What a node workspace is written as: its systemd unit and code-server's configuration. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from homewright.site.values import PLAIN_FOLDER
from homewright.workspaces.errors import WorkspaceError
from homewright.workspaces.template_models import NodePreset, NodeTemplate

_SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/tmp",
    "/usr", "/var/tmp",
)  # fmt: skip

PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
HIDDEN = ("/home", "/root", "/srv", "/mnt", "/media", "/opt", "/var", "/run", "/boot")
"""Empty inside a workspace, but for what is bound there: other homes, other data, every daemon's socket and state."""
CLOSED = (
    "/etc/homewright", "/etc/sudoers", "/etc/sudoers.d", "/etc/ssh", "/etc/kubernetes", "/etc/rancher", "/etc/netplan",
    "/etc/NetworkManager", "/etc/wireguard", "/etc/zerotier-one", "/snap",
)  # fmt: skip
NEEDED = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf")
"""Where /etc/resolv.conf points on one system or another."""


@dataclass(frozen=True)
class Layout:
    """Where a workspace's parts are on its node."""

    slug: str
    system_user: str
    data_root: str
    data_group: str
    bundle: str
    """Folder of its code-server."""

    @property
    def own(self) -> str:
        return f"{self.data_root}/.code-server/{self.slug}"

    @property
    def config(self) -> str:
        return f"{self.own}/config"

    @property
    def data(self) -> str:
        """Its home: settings, extensions, shell history."""
        return f"{self.own}/data"


def unit_text(
    title: str, layout: Layout, template: NodeTemplate, preset: NodePreset, mounted: Sequence[str] = ()
) -> str:
    """The unit. Every line of its sandbox was seen to work in an unprivileged container too; none of it is optional:
    where systemd cannot set one up the unit does not start, because it binds folders.

    `mounted` are the node's own ones right under the root (mounted disks): hidden as well.
    """
    environment = {**template.environment, "HOME": layout.data, "USER": layout.system_user}
    writable = [f"{layout.data_root}/{mount.folder}" for mount in template.mounts if mount.writable]
    readable = [f"{layout.data_root}/{mount.folder}" for mount in template.mounts if not mount.writable]
    hidden = [*HIDDEN, *(path for path in mounted if PLAIN_FOLDER.fullmatch(path)), layout.data_root]
    opened = f"{layout.data_root}/{template.opens}"
    return "\n".join(
        [
            "[Unit]",
            f"Description=Homewright workspace {escaped(title)}",
            "Wants=network-online.target",
            "After=network-online.target",
            f"RequiresMountsFor={layout.data_root} {layout.bundle}",
            "StartLimitIntervalSec=120",
            "StartLimitBurst=5",
            "",
            "[Service]",
            "Type=exec",
            f"ExecStart={layout.bundle}/bin/code-server --config {layout.config}/config.yaml {opened}",
            f"WorkingDirectory={opened}",
            f"User={layout.system_user}",
            f"Group={layout.system_user}",
            f"SupplementaryGroups={layout.data_group}",
            "UMask=0002",
            *(f"Environment={quoted(f'{name}={value}')}" for name, value in sorted(environment.items())),
            "# A proxy that the node's systemd hands to every service breaks the installation of extensions.",
            f"UnsetEnvironment={' '.join(name for lower in PROXIES for name in (lower, lower.upper()))}",
            "Restart=on-failure",
            "RestartSec=2",
            "TimeoutStopSec=20",
            "SendSIGHUP=yes",
            "RemoveIPC=yes",
            "",
            "# Limits; a kernel without the controllers cannot enforce them.",
            f"CPUQuota={round(preset.cpu * 100)}%",
            f"MemoryMax={preset.memory_bytes}",
            f"TasksMax={preset.tasks}",
            "LimitNOFILE=1048576:1048576",
            "",
            "# Only these folders are writable or visible.",
            "ProtectSystem=strict",
            f"TemporaryFileSystem={' '.join(f'{path}:ro' for path in hidden)}",
            f"BindPaths={' '.join((*writable, layout.data))}",
            f"BindReadOnlyPaths={' '.join((*readable, layout.config, layout.bundle))}",
            f"BindReadOnlyPaths={' '.join(f'-{path}' for path in NEEDED)}",
            f"InaccessiblePaths={' '.join(f'-{path}' for path in CLOSED)}",
            "PrivateTmp=yes",
            "PrivateDevices=yes",
            "PrivateIPC=yes",
            "ProtectProc=invisible",
            "ProtectKernelTunables=yes",
            "ProtectKernelModules=yes",
            "ProtectKernelLogs=yes",
            "ProtectControlGroups=yes",
            "ProtectClock=yes",
            "ProtectHostname=yes",
            "",
            "# No rights, and no way to new ones. RestrictSUIDSGID is not among them: it forbids the setgid bit",
            "# on folders, which copying a folder inside the shared ones sets; no program gains by such a bit here.",
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=",
            "AmbientCapabilities=",
            "KeyringMode=private",
            "LockPersonality=yes",
            "RestrictNamespaces=yes",
            "RestrictRealtime=yes",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
            "SystemCallArchitectures=native",
            "# Debuggers trace their own children.",
            "SystemCallFilter=@system-service ptrace process_vm_readv process_vm_writev",
            "SystemCallErrorNumber=EPERM",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def config_text(layout: Layout, address: str, port: int, password_hash: str) -> str:
    """code-server's config.yaml: the password is in it as an Argon2 hash only, and in no argument or environment.

    A cookie's name carries the slug, because browsers share cookies between the ports of one address.
    """
    settings: dict[str, str | bool] = {
        "bind-addr": f"{address}:{port}",
        "auth": "password",
        "hashed-password": password_hash,
        "cert": f"{layout.config}/tls.crt",
        "cert-key": f"{layout.config}/tls.key",
        "cookie-suffix": layout.slug,
        "user-data-dir": f"{layout.data}/.local/share/code-server",
        "extensions-dir": f"{layout.data}/.local/share/code-server/extensions",
        # In its private /tmp: under a long data root the default is longer than the 108 bytes of a socket's path.
        "session-socket": "/tmp/code-server-ipc.sock",
        "disable-telemetry": True,
        "disable-update-check": True,
    }
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())


def checked_path(path: str) -> str:
    """A folder that may stand in a unit's lists of paths, where spaces, colons and percent signs mean something.

    Raises WorkspaceError for others, and for system folders, which a workspace must not have as its own.
    """
    if not PLAIN_FOLDER.fullmatch(path):
        raise WorkspaceError(
            f"The folder {path!r} cannot hold workspaces.",
            "Only letters, digits and ._-/ may stand in its name: systemd gives the others a meaning.",
            ["homewright site set workspaces.data_root /srv/homewright/data"],
        )
    if any(path == folder or path.startswith(f"{folder}/") for folder in _SYSTEM):
        raise WorkspaceError(
            f"The folder {path} cannot hold workspaces.",
            "It is the system's own, or does not outlive a restart.",
            ["homewright site set workspaces.data_root /srv/homewright/data"],
        )
    return path


def escaped(text: str) -> str:
    """Text in a unit file: `%` means nothing there, and a line stays one line."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("%", "%%")


def quoted(text: str) -> str:
    """One word of a setting."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'
