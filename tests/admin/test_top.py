"""`roost top` against a real broker: one interval, lines of JSON, and a live view that leaves the terminal clean."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
from typing import get_args

import msgspec
import pytest

from admin.running import COMMAND, WAIT_S, Chat, RunningBroker, command, environment
from roost_admin.failures import EX_UNAVAILABLE, EX_USAGE
from roost_admin.main import INTERRUPTED, PIPE_CLOSED
from roost_admin.top import SORTS
from roost_protocol.admin.top import SORTS as KNOWN
from roost_protocol.admin.top import Sort, Top

pytestmark = pytest.mark.process

ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
"""xterm, control sequences: to the screen's other page, and back."""
CURSOR_SHOWN = "\x1b[?25h"


def screen(broker: RunningBroker, columns: int, *more: str) -> Chat:
    """A live view on a terminal of this width."""
    view = Chat(
        broker.folder, "--socket", str(broker.socket), "--interval", "1", *more,
        verb="top", terminal=True, password=None, TERM="xterm",
    )  # fmt: skip
    fcntl.ioctl(view._out, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    return view


def modes(view: Chat) -> list[object]:
    """How the terminal is set."""
    return termios.tcgetattr(view._out)


def test_the_keys_to_sort_by_are_those_of_the_broker() -> None:
    assert SORTS == KNOWN == get_args(Sort)


def test_without_a_terminal_it_is_one_interval(broker: RunningBroker) -> None:
    shown = broker.ask("top", "--interval", "1")
    assert (shown.exit_code, shown.stderr) == (0, "")
    for title in ("busiest users, by publishes", "busiest devices, by publishes", "slowest devices", "flapping"):
        assert f"\n\n{title}\n" in shown.stdout
    assert re.search(r"^send to deliver  ", shown.stdout, re.MULTILINE)
    assert "\x1b" not in shown.stdout


def test_one_document_or_a_line_for_each_interval(broker: RunningBroker) -> None:
    once = broker.ask("top", "--once", "--interval", "1", "--json", "--sort", "backlog", "--limit", "3")
    assert msgspec.json.decode(once.stdout, type=Top).interval_s >= 1
    args = [*COMMAND, "--socket", str(broker.socket), "top", "--json", "--interval", "1"]
    with subprocess.Popen(
        args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(broker.folder)
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        times = [json.loads(running.stdout.readline())["time"] for _ in range(2)]
        assert times[1] - times[0] >= 900
        running.send_signal(signal.SIGINT)
        assert running.wait(WAIT_S) == INTERRUPTED
        assert running.stderr.read() == b""


def test_a_pipe_that_closes_ends_it_quietly(broker: RunningBroker) -> None:
    args = [*COMMAND, "--socket", str(broker.socket), "top", "--json", "--interval", "1"]
    with subprocess.Popen(
        args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(broker.folder)
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(WAIT_S) == PIPE_CLOSED
        assert running.stderr.read() == b""


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize(("key", "status"), [("q", 0), ("\x03", INTERRUPTED)])
def test_a_live_view_leaves_the_terminal_as_it_was(broker: RunningBroker, columns: int, key: str, status: int) -> None:
    with screen(broker, columns) as view:
        before = modes(view)
        view.expect(re.escape(ENTERED))
        seen = view.expect("flapping")
        assert "busiest users, by publishes" in seen
        assert modes(view) != before, "keys are taken one by one"
        view.type(key)
        rest = view.rest()
        assert LEFT in rest
        assert CURSOR_SHOWN in rest
        assert "Abort" not in rest
        assert "Traceback" not in rest
        assert view.process.wait(WAIT_S) == status
        assert modes(view) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_it_clean_too(broker: RunningBroker, number: signal.Signals) -> None:
    with screen(broker, 80) as view:
        before = modes(view)
        view.expect("flapping")
        view.process.send_signal(number)
        assert LEFT in view.rest()
        assert view.process.wait(WAIT_S) == 128 + number
        assert modes(view) == before


def test_a_terminal_that_cannot_be_drawn_on_gets_one_interval(broker: RunningBroker) -> None:
    with Chat(
        broker.folder, "--socket", str(broker.socket), "--interval", "1",
        verb="top", terminal=True, password=None, TERM="dumb",
    ) as view:  # fmt: skip
        shown = view.rest()
        assert "flapping" in shown
        assert ENTERED not in shown
        assert view.process.wait(WAIT_S) == 0


def test_when_the_broker_goes_the_view_ends_and_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    with RunningBroker(tmp_path_factory.mktemp("going")) as broker, screen(broker, 80) as view:
        view.expect("flapping")
        assert broker.stop() == 0
        rest = view.rest()
        assert LEFT in rest
        assert "roost: " in rest[rest.index(LEFT) :]
        assert "Traceback" not in rest
        assert view.process.wait(WAIT_S) == EX_UNAVAILABLE


@pytest.mark.parametrize(
    "args",
    [("--interval", "0"), ("--interval", "61"), ("--limit", "0"), ("--limit", "101"), ("--sort", "name"), ("more",)],
)
def test_what_cannot_be_asked(args: tuple[str, ...]) -> None:
    result = command("top", *args)
    assert result.exit_code == EX_USAGE
    assert result.stdout == ""


def test_without_a_broker(broker: RunningBroker) -> None:
    result = command("top", "--data", os.devnull)
    assert result.exit_code == EX_UNAVAILABLE
    assert result.stderr.count("\n") == 1
