"""File descriptors: asked for as the limits need them, and never promised where there are none."""

import os
import subprocess
import sys

from roost_broker.config import Config
from roost_broker.descriptors import BESIDE, places

CONNECTIONS = 300
BESIDE_THEM = BESIDE + Config().limits.http_connections_max

PROGRAM = f"""
import resource, sys
from roost_broker.config import Config
from roost_broker.descriptors import places, raise_allowed
from roost_protocol.limits import Limits

config = Config(limits=Limits(connections_max={CONNECTIONS}, connections_before_login_max={CONNECTIONS}))
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
raise_allowed(config)
print(*resource.getrlimit(resource.RLIMIT_NOFILE), places(config))
"""


def bounds_after(soft: int, hard: int) -> list[int]:
    """The soft and the hard bound of a process that has raised them, and the places that it has then."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard)],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    return [int(word) for word in done.stdout.split()]


def test_the_soft_bound_is_raised_as_far_as_needed() -> None:
    assert bounds_after(256, 1024) == [CONNECTIONS + BESIDE_THEM, 1024, CONNECTIONS]


def test_it_is_raised_no_further_than_the_hard_bound() -> None:
    assert bounds_after(256, 400) == [400, 400, 400 - BESIDE_THEM]


def test_a_bound_that_is_high_enough_stays() -> None:
    assert bounds_after(900, 1024) == [900, 1024, 900 - BESIDE_THEM]


def test_listeners_of_http_have_theirs() -> None:
    web = Config(web_listen="127.0.0.1:0", admin_listen="127.0.0.1:0")
    limits = web.limits
    assert places(Config()) - places(web) == limits.web_connections_max + limits.http_connections_max
