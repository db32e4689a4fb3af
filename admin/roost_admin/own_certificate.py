"""The certificate that a command shows to the broker as a device does, where the broker asks for one."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from roost_admin.failures import EX_NOINPUT, Failure

if TYPE_CHECKING:
    import ssl

Function = TypeVar("Function", bound=Callable[..., Any])


class OwnCertificate(NamedTuple):
    """PEM files of a certificate and of its key, which may be in the same."""

    certificate: Path
    key: Path | None

    def load_into(self, context: "ssl.SSLContext") -> None:
        """Have it shown on connections of this context. Raises Failure."""
        try:
            context.load_cert_chain(self.certificate, self.key, password=lambda: "")  # nobody is asked for one
        except OSError as error:  # ssl.SSLError is one
            files = f"--cert {self.certificate}, --key {self.key or self.certificate}"
            raise Failure(f"{files}: {error.strerror or error}", EX_NOINPUT) from error


def certificate_options(function: Function) -> Function:
    """Add `--cert` and `--key`; `own_certificate` makes one of them."""
    path = click.Path(path_type=Path)
    text = "PEM file of its key, without a password. [default: it is in the file of --cert]"
    function = click.option("--key", type=path, metavar="FILE", help=text)(function)
    text = "PEM file of a certificate to show to the broker, as devices do."
    return click.option("--cert", type=path, metavar="FILE", help=text)(function)


def own_certificate(cert: Path | None, key: Path | None) -> OwnCertificate | None:
    """What was given; None if nothing was. Raises click.UsageError."""
    if cert is None:
        if key is not None:
            raise click.UsageError("--key goes with --cert")
        return None
    return OwnCertificate(cert, key)
