"""What is read from the machine is there and has the right size."""

import mmap
import os
import time

from roost_benchmarks import machine


def test_the_facts_say_what_a_figure_was_measured_on() -> None:
    facts = machine.facts()
    assert facts["cores"] >= 1
    assert facts["packages"]["roost"]
    assert all(facts[name] for name in ("processor", "kernel", "python", "commit"))


def test_processor_time_is_that_of_the_process() -> None:
    # The kernel counts in ticks of 10 ms, and rounds each of both parts.
    assert abs(machine.cpu_s(os.getpid()) - time.process_time()) < 0.1


def test_memory_is_that_of_the_process() -> None:
    before = machine.rss_anon_bytes(os.getpid())
    with mmap.mmap(-1, 32 * 2**20, mmap.MAP_PRIVATE) as kept:  # of its own: the heap may have room from before
        for at in range(0, len(kept), mmap.PAGESIZE):
            kept[at] = 1
        grown = machine.rss_anon_bytes(os.getpid()) - before
        assert len(kept) * 0.9 < grown < len(kept) * 2
