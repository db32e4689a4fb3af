"""Certificates are read when the broker starts and when it is told to; a bad one is refused with what is wrong."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from roost_broker.certificates import Certificates
from roost_broker.config import Config, ConfigurationError, TlsConfig
from roost_protocol.limits import Unfit

AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)
END = datetime(2040, 5, 6, tzinfo=UTC)


def issue(folder: Path, name: str = "broker.example", end: datetime = END) -> TlsConfig:
    made = AUTHORITY.issue_cert(name, not_after=end)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(key)
    return TlsConfig(certificate=str(certificate), key=str(key))


def shown_to_a_device(certificates: Certificates) -> str:
    """The name in the certificate that a new connection gets, with the version of TLS."""
    device_context = ssl.create_default_context()
    AUTHORITY.configure_trust(device_context)
    device_context.check_hostname = False
    to_device, to_broker = ssl.MemoryBIO(), ssl.MemoryBIO()
    device = device_context.wrap_bio(to_device, to_broker)
    broker = certificates.context().wrap_bio(to_broker, to_device, server_side=True)
    for _ in range(3):
        for side in (device, broker):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    shown = device.getpeercert()
    assert shown is not None
    return f"{shown['subjectAltName'][0][1]} {device.version()}"


def test_a_certificate_is_shown_and_renewed(tmp_path: Path) -> None:
    certificates = Certificates(issue(tmp_path))
    assert shown_to_a_device(certificates) == "broker.example TLSv1.3"
    assert certificates.expires_s == END.timestamp()
    issue(tmp_path, "other.example", END + timedelta(days=1))
    assert shown_to_a_device(certificates) == "broker.example TLSv1.3"
    certificates.renew()
    assert shown_to_a_device(certificates) == "other.example TLSv1.3"
    assert certificates.expires_s == END.timestamp() + 86_400


def test_one_file_may_hold_both(tmp_path: Path) -> None:
    config = issue(tmp_path)
    Path(config.certificate).write_bytes(Path(config.certificate).read_bytes() + Path(config.key).read_bytes())
    assert shown_to_a_device(Certificates(TlsConfig(certificate=config.certificate))) == "broker.example TLSv1.3"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("key missing", r"tls.key = .*key.pem: No such file or directory"),
        ("certificate missing", r"tls.certificate = .*certificate.pem: No such file or directory"),
        ("no PEM", r"tls.certificate = .*no start line|tls.certificate = .*: .*; they are PEM files"),
        ("another key", r"key values mismatch; they are PEM files"),
        ("no key", r"they are PEM files, of the certificate .* and of its key without a password"),
    ],
)
def test_what_cannot_be_used_is_said_and_changes_nothing(tmp_path: Path, spoil: str, why: str) -> None:
    config = issue(tmp_path)
    certificates = Certificates(config)
    match spoil:
        case "key missing":
            Path(config.key).unlink()
        case "certificate missing":
            Path(config.certificate).unlink()
        case "no PEM":
            Path(config.certificate).write_text("hello")
        case "another key":
            AUTHORITY.issue_cert("x.example").private_key_pem.write_to_path(config.key)
        case "no key":
            Path(config.key).write_bytes(Path(config.certificate).read_bytes())
    with pytest.raises(ConfigurationError, match=why):
        Certificates(config)
    with pytest.raises(ConfigurationError, match=why):
        certificates.renew()
    assert shown_to_a_device(certificates) == "broker.example TLSv1.3"


def test_old_versions_of_tls_are_not_spoken(tmp_path: Path) -> None:
    assert Certificates(issue(tmp_path)).context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_key_alone_is_a_mistake() -> None:
    with pytest.raises(Unfit, match=r"tls.key is of use only with tls.certificate"):
        Config(tls=TlsConfig(key="key.pem"))
