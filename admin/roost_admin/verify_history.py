"""`roost verify-history`: the oracle, on a history that was recorded."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from roost_admin.failures import EX_DATAERR, EX_NOINPUT, Failure
from roost_admin.options import json_option

if TYPE_CHECKING:
    from roost.oracle import Verdict


@click.command("verify-history")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def verify_history(context: click.Context, file: Path, as_json: bool) -> None:
    """Check a recorded history (newline-delimited JSON) against every promise; exit status 1 if one was broken.

    \b
    Example:
        roost demo --keep run && roost verify-history run/history.ndjson
    """
    from roost.oracle import judge, load
    from roost_admin.output import show_document

    try:
        verdict = judge(load(file))
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}", EX_NOINPUT) from error
    except ValueError as error:
        raise Failure(str(error), EX_DATAERR) from error
    if as_json:
        show_document(verdict)
    else:
        for line in verdict_lines(verdict):
            click.echo(line)
    context.exit(0 if verdict.passed else 1)


def verdict_lines(verdict: "Verdict") -> list[str]:
    """The verdict for a person: what was broken, or what was looked at."""
    from roost_admin.cells import printable

    lines = [f"{violation.promise} broken: {printable(violation.text)}" for violation in verdict.violations]
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in verdict.figures.items())
    lines.append(f"looked at: {counts}")
    broken = sorted({violation.promise for violation in verdict.violations})
    lines.append("verdict: pass" if verdict.passed else f"verdict: FAIL ({', '.join(broken)})")
    return lines
