"""Reports of browsers: counted by directive, whatever is in them; logged now and then."""

import logging

import msgspec
import pytest
import trio

from broker.house import in_virtual_time
from roost_broker.metrics import WebMetrics
from roost_broker.web.reports import LOGGED_CHARS, LOGGED_EVERY_S, Reports


@pytest.mark.parametrize(
    ("report", "counted"),
    [
        ({"csp-report": {"effective-directive": "script-src-elem"}}, "script-src-elem"),
        ({"csp-report": {"violated-directive": "img-src 'self' data:"}}, "img-src"),
        ({"csp-report": {"effective-directive": "evil\n{}"}}, "other"),
        ({"csp-report": {"effective-directive": ["script-src"]}}, "other"),
        ({"csp-report": {}}, "other"),
        ({"csp-report": "x"}, "other"),
        ([], "other"),
        ({}, "other"),
    ],
)
@in_virtual_time
async def test_a_report_is_counted_by_its_directive(report: object, counted: str) -> None:
    metrics = WebMetrics()
    Reports(metrics).take(msgspec.json.encode(report))
    assert metrics.csp_reports == {counted: 1}


@pytest.mark.parametrize("body", [b"", b"\xff", b"[" * 10_000, b'{"csp-report":{"effective-directive":"\xff"}}'])
@in_virtual_time
async def test_what_is_no_report(body: bytes) -> None:
    metrics = WebMetrics()
    Reports(metrics).take(body)
    assert metrics.csp_reports == {"other": 1}


@in_virtual_time
async def test_a_flood_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    reports = Reports(WebMetrics())
    with caplog.at_level(logging.WARNING):
        for _ in range(1_000):
            reports.take(b"line\nbreak" + b"x" * 10_000)
        await trio.sleep(LOGGED_EVERY_S)
        reports.take(b"again")
    assert len(caplog.messages) == 2
    assert "\n" not in caplog.messages[0]
    assert len(caplog.messages[0]) < LOGGED_CHARS + 100
