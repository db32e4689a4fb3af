"""An interval of `roost top`, for tests of what is made of it."""

from typing import Any

from roost_protocol.admin.top import Top, TopDevice, TopFlapping, TopLatency, TopQuery, TopRates, TopSlow, TopUser

QUERY = TopQuery(sort="deliveries")
DEVICE_ID = "b2f5c1c0-1111-2222-3333-444455556666"


def busy(rows: int = 10, **more: Any) -> Top:
    """A busy interval, with so many rows in each table."""
    rates = TopRates(
        publishes=58_000.4, publishes_refused=0, deliveries=174_000, acknowledgements=9.4, received_bytes=2 << 20,
        sent_bytes=3 << 20, log_ins=0.5, log_ins_refused=0, takeovers=0, commits=300,
    )  # fmt: skip
    names = [f"user-{n}-{'ü' * 30}" for n in range(rows)]
    return Top(
        time=1_700_000_000_000, interval_s=2.0, connections=12_345, sessions=12_000,
        terminals={"phone": 8_000, "pc": 4_000, "tv": 0}, rates=rates,
        send_to_deliver=TopLatency(count=9, p50_s=0.00066, p99_s=0.0123), commit=TopLatency(count=0),
        backlog=5, unacknowledged=70, slow_devices=1,
        users=tuple(
            TopUser(user=name, sessions=2, publishes=5.25, deliveries=1_234.5, acknowledgements=0, backlog=1_000_000)
            for name in names
        ),
        devices=tuple(
            TopDevice(user=name, terminal="phone", device=DEVICE_ID, publishes=1, deliveries=2, acknowledgements=3,
                      backlog=4, unacknowledged=4_096)
            for name in names
        ),
        slow=tuple(
            TopSlow(user=name, terminal="phone", device=DEVICE_ID, backlog=1_000_000, unacknowledged=4_096,
                    oldest_s=None if name.startswith("user-1-") else 3_700, full="window")
            for name in names
        ),
        flapping=tuple(
            TopFlapping(user=name, terminal="pc", device="", takeovers=6, damped=3, wait_s=None) for name in names
        ),
        **more,
    )  # fmt: skip
