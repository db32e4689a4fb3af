"""Text that others wrote never reaches a terminal raw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_admin.cells import cell_width, char_width, fitted, printable, printable_lines


@given(st.text())
def test_nothing_but_what_shows_itself_comes_out(text: str) -> None:
    shown = printable(text)
    assert all(char.isprintable() or char == "\u200d" for char in shown)
    assert printable(shown) == shown


@given(st.text(st.characters(codec="utf-8")))
def test_lines_are_one_row_each(text: str) -> None:
    lines = printable_lines(text)
    assert len(lines) == text.replace("\r\n", "\n").count("\n") + 1
    assert all(printable(line) == line for line in lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("żółć 日本 👩‍🚀", "żółć 日本 👩‍🚀"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("a\r\nforged line", "a\\r\\nforged line"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("\x9b31m", "\\x9b31m"),
        ("\ud800", "\\ud800"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_wide_and_combining_characters_are_counted_in_cells() -> None:
    assert cell_width("abc") == 3
    assert cell_width("日本") == 4
    assert cell_width("e\u0301") == 1
    assert char_width("\u200d") == 0


@given(st.text(), st.integers(0, 20))
def test_fitted_is_the_longest_beginning_that_fits(text: str, width: int) -> None:
    shown = printable(text)
    short = fitted(shown, width)
    assert shown.startswith(short)
    assert cell_width(short) <= width
    if len(short) < len(shown):
        assert cell_width(shown[: len(short) + 1]) > width
