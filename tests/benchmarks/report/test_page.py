"""The page holds everything, needs nothing from elsewhere, and takes no word of a report for HTML."""

import re
from html.parser import HTMLParser

from msgspec.structs import replace

from benchmarks.report.example import report, runs
from roost_benchmarks.report.page import page
from roost_benchmarks.report.pictures import Picture
from roost_benchmarks.result import Generator

PICTURE = Picture("a", "A picture", "what it shows", b"\x89PNG")
VOID = {"meta", "img"}


class Nesting(HTMLParser):
    """Whether every element is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_self_contained() -> None:
    text = page(report(runs()), [PICTURE])
    nesting = Nesting()
    nesting.feed(text)
    assert nesting.open == []
    assert nesting.seen.count("img") == 1
    assert "script" not in nesting.seen
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert "http" not in text


def test_everything_of_a_report_is_there_and_is_text() -> None:
    found = report(runs())
    text = page(found, [PICTURE])
    assert "<processor>" not in text
    assert "a &lt;processor&gt;" in text
    assert "ejabberd &amp; amqtt" in text
    assert "<code>measure W1 &lt;pairs&gt;</code>" in text
    assert text.count("not measured</span>") == sum(goal.met is None for goal in found.goals)
    assert text.count("✓ met") == sum(goal.met is True for goal in found.goals)
    assert text.count("✗ not met") == sum(goal.met is False for goal in found.goals)
    assert text.count("<tr>") >= len(found.runs) + len(found.goals) + len(found.floor)


def test_a_run_that_does_not_count_is_shown_as_one() -> None:
    refused = replace(runs()[0], generator=Generator.of(0.97))
    text = page(report([refused]), [])
    assert "does not count: the generator was the bottleneck (97% of a core)" in text
    assert '<tr class="refused">' in text
    assert "0 of 1" in text


def test_a_run_that_broke_off_says_why() -> None:
    text = page(report([replace(runs()[0], failure="5 after <3>", process=None)]), [])
    assert "5 after &lt;3&gt;" in text


def test_an_empty_report_is_a_page() -> None:
    assert "roost, measured" in page(replace(report([], {}), goals=[]), [])
