"""Hosts: which of them are this machine, so that nobody else can listen in between."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether an address, or the name `localhost`, is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
