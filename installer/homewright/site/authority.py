"""The site's private certificate authority: made on first use; its key never leaves the machine.

The root signs leaves directly (path length 0) and only for servers. It carries no name constraints: workspaces are
reached by address until stage 30 has made a zone, so the names to constrain to are not known when it is made, and a
new root would have to be trusted anew on every computer.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from homewright.errors import StateError
from homewright.site.locks import hold
from homewright.site.paths import make_folder, write_atomically

ROOT_DAYS = 3650
LEAF_DAYS = 397
"""Browsers refuse leaves of public roots above 398 days; some apply the rule to private ones too."""
_SKEW = timedelta(hours=1)
"""Certificates begin this long ago: servers' clocks may be behind ours."""


@dataclass(frozen=True)
class Leaf:
    """A server's private key and its chain: the leaf, then the root."""

    key_pem: bytes = field(repr=False)
    chain_pem: bytes

    @property
    def expires(self) -> datetime:
        """When it stops being valid (UTC)."""
        return x509.load_pem_x509_certificate(self.chain_pem).not_valid_after_utc


class Authority:
    """A private CA in a folder of its own: `ca.key` (EC P-256, 0600) and `ca.crt`."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def of(cls, folder: Path, name: str | None = None) -> Authority:
        """The authority in this folder; made there on first use, named after the site (by default the folder's).

        Raises StateError where it cannot be read or made, has expired, or key and certificate do not belong together.
        """
        if not (folder / "ca.crt").exists():  # the last that is written: from then on there is nothing to make
            make_folder(folder)
            with hold(folder / "ca.lock"):
                if not (folder / "ca.crt").exists():
                    _make(folder, name or folder.absolute().parent.name or "site")
        return cls._load(folder)

    @classmethod
    def _load(cls, folder: Path) -> Authority:
        key_file = folder / "ca.key"
        try:
            if key_file.stat().st_mode & 0o077:
                key_file.chmod(0o600)
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        except (OSError, ValueError, TypeError) as error:
            # The reason is the exception's kind alone: the text of a parser's error may quote the key.
            raise _unusable(folder, f"ca.key or ca.crt cannot be read ({type(error).__name__}).") from None
        public = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(public, ec.EllipticCurvePublicKey):
            raise _unusable(folder, "It is not one that Homewright made.")
        if key.public_key().public_numbers() != public.public_numbers():
            raise _unusable(folder, "ca.key and ca.crt do not belong together.")
        if certificate.not_valid_after_utc <= datetime.now(UTC):
            raise _unusable(folder, f"It expired on {certificate.not_valid_after_utc:%Y-%m-%d}.")
        return cls(key, certificate)

    def __repr__(self) -> str:
        return f"Authority({self.fingerprint})"

    @property
    def certificate_pem(self) -> bytes:
        """The root certificate, for whoever is to trust it."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """`SHA256:AB:CD:…` of the root certificate, as browsers show it."""
        digest = self._certificate.fingerprint(hashes.SHA256()).hex().upper()
        return "SHA256:" + ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))

    @property
    def expires(self) -> datetime:
        """When the root stops being valid (UTC)."""
        return self._certificate.not_valid_after_utc

    def issue(self, common_name: str, names: Sequence[str], addresses: Sequence[str], days: int = LEAF_DAYS) -> Leaf:
        """A key and a certificate for a TLS server reached by these DNS names and IP addresses (at least one).

        `days` is how long it is valid, cut to the root's own end. Raises ValueError on a wrong address, or no name.
        """
        subjects: list[x509.GeneralName] = [x509.DNSName(name) for name in dict.fromkeys(names)]
        subjects += [x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)]
        if not subjects:
            raise ValueError("a server certificate needs a DNS name or an address")
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC).replace(microsecond=0)
        ends = min(now + timedelta(days=days), self._certificate.not_valid_after_utc)
        issuer_key_id = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named(common_name[:64]))  # X.520's limit; what counts are the alternative names
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - _SKEW, self._certificate.not_valid_before_utc))
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return Leaf(_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM) + self.certificate_pem)


def _make(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC).replace(microsecond=0)
    subject = _named(f"Homewright {name}"[:64])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=ROOT_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    # The key first: a power loss between the two leaves no certificate, and the next call makes both anew.
    write_atomically(folder / "ca.key", _key_pem(key))
    write_atomically(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _unusable(folder: Path, why: str) -> StateError:
    return StateError(
        f"The site's certificate authority in {folder} cannot be used.",
        why,
        [
            "put back a good copy of the folder",
            "or move it away: a new one is made, to be trusted anew in every browser",
        ],
    )
