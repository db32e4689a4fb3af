"""Whom a command trusts to vouch for a broker: the authorities of the system, or those in a file."""

import ssl
from pathlib import Path

from roost_admin.failures import EX_NOINPUT, Failure


def trusting(what: str, authorities: Path | None) -> ssl.SSLContext:
    """A context that trusts the authorities in this PEM file, or those of the system. Raises Failure.

    `what` names the file to whoever set it.
    """
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError as error:  # ssl.SSLError is one
        raise Failure(f"{what} {authorities}: {error.strerror or error}", EX_NOINPUT) from error
