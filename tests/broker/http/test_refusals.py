"""Whoever is refused over and over does not fill the log."""

import logging

import pytest
import trio
import trio.testing

from broker.house import House, in_house
from roost_broker.http.callers import BearerCallers
from roost_broker.http.refusals import LINES_MAX, WINDOW_S, RefusalLog
from roost_broker.http.server import Request, RequestFailed


async def test_so_many_lines_in_a_window_and_the_rest_is_counted(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    refusals = RefusalLog(logging.getLogger("test"))
    for number in range(LINES_MAX + 90):
        refusals.warning("refused %d", number)
    assert [record.getMessage() for record in caplog.records[:LINES_MAX]] == [f"refused {n}" for n in range(LINES_MAX)]
    assert len(caplog.records) == LINES_MAX + 1
    assert "not logged" in caplog.messages[-1]
    await trio.sleep(WINDOW_S)
    caplog.clear()
    refusals.warning("again")
    assert caplog.messages == ["90 more were refused and not logged", "again"]
    await trio.sleep(WINDOW_S)
    refusals.warning("once more")
    assert caplog.messages[2:] == ["once more"]


@in_house()
async def test_guessed_tokens_do_not_fill_the_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    callers = BearerCallers(house.core)
    for number in range(100):
        request = Request(
            method="GET", target="/", headers={"authorization": f"Bearer {number}"}, body=b"", address="192.0.2.7:99"
        )
        with pytest.raises(RequestFailed):
            await callers(request)
    assert caplog.text.count("192.0.2.7") == LINES_MAX
