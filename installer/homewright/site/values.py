"""What a value of site.yaml may be: the types that the models are made of. Each says in words what it wants."""

from __future__ import annotations

import ipaddress
import re
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
PLAIN_FOLDER = re.compile(r"(/[A-Za-z0-9._-]+)+")
"""A folder whose path may stand in a unit's lists of paths."""
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_POWERFUL = frozenset(
    {"root", "adm", "sudo", "wheel", "shadow", "disk", "docker", "lxd", "incus", "libvirt", "kvm", "microk8s", "mem",
     "kmem", "tty", "staff", "systemd-journal"}
)  # fmt: skip
"""Groups whose members become root, or see what is not theirs."""
_HOST_KEY = re.compile(r"(SHA256:[A-Za-z0-9+/]{43}|(ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2})( .*)?")


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(
            "must be lowercase letters, digits and hyphens, and start with a letter (MicroK8s refuses others)"
        )
    return value


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError("is no Linux user name")
    return value


def _ipv4(value: str) -> str:
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        raise ValueError("must be an IPv4 address, such as 192.168.1.10") from None
    return value


def _host_key(value: str) -> str:
    if not _HOST_KEY.fullmatch(value.strip()):
        raise ValueError("must be a fingerprint (SHA256:…) or a public host key (ssh-ed25519 AAAA…)")
    return value.strip()


def _zone(value: str) -> str:
    if (
        len(value) > 253
        or not all(_LABEL.fullmatch(part) or part.isdigit() for part in value.split("."))
        or "." not in value
    ):
        raise ValueError("must be a domain with at least two labels, such as home.internal")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/") or ".." in PurePosixPath(value).parts or value == "/":
        raise ValueError("must be an absolute folder other than /")
    return value.rstrip("/")


def _plain_folder(value: str) -> str:
    if not PLAIN_FOLDER.fullmatch(value):
        raise ValueError("may have letters, digits and ._- in its names: systemd gives other characters a meaning")
    return value


def harmless_group(value: str) -> str:
    """A group whose members get nothing but the shared folders. Raises ValueError."""
    if value in _POWERFUL:
        raise ValueError("gives more than the shared folders: name a group of its own")
    return value


def _bundle(value: str) -> str:
    if value != "official" and not value.startswith(("/", "~/")):
        raise ValueError("must be `official`, or a path that begins with / or ~/")
    return value


def _instance_image(value: str) -> str:
    server, _, image = value.partition("#")
    if server.startswith("https://") and len(server) > len("https://") and image and not any(map(str.isspace, value)):
        return value
    if value.startswith(("/", "~/")):
        return value
    raise ValueError("must look like https://images.example.org/releases#24.04, or be a path that begins with / or ~/")


InstanceImage = Annotated[str, AfterValidator(_instance_image)]
HostName = Annotated[str, AfterValidator(_label)]
UserName = Annotated[str, AfterValidator(_user)]
Address = Annotated[str, AfterValidator(_ipv4)]
HostKey = Annotated[str, AfterValidator(_host_key)]
Zone = Annotated[str, AfterValidator(_zone)]
AbsoluteFolder = Annotated[str, AfterValidator(_absolute)]
PlainFolder = Annotated[str, AfterValidator(_absolute), AfterValidator(_plain_folder)]
Bundle = Annotated[str, AfterValidator(_bundle)]


def _cidr(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value, strict=True)
    except ValueError:
        try:
            inside = ipaddress.IPv4Network(value, strict=False)
        except ValueError:
            raise ValueError("must be an IPv4 range with its prefix, such as 192.168.1.0/24") from None
        if "/" not in value:
            raise ValueError("must be an IPv4 range with its prefix, such as 192.168.1.0/24") from None
        raise ValueError(f"is an address inside a range: the range itself is {inside}") from None
    if "/" not in value:
        raise ValueError("must be an IPv4 range with its prefix, such as 192.168.1.0/24")
    return str(network)


def _pci_address(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", value):
        raise ValueError("must be a full PCI address in lowercase, such as 0000:01:00.0")
    return value


def _nic(value: str) -> str:
    if not re.fullmatch(r"[^\s/:]{1,15}", value) or value in (".", ".."):
        raise ValueError("must be the name of a network interface, such as enp3s0")
    return value


def _email(value: str) -> str:
    if len(value) > 254 or not re.fullmatch(
        r"[^@\s]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}", value
    ):
        raise ValueError("must be an e-mail address, such as you@example.org")
    return value


def _sign_in_name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9._-]{0,31}", value):
        raise ValueError("must be lowercase letters, digits and . _ -, beginning with a letter, 32 at most")
    return value


def _zerotier_network(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{16}", value):
        raise ValueError("must be ZeroTier's network id: 16 hexadecimal digits in lowercase")
    return value


Cidr = Annotated[str, AfterValidator(_cidr)]
"""An IPv4 range; host bits are refused, because they are nearly always a typing mistake."""
PciAddress = Annotated[str, AfterValidator(_pci_address)]
NicName = Annotated[str, AfterValidator(_nic)]
Email = Annotated[str, AfterValidator(_email)]
SignInName = Annotated[str, AfterValidator(_sign_in_name)]
ZeroTierNetwork = Annotated[str, AfterValidator(_zerotier_network)]


class Model(BaseModel):
    """Frozen, and strict about unknown fields: a typing mistake in site.yaml is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def misfit(path: tuple[str | int, ...], reason: str) -> PydanticCustomError:
    """Two answers that do not fit together, blamed on the one at `path`."""
    return PydanticCustomError("misfit", "{reason}", {"reason": reason, "path": path})
