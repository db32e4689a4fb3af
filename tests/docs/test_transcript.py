"""What counts as the same output."""

import pytest

from docs.transcript import Ids, steps

PAGE = """
```console
$ roost one   # a comment
printed

$ roost two   # and why; status 67
$ roost three
…
^C
```

```text
$ not typed
```
"""


def test_a_page_is_read_line_by_line() -> None:
    one, two, three = steps(PAGE)
    assert (one.line, one.command, one.printed, one.wanted_status, one.live) == (3, "roost one", ["printed"], 0, False)
    assert (two.command, two.printed, two.wanted_status) == ("roost two", None, 67)
    assert (three.printed, three.live, three.wanted_status) == (["…", "^C"], True, 130)
    with pytest.raises(ValueError, match="line 2"):
        list(steps("```console\nnot typed\n$ typed\n```\n"))


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("at 2026-11-24 12:22:38", "at 2027-01-02 23:59:59"),
        ("12:22:38.563 to 12:22:39.471", "00:00:00.000 to 00:00:00.001"),
        ("2026-11-24 12:22:38.563  it", "2026-11-24 12:22:39.001  it"),
        ("from 127.0.0.1:52826: in", "from 127.0.0.1:40001: in"),
        ("a    b", "a  b"),
        ("after 1 min 9 s", "after 3 s"),
        ("in 4.8 ms", "in 112 ms"),
        ("70.0 KiB of 1.0 TiB", "1.2 GiB of 12 B"),
        ("session 1795522960805", "session 1895522960805"),
        ("all … here", "all that is here"),
        ("first\n…\nlast", "first\nlast"),
        ("first\n…\nlast", "first\n1\n2\nlast"),
    ],
)
def test_what_varies_is_the_same(page: str, printed: str) -> None:
    assert Ids().match(page.splitlines(), printed)


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("3 entries", "4 entries"),
        ("at 2026-11-24 12:22:38", "at noon"),
        ("from 127.0.0.1:7300", "from 127.0.0.1:7301"),
        ("a  b", "a b"),
        ("all … here", "all that\nis here"),
        ("one", "one\ntwo"),
        ("one\ntwo", "one"),
    ],
)
def test_what_does_not_vary_is_compared(page: str, printed: str) -> None:
    assert not Ids().match(page.splitlines(), printed)


def test_an_id_stands_for_the_same_thing_everywhere() -> None:
    ids = Ids()
    page = ["message 1a20d8214e3ef0b6", "again 1a20d8214e3ef0b6"]
    assert not ids.match(page, "message 1a20000000000001\nagain 1a20000000000002")
    assert ids.match(page, "message 1a20000000000001\nagain 1a20000000000001")
    assert ids.typed("explain 1a20d8214e3ef0b6") == "explain 1a20000000000001"
    assert not ids.match(["message 1a20d8214e3ef0b6"], "message 1a20000000000002")
