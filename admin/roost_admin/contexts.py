"""`roost contexts`: names for brokers, here and elsewhere."""

from pathlib import Path

import click

from roost_admin.options import json_option


@click.group("contexts")
def contexts() -> None:
    """Names for brokers, for `roost --context NAME`: list, add, remove."""


@contexts.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the contexts.

    \b
    Example:
        roost contexts list
    """
    from msgspec import to_builtins

    from roost_admin.columns import Column
    from roost_admin.contexts_file import read_contexts
    from roost_admin.output import show_document, show_table

    known = sorted(read_contexts().items())
    if as_json:
        show_document({"contexts": [{"name": name, **to_builtins(context)} for name, context in known]})
        return
    rows = [
        [
            name,
            context.url or context.socket,
            context.token_file or "-",
            context.ca or "-",
            "yes" if context.insecure else "-",
        ]
        for name, context in known
    ]
    columns = [Column("CONTEXT"), Column("BROKER"), Column("TOKEN FILE"), Column("CA"), Column("INSECURE")]
    show_table(columns, rows, "no contexts yet; add one with `roost contexts add NAME`")


@contexts.command("add")
@click.argument("name")
@click.option("--url", metavar="URL", default="", help="Where its admin API listens: http://host:port or https://…")
@click.option(
    "--token-file", type=click.Path(path_type=Path), metavar="FILE", help="Holds the token; needed with --url."
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Trust the authorities in this PEM file, not those of the system; with an https URL.",
)
@click.option("--socket", type=click.Path(path_type=Path), metavar="PATH", help="Its admin socket, on this machine.")
@click.option("--insecure", is_flag=True, help="Send the token in the clear to another machine.")
@json_option
def add(
    name: str,
    url: str,
    token_file: Path | None,
    ca: Path | None,
    socket: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Add the context NAME, or change it.

    The token is in a file that only you may read; `roost admins add` on the broker's machine makes one.

    \b
    Example:
        roost contexts add lab --socket /run/roost/admin.sock
        roost contexts add prod --url https://a.example:7443 --token-file ~/.token
        roost contexts add b --url https://b.lan:7443 --token-file t --ca our.pem
    """
    from msgspec import to_builtins

    from roost_admin.contexts_file import Context, read_contexts, write_contexts
    from roost_admin.failures import EX_USAGE, Failure, say
    from roost_admin.output import show_document

    if not name or not name.isprintable():
        raise Failure(f"a context has a printable name, not {name!r}", EX_USAGE)
    try:
        context = Context(
            url=url,
            token_file=str(token_file.absolute()) if token_file else "",
            ca=str(ca.absolute()) if ca else "",
            socket=str(socket.absolute()) if socket else "",
            insecure=insecure,
        )
    except ValueError as error:
        raise Failure(f"{error}; give --url and --token-file, or --socket", EX_USAGE) from error
    write_contexts({**read_contexts(), name: context})
    if as_json:
        show_document({"name": name, **to_builtins(context)})
    else:
        say(f"context {name}: {url or socket}")


@contexts.command("remove")
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Remove the context NAME. The file with its token stays.

    \b
    Example:
        roost contexts remove prod
    """
    from roost_admin.contexts_file import read_contexts, unknown_context, write_contexts
    from roost_admin.failures import say
    from roost_admin.output import show_document

    known = read_contexts()
    if name not in known:
        raise unknown_context(name, known)
    write_contexts({key: context for key, context in known.items() if key != name})
    if as_json:
        show_document({"name": name})
    else:
        say(f"context {name} is gone")
