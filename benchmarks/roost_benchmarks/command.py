"""`roost bench`: workloads against a running broker, and the floor of a disk. Loaded when it is asked for.

The verbs themselves need nothing but click; what a workload needs beyond that is loaded when it runs.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct

from roost_admin.failures import (
    EX_CONFIG,
    EX_IOERR,
    EX_NOINPUT,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    EX_USAGE,
    Failure,
    say,
)
from roost_admin.options import Place, json_option, place, place_options, socket_path

if TYPE_CHECKING:
    from roost_benchmarks.against import Where
    from roost_benchmarks.progress import Progress
    from roost_benchmarks.result import Run
    from roost_benchmarks.target import Target

MOST_ROUNDS: Final = 5_000
BODY_BYTES_MAX: Final = 131_072
"""As `Limits.body_bytes_max` is by default."""

WINDOW_MAX: Final = 256
"""As `Limits.publish_max` is by default: a device with more unsettled publishes is refused."""

Function = Callable[..., None]
Work = Callable[["Target", "Progress"], "Run"]


class Output(Struct, frozen=True, kw_only=True):
    """Where the result goes, beside the terminal."""

    as_json: bool
    csv: Path | None
    hdr: Path | None


_DIRECTORY = click.Path(path_type=Path, file_okay=False, exists=True)
_FILE = click.Path(path_type=Path, dir_okay=False)

_OPTIONS: Final = (
    click.option("--connect", metavar="HOST:PORT", help="Where devices connect. [what its admin API says]"),
    click.option("--users", type=_FILE, metavar="FILE", help="Accounts, `user:password` lines. [new ones are made]"),
    click.option("--save-users", type=_FILE, metavar="FILE", help="Keep the accounts that are made, for --users."),
    click.option("--temporary", is_flag=True, help="Start a broker for this run, on a temporary folder."),
    click.option("--folder", type=_DIRECTORY, metavar="DIR", help="The disk for --temporary. [of temporary files]"),
    click.option("--csv", type=_FILE, metavar="FILE", help="Write the result as CSV too."),
    click.option(
        "--hdr", type=_FILE, metavar="FILE", help="Write the HDR histogram: .hlog an interval log, else a table."
    ),
)  # fmt: skip


def loads_broker(function: Function) -> Function:
    """Make a command of a function that takes `where` and `output` first: the options that all workloads share."""

    def run(context: click.Context, data: Path | None, socket: Path | None, **values: Any) -> None:
        from roost_benchmarks.against import Where

        if values["temporary"] and (values["connect"] or values["users"] or values["save_users"]):
            raise click.UsageError("--temporary starts a broker with accounts of its own: no --connect, no --users.")
        if values["folder"] and not values["temporary"]:
            raise click.UsageError("--folder is for the broker that --temporary starts.")
        names = ("connect", "users", "save_users", "temporary", "folder")
        where = Where(
            socket=socket_path(place(context, Place(data, socket))), **{name: values.pop(name) for name in names}
        )
        output = Output(as_json=values.pop("as_json"), csv=values.pop("csv"), hdr=values.pop("hdr"))
        with needs_extra():
            function(where, output, **values)

    functools.update_wrapper(run, function)
    command = json_option(place_options(click.pass_context(run)))
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@contextmanager
def needs_extra() -> Iterator[None]:
    """Turn a package that is missing into what to install. Raises Failure."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("hdrh", "matplotlib"):
            raise
        raise Failure("this needs packages of its own: pip install 'roost[bench]'", EX_CONFIG) from error


def number(
    name: str, default: int, text: str, *, least: int = 1, most: int | None = None
) -> Callable[[Function], Function]:
    """An option with a whole number."""
    return click.option(name, type=click.IntRange(least, most), default=default, show_default=True, help=text)


def body_option(function: Function) -> Function:
    """Add `--body-bytes`."""
    return number("--body-bytes", 128, "In each message.", most=BODY_BYTES_MAX)(function)


def duration_option(function: Function) -> Function:
    """Add `--duration`."""
    kind = click.FloatRange(0.1, 24 * 3600)
    text = "Seconds to measure, after a second of warming up."
    return click.option("--duration", type=kind, default=10.0, show_default=True, help=text)(function)


def rate_option(default: float, text: str) -> Callable[[Function], Function]:
    """`--rate`, in messages a second."""
    kind = click.FloatRange(0, 1_000_000)
    return click.option("--rate", type=kind, default=default, show_default=bool(default), metavar="N", help=text)


@click.command("pairs")
@number("--pairs", 10, "Pairs of users, each with one who sends.")
@number("--devices", 2, "Devices of each user.", most=7)
@number("--window", 16, "Messages in flight for each pair.", most=WINDOW_MAX)
@rate_option(0.0, "Messages/s over all pairs, sent whatever becomes of them, instead of a window.")
@body_option
@duration_option
@loads_broker
def pairs(
    where: "Where", output: Output, pairs: int, devices: int, window: int, rate: float, body_bytes: int, duration: float
) -> None:
    """Users who write to each other, on several devices each.

    A message is complete when every device of the receiver and every other one of the sender has it. With --rate the
    latency is from the moment at which a message was due, so that no stall is hidden.

    \b
    Example:
        roost bench pairs --temporary
        roost bench pairs --rate 2000 --duration 60 --hdr pairs.hgrm
        roost bench pairs --connect broker.example:7300 --users users.txt --json
    """
    from roost_benchmarks.workloads import pairs as workload

    options = workload.PairsOptions(
        pairs=pairs, window=window, rate_per_s=rate, devices=devices, body_bytes=body_bytes, duration_s=duration
    )
    perform("pairs", where, output, options.users, lambda target, shown: workload.run(target, options, shown))


@click.command("group")
@number("--members", 50, "Who get the message, besides the sender.")
@number("--devices", 2, "Devices of each member.", most=7)
@body_option
@duration_option
@loads_broker
def group(where: "Where", output: Output, members: int, devices: int, body_bytes: int, duration: float) -> None:
    """One sender and a group, one message at a time: how long until the last device has it.

    The next message is sent when the one before is everywhere, so that the figure is of one fan-out alone.

    \b
    Example:
        roost bench group --members 500 --temporary
    """
    _fan_out("group", where, output, members, devices, body_bytes, duration, 0.0)


@click.command("fanout")
@number("--devices", 100, "Devices in all that get each message: half as many users, two devices each.", least=2)
@rate_option(10.0, "Messages/s.")
@body_option
@duration_option
@loads_broker
def fanout(where: "Where", output: Output, devices: int, rate: float, body_bytes: int, duration: float) -> None:
    """One sender at a fixed rate, and many devices: how long until the last of them has a message.

    A user has few devices, so that many of them are those of a group: --devices / 2 members, two devices each. The
    latency is from the moment at which a message was due.

    \b
    Example:
        roost bench fanout --devices 1000 --rate 5 --temporary
    """
    if not rate:
        raise click.UsageError("--rate must be more than 0; `roost bench group` sends one message after the other.")
    _fan_out("fanout", where, output, -(-devices // 2), 2, body_bytes, duration, rate)


def _fan_out(
    title: str,
    where: "Where",
    output: Output,
    members: int,
    devices: int,
    body_bytes: int,
    duration: float,
    rate: float,
) -> None:
    import secrets

    from roost_benchmarks.accounts import PREFIX, TAG_BYTES
    from roost_benchmarks.workloads import group as workload

    options = workload.GroupOptions(
        group=f"{PREFIX}{secrets.token_hex(TAG_BYTES)}", members=members, devices=devices, body_bytes=body_bytes,
        rate_per_s=rate, duration_s=duration, messages=MESSAGES_MAX,
    )  # fmt: skip
    perform(title, where, output, options.users, lambda target, shown: workload.run(target, options, shown))


MESSAGES_MAX: Final = 10_000_000
"""More than there can be: the duration ends a run."""


@click.command("idle")
@number("--devices", 1_000, "Devices that log in and do nothing.", least=2)
@loads_broker
def idle(where: "Where", output: Output, devices: int) -> None:
    """Devices that are logged in and do nothing: what each of them costs the broker in memory.

    The broker has to run on this machine, for its memory is looked at here. Four devices for each user.

    \b
    Example:
        roost bench idle --devices 10000 --temporary
    """
    from roost_benchmarks.workloads import idle as workload

    options = workload.IdleOptions(devices=devices)
    perform("idle", where, output, options.users, lambda target, shown: workload.run(target, options, shown))


@click.command("catchup")
@number("--entries", 10_000, "Messages that are waiting.")
@click.option("--round-trip", type=click.FloatRange(0, 10_000), default=0.0, metavar="MS", help="Delay the link. [0]")
@body_option
@loads_broker
def catchup(where: "Where", output: Output, entries: int, round_trip: float, body_bytes: int) -> None:
    """A device logs in behind a long backlog: how fast it gets all of it.

    One user writes the backlog first. With --round-trip the device is behind a proxy that delays every byte by half of
    it in either direction. Accounts from --users must have no messages yet.

    \b
    Example:
        roost bench catchup --entries 100000 --temporary
        roost bench catchup --round-trip 50
    """
    from roost_benchmarks.workloads import catchup as workload

    options = workload.CatchupOptions(entries=entries, round_trip_ms=round_trip, body_bytes=body_bytes)
    perform("catchup", where, output, options.users, lambda target, shown: workload.run(target, options, shown))


@click.command("storm")
@number("--devices", 200, "Devices that reconnect at once, each of a user of its own.")
@number("--backlog", 3, "Messages that are waiting for each.", least=0, most=200)
@loads_broker
def storm(where: "Where", output: Output, devices: int, backlog: int) -> None:
    """Many devices reconnect at once, as after a restart: how long until all of them are live.

    Each logs in with its password first, to get a device token, and comes back with that. The latency is from
    connecting to being logged in. Accounts from --users must have no messages yet.

    \b
    Example:
        roost bench storm --devices 5000 --temporary
    """
    from roost_benchmarks.workloads import storm as workload

    options = workload.StormOptions(devices=devices, backlog=backlog)
    perform("storm", where, output, options.users, lambda target, shown: workload.run(target, options, shown))


def perform(title: str, where: "Where", output: Output, users: int, work: Work) -> None:
    """Run a workload, and show what came of it. Raises Failure with the status of what went wrong."""
    from roost_benchmarks import against, screen
    from roost_benchmarks.dialects.port import BrokenPromise

    with against.target(where, users) as target:
        try:
            with screen.shown(title) as shown:
                run = work(target, shown)
        except BrokenPromise as error:
            raise Failure(f"the run does not count: {error}", EX_SOFTWARE) from error
        except RuntimeError as error:
            raise Failure(str(error), EX_USAGE) from error
        except OSError as error:
            raise Failure(f"{title} broke off: {error}", EX_UNAVAILABLE) from error
    _write(run, output)
    _show(run, output)
    if not run.counts:
        raise Failure(f"the run does not count: {run.refusal}", EX_TEMPFAIL)


def _write(run: "Run", output: Output) -> None:
    from roost_benchmarks.latency import Latency
    from roost_benchmarks.result import to_csv

    try:
        if output.csv is not None:
            output.csv.write_text(to_csv([run]), "utf-8")
        if output.hdr is not None and run.hdr is None:
            say(f"{run.name} has no latencies: nothing for {output.hdr}")
        elif output.hdr is not None and run.hdr is not None:
            Latency.decoded(run.hdr).write(output.hdr, tag=run.name, length_s=run.seconds)
    except OSError as error:
        raise Failure(f"cannot write {error.filename}: {error.strerror}", EX_IOERR) from error


def _show(run: "Run", output: Output) -> None:
    from roost_admin.columns import Column
    from roost_admin.output import show_document, show_table
    from roost_benchmarks.result import shown_number

    if output.as_json:
        show_document(run)
        return
    rows = [[_plain(name), shown_number(value)] for name, value in run.figures.items()]
    rows += [[f"latency {name}", f"{value:.3f} ms"] for name, value in (run.latency_ms or {}).items()]
    if run.process is not None:
        rows.append(["broker", f"{run.process.cpu_share:.0%} of a core, {run.process.rss_anon_bytes / 2**20:.1f} MiB"])
    rows.append(["generator", f"{run.generator.cpu_share:.0%} of a core"])
    rows.append(["checked", f"{run.oracle.entries_checked:,} deliveries, none missing, none doubled"])
    show_table([Column("WHAT"), Column("MEASURED", right=True)], rows, "")


def _plain(name: str) -> str:
    return f"{name.removesuffix('_per_s')}/s".replace("_", " ") if name.endswith("_per_s") else name.replace("_", " ")


@click.command("disk")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option("--body-bytes", type=click.IntRange(1, 131_072), default=128, show_default=True, help="In each message.")
@click.option(
    "--rounds", type=click.IntRange(10, MOST_ROUNDS), default=200, show_default=True, help="Commits of each size."
)
@json_option
def disk(folder: Path, body_bytes: int, rounds: int, as_json: bool) -> None:
    """Measure what FOLDER allows a broker, before anyone deploys on it.

    Commits of 1, 16 and 256 messages, by the code and with the records of the broker, each of them durable, and the
    sync of 4 KiB that no commit can do without. Takes a few seconds; everything is removed again.

    \b
    Example:
        roost bench disk /var/lib/roost
        roost bench disk /mnt/card --json | jq .messages_per_s_at_most
    """
    from roost_admin.output import show_document
    from roost_benchmarks import screen
    from roost_benchmarks.disk import measured

    if not folder.is_dir():
        raise Failure(f"{folder} is not a folder", EX_NOINPUT)
    try:
        with screen.shown(f"disk {folder}") as shown:
            found = measured(
                folder, body_bytes=body_bytes, rounds=rounds, progress=lambda done: shown.update(done, "commits")
            )
    except OSError as error:
        raise Failure(f"cannot measure {folder}: {error}", EX_IOERR) from error
    if as_json:
        show_document(found)
        return
    _show_disk(found.folder, found.file_system, found.figures, found.messages_per_s_at_most)
    click.echo()
    for sentence in found.expect:
        click.echo(click.wrap_text(sentence, 100))


def _show_disk(folder: str, file_system: str, figures: dict[str, float], at_most: dict[str, float]) -> None:
    from roost_admin.columns import Column
    from roost_admin.output import show_table

    click.echo(f"{folder} ({file_system})\n")
    titles = {"fdatasync": "sync of 4 KiB", "commit_1": "commit of 1 message"}
    titles |= {f"commit_{size}": f"commit of {size} messages" for size in at_most if size != "1"}
    rows = []
    for name, title in titles.items():
        per_s = at_most.get(name.removeprefix("commit_"))
        p50, p99 = figures[f"{name}_ms"], figures[f"{name}_p99_ms"]
        rows.append([title, f"{p50:.3f} ms", f"{p99:.3f} ms", "-" if per_s is None else f"{per_s:,.0f}"])
    columns = [Column("WHAT"), Column("P50", right=True), Column("P99", right=True), Column("MESSAGES/S", right=True)]
    show_table(columns, rows, "")


VERBS: dict[str, click.Command] = {verb.name or "": verb for verb in (pairs, group, fanout, catchup, idle, storm, disk)}
"""In the order in which `roost bench --help` has them."""
