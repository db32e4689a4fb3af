"""The typed line: what each key does, and that no keys at all can break it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost_admin.cells import cell_width, printable
from roost_admin.chat.line_editor import HISTORY_MAX, LineEditor

KEYS = [
    "\x01", "\x02", "\x04", "\x05", "\x06", "\x08", "\x0b", "\x0c", "\x0e", "\x10", "\x15", "\x17", "\x7f",
    "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[H", "\x1b[F", "\x1b[3~", "\x1bOA", "\x1b", "\x1b[", "\x1b[1;5C",
]  # fmt: skip


def typed(*keys: str) -> LineEditor:
    editor = LineEditor()
    for key in keys:
        editor.feed(key)
    return editor


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("hello", "hello"),
        ("helo\x02l", "hello"),
        ("ello\x01h", "hello"),
        ("hello\x01\x06\x06\x0b", "he"),
        ("say hello\x17", "say "),
        ("say  \x17", ""),
        ("hello\x15", ""),
        ("hello\x7f\x7f", "hel"),
        ("hello\x1b[D\x1b[D\x1b[3~", "helo"),
        ("hello\x1b[D\x04", "hell"),
        ("\x7f\x02\x06\x0b\x15\x17\x1b[3~", ""),
        ("a\x1b[Hb\x1b[Fc", "bac"),
        ("a\x1b[1~b\x1b[4~c", "bac"),
        ("a\x1bOHb\x1bOFc", "bac"),
        ("a\x1b[1;5Cb", "ab"),
        ("a\x1b\x1b[Hb", "ba"),
        ("a\x1bxb", "ab"),
        ("a\x0c\x00\tb", "ab"),
        ("日本\x7f語", "日語"),
    ],
)
def test_keys(keys: str, text: str) -> None:
    assert typed(keys).text == text
    assert typed(*keys).text == text, "the same, one by one"


def test_enter_finishes_a_line_wherever_the_cursor_is() -> None:
    editor = LineEditor()
    assert editor.feed("first\r") == ["first"]
    assert editor.feed("second\x01\n") == ["second"]
    assert editor.feed("a\rb\nc") == ["a", "b"], "pasted"
    assert editor.text == "c"


def test_arrows_bring_back_lines_and_what_was_being_typed() -> None:
    editor = typed("one\r", "two\r", "two\r", "dra", "\x1b[A")
    assert editor.text == "two"
    editor.feed("\x1b[A")
    assert editor.text == "one"
    editor.feed("\x1b[A")
    assert editor.text == "one", "there is none before"
    editor.feed("\x1b[B\x1b[B\x1b[B")
    assert editor.text == "dra"


def test_the_history_is_bounded() -> None:
    editor = typed(*(f"line {number}\r" for number in range(HISTORY_MAX + 50)))
    editor.feed("\x1b[A" * (HISTORY_MAX + 50))
    assert editor.text == "line 50"


def test_control_d_leaves_only_an_empty_line() -> None:
    assert not typed("a", "\x04").left
    assert typed("a", "\x7f", "\x04").left


def test_a_long_line_scrolls_with_the_cursor() -> None:
    editor = typed("abcdefghij")
    assert editor.shown(5) == ("ghij", 4)
    editor.feed("\x01")
    assert editor.shown(5) == ("abcd", 0)
    assert editor.shown(80) == ("abcdefghij", 0)


def test_an_escape_sequence_without_end_is_dropped() -> None:
    assert typed("\x1b[" + "1" * 40 + "x").text == "1" * 25 + "x"


@given(st.lists(st.one_of(st.text(max_size=8), st.sampled_from(KEYS)), max_size=40), st.integers(2, 30))
def test_whatever_is_typed_the_line_shows_itself_and_fits(keys: list[str], width: int) -> None:
    editor = LineEditor()
    for key in keys:
        lines = editor.feed(key)
        assert all(printable(line) == line for line in lines)
        shown = editor.shown(width)
        assert printable(shown.text) == shown.text
        assert 0 <= shown.cursor <= cell_width(shown.text) < width
        assert shown.text in editor.text
