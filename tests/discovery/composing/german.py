"""A host whose tools print German whatever LC_ALL says: wrappers in its PATH set the language again."""

from __future__ import annotations

from . import printing
from .hardware import Host


def german(host: Host) -> Host:
    """The same host, with what coreutils, util-linux, sed and sudo have in German; it wants a password for sudo."""
    header = "Dateisystem    Typ           1B-Blöcke      Benutzt      Verfügbar Kapazität Eingehängt auf\n"
    kernel = "dmesg: Lesen des Kernelpuffers fehlgeschlagen: Die Operation ist nicht erlaubt"
    plan = "/etc/netplan/50-cloud-init.yaml"
    return host.but(sudo=1, changes={
        "df": (header + printing.df(host).split("\n", 1)[1], "", 0),
        "secure-boot": (
            "", "od: /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c: Datei oder Verzeichnis "
            "nicht gefunden", 1,
        ),
        "sudo": ("", "sudo: Ein Passwort ist notwendig", 1),
        "kernel-log": ("", kernel, 1),
        "netplan": (
            "# 50-cloud-init.yaml\n",
            f"sed: kann {plan} nicht lesen: Keine Berechtigung\n{plan}: Permission denied", 1,
        ),
    })  # fmt: skip
