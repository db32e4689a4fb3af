"""What `roost top` says, and how it is drawn on terminals of any size."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from roost_admin.cells import cell_width
from roost_admin.output import GAP_CELLS, Column
from roost_admin.top_screen import AROUND_TABLE_LINES, ROWS_MIN, TEXT_CELLS_MIN, View, packed, room, widths
from roost_admin.top_view import Item, Table, amount, items, latency, rate, span, summary, tables
from roost_protocol.admin.top import (
    Top,
    TopDevice,
    TopFlapping,
    TopLatency,
    TopQuery,
    TopRates,
    TopSlow,
    TopUser,
)

QUERY = TopQuery(sort="deliveries")
DEVICE_ID = "b2f5c1c0-1111-2222-3333-444455556666"


def top(rows: int = 10, **more: Any) -> Top:
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


def lines_of(now: Top | None, columns: int, height: int) -> list[str]:
    """What stands on a terminal of this size."""
    view = View(QUERY)
    view.now = now
    console = Console(file=io.StringIO(), width=columns, height=height, force_terminal=True, color_system=None)
    console.print(view)
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


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
    told = dict(items(top(), QUERY))
    assert told["sessions"] == "12,000 (phone 8,000, pc 4,000)"
    assert told["publishes"] == "58,000/s, refused 0/s"
    assert told["in"] == "2.0 MiB/s"
    assert told["commit"] == "-"
    assert "most deliveries first" in told["at"]
    assert summary(top(), QUERY).rows[1] == ["connections", "12,345"]
    users, devices, slow, flapping = tables(top(2), QUERY)
    assert users.rows[0][1:] == ["2", "5.2", "1,234", "0", "1,000,000"]
    assert devices.rows[0][1:3] == ["phone", DEVICE_ID]
    assert [row[-2:] for row in slow.rows] == [["62 min", "window full"], ["-", "window full"]]
    assert flapping.rows[0][2:] == ["-", "6", "3", "-"]
    for table in (users, devices, slow, flapping):
        assert {len(row) for row in table.rows} == {len(table.columns)}


@pytest.mark.parametrize(("columns", "height"), [(80, 24), (80, 50), (120, 40), (200, 30), (200, 60), (40, 10)])
@pytest.mark.parametrize("rows", [0, 1, 10])
def test_it_is_as_wide_as_the_terminal_and_no_wider(columns: int, height: int, rows: int) -> None:
    for line in lines_of(top(rows), columns, height):
        assert cell_width(line) <= columns


@pytest.mark.parametrize(("columns", "height"), [(80, 40), (200, 24), (200, 60)])
def test_it_is_as_high_as_the_terminal_and_no_higher(columns: int, height: int) -> None:
    lines = lines_of(top(10), columns, height)
    assert len(lines) <= height
    assert sum(line.startswith("user-0-") for line in lines) == (4 if columns == 80 else 2), "every table is there"


def test_on_a_wide_terminal_two_tables_stand_side_by_side() -> None:
    title = next(line for line in lines_of(top(3), 200, 40) if "busiest users" in line)
    assert "busiest devices, by deliveries" in title
    title = next(line for line in lines_of(top(3), 80, 40) if "busiest users" in line)
    assert "busiest devices" not in title


def test_names_give_way_and_numbers_do_not() -> None:
    row = next(line for line in lines_of(top(1), 80, 60) if DEVICE_ID[:5] in line and "window full" in line)
    assert "1,000,000" in row
    assert "4,096" in row
    assert "62 min" in row
    assert "…" in row


def test_what_is_not_there_takes_one_line() -> None:
    lines = lines_of(top(0), 80, 24)
    assert "slowest devices  none" in lines
    assert "TAKEOVERS" not in "\n".join(lines)


def test_before_the_first_interval_it_says_how_to_leave() -> None:
    (line,) = lines_of(None, 80, 24)
    assert "q quits" in line


def test_names_cannot_steer_the_terminal() -> None:
    evil = TopUser(user="\x1b[2Jx", sessions=1, publishes=1, deliveries=1, acknowledgements=1, backlog=0)
    seen = "\n".join(lines_of(top(0), 80, 24)) + "\n".join(
        lines_of(Top(**{**asdict(top(0)), "users": (evil,)}), 80, 24)
    )
    assert "\x1b[2J" not in seen
    assert "\\x1b[2Jx" in seen


def asdict(now: Top) -> dict[str, Any]:
    return {name: getattr(now, name) for name in now.__struct_fields__}


@given(
    told=st.lists(st.tuples(st.text("ab", min_size=1, max_size=12), st.text("cd ", max_size=12)), min_size=1),
    width=st.integers(30, 100),
)
def test_items_are_packed_in_their_order(told: list[tuple[str, str]], width: int) -> None:
    lines = packed([Item(*each) for each in told], width)
    assert all(line.cell_len <= width for line in lines)
    assert "   ".join(line.plain for line in lines) == "   ".join(f"{what} {now}" for what, now in told)


@given(wanted=st.lists(st.integers(0, 30), min_size=1, max_size=4), lines=st.integers(0, 80))
def test_room_is_shared_fairly(wanted: list[int], lines: int) -> None:
    shown = [Table("t", (Column("A"),), [["x"]] * want, "") for want in wanted]
    rows = room(shown, lines)
    left = lines - AROUND_TABLE_LINES * len(shown)
    least = sum(min(want, ROWS_MIN) for want in wanted)
    assert sum(rows) <= max(left, least)
    assert all(min(want, ROWS_MIN) <= have <= want for have, want in zip(rows, wanted, strict=True))
    short = [have for have, want in zip(rows, wanted, strict=True) if have < want]
    assert not short or sum(rows) >= left, "nobody goes short while there is room"
    assert not short or max(rows) <= max(min(short) + 1, ROWS_MIN), "nobody has more than one who goes short"


@given(
    cells=st.lists(st.tuples(st.text("xü日", max_size=40), st.booleans()), min_size=1, max_size=7),
    width=st.integers(20, 120),
)
def test_only_text_gives_way(cells: list[tuple[str, bool]], width: int) -> None:
    columns = [Column("T", right=right) for _, right in cells]
    texts = [text for text, _ in cells]
    found = widths(columns, [texts], width)
    for at, (have, text) in enumerate(zip(found, texts, strict=True)):
        needs = max(cell_width(text), 1)
        assert have <= needs
        if columns[at].right:
            assert have == needs
        else:
            assert have >= min(needs, TEXT_CELLS_MIN)
    fits = sum(found) + GAP_CELLS * (len(found) - 1) <= width
    assert fits or all(have <= TEXT_CELLS_MIN for have, column in zip(found, columns, strict=True) if not column.right)
