"""An authority of a test's own, that signs certificates of devices with whatever names, and revokes them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


class Issued(NamedTuple):
    """A certificate and its key, in files."""

    certificate: Path
    key: Path
    serial: int


class Authority:
    """Signs certificates; `write` puts its own, with its revocation list if there is one, into a file."""

    def __init__(self, folder: Path, name: str = "Example Authority") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key(), DAY * 3_650)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = builder.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())

    def write(self, name: str = "authority.pem", *, revoked: Sequence[int] | None = None) -> Path:
        """A file for `client_ca`; with `revoked` serial numbers, it has a revocation list."""
        path = self.folder / name
        content = self.certificate.public_bytes(Encoding.PEM)
        if revoked is not None:
            now = datetime.now(UTC)
            builder = x509.CertificateRevocationListBuilder().issuer_name(self._name)
            builder = builder.last_update(now - DAY).next_update(now + DAY)
            for serial in revoked:
                entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY).build()
                builder = builder.add_revoked_certificate(entry)
            content += builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        path.write_bytes(content)
        return path

    def issue(
        self,
        common_name: str = "alice",
        *names: x509.GeneralName,
        for_server: bool = False,
        lasts: timedelta = DAY,
    ) -> Issued:
        """A certificate for a device, or for a server; without a common name if that is empty."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
        usage = ExtendedKeyUsageOID.SERVER_AUTH if for_server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(subject, key.public_key(), lasts).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        name = f"device-{certificate.serial_number:x}"
        issued = Issued(self.folder / f"{name}.pem", self.folder / f"{name}.key", certificate.serial_number)
        issued.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        issued.key.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())  # what OpenSSL has
        )
        return issued

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, lasts: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        return (
            builder.serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + lasts)
        )
