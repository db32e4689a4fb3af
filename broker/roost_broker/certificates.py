"""The certificate that listeners show, and whose certificates they take: read at the start and at each reload."""

import ssl
from collections.abc import Callable
from pathlib import Path

from roost_broker.config import ConfigurationError, TlsConfig


class Certificates:
    """Contexts for each new connection. Raises ConfigurationError if they cannot be made of what is configured."""

    def __init__(self, config: TlsConfig) -> None:
        self._config = config
        self._context = tls_context(config)
        self._device_context = device_context(config)
        self.expires_s = expires_s(config)
        """When the certificate ends: Unix time."""

    def context(self) -> ssl.SSLContext:
        """As of now, for those who are not asked for a certificate; connections that were made before keep theirs."""
        return self._context

    def device_context(self) -> ssl.SSLContext:
        """The same for devices, who may have certificates of their own."""
        return self._device_context

    def read(self) -> Callable[[], None]:
        """Read the files again; what is returned puts them in force. Raises ConfigurationError."""
        context, for_devices, expires = tls_context(self._config), device_context(self._config), expires_s(self._config)

        def adopt() -> None:
            self._context, self._device_context, self.expires_s = context, for_devices, expires

        return adopt


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """What listeners need to speak TLS 1.2 or newer. Raises ConfigurationError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    _readable("tls.certificate", config.certificate)
    _readable("tls.key", config.key or config.certificate)
    try:
        context.load_cert_chain(config.certificate, config.key or None, password=_no_password)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"tls.certificate = {config.certificate}, tls.key = {config.key or config.certificate}: {_text(error)}; "
            "they are PEM files, of the certificate with those of its issuers below it, and of its key without a "
            "password"
        ) from error
    return context


def device_context(config: TlsConfig) -> ssl.SSLContext:
    """The same for the listeners of devices: it asks for their certificates, if they may have any.

    The configured authorities are trusted, and no others, not those of the system. Where their file has revocation
    lists, a certificate must not be on that of its issuer. No tickets are handed out, in which a certificate would go
    on after it was revoked: what TLS 1.2 resumes all the same is forgotten with the context, and so at each reload.
    """
    context = tls_context(config)
    if config.client_certificates == "off":
        return context
    _readable("tls.client_ca", config.client_ca)
    try:
        context.load_verify_locations(config.client_ca)
    except ssl.SSLError as error:
        raise _unfit_authorities(config, _text(error)) from error
    if not context.cert_store_stats()["x509_ca"]:
        raise _unfit_authorities(config, "holds no authority's certificate")
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an authority may itself be signed by one not trusted here
    if context.cert_store_stats()["crl"]:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    context.verify_mode = ssl.CERT_REQUIRED if config.client_certificates == "required" else ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def expires_s(config: TlsConfig) -> float:
    """When the certificate that is shown ends (Unix time). Raises ConfigurationError."""
    from cryptography.x509 import load_pem_x509_certificates  # 50 ms that nobody without TLS has to wait for

    try:
        first, *_ = load_pem_x509_certificates(Path(config.certificate).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"tls.certificate = {config.certificate}: {error}") from error
    return first.not_valid_after_utc.timestamp()


def _unfit_authorities(config: TlsConfig, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"tls.client_ca = {config.client_ca}: {what}; it is a PEM file of the authorities that sign certificates of "
        "devices, and of their revocation lists, if they have any"
    )


def _readable(key: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"{key} = {path}: {error.strerror or error}") from error


def _text(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")


def _no_password() -> str:
    """Nobody is there to type one: OpenSSL would ask on the terminal."""
    return ""
