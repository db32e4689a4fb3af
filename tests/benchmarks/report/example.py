"""A small report with something for every picture."""

from typing import Any

from roost_benchmarks.goals import judged
from roost_benchmarks.latency import Latency
from roost_benchmarks.result import Generator, Oracle, Process, Report, Run

FLOOR = {"commit_1_ms": 0.4, "commit_1_p99_ms": 0.9, "commit_group_ms": 4.0, "fan_out_1000_ms": 6.0, "send_us": 6.0}
PEERS = ("roost", "mosquitto", "prosody")


def run(workload: str, name: str, broker: str, figures: dict[str, float], ms: float = 0.0, **options: Any) -> Run:
    latency = Latency().record_all(int(ms * 1e6) + 5_000 * k for k in range(500)) if ms else None
    return Run(
        workload=workload,
        name=name,
        broker=broker,
        options=options,
        command=f"measure {workload} <{name}>",
        figures=figures,
        latency_ms=latency.shown_ms() if latency else None,
        hdr=latency.encoded() if latency else None,
        process=Process(cpu_share=0.9, cpu_us_per_message=20.0, rss_anon_bytes=64 << 20),
        generator=Generator.of(0.4),
        oracle=Oracle(entries_checked=1_000),
    )


def runs() -> list[Run]:
    found = [
        run("W1", "pairs", broker, {"messages_per_s": 1_000.0 * pairs}, pairs=pairs, window=pairs)
        for broker in PEERS
        for pairs in (1, 20)
    ]
    found += [run("W2", "pairs", broker, {}, 0.5, rate_per_s=rate) for broker in PEERS for rate in (500, 2_000)]
    found += [run("W3", "group", broker, {}, 9.0, members=500) for broker in PEERS[:2]]
    found += [run("W5", "idle", broker, {"memory_per_device_bytes": 9_000.0}, devices=100) for broker in PEERS]
    found += [run("growth", "users", "roost", {"cost_us_per_message": 20.0}, 1.0, users=n) for n in (100, 1_000)]
    return found


def report(found: list[Run], floor: dict[str, float] | None = None) -> Report:
    floor = FLOOR if floor is None else floor
    return Report(
        taken="2026-01-01T00:00:00Z", seconds=60.0, machine={"processor": "a <processor>", "cores": 2}, commit="abc",
        versions={"roost": "1"}, durability={"roost": "fsync"}, floor=floor, runs=found, goals=judged(found, floor),
        notes=["ejabberd & amqtt were left out"],
    )  # fmt: skip
