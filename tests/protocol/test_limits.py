"""Every bound has a unit, a range and a reason; one that makes no sense is refused by name."""

import re

import msgspec
import pytest

from roost_protocol import codec, limits
from roost_protocol import frames as f
from roost_protocol.limits import Limits

ROWS = list(Limits.table())
EACH = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)

# Those that may not be at the end of their range unless others move with them.
_TIED = {
    "body_bytes_max",
    "connect_bytes_max",
    "group_members_max",
    "batch_operations_max",
    "connections_before_login_max",
}


def test_the_table_has_every_limit_in_order() -> None:
    assert [row.name for row in ROWS] == list(Limits.__struct_fields__)
    defaults = Limits()
    assert {row.name: row.default for row in ROWS} == {row.name: getattr(defaults, row.name) for row in ROWS}


@EACH
def test_each_limit_has_unit_reason_and_a_default_in_its_range(row: limits.Row) -> None:
    assert re.fullmatch(r"[a-z]+", row.bound.unit)
    assert len(row.bound.reason) > 10
    assert 0 <= row.bound.at_least <= row.default <= row.bound.at_most <= limits.NUMBER_MAX


@EACH
def test_units_stand_last_in_the_names(row: limits.Row) -> None:
    assert row.name.endswith("_s") == (row.bound.unit == "seconds")
    assert row.name.endswith("_bytes_max") == (row.bound.unit == "bytes")
    assert row.name.endswith(("_s", "_max"))


@EACH
def test_a_value_out_of_its_range_is_refused_by_name(row: limits.Row) -> None:
    for value in (row.bound.at_least - 1, row.bound.at_most + 1, -1, 2**70):
        with pytest.raises(ValueError, match=rf"limits\.{row.name} = {value}: allowed are .* {row.bound.unit}"):
            Limits(**{row.name: value})
    with pytest.raises(msgspec.ValidationError, match=rf"limits\.{row.name} = {row.bound.at_most + 1}"):
        msgspec.convert({row.name: row.bound.at_most + 1}, Limits)


@EACH
def test_the_ends_of_the_range_are_allowed_or_tied_to_another(row: limits.Row) -> None:
    for value in (row.bound.at_least, row.bound.at_most):
        try:
            found = str(getattr(Limits(**{row.name: value}), row.name))
        except ValueError as error:
            found = str(error)
        tied = re.fullmatch(r"limits\.(\w+) = \d+: at most \d+ is allowed \(.+\)", found)
        assert found == str(value) or (tied and tied.group(1) in _TIED), found


@pytest.mark.parametrize(
    ("values", "name", "other"),
    [
        ({"frame_bytes_max": 8_192}, "body_bytes_max", "frame_bytes_max"),
        (
            {"connect_bytes_max": 65_536, "frame_bytes_max": 16_384, "body_bytes_max": 1_024},
            "connect_bytes_max",
            "frame",
        ),
        ({"batch_bytes_max": 65_536}, "body_bytes_max", "batch_bytes_max"),
        ({"batch_entries_max": 100}, "group_members_max", "batch_entries_max"),
        ({"queue_operations_max": 10}, "batch_operations_max", "queue_operations_max"),
        ({"connections_max": 10}, "connections_before_login_max", "connections_max"),
    ],
)
def test_limits_that_hang_together_are_checked_against_each_other(
    values: dict[str, int], name: str, other: str
) -> None:
    with pytest.raises(ValueError, match=rf"limits\.{name} = .*{other}"):
        Limits(**values)


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="frame_byte_max"):
        msgspec.convert({"frame_byte_max": 10_000}, Limits)


@pytest.mark.parametrize("site", [Limits(), Limits(frame_bytes_max=8_192, body_bytes_max=4_608)])
def test_the_largest_message_fits_a_frame_in_both_forms(site: Limits) -> None:
    """With every other key at its longest: `FRAME_OVERHEAD_BYTES` is enough."""
    name = "\U0001f99c" * 16
    device = "d" * limits.DEVICE_ID_BYTES_MAX
    content_type = "t" * limits.CONTENT_TYPE_BYTES_MAX
    body = b"\xff" * site.body_bytes_max
    most = limits.NUMBER_MAX
    publish = f.Publish(n=most, to=f"group/{name}", content_type=content_type, data=body)
    entry = f.Entry(id="f" * 16, sender=name, to=f"group/{name}", time=most, content_type=content_type, data=body)
    deliver = f.Deliver(seq=most, kind="own", device=device, n=most, entry=entry)
    page = f.Page(request=most, text="x" * limits.TEXT_CHARS_MAX, entries=(deliver,), more=True, floor=most, head=most)
    for frame in (publish, deliver, page):
        assert len(codec.encode(frame)) - 4 <= site.frame_bytes_max
        assert len(codec.encode_json(frame).encode()) <= site.frame_bytes_max


def test_the_largest_connect_fits_what_a_stranger_may_say_by_default() -> None:
    connect = f.Connect(
        user="\U0001f99c" * 16,
        password="\U0001f99c" * 64,
        terminal="t" * 16,
        device="d" * limits.DEVICE_ID_BYTES_MAX,
        last_seq=limits.NUMBER_MAX,
        last_id="f" * 16,
        incarnation="f" * 16,
        epoch=limits.NUMBER_MAX,
        receive_max=65_535,
        receive_bytes_max=limits.NUMBER_MAX,
        keepalive_s=65_535,
        want_token=True,
        client="\U0001f99c" * 64,
    )
    assert codec.decode_json(codec.encode_json(connect)) == connect
    assert len(codec.encode(connect)) - 4 <= Limits().connect_bytes_max
    assert len(codec.encode_json(connect).encode()) <= Limits().connect_bytes_max


def test_the_defaults_a_device_asks_for_are_those_of_a_site() -> None:
    connect = f.Connect(user="a", password="p", terminal="pc", device="d")
    site = Limits()
    assert (connect.receive_max, connect.receive_bytes_max) == (site.receive_max, site.receive_bytes_max)
    assert connect.keepalive_s == site.keepalive_s
