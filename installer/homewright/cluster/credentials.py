"""The program of a kubeconfig that signs us in (an exec plugin, client.authentication.k8s.io).

It is run here and not by the official client, which lets it take as long as it likes, gives it the terminal of the
wizard, keeps its reason to itself and writes its keys to a disk.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import Any

from homewright.cluster.kubeconfig import SECRET, Kubeconfig, KubeconfigError
from homewright.errors import visible

PROGRAM_S = 60.0
"""How long it may take: it asks a provider over the network, and nobody is there to answer its questions."""


@dataclass(frozen=True)
class Credential:
    """Who we are: by a token, or by a certificate with its key."""

    token: str = field(repr=False, default="")
    certificate_pem: bytes = field(repr=False, default=b"")
    key_pem: bytes = field(repr=False, default=b"")


def ask(config: Kubeconfig) -> Credential:
    """What the kubeconfig's program says. Raises KubeconfigError with the program's own words where it fails."""
    wanted = config.execution
    if wanted.get("interactiveMode") == "Always":
        raise _failed(config, "It asks at a terminal, and there is none for it here.")
    version = str(wanted.get("apiVersion", ""))
    said = _run(config, {"apiVersion": version, "kind": "ExecCredential", "spec": _spec(config)})
    try:
        document = json.loads(said)
        status = document["status"]
        found = Credential(
            token=str(status.get("token") or ""),
            certificate_pem=str(status.get("clientCertificateData") or "").encode(),
            key_pem=str(status.get("clientKeyData") or "").encode(),
        )
        version_said = str(document.get("apiVersion"))
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not chained and not shown: half of it may be a token.
        raise _failed(config, "What it prints is no ExecCredential.") from None
    if version_said != version:
        raise _failed(config, f"It answers in {version_said}, and the kubeconfig says {version or 'no version'}.")
    if not found.token and not (found.certificate_pem and found.key_pem):
        raise _failed(config, "It gives neither a token nor a certificate with its key.")
    return found


def _spec(config: Kubeconfig) -> dict[str, Any]:
    spec: dict[str, Any] = {"interactive": False}
    if config.execution.get("provideClusterInfo"):
        spec["cluster"] = {"server": config.server, "insecure-skip-tls-verify": config.unverified}
        if config.ca_pem:
            spec["cluster"]["certificate-authority-data"] = base64.b64encode(config.ca_pem).decode()
        if config.server_name:
            spec["cluster"]["tls-server-name"] = config.server_name
    return spec


def _run(config: Kubeconfig, told: dict[str, Any]) -> str:
    wanted = config.execution
    own = {str(one["name"]): str(one["value"]) for one in wanted.get("env") or () if "name" in one and "value" in one}
    try:
        # In a session of its own it has no terminal to ask at, and is ended with all that it has started.
        process = subprocess.Popen(
            [config.program, *map(str, wanted.get("args") or ())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(told)},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        hint = str(wanted.get("installHint") or "")
        raise _failed(config, f"It cannot be started: {getattr(error, 'strerror', None) or error}. {hint}") from error
    with process:
        try:
            said, complained = process.communicate(timeout=PROGRAM_S)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise _failed(config, f"It was ended after {PROGRAM_S:.0f} s without an answer.") from None
            raise
    if process.returncode != 0:
        raise _failed(config, f"It ended with {process.returncode}: {complained.strip()[-400:] or 'without a word'}")
    return said


def _failed(config: Kubeconfig, why: str) -> KubeconfigError:
    return KubeconfigError(
        f"The kubeconfig's program {visible(config.program)} does not sign us in.",
        visible(why).strip(),
        [
            f"try it here: {visible(config.program)}",
            f"or give a kubeconfig with a token or a certificate: homewright site secret set {SECRET}",
        ],
    )
