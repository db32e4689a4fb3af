"""`roost completion`, and what a shell is offered: commands and options by click, names by the broker."""

import os
from typing import TYPE_CHECKING, Any

import click

from roost_admin.options import Place, endpoint

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from roost_admin.api import AdminApi

VARIABLE = "_ROOST_COMPLETE"
"""Set by the shell when it wants to know how a line can go on."""

ASK_S = 0.5
"""Whoever presses Tab waits for this: a broker that takes longer has no names to offer."""

OFFERED_MAX = 50
"""Names offered at once."""

USERS = frozenset({"user", "other", "owner", "members", "sender", "where"})
"""Arguments and options that take names of users, by the names that the commands give them."""

GROUPS = frozenset({"group"})
"""Likewise, of groups."""

ADDRESSES = frozenset({"to", "conversation"})
"""Likewise, of either, as addresses."""

OF_USER = frozenset({"show", "passwd", "disable", "enable", "remove"})
"""The verbs of `users` whose NAME is one that is there."""

OF_GROUP = frozenset({"show", "add", "remove"})
"""Likewise, of `groups`."""


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes a SHELL complete `roost`: commands, options, and names that the broker knows.

    \b
    Example:
        eval "$(roost completion bash)"                     in ~/.bashrc
        eval "$(roost completion zsh)"                      in ~/.zshrc
        roost completion fish | source                      in config.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not known")
    made = kind(context.find_root().command, {}, "roost", VARIABLE)
    # Not the method of the subclass: for bash it runs one, to look at its version.
    click.echo(ShellComplete.source(made))


def complete_names(tree: click.Group) -> None:
    """If a shell asks how a line goes on, make every argument and option of the tree that takes a name offer some."""
    if VARIABLE not in os.environ:
        return
    _offer_names(tree, None)


def _offer_names(command: click.Command, noun: str | None) -> None:
    for parameter in command.params:
        if isinstance(parameter.type, click.types.StringParamType):
            parameter.type = _names_for(noun, command.name, parameter.name) or parameter.type
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _offer_names(each, command.name)


def _names_for(noun: str | None, verb: str | None, parameter: str | None) -> "click.ParamType[str] | None":
    """What offers names for this argument or option; None where there are none to be had."""
    named = parameter == "name"
    if parameter in USERS or (named and noun == "users" and verb in OF_USER):
        return NameOnBroker(users=True)
    if parameter in GROUPS or (named and noun == "groups" and verb in OF_GROUP):
        return NameOnBroker(groups=True)
    if parameter in ADDRESSES:
        return NameOnBroker(users=True, groups=True, as_address=True)
    if parameter == "session":
        return SessionOnBroker()
    if parameter == "context_name" or (named and noun == "contexts" and verb == "remove"):
        return ContextHere()
    return None


class ContextHere(click.ParamType[str]):
    """The name of a context; any is taken, those of this user are offered."""

    name = "text"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list["CompletionItem"]:
        """The names that begin like this; never an error."""
        from click.shell_completion import CompletionItem

        from roost_admin.contexts_file import read_contexts
        from roost_admin.failures import Failure

        del ctx, param
        try:
            names = sorted(read_contexts())
        except Failure:
            names = []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class NameOnBroker(click.ParamType[str]):
    """A name; any is taken, those that the broker has are offered."""

    name = "text"

    def __init__(self, *, users: bool = False, groups: bool = False, as_address: bool = False) -> None:
        self._users = users
        self._groups = groups
        self._as_address = as_address

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See click."""
        del param, ctx
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list["CompletionItem"]:
        """The names that begin like this, as far as a broker says some soon; never an error."""
        from click.shell_completion import CompletionItem

        from roost_admin.api import AdminApi
        from roost_admin.failures import Failure

        del param
        try:
            names = self.names(AdminApi(endpoint(ctx, _said(ctx)), ASK_S), incomplete)
        except (Failure, click.UsageError, UnicodeError):
            names = []
        return [CompletionItem(name) for name in names]

    def names(self, api: "AdminApi", incomplete: str) -> list[str]:
        """The names that begin like this. Raises Failure, and UnicodeError."""
        kinds = (("user", self._users), ("group", self._groups))
        if not self._as_address:
            return [name for kind, wanted in kinds if wanted for name in _beginning(api, kind, incomplete)]
        found: list[str] = []
        for kind, _ in kinds:
            prefix = f"{kind}/"
            if incomplete.startswith(prefix) or prefix.startswith(incomplete):
                names = _beginning(api, kind, incomplete.removeprefix(prefix) if prefix in incomplete else "")
                found += [prefix + name for name in names]
        return found


class SessionOnBroker(NameOnBroker):
    """A live session as USER/TERMINAL."""

    def names(self, api: "AdminApi", incomplete: str) -> list[str]:
        """See `NameOnBroker`."""
        from roost_protocol.admin.sessions import SESSIONS_LIST, SessionQuery

        page = api.ask(SESSIONS_LIST, query=SessionQuery(after=_just_below(incomplete), limit=OFFERED_MAX))
        names = [f"{row.user}/{row.terminal}" for row in page.sessions]
        return [name for name in names if name.startswith(incomplete)]


def _beginning(api: "AdminApi", kind: str, incomplete: str) -> list[str]:
    """Names of users or groups that begin like this. Raises Failure."""
    from roost_protocol.admin.groups import GROUPS_LIST
    from roost_protocol.admin.route import Paging
    from roost_protocol.admin.users import USERS_LIST

    page = Paging(after=_just_below(incomplete), limit=OFFERED_MAX)
    if kind == "user":
        names = [row.name for row in api.ask(USERS_LIST, query=page).users]
    else:
        names = [row.name for row in api.ask(GROUPS_LIST, query=page).groups]
    return [name for name in names if name.startswith(incomplete)]


def _just_below(prefix: str) -> str:
    """What comes before every name with this prefix, and after nearly every other that is lower (by UTF-8 bytes)."""
    if not prefix:
        return ""
    last = chr(ord(prefix[-1]) - 1) + "\U0010ffff"
    below = prefix[:-1] + last
    below.encode()  # raises UnicodeError where there is no such character; then nothing is offered
    return below


def _said(context: click.Context) -> Place:
    """Where the broker is, as far as the line so far says; options of the groups above are not applied yet."""
    found: click.Context | None = context
    while found is not None:
        given = Place(found.params.get("data"), found.params.get("socket"), found.params.get("context_name"))
        if given:
            return given
        found = found.parent
    return Place()
