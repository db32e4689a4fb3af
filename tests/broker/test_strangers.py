"""The door: whoever keeps it full gives up his place, and whoever logs in does not."""

import logging

import pytest
import trio

from broker.house import House, in_house, in_virtual_time
from roost_broker.strangers import LINES_MAX, LINES_WINDOW_S, Strangers
from roost_protocol.frames import Connack, Connect
from roost_protocol.reasons import Reason

_log = logging.getLogger(__name__)

PASSWORD = "open sesame"


@in_house(limits={"connections_before_login_max": 3})
async def test_who_has_said_nothing_for_the_longest_makes_place(house: House) -> None:
    first, second, third = [await house.dial() for _ in range(3)]
    await trio.sleep(0.1)
    await house.log_in("alice")
    dismissal = await first.expect_dismissal(Reason.SERVER_BUSY)
    assert dismissal.reconnect
    assert dismissal.reconnect_after_s
    await house.log_in("bob")
    for stranger in (second, third):
        await stranger.expect_silence()
    await house.dial()
    await trio.sleep(0.1)
    await house.log_in("carol")
    await second.expect_dismissal(Reason.SERVER_BUSY)
    assert house.core.metrics.closed == {"server_busy": 2}
    assert not house.core.metrics.no_place


@in_house(limits={"connections_before_login_max": 2})
async def test_his_place_is_free_at_once(house: House) -> None:
    """He does not linger, as others do to whom something was said: so many would fill the broker with lingerers."""
    for _ in range(20):
        await house.dial()
        await trio.sleep(0.01)
        assert house.broker.server.connections <= 2


@in_house(limits={"connections_before_login_max": 2}, offload_s=1)
async def test_who_is_being_looked_at_keeps_his_place(house: House) -> None:
    under_way = [await house.ask_in(user) for user in ("alice", "bob")]
    await trio.sleep(0.1)
    assert "not logged in" in (await (await house.dial()).expect_dismissal(Reason.SERVER_BUSY)).text
    for device in under_way:
        assert (await device.expect(Connack)).reason == Reason.SUCCESS


@in_house(limits={"connections_before_login_max": 2})
async def test_a_byte_now_and_then_is_not_a_word(house: House) -> None:
    drip = await house.dial()
    await trio.sleep(0.1)
    await house.dial()
    for byte in b"\0\0\0":
        await drip.stream.send_all(bytes([byte]))
        await trio.sleep(0.1)
    await house.log_in("alice")
    await drip.expect_dismissal(Reason.SERVER_BUSY)


@in_house(limits={"connections_before_login_max": 2, "connections_per_address_max": 2})
async def test_an_address_that_is_full_takes_no_place_of_others(house: House) -> None:
    for terminal in ("phone", "pc"):
        await house.log_in("alice", terminal, host="10.0.0.1")
    others = [await house.dial(f"10.0.0.{number}") for number in (2, 3)]
    await trio.sleep(0.1)
    await (await house.dial("10.0.0.1")).expect_dismissal(Reason.SERVER_BUSY)
    for stranger in others:
        await stranger.say(Connect(user="bob", password=PASSWORD, terminal="pc", device="b"))
        await stranger.expect(Connack)


@in_virtual_time
async def test_strangers_write_so_many_lines_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    strangers = Strangers()
    for number in range(1000):
        strangers.log(_log.info, "stranger %d", number)
    assert len(caplog.records) == LINES_MAX
    await trio.sleep(LINES_WINDOW_S)
    strangers.log(_log.warning, "one more")
    left_out, last = caplog.records[LINES_MAX:]
    assert str(1000 - LINES_MAX) in left_out.getMessage()
    assert last.getMessage() == "one more"


@in_house()
async def test_a_flood_of_bad_frames_does_not_fill_the_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(500):
        stranger = await house.dial()
        await stranger.stream.send_all(bytes(5))
        await stranger.stream.send_eof()
    await trio.sleep(0.1)
    assert house.core.metrics.closed["malformed_packet"] == 500
    assert len(caplog.records) <= 2 * LINES_MAX
