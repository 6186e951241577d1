"""A kubeconfig: read, its context chosen, and what it says about the cluster and about us. Pure.

The site's own is kept as a secret. It is one text with everything in it: whoever takes a site over has it whole.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from homewright.cluster import SECRET as SECRET
from homewright.errors import HomewrightError


class KubeconfigError(HomewrightError):
    """A kubeconfig that cannot be used."""

    code = "kubeconfig"
    exit_code = 2


@dataclass(frozen=True)
class Kubeconfig:
    """One context of a kubeconfig."""

    context: str
    server: str
    """The address of the API: https://ADDRESS:PORT."""
    user: str
    document: Mapping[str, Any] = field(repr=False)
    """The whole of it, with this context as the current one."""
    ca_pem: bytes = field(repr=False, default=b"")
    """Whom the API's certificate must be from; empty where the file does not say."""
    certificate_pem: bytes = field(repr=False, default=b"")
    key_pem: bytes = field(repr=False, default=b"")
    unverified: bool = False
    """Whether it says that any certificate will do."""
    program: str = ""
    """The program that signs us in, where there is one (an exec plugin)."""
    execution: Mapping[str, Any] = field(repr=False, default_factory=dict)
    """How it is run: arguments, environment, version of its answer."""
    server_name: str = ""
    """The name in the API's certificate, where it is not that of the address."""

    @property
    def expires(self) -> datetime | None:
        """When our own certificate ends; None where we have none."""
        return expiry(self.certificate_pem) if self.certificate_pem else None


def expiry(pem: bytes) -> datetime:
    """When a certificate ends. Raises ValueError where it is none."""
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def read(text: str, context: str | None = None) -> Kubeconfig:
    """One context of a kubeconfig, by default the current one.

    Raises KubeconfigError where it is none, has no such context, or points to files beside it.
    """
    try:
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise _unusable("It is no YAML.") from error
    if not isinstance(document, dict) or not isinstance(document.get("contexts"), list):
        raise _unusable("It has no contexts.")
    contexts = _named(document, "contexts", "context")
    chosen = context or document.get("current-context") or (next(iter(contexts)) if len(contexts) == 1 else "")
    if chosen not in contexts:
        known = ", ".join(contexts) or "none"
        raise KubeconfigError(
            f"The kubeconfig has no context {chosen}."
            if chosen
            else "The kubeconfig does not say which context to use.",
            f"Its contexts are: {known}.",
            ["choose one of them: homewright site set cluster.context …"],
        )
    clusters, users = _named(document, "clusters", "cluster"), _named(document, "users", "user")
    cluster = clusters.get(str(contexts[chosen].get("cluster")))
    user = users.get(str(contexts[chosen].get("user")), {})
    if cluster is None or not isinstance(cluster.get("server"), str):
        raise _unusable(f"Its context {chosen} names no cluster with an address.")
    for where in (cluster, user):
        for name in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
            if where.get(name):
                raise KubeconfigError(
                    f"The kubeconfig points to a file: {name}.",
                    "It has to stand by itself, because it is kept with the site's other secrets.",
                    [f"write it anew: kubectl config view --flatten --minify --context {chosen}"],
                )
    executed = user.get("exec") or {}
    if not isinstance(executed, dict):
        raise _unusable("Its exec is no map.")
    return Kubeconfig(
        context=chosen,
        server=cluster["server"],
        user=str(contexts[chosen].get("user", "")),
        document={**document, "current-context": chosen},
        ca_pem=_data(cluster, "certificate-authority-data"),
        certificate_pem=_data(user, "client-certificate-data"),
        key_pem=_data(user, "client-key-data"),
        unverified=bool(cluster.get("insecure-skip-tls-verify")),
        program=str(executed.get("command", "")),
        execution=executed,
        server_name=str(cluster.get("tls-server-name") or ""),
    )


def write(cluster: str, server: str, user: str, ca_pem: bytes, certificate_pem: bytes, key_pem: bytes) -> str:
    """A kubeconfig of one context."""
    encoded = {name: base64.b64encode(data).decode() for name, data in
               {"ca": ca_pem, "certificate": certificate_pem, "key": key_pem}.items()}  # fmt: skip
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": encoded["ca"]}}],
        "users": [
            {
                "name": user,
                "user": {"client-certificate-data": encoded["certificate"], "client-key-data": encoded["key"]},
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    }
    return json.dumps(document, indent=1) + "\n"


def led(text: str, server: str, server_name: str) -> str:
    """The kubeconfig for whoever reaches the API in another way: at `server`, with the certificate of `server_name`.

    Raises KubeconfigError as `read` does.
    """
    found = read(text)
    contexts = _named(dict(found.document), "contexts", "context")
    wanted = contexts[found.context].get("cluster")
    clusters = [
        {**one, "cluster": {**one["cluster"], "server": server, "tls-server-name": server_name}}
        if one.get("name") == wanted
        else one
        for one in found.document["clusters"]
    ]
    return json.dumps({**found.document, "clusters": clusters}, indent=1) + "\n"


def _named(document: Mapping[str, Any], many: str, one: str) -> dict[str, dict[str, Any]]:
    entries = document.get(many) or []
    if not isinstance(entries, list):
        raise _unusable(f"Its {many} are no list.")
    return {
        str(entry["name"]): dict(entry.get(one) or {})
        for entry in entries
        if isinstance(entry, dict) and "name" in entry and isinstance(entry.get(one) or {}, dict)
    }


def _data(where: Mapping[str, Any], name: str) -> bytes:
    value = where.get(name)
    if value is None:
        return b""
    try:
        data = base64.b64decode(str(value), validate=True)
        if not name.endswith("key-data"):
            x509.load_pem_x509_certificates(data)
    except (binascii.Error, ValueError):
        raise _unusable(f"Its {name} is no certificate or key.") from None  # not chained: it may hold the key
    return data


def _unusable(why: str) -> KubeconfigError:
    return KubeconfigError(
        "The kubeconfig cannot be used.", why, ["write it anew: kubectl config view --flatten --minify"]
    )
