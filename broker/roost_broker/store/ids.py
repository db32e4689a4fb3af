"""Numbers that a store makes: message ids, epochs, incarnations.

Pure, and the one thing besides addresses that all fillings of the port share: their results must be equal, number
for number, when they are given the same operations, times and randomness.

A *message id* has 64 bits: the milliseconds of its batch above, 20 bits below. The first id of a batch takes the
low bits at random, each further message the next number, and between two batches at least one number is left out: so
messages were committed together exactly if their numbers follow one another. Ids rise for ever, even when the clock
goes back (then they go on from the last one), and a store that was restored from a backup does not give the ids of the
lost messages to others, even if its clock shows the same millisecond again.
"""

import struct
from random import Random

_ID = struct.Struct(">Q")
_RANDOM_BITS = 20
_INCARNATION_BITS = 64


def first_message_id(last_id: int, now_ms: int, random: Random) -> int:
    """The id of the first message of a batch committed at `now_ms`; `last_id` is the highest given so far."""
    return max(last_id + 2, now_ms << _RANDOM_BITS | random.getrandbits(_RANDOM_BITS))


def last_message_id(now_ms: int) -> int:
    """The highest id of a batch that was committed by then, if the clock was right and the batch not huge."""
    return (now_ms + 1 << _RANDOM_BITS) - 1


def message_id_text(message_id: int) -> str:
    """A message id as it stands on the wire: 16 hexadecimal digits."""
    return _ID.pack(message_id).hex()


def message_time_ms(message_id: int) -> int:
    """The Unix time in milliseconds that the id stands for: what retention by age goes by."""
    return message_id >> _RANDOM_BITS


def next_epoch(last_epoch: int, now_ms: int) -> int:
    """An epoch larger than every one before, and than those of a backup's lost future if the clock is right."""
    return max(last_epoch + 1, now_ms)


def new_incarnation(random: Random) -> str:
    """A name for one life of an inbox: 16 hexadecimal digits."""
    return f"{random.getrandbits(_INCARNATION_BITS):016x}"
