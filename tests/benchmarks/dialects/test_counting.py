"""The check that the wires of the peers share."""

import pytest

from roost_benchmarks.dialects.counting import CountingWire
from roost_benchmarks.dialects.port import BrokenPromise, Login


def test_each_sender_is_counted_by_itself_and_must_be_in_order() -> None:
    wire = CountingWire(Login("ann"))
    for sender, number in ((1, 1), (2, 1), (1, 2), (2, 2)):
        wire._count(sender, number)
    assert wire.delivered == 4
    for number in (2, 4):
        with pytest.raises(BrokenPromise, match=f"ann/phone: number {number} of sender 00000001 where 3 was due"):
            wire._count(1, number)
    assert wire.delivered == 4
