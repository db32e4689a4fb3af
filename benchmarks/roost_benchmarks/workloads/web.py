"""W10, web: W3 with devices over TCP, over WebSocket, or over WebSocket in JSON; the suite alternates.

*Mixed*: each member has a device over TCP and one over WebSocket, and each kind has its own figures.
"""

from pathlib import Path
from typing import Final, Literal

from msgspec import Struct, structs

from roost_benchmarks.brokers.port import free_port
from roost_benchmarks.brokers.roost import Roost
from roost_benchmarks.dialects.port import Dialect
from roost_benchmarks.dialects.websocket import BinaryDialect, JsonDialect, MixedDialect
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Run
from roost_benchmarks.workloads import group
from roost_benchmarks.workloads.group import GroupOptions
from roost_benchmarks.workloads.pairs import TERMINALS

Form = Literal["tcp", "websocket", "json", "mixed"]
FORMS: Final[tuple[Form, ...]] = ("tcp", "websocket", "json", "mixed")
OVER_TCP, OVER_WEBSOCKET = TERMINALS[:2]


class WebOptions(Struct, frozen=True, kw_only=True):
    """W10."""

    form: Form = "websocket"
    devices: int = 1_000
    """Members' devices, two for each member."""
    body_bytes: int = 128
    messages: int = 100


def run(folder: Path, options: WebOptions, progress: Progress) -> Run:
    """One run; see `group.run`."""
    fan_out = group.for_devices(options.devices, GroupOptions(body_bytes=options.body_bytes, messages=options.messages))
    port = free_port()
    users = [f"user{number}" for number in range(fan_out.users)]
    with Roost(toml=f'web_listen = "127.0.0.1:{port}"\n').start(folder, users) as started:
        target, parts = started, group.ALL
        if options.form == "mixed":
            parts = {"tcp": (OVER_TCP,), "websocket": (OVER_WEBSOCKET,)}
            addresses = {OVER_WEBSOCKET: ("127.0.0.1", port)}
            target = structs.replace(started, dialect=MixedDialect(OVER_WEBSOCKET), addresses=addresses)
        elif options.form != "tcp":
            dialect: Dialect = BinaryDialect() if options.form == "websocket" else JsonDialect()
            target = structs.replace(started, dialect=dialect, address=("127.0.0.1", port))
        measured = group.run(target, fan_out, progress, parts)
    return structs.replace(
        measured, workload="W10", name="web", options={"form": options.form, "devices": options.devices}
    )
