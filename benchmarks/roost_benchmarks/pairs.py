"""Workload W1: A's phone sends to B; a message is complete when both of B's devices and A's other one hold it.

    python -m roost_benchmarks.pairs --pairs 20 --window 64 --seconds 10

A closed loop: each sender keeps `window` messages in flight and sends the next when one is complete. Every message is
committed with fsync before anybody is told of it. The result is printed as JSON, with what it was measured on, the
generator's own share of a core, and the floor: the commit of the same records by the same code with nothing around it.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from roost_benchmarks import floor, machine
from roost_benchmarks.broker_process import PASSWORD, RunningBroker, create_users, running
from roost_benchmarks.load import Device, Loop, Publisher

STALL_S = 60
GENERATOR_BOUND = 0.9
"""A generator that used more of its core than this was the bottleneck; the run says so."""


class Pair:
    """A's phone, and the three devices that complete a message."""

    def __init__(self, broker: RunningBroker, number: int, window: int, body_bytes: int) -> None:
        self.a, self.b = f"a{number}", f"b{number}"
        self.sender = Device(broker.address, self.a, "phone", PASSWORD)
        self.receivers = [
            Device(broker.address, self.a, "pc", PASSWORD),
            Device(broker.address, self.b, "phone", PASSWORD),
            Device(broker.address, self.b, "pc", PASSWORD),
        ]
        self._publisher = Publisher(f"user/{self.b}", body_bytes)
        self._window = window
        self._sent_at: deque[int] = deque()
        self.complete = 0
        self.sending = False
        self.latencies_ns: list[int] = []
        for device in self.receivers:
            device.on_delivered = self._delivered

    @property
    def devices(self) -> list[Device]:
        """All four."""
        return [self.sender, *self.receivers]

    @property
    def in_flight(self) -> int:
        """Sent, not complete."""
        return self._publisher.n - self.complete

    def start(self) -> None:
        """Fill the window."""
        self.sending = True
        self._send(self._window)

    def _send(self, count: int) -> None:
        now = time.perf_counter_ns()
        self._sent_at.extend([now] * count)
        self.sender.send(self._publisher.frames(count))

    def _delivered(self) -> None:
        """Only A writes to B: the k-th entry of each device is the k-th message."""
        first, second, third = self.receivers
        done = min(first.delivered, second.delivered, third.delivered) - self.complete
        if done <= 0:
            return
        now = time.perf_counter_ns()
        pop = self._sent_at.popleft
        self.latencies_ns.extend([now - pop() for _ in range(done)])
        self.complete += done
        if self.sending:
            self._send(done)


def percentile(ordered: list[int], share: float) -> float:
    """In milliseconds, of ascending nanoseconds."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6


def measure(broker: RunningBroker, pairs_count: int, window: int, body_bytes: int, seconds: float) -> dict[str, Any]:
    """One run. Raises BrokenPromise when an entry is missed or doubled."""
    create_users(broker, [f"{side}{number}" for number in range(pairs_count) for side in "ab"])
    pairs = [Pair(broker, number, window, body_bytes) for number in range(pairs_count)]
    loop = Loop([device for pair in pairs for device in pair.devices])
    for pair in pairs:
        pair.start()
    _run_for(loop, min(2.0, seconds / 4))  # until caches are warm
    for pair in pairs:
        pair.latencies_ns.clear()
    broker_cpu, own_cpu, begin = machine.cpu_s(broker.pid), time.process_time(), time.perf_counter()
    before = sum(pair.complete for pair in pairs)
    _run_for(loop, seconds)
    elapsed = time.perf_counter() - begin
    messages = sum(pair.complete for pair in pairs) - before
    broker_share = (machine.cpu_s(broker.pid) - broker_cpu) / elapsed
    own_share = (time.process_time() - own_cpu) / elapsed
    for pair in pairs:
        pair.sending = False
    loop.run(lambda: not any(pair.in_flight for pair in pairs), STALL_S)
    loop.close()
    latencies = sorted(latency for pair in pairs for latency in pair.latencies_ns)
    return {
        "workload": "W1",
        "pairs": pairs_count,
        "window": window,
        "body_bytes": body_bytes,
        "seconds": round(elapsed, 2),
        "messages": messages,
        "messages_per_s": round(messages / elapsed),
        "deliveries_per_s": round(3 * messages / elapsed),
        "latency_ms": {
            f"p{share * 100:g}": round(percentile(latencies, share), 3) for share in (0.5, 0.9, 0.99, 0.999)
        },
        "broker_cpu_share": round(broker_share, 2),
        "broker_cpu_us_per_message": round(broker_share * elapsed / messages * 1e6, 1),
        "broker_rss_anon_mib": round(machine.rss_anon_bytes(broker.pid) / 2**20, 1),
        "generator_cpu_share": round(own_share, 2),
        "generator_was_the_bottleneck": own_share > GENERATOR_BOUND,
        "missed_or_doubled": 0,
    }


def _run_for(loop: Loop, seconds: float) -> None:
    end = time.perf_counter() + seconds
    loop.run(lambda: time.perf_counter() >= end, seconds + STALL_S)


def main() -> None:
    """Run W1 as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--window", type=int, default=64, help="messages in flight for each pair")
    parser.add_argument("--body-bytes", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--folder", type=Path, help="where the broker's data folder is made: the disk to measure")
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    args = parser.parse_args()
    with running(args.folder) as broker:
        result = measure(broker, args.pairs, args.window, args.body_bytes, args.seconds)
    with tempfile.TemporaryDirectory(prefix="roost-floor-", dir=args.folder) as folder:
        result["floor"] = floor.commit_floor(Path(folder), args.body_bytes)
    result["durability"] = "fsync of every batch"
    result["machine"] = machine.facts()
    text = json.dumps(result, indent=2)
    print(text)
    if args.output:
        args.output.write_text(text + os.linesep)
    if result["generator_was_the_bottleneck"]:
        sys.exit("the generator was the bottleneck: this run does not count")


if __name__ == "__main__":
    main()
