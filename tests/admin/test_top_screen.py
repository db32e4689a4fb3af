"""How `roost top` is drawn on terminals of any size. What it does to a real one is in `test_top`."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from admin.intervals import DEVICE_ID, QUERY, busy
from roost_admin.cells import cell_width
from roost_admin.columns import Column
from roost_admin.top_screen import AROUND_TABLE_LINES, ROWS_MIN, View, packed, room
from roost_admin.top_view import Item, Table
from roost_protocol.admin.top import Top, TopUser


def lines_of(now: Top | None, columns: int, height: int) -> list[str]:
    """What stands on a terminal of this size."""
    view = View(QUERY)
    view.now = now
    console = Console(file=io.StringIO(), width=columns, height=height, force_terminal=True, color_system=None)
    console.print(view)
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize(("columns", "height"), [(80, 24), (80, 50), (120, 40), (200, 30), (200, 60), (40, 10)])
@pytest.mark.parametrize("rows", [0, 1, 10])
def test_it_is_as_wide_as_the_terminal_and_no_wider(columns: int, height: int, rows: int) -> None:
    for line in lines_of(busy(rows), columns, height):
        assert cell_width(line) <= columns


@pytest.mark.parametrize(("columns", "height"), [(80, 40), (200, 24), (200, 60)])
def test_it_is_as_high_as_the_terminal_and_no_higher(columns: int, height: int) -> None:
    lines = lines_of(busy(10), columns, height)
    assert len(lines) <= height
    assert sum(line.startswith("user-0-") for line in lines) == (4 if columns == 80 else 2), "every table is there"


def test_on_a_wide_terminal_two_tables_stand_side_by_side() -> None:
    title = next(line for line in lines_of(busy(3), 200, 40) if "busiest users" in line)
    assert "busiest devices, by deliveries" in title
    title = next(line for line in lines_of(busy(3), 80, 40) if "busiest users" in line)
    assert "busiest devices" not in title


def test_names_give_way_and_numbers_do_not() -> None:
    row = next(line for line in lines_of(busy(1), 80, 60) if DEVICE_ID[:5] in line and "window full" in line)
    assert "1,000,000" in row
    assert "4,096" in row
    assert "62 min" in row
    assert "…" in row


def test_what_is_not_there_takes_one_line() -> None:
    lines = lines_of(busy(0), 80, 24)
    assert "slowest devices  none" in lines
    assert "TAKEOVERS" not in "\n".join(lines)


def test_before_the_first_interval_it_says_how_to_leave() -> None:
    (line,) = lines_of(None, 80, 24)
    assert "q quits" in line


def test_names_cannot_steer_the_terminal() -> None:
    evil = TopUser(user="\x1b[2Jx", sessions=1, publishes=1, deliveries=1, acknowledgements=1, backlog=0)
    seen = "\n".join(lines_of(busy(0), 80, 24)) + "\n".join(lines_of(replace(busy(0), users=(evil,)), 80, 24))
    assert "\x1b[2J" not in seen
    assert "\\x1b[2Jx" in seen


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
