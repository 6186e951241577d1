"""Who the engine is to LXD: a client certificate of the site's own, made on first use and kept as a secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from homewright.site.secrets import Secrets

SECRET = "lxd/client"
"""Its name among the site's secrets: the private key and the certificate, one after the other."""
OWNER = "lxd/owner"
"""Among the secrets too: what marks the site's things in LXD, where that is not its certificate's any more."""
DAYS = 3650
"""As LXD's own client certificates: what ends it is the trust that LXD has in it."""
_SKEW = timedelta(days=1)
"""It begins this long ago: servers' clocks may be behind ours, and LXD refuses what is not valid yet."""


@dataclass(frozen=True)
class Identity:
    """A private key and its certificate."""

    key_pem: bytes = field(repr=False)
    certificate_pem: bytes
    mark: str = ""
    """What its things in LXD are marked with, where the site was taken over; else its own."""

    @classmethod
    def of(cls, secrets: Secrets) -> Identity:
        """The site's; two callers get the same one. Raises StateError where the secrets cannot be used."""
        text = secrets.ensure(SECRET, make)
        key, begins, certificate = text.partition("-----BEGIN CERTIFICATE-----")
        return cls(key.encode(), f"{begins}{certificate}".encode(), secrets.get(OWNER) or "")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hexadecimal, as LXD lists it."""
        return x509.load_pem_x509_certificate(self.certificate_pem).fingerprint(hashes.SHA256()).hex()

    @property
    def owner(self) -> str:
        """What marks the site's things in LXD: half a line of the first certificate that it worked with."""
        return self.mark or self.fingerprint[:16]

    @property
    def body(self) -> str:
        """The certificate without its frame, as LXD's API takes it."""
        return "".join(line for line in self.certificate_pem.decode().split("\n") if not line.startswith("-"))


def make() -> str:
    """A new private key and its certificate, as they are kept."""
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "homewright")])
    now = datetime.now(UTC).replace(microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=DAYS))
        .sign(key, hashes.SHA384())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()
