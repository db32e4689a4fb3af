"""What `roost top` says, in words and tables."""

import pytest

from admin.intervals import DEVICE_ID, QUERY, busy
from roost_admin.top_view import amount, items, latency, rate, span, summary, tables
from roost_protocol.admin.top import TopLatency, TopThrottled


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.04, "0.0"), (9.96, "10.0"), (10.2, "10"), (1_234_567.8, "1,234,568")]
)
def test_amounts(value: float, shown: str) -> None:
    assert amount(value) == shown
    assert rate(value) == f"{shown}/s"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.25, "0.2 s"),
        (3, "3 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (7_199, "120 min"),
        (7_200, "2 h"),
        (172_799, "48 h"),
        (172_800, "2 d"),
        (8_640_000, "100 d"),
    ],
)
def test_spans(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


def test_latencies() -> None:
    assert latency(TopLatency(count=1, p50_s=0.00066, p99_s=0.0123)) == "p50 0.66 ms, p99 12 ms"
    assert latency(TopLatency(count=0)) == "-"


def test_everything_of_an_interval_is_told() -> None:
    told = dict(items(busy(), QUERY))
    assert told["sessions"] == "12,000 (phone 8,000, pc 4,000)"
    assert told["publishes"] == "58,000/s, refused 0/s"
    assert told["in"] == "2.0 MiB/s"
    assert told["commit"] == "-"
    assert "most deliveries first" in told["at"]
    assert summary(busy(), QUERY).rows[1] == ["connections", "12,345"]
    throttled = TopThrottled(by="admin_address", who="192.0.2.1", failures=10, refused=1_234, wait_s=60)
    users, devices, slow, flapping, guessing = tables(busy(2, throttled=(throttled,)), QUERY)
    assert guessing.rows == [["admin address", "192.0.2.1", "10", "1,234", "1 min"]]
    assert len(tables(busy(2), QUERY)) == 4, "nothing is said of throttling where there is none"
    assert users.rows[0][1:] == ["2", "5.2", "1,234", "0", "1,000,000"]
    assert devices.rows[0][1:3] == ["phone", DEVICE_ID]
    assert [row[-2:] for row in slow.rows] == [["62 min", "window full"], ["-", "window full"]]
    assert flapping.rows[0][2:] == ["-", "6", "3", "-"]
    for table in (users, devices, slow, flapping, guessing):
        assert {len(row) for row in table.rows} == {len(table.columns)}
