"""Each picture is drawn where there is something to draw, and is a PNG of a size that can be read."""

import struct

from msgspec.structs import replace

from benchmarks.report.example import FLOOR, report, run, runs
from roost_benchmarks.report.pictures import CURVES, pictures
from roost_benchmarks.result import Generator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EVERY = ["latency", "throughput", "group", "memory", "growth_latency", "growth_cost"]


def test_every_picture_is_a_png_that_can_be_read() -> None:
    drawn = pictures(report(runs()))
    assert [picture.name for picture in drawn] == EVERY
    for picture in drawn:
        assert picture.png.startswith(SIGNATURE)
        width, height = struct.unpack(">II", picture.png[16:24])
        assert (width >= 1_000, 200 <= height <= 4_000) == (True, True), picture.name
        assert picture.title
        assert picture.caption


def test_nothing_measured_is_nothing_drawn() -> None:
    assert pictures(report([])) == []


def test_what_does_not_count_is_not_drawn() -> None:
    assert pictures(report([replace(each, generator=Generator.of(0.99)) for each in runs()])) == []


def test_one_run_alone_makes_one_picture() -> None:
    for each in runs():
        assert len(pictures(report([each]))) == (2 if each.workload == "growth" else 1)


def test_pictures_need_no_floor() -> None:
    assert [picture.name for picture in pictures(report(runs(), {}))] == EVERY
    assert [picture.name for picture in pictures(report(runs(), {"commit_1_ms": FLOOR["commit_1_ms"]}))] == EVERY


def test_one_that_is_slower_by_far_is_named_and_not_drawn() -> None:
    found = [run("W3", "group", broker, {}, ms) for broker, ms in (("roost", 9.0), ("prosody", 400.0))]
    (picture,) = pictures(report(found))
    assert "Not drawn: prosody, p50 40" in picture.caption


def test_any_number_of_curves_fits() -> None:
    for count in range(1, len(CURVES) + 1):
        found = [
            run("growth", name, "roost", {"messages_per_s": 1e5 / at}, float(at), **{name: at})
            for name in list(CURVES)[:count]
            for at in (1, 10, 100)
        ]
        assert [picture.name for picture in pictures(report(found))] == ["growth_latency", "growth_cost"]


def test_a_broker_that_nobody_knows_is_drawn_as_well() -> None:
    assert pictures(report([run("W5", "idle", "another", {"memory_per_device_bytes": 1.0}, devices=1)]))
