"""The certificate that listeners show: read when the broker starts and when its configuration is read again."""

import ssl
from pathlib import Path

from roost_broker.config import ConfigurationError, TlsConfig


class Certificates:
    """A context for each new connection. Raises ConfigurationError if it cannot be made of what is configured."""

    def __init__(self, config: TlsConfig) -> None:
        self._config = config
        self._context = tls_context(config)
        self.expires_s = expires_s(config)
        """When the certificate ends: Unix time."""

    def context(self) -> ssl.SSLContext:
        """As of now; connections that were made before keep theirs."""
        return self._context

    def renew(self) -> None:
        """Read the files again. Raises ConfigurationError, and then everything stays as it was."""
        context, expires = tls_context(self._config), expires_s(self._config)
        self._context, self.expires_s = context, expires


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
        what = (error.reason or str(error)).lower().replace("_", " ")
        raise ConfigurationError(
            f"tls.certificate = {config.certificate}, tls.key = {config.key or config.certificate}: {what}; they are "
            "PEM files, of the certificate with those of its issuers below it, and of its key without a password"
        ) from error
    return context


def expires_s(config: TlsConfig) -> float:
    """When the certificate that is shown ends (Unix time). Raises ConfigurationError."""
    from cryptography.x509 import load_pem_x509_certificates  # 50 ms that nobody without TLS has to wait for

    try:
        first, *_ = load_pem_x509_certificates(Path(config.certificate).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"tls.certificate = {config.certificate}: {error}") from error
    return first.not_valid_after_utc.timestamp()


def _readable(key: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"{key} = {path}: {error.strerror or error}") from error


def _no_password() -> str:
    """Nobody is there to type one: OpenSSL would ask on the terminal."""
    return ""
