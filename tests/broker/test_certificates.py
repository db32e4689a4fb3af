"""Certificates are read when the broker starts and when it is told to; a bad one is refused with what is wrong."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from msgspec.structs import replace

from broker.certifying import Authority, Issued
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
    certificates.read()()
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
        certificates.read()()
    assert shown_to_a_device(certificates) == "broker.example TLSv1.3"


def test_old_versions_of_tls_are_not_spoken(tmp_path: Path) -> None:
    assert Certificates(issue(tmp_path)).context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_key_alone_is_a_mistake() -> None:
    with pytest.raises(Unfit, match=r"tls.key is of use only with tls.certificate"):
        Config(tls=TlsConfig(key="key.pem"))


# --- certificates of devices --------------------------------------------------------------------------------------


def asking(folder: Path, authority: Authority, **more: Any) -> TlsConfig:
    return replace(issue(folder), client_certificates="required", client_ca=str(authority.write()), **more)


def shown_to_the_broker(certificates: Certificates, issued: Issued | None, version: str = "TLSv1_3") -> Any:
    """What the broker learns of a device's certificate. Raises ssl.SSLError if it does not let it in."""
    device_context = ssl.create_default_context()
    AUTHORITY.configure_trust(device_context)
    device_context.check_hostname = False
    device_context.maximum_version = ssl.TLSVersion[version]
    if issued is not None:
        device_context.load_cert_chain(issued.certificate, issued.key)
    to_device, to_broker = ssl.MemoryBIO(), ssl.MemoryBIO()
    device = device_context.wrap_bio(to_device, to_broker)
    broker = certificates.device_context().wrap_bio(to_broker, to_device, server_side=True)
    for _ in range(3):
        for side in (device, broker):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return broker.getpeercert()


def common_name(certificate: Any) -> str:
    return str(certificate["subject"][0][0][1])


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_a_certificate_of_a_device_is_asked_for(tmp_path: Path, version: str) -> None:
    authority = Authority(tmp_path)
    certificates = Certificates(asking(tmp_path, authority))
    assert common_name(shown_to_the_broker(certificates, authority.issue("alice"), version)) == "alice"
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shown_to_the_broker(certificates, None, version)


def test_it_may_be_left_out_where_it_is_accepted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificates = Certificates(replace(asking(tmp_path, authority), client_certificates="accepted"))
    assert shown_to_the_broker(certificates, None) is None
    assert common_name(shown_to_the_broker(certificates, authority.issue("alice"))) == "alice"
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):  # a bad one is worse than none
        shown_to_the_broker(certificates, Authority(tmp_path).issue("alice"))


def test_it_is_not_asked_for_where_it_is_off_nor_of_admins(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert shown_to_the_broker(Certificates(issue(tmp_path)), authority.issue("alice")) is None
    assert Certificates(asking(tmp_path, authority)).context().verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("mode", ["accepted", "required"])
def test_who_is_not_let_in(tmp_path: Path, mode: str) -> None:
    authority = Authority(tmp_path)
    certificates = Certificates(replace(asking(tmp_path, authority), client_certificates=mode))
    namesake = Authority(tmp_path)  # of the same name, with another key
    for issued in (
        namesake.issue("alice"),
        authority.issue("alice", lasts=timedelta(days=-1)),
        authority.issue("alice", for_server=True),
    ):
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            shown_to_the_broker(certificates, issued)


def test_the_authorities_of_the_system_sign_nobody_in(tmp_path: Path) -> None:
    assert Certificates(asking(tmp_path, Authority(tmp_path))).device_context().cert_store_stats()["x509"] == 1


def test_what_is_revoked_is_not_let_in_once_the_list_is_read(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    alice, bob = authority.issue("alice"), authority.issue("bob")
    certificates = Certificates(asking(tmp_path, authority))
    assert common_name(shown_to_the_broker(certificates, alice)) == "alice"
    authority.write(revoked=[alice.serial])
    certificates.read()()
    with pytest.raises(ssl.SSLError, match="certificate revoked"):
        shown_to_the_broker(certificates, alice)
    assert common_name(shown_to_the_broker(certificates, bob)) == "bob"


def test_the_authorities_are_read_again(tmp_path: Path) -> None:
    old, new = Authority(tmp_path), Authority(tmp_path, "Another Authority")
    certificates = Certificates(asking(tmp_path, old))
    alice = new.issue("alice")
    with pytest.raises(ssl.SSLError):
        shown_to_the_broker(certificates, alice)
    new.write()
    certificates.read()()
    assert common_name(shown_to_the_broker(certificates, alice)) == "alice"
    with pytest.raises(ssl.SSLError):
        shown_to_the_broker(certificates, old.issue("alice"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "tls.client_ca = .*authority.pem: No such file"),
        (b"", "tls.client_ca = .*it is a PEM file of the authorities"),
        (b"hello", "tls.client_ca = .*it is a PEM file of the authorities"),
        ("of a device", "tls.client_ca = .*holds no authority's certificate"),
    ],
)
def test_unfit_authorities_are_said_and_change_nothing(tmp_path: Path, content: bytes | str | None, why: str) -> None:
    authority = Authority(tmp_path)
    certificates = Certificates(asking(tmp_path, authority))
    alice = authority.issue("alice")
    path = tmp_path / "authority.pem"
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else alice.certificate.read_bytes())
    with pytest.raises(ConfigurationError, match=why):
        certificates.read()
    assert common_name(shown_to_the_broker(certificates, alice)) == "alice"


def test_no_tickets_are_handed_out(tmp_path: Path) -> None:
    """What a ticket holds of a certificate would outlive its revocation."""
    context = Certificates(asking(tmp_path, Authority(tmp_path))).device_context()
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET
