"""What the demo ends with: a broker that stays, two users, and the address of the chat page."""

import signal
import socket
from pathlib import Path

import click
import trio

import roost

WEB = "127.0.0.1:7380"
"""Where the pages say that browsers find a broker."""

USERS = ("anna", "ben")

PASSWORD = "roost demo"  # noqa: S105 - said to whoever looks on; on loopback, for as long as the demo stays
"""Of both users."""

FIRST_WORDS = (("anna", "user/ben", "Hi Ben, are you there?"), ("ben", "user/anna", "Yes, on my phone."))
"""What they have said to each other when the page is opened."""


def free_web_address() -> str:
    """`WEB`, or an address with any free port if that one is taken."""
    host, _, port = WEB.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return WEB


async def stay(folder: Path) -> None:
    """Serve the pages until Ctrl-C (SIGINT, SIGTERM or SIGHUP); say where they are. Cancelling stops at once.

    Raises what a broker raises that cannot start.
    """
    broker_here = roost.Broker(
        data=str(folder / "site"),
        listen="127.0.0.1:0",
        web_listen=free_web_address(),
        web_admin=True,
        web_admin_loopback="admin",
    )
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with broker_here as broker:
            for user in USERS:
                await broker.create_user(user, PASSWORD)
            await _talk(broker.addresses[0])
            click.echo(_told(f"{broker.http_scheme}://{broker.web_address}"))
            async for _ in signals:
                break
    click.echo("the demo is over")


async def _talk(address: str) -> None:
    for user, to, text in FIRST_WORDS:
        async with roost.connect(address, user=user, password=PASSWORD, terminal="phone") as session:
            await session.publish(to, text)


def _told(url: str) -> str:
    first, second = USERS
    return f"""
Now in a browser, on this machine:
    {url}/          log in as {first}, and in another browser (or a private window) as {second}; password: {PASSWORD}
    {url}/console   sessions, inboxes and the way of each message, as an admin sees them
Ctrl-C ends it, and nothing is kept."""
