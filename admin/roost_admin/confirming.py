"""Asking for a name again before something that cannot be taken back."""

import sys

import click

from roost_admin.failures import EX_USAGE, Failure


def confirm_name(name: str, what: str) -> None:
    """Have a person type the name again. Raises Failure: another was typed, or there is no terminal to ask on."""
    if not sys.stdin.isatty():
        raise Failure(f"this {what}, and standard input is no terminal to ask on: give --yes", EX_USAGE)
    typed: str = click.prompt(f"This {what}. Type {name} to go on", err=True)
    if typed != name:
        raise Failure(f"nothing was done: {typed!r} is not {name!r}", EX_USAGE)
