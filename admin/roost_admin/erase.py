"""`roost erase`: a user with all that he sent."""

from typing import TYPE_CHECKING

import click

from roost_admin.options import asks_broker, yes_option

if TYPE_CHECKING:
    from roost_admin.api import AdminApi
    from roost_protocol.admin.erase import ErasureStep


@click.command("erase")
@click.argument("user")
@yes_option
@asks_broker
def erase(api: "AdminApi", user: str, yes: bool, as_json: bool) -> None:
    """Erase USER: the account, its inbox, and every message it ever sent, in whatever inbox.

    Others keep the numbers, with nothing in them, and one notice in each conversation tells devices that have the
    messages already to drop them. Backups made before are not reached, nor the journal until it is old. Once begun, an
    erasure goes on to its end, also over a restart of the broker; the same command shows it again. With --json, every
    step is a line, and the last one the report.

    \b
    Example:
        roost erase alice
        roost erase alice --yes --json
    """
    from roost_admin.confirming import confirm_name
    from roost_admin.failures import EX_TEMPFAIL, EX_UNAVAILABLE, Failure, say
    from roost_admin.output import show_line
    from roost_admin.progress import ProgressLine
    from roost_protocol.admin.erase import ERASE

    if not yes and _has_account(api, user):
        confirm_name(user, "erases the account and every message it sent, for good")
    last = None
    with api.follow(ERASE, user) as steps, ProgressLine() as line:
        for last in steps:
            if as_json:
                show_line(last)
            elif last.step not in ("done", "stopped"):
                line.show(_progress(last))
    if last is None or last.step not in ("done", "stopped"):
        raise Failure(f"the broker went away; it goes on erasing {user} when it is back", EX_UNAVAILABLE)
    if last.step == "stopped":
        raise Failure(f"the erasure of {user} stopped: {last.text}", EX_TEMPFAIL)
    if not as_json:
        say(_report(last))
        say("backups made before have it still; the journal keeps device names, addresses and times until they are old")


def _has_account(api: "AdminApi", user: str) -> bool:
    """Whether there is something to lose: nobody is asked about a user who is not there, or half erased already."""
    from roost_admin.failures import EX_NOUSER, Failure
    from roost_protocol.admin.users import USERS_SHOW

    try:
        api.ask(USERS_SHOW, user)
    except Failure as failure:
        if failure.exit_code != EX_NOUSER:
            raise
        return False
    return True


def _progress(step: "ErasureStep") -> str:
    return f"{step.step}: {step.messages} messages, {step.conversations} conversations told"


def _report(step: "ErasureStep") -> str:
    from roost_admin.output import byte_size, counted

    told = counted(step.conversations, "conversation", "conversations")
    return (
        f"{step.user} is erased: {counted(step.messages, 'message', 'messages')} ({byte_size(step.bytes)}), "
        f"{told} told in {counted(step.inboxes, 'inbox', 'inboxes')}"
    )
