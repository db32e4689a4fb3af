"""Tables for a width: nothing stands out of it, numbers are whole, and what was cut or left out is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_admin.cells import cell_width
from roost_admin.columns import CELLS_MIN, CUT, Column, cut, layout, natural, shrunk, total, wrapped

SESSIONS = [
    Column("USER"),
    Column("DEVICE"),
    Column("SINCE", whole=True, spare=2),
    Column("BACKLOG", right=True),
    Column("CLIENT", spare=1),
]
ROWS = [
    [
        "jürgen-müßig",
        "pc-0123456789abcdef0123456789abcdef",
        "2026-11-24 13:49:21",
        "12345678",
        "app/1.2.3 (Linux; x86)",
    ],
    ["🦉" * 20, "phone-1", "2026-11-24 13:49:21", "0", ""],
]


def shown(width: int) -> list[str]:
    laid = layout(SESSIONS, ROWS, width)
    return [line for row in ([column.title for column in SESSIONS], *ROWS) for line in laid.lines(SESSIONS, row)]


@pytest.mark.parametrize("width", [200, 140, 110, 80, 60, 40])
def test_a_row_is_one_line_within_the_width(width: int) -> None:
    lines = shown(width)
    assert len(lines) == 3
    assert max(map(cell_width, lines)) <= width
    assert "12345678" in lines[1]


def test_what_fits_is_whole() -> None:
    assert not any(CUT in line for line in shown(200))


def test_what_was_cut_says_so_and_what_can_be_spared_goes_in_its_order() -> None:
    assert CUT in "".join(shown(110))
    left_out = [layout(SESSIONS, ROWS, width).left_out(SESSIONS) for width in (200, 80, 60)]
    assert left_out == [[], ["CLIENT"], ["SINCE", "CLIENT"]]


def test_numbers_are_aligned_by_cells() -> None:
    lines = layout(SESSIONS[:4], [row[:4] for row in ROWS], 80)
    ends = {cell_width(line) for row in ROWS for line in lines.lines(SESSIONS[:4], row[:4])}
    assert len(ends) == 1


def test_prose_goes_on_below_itself() -> None:
    columns = [Column("STAGE", whole=True), Column("WHAT", prose=True)]
    row = ["certificates", "none of them are configured, and so they are skipped"]
    lines = list(layout(columns, [row], 40).lines(columns, row))
    assert lines == [
        "certificates  none of them are",
        "              configured, and so they",
        "              are skipped",
    ]


def test_on_a_pipe_everything_is_whole() -> None:
    laid = natural(SESSIONS, ROWS[:1])
    (line,) = laid.lines(SESSIONS, ["x" * 50, *ROWS[1][1:]])
    assert line.startswith("x" * 50)


@given(text=st.text("xü日 ", max_size=40), width=st.integers(1, 30))
def test_cut_and_wrapped(text: str, width: int) -> None:
    short = cut(text, width)
    assert cell_width(short) <= width
    assert short == text or (short.endswith(CUT) and text.startswith(short.removesuffix(CUT)))
    lines = wrapped(text, max(2, width))
    assert all(cell_width(line) <= max(2, width) for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(
    cells=st.lists(st.tuples(st.text("xü日", max_size=40), st.booleans()), min_size=1, max_size=7),
    width=st.integers(20, 120),
)
def test_only_names_give_way(cells: list[tuple[str, bool]], width: int) -> None:
    columns = [Column("T", right=right) for _, right in cells]
    texts = [text for text, _ in cells]
    found = shrunk(columns, natural(columns, [texts]).widths, width, CELLS_MIN)
    for at, (have, text) in enumerate(zip(found, texts, strict=True)):
        needs = max(cell_width(text), 1)
        assert have <= needs
        if columns[at].right:
            assert have == needs
        else:
            assert have >= min(needs, CELLS_MIN)
    assert total(found) <= width or all(
        have <= CELLS_MIN for have, column in zip(found, columns, strict=True) if not column.right
    )
