"""`make hostile-defects`: which test fails when a protection is taken out, as the table in `docs/testing.md`."""

import os
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from hostile.weakened import DEFECTS

FOLDER = Path(__file__).parent


class Found(NamedTuple):
    """A test that has to fail."""

    test: str
    sign: str
    """What it has to say."""


TESTS = {
    "no_login_deadline": Found("test_before_login.py::test_three_crowds_at_once", "left open|in vain"),
    "no_frame_length_bound": Found("test_before_login.py::test_three_crowds_at_once", "packet_too_large"),
    "no_bound_before_login": Found("test_before_login.py::test_anything_but_connect_first", "protocol_error|packet"),
    "no_write_deadline": Found("test_readers_that_stop.py::test_pages_that_nobody_reads", "waited in vain"),
    "no_write_buffer_bound": Found("test_readers_that_stop.py::test_pages_that_nobody_reads", "memory grew|in vain"),
    "no_place_bound": Found("test_coming_and_going.py::test_one_address_has_its_bound", "login_timeout|closed"),
    "no_read_pause": Found("test_senders_that_never_stop.py::test_publishing_without_reading", "memory grew|in vain"),
    "no_keepalive": Found("test_half_open.py::test_devices_that_are_not_there", "left open|keep_alive_timeout|in vain"),
    "no_window": Found("test_readers_that_stop.py::test_messages_that_nobody_reads[narrow]", "all to be slow"),
    "no_place_given_up": Found("test_before_login.py::test_a_door_that_is_kept_full", "log-ins turned away"),
    "no_end_of_lingering": Found("test_half_open.py::test_devices_that_are_not_there", "waited in vain"),
    "no_bound_on_log_lines": Found("test_before_login.py::test_anything_but_connect_first", "lines in the log"),
    "no_http_deadline": Found("test_web.py::test_requests_drop_by_drop", r"all\(served\)|left open|in vain"),
    "no_refusal_of_two_lengths": Found("test_web.py::test_requests_that_mean_two_things", "both lengths"),
    "no_bound_on_messages": Found("test_web.py::test_websockets_that_never_log_in", "are allowed here"),
    "no_end_of_handshakes": Found("test_tls.py::test_handshakes_that_are_never_finished", "left open|in vain"),
}


def named(test: str) -> str:
    """The same as `pytest -k` has it."""
    return test.removesuffix("]").replace("[", " and ")


def is_found(defect: str) -> bool:
    """Whether the test fails, and says what it has to."""
    found = TESTS[defect]
    file, _, test = found.test.partition("::")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", "--timeout=100", str(FOLDER / file), "-k", named(test)],
        env={**os.environ, "HOSTILE_DEFECT": defect}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode == 1 and re.search(found.sign, done.stdout) is not None


def main() -> int:
    """Print the table; status 1 if a defect was not found. Arguments are the names of some of them."""
    began = perf_counter()
    missed = 0
    wanted = sys.argv[1:] or list(DEFECTS)
    print("| protection taken out | what it means | test that fails |\n|---|---|---|")  # noqa: T201 - what it is for
    for defect in wanted:
        found = is_found(defect)
        missed += not found
        test = f"`{TESTS[defect].test}`" if found else "none"
        print(f"| `{defect}` | {DEFECTS[defect].__doc__} | {test} |", flush=True)  # noqa: T201 - likewise
    print(f"\n{len(wanted) - missed} of {len(wanted)} found in {perf_counter() - began:.0f} s")  # noqa: T201 - likewise
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
