"""Cases out of a seed: the same every time, as long as allowed, and of every kind."""

from itertools import islice

from fuzz.cases import cases

KNOWN = [b"\0\0\0\x05\x01hello", b"\0\0\0\x03\x0cabc"]


def drawn(seed: int, count: int = 500, bytes_max: int = 100) -> list[bytes]:
    return list(islice(cases(seed, KNOWN, (b"WORD",), bytes_max), count))


def test_the_same_seed_gives_the_same_cases() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_cases_are_as_long_as_allowed() -> None:
    assert max(map(len, drawn(1, bytes_max=8))) == 8
    assert max(map(len, drawn(1))) > 8


def test_cases_differ_and_are_near_what_is_known() -> None:
    found = drawn(3)
    assert len(set(found)) > 400
    assert sum(b"hel" in each or b"abc" in each for each in found) > 150


def test_words_and_parts_of_others_come_in() -> None:
    found = drawn(4)
    assert any(b"WORD" in each for each in found)
    assert any(b"hell" in each and b"abc" in each for each in found)


def test_there_are_cases_out_of_nothing() -> None:
    assert len(set(islice(cases(1, []), 100))) > 20
