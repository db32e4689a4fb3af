"""W5, idle: many devices that are logged in and do nothing, and what each of them costs the broker in memory."""

import time
from typing import Final

from msgspec import Struct

from roost_benchmarks.loop import Loop, allow_connections
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Oracle, Run
from roost_benchmarks.target import Meter, Target
from roost_benchmarks.workloads.pairs import TERMINALS

SETTLE_S: Final = 2.0
"""After the last log-in, until memory is looked at: what was needed for the log-ins only is given back by then."""


class IdleOptions(Struct, frozen=True, kw_only=True):
    """W5."""

    devices: int = 10_000
    devices_per_user: int = 4

    @property
    def users(self) -> int:
        """Accounts that are needed."""
        return -(-self.devices // self.devices_per_user)


def run(target: Target, options: IdleOptions, progress: Progress) -> Run:
    """One run of at least two devices, the first of which is not measured.

    Raises BrokenPromise, and RuntimeError for too few devices or accounts and for a broker whose memory cannot be seen
    from here.
    """
    if not target.pids:
        raise RuntimeError("the memory of a broker on another machine cannot be seen from here")
    terminals = TERMINALS[: options.devices_per_user]
    count = allow_connections(options.devices)
    users = target.first_users(-(-count // len(terminals)))
    logins = [target.login(user, terminal) for user in users for terminal in terminals][:count]
    if count < 2:
        raise RuntimeError(f"{count} devices: at least 2 are needed, for the first is not measured")
    with Loop(target) as loop:
        loop.log_in(logins[:1])  # so that what the first one needs of the broker is not counted to it
        before = target.rss_anon_bytes()
        meter = Meter(target)
        began = time.perf_counter()
        loop.log_in(logins[1:], lambda done: progress.update(done / count, f"{done:,} of {count:,} logged in"))
        log_in_s = time.perf_counter() - began
        loop.run_for(SETTLE_S)
        process, generator = meter.stop(count - 1)
        each = (target.rss_anon_bytes() - before) / (count - 1)
        live = loop.live
    return Run(
        workload="W5",
        name="idle",
        broker=target.name,
        options={"devices": count, "devices_per_user": options.devices_per_user},
        figures={
            "memory_per_device_bytes": round(each),
            "log_ins_per_s": round((count - 1) / log_in_s, 1),
        },
        process=process,
        generator=generator,
        oracle=Oracle(entries_checked=live),
        seconds=round(meter.seconds, 2),
    )
