"""JSON that means the same, and is one line without anything that steers a terminal."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from roost_protocol.one_line import plain_json


@given(st.text(st.characters(codec="utf-8")))
@example("\x7f")
@example("\u2028\x85\x9b31m\u202e\ufeff")
@example('"\\\u2028')
def test_it_means_the_same_and_is_one_line(text: str) -> None:
    document = json.dumps({text: [text]}, ensure_ascii=False).encode()
    plain = plain_json(document)
    assert json.loads(plain) == {text: [text]}
    assert len(plain.splitlines()) == 1
    assert not any("\x7f" <= char <= "\x9f" or char < " " for char in plain)


def test_letters_stay_as_they_are() -> None:
    family = '"Ünïcode 漢字 \U0001f468\u200d\U0001f469"'
    assert plain_json(family.encode()) == family


def test_lines_between_values_stay() -> None:
    assert plain_json(b'{\n  "a": 1\n}') == '{\n  "a": 1\n}'
