"""`roost devices` and `roost tokens`: the devices of users, how far each is, and what they log in with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from roost_admin.api import AdminApi
    from roost_protocol.admin.devices import DeviceChanged, DeviceRow, TokenRow


class Shorthand(click.Group):
    """A group of verbs in which `list` may be left out: `roost devices alice`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["list", *args]
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
        """The verbs, and what `list` could be followed by."""
        (names,) = (parameter for parameter in self.commands["list"].params if isinstance(parameter, click.Argument))
        return [*super().shell_complete(ctx, incomplete), *names.shell_complete(ctx, incomplete)]


@click.group("devices", cls=Shorthand)
def devices() -> None:
    """Devices of a user: how far each is, and what it would lose; forget one.

    \b
    Example:
        roost devices alice
    """


@devices.command("list")
@click.argument("user")
@asks_broker
def list_(api: "AdminApi", user: str, as_json: bool) -> None:
    """List the devices of USER; the word `list` may be left out.

    CURSOR is what the device has acknowledged, LAG how many entries that is behind the inbox, OLDEST for how long the
    first of them has waited. LOSES is what retention would take before the device has it, if it came by now.

    \b
    Example:
        roost devices list alice
        roost devices list alice --json
    """
    from roost_admin.output import show_document
    from roost_protocol.admin.devices import DEVICES_LIST

    listed = api.ask(DEVICES_LIST, user)
    if as_json:
        show_document(listed)
    else:
        show_devices(listed.devices, f"{user} has no devices yet")


@devices.command("forget")
@click.argument("user")
@click.argument("device")
@asks_broker
def forget(api: "AdminApi", user: str, device: str, as_json: bool) -> None:
    """Forget the DEVICE of USER: its session ends, its cursor and its token go.

    If it logs in again, it is a new device.

    \b
    Example:
        roost devices forget alice phone-5f2c
    """
    from roost_protocol.admin.devices import DEVICES_FORGET

    _say_changed(api.ask(DEVICES_FORGET, user, device), "is forgotten", as_json)


@click.group("tokens")
def tokens() -> None:
    """Tokens that devices log in with: list, revoke."""


@tokens.command("list")
@click.option("--user", metavar="NAME", help="Only those of this user.")
@asks_broker
def list_tokens(api: "AdminApi", user: str | None, as_json: bool) -> None:
    """List the devices that have a token. The token itself is known to the device alone.

    \b
    Example:
        roost tokens list
        roost tokens list --user alice
    """
    from roost_admin.columns import Column
    from roost_admin.output import show_listing
    from roost_protocol.admin.devices import TOKENS_LIST, TokenQuery

    rows = api.rows(TOKENS_LIST, lambda page: page.tokens, query=TokenQuery(user=user))
    columns = [Column("USER"), Column("DEVICE"), Column("TERMINAL"), Column("LAST SEEN", whole=True), Column("ONLINE")]
    when_empty = "no device has a token" if user is None else f"no device of {user} has a token"
    show_listing("tokens", rows, columns, _token_cells, when_empty, as_json=as_json)


@tokens.command("revoke")
@click.argument("user")
@click.argument("device")
@asks_broker
def revoke(api: "AdminApi", user: str, device: str, as_json: bool) -> None:
    """Revoke the token of the DEVICE of USER, and end its session: it has to log in with a password again.

    \b
    Example:
        roost tokens revoke alice phone-5f2c
    """
    from roost_protocol.admin.devices import TOKENS_REVOKE

    _say_changed(api.ask(TOKENS_REVOKE, user, device), "has no token any more", as_json)


def show_devices(rows: "Sequence[DeviceRow]", when_empty: str = "no devices") -> None:
    """Print devices as a table."""
    from roost_admin.columns import Column
    from roost_admin.output import show_table

    columns = [Column("DEVICE"), Column("TERMINAL"), Column("ONLINE"), Column("LAST SEEN", whole=True)]
    columns += [Column("CURSOR", right=True), Column("HEAD", right=True, spare=3), Column("LAG", right=True)]
    columns += [Column("OLDEST", right=True, spare=4), Column("LOSES", right=True)]
    columns += [Column("EPOCH", right=True, spare=2), Column("CLIENT", spare=1)]
    show_table(columns, [_cells(row) for row in rows], when_empty)


def _cells(row: "DeviceRow") -> list[str]:
    import time

    from roost_admin.output import local_time, time_span

    online = f"from {row.address}" if row.online else "-"
    oldest = "-" if row.oldest_at is None else time_span(time.time_ns() // 1_000_000 - row.oldest_at)
    loses = f"{row.loses} ({row.loses_by})" if row.loses else "-"
    epoch = "-" if row.epoch is None else str(row.epoch)
    numbers = [str(row.cursor), str(row.head), str(row.lag)]
    return [row.device, row.terminal, online, local_time(row.last_seen), *numbers, oldest, loses, epoch, row.client]


def _token_cells(row: "TokenRow") -> list[str]:
    from roost_admin.output import local_time

    return [row.user, row.device, row.terminal, local_time(row.last_seen), "yes" if row.online else "-"]


def _say_changed(changed: "DeviceChanged", what: str, as_json: bool) -> None:
    from roost_admin.failures import say
    from roost_admin.output import show_document

    if as_json:
        show_document(changed)
        return
    ended = "; its session was ended" if changed.logged_out else ""
    say(f"{changed.user}: {changed.device} {what}{ended}")
