"""`roost inbox` and `roost send`, against a real broker."""

import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

import roost
from admin.running import COMMAND, PASSWORD, WAIT_S, RunningBroker, environment
from roost_admin.failures import EX_DATAERR, EX_NOUSER, EX_USAGE

pytestmark = pytest.mark.process


def send(broker: RunningBroker, sender: str, to: str, text: str) -> dict[str, int]:
    result = broker.ask("send", "--from", sender, "--to", to, text, "--json")
    assert result.exit_code == 0, result.output
    sent: dict[str, int] = json.loads(result.stdout)
    return sent


def test_a_message_is_sent_and_shown(broker: RunningBroker) -> None:
    broker.create_users("ann", "ben")
    sent = send(broker, "ann", "user/ben", "first\x1b[2J")
    assert (sent["seq"], sent["inboxes"]) == (1, 2)
    result = broker.ask("send", "--from", "ann", "--to", "user/ann", "a note")
    assert (result.exit_code, result.stdout) == (0, "")
    assert re.fullmatch(r"roost: message [0-9a-f]{16} is in 1 inbox, number 2 in that of ann\n", result.stderr)

    shown = broker.ask("inbox", "show", "ann")
    header, first, second = (line.split() for line in shown.stdout.splitlines())
    assert header == ["SEQ", "TIME", "KIND", "FROM", "TO", "TYPE", "BYTES"]
    assert (first[0], first[3:7]) == ("1", ["own", "ann", "user/ben", "text/plain"])
    assert second[0] == "2"
    assert "a note" not in shown.output
    shown = broker.ask("inbox", "show", "ben", "--bodies")
    assert shown.stdout.splitlines()[1].endswith("first\\x1b[2J"), "what others write never reaches the terminal raw"
    document = json.loads(broker.ask("inbox", "show", "ben", "--bodies", "--json").stdout)
    assert [(entry["seq"], entry["from"], entry["text"]) for entry in document["entries"]] == [
        (1, "ann", "first\x1b[2J")
    ]
    assert (document["head"], document["floor"], document["next"]) == (1, 1, None)


def test_which_entries_are_shown(broker: RunningBroker) -> None:
    broker.create_users("cid", "dot")
    for number in range(1, 31):
        send(broker, "cid", "user/dot" if number % 3 else "user/cid", f"{number}")

    def shown(*options: str) -> list[int]:
        result = broker.ask("inbox", "show", "cid", *options, "--json")
        assert result.exit_code == 0, result.output
        return [entry["seq"] for entry in json.loads(result.stdout)["entries"]]

    assert shown() == list(range(11, 31)), "a screen of the newest"
    assert shown("--from", "28") == [28, 29, 30]
    assert shown("--from", "5", "--to", "7") == [5, 6, 7]
    assert shown("--to", "3", "--newest", "2") == [2, 3]
    assert shown("--conversation", "user/cid", "--newest", "2") == [27, 30]
    assert shown("--from", "31") == []
    empty = broker.ask("inbox", "show", "cid", "--from", "31")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert empty.stderr == "roost: there is nothing like that in cid's inbox\n"


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["inbox", "show", "nobody"], EX_NOUSER, "there is no user 'nobody'"),
        (["inbox", "stat", "nobody"], EX_NOUSER, "there is no user 'nobody'"),
        (["inbox", "tail", "nobody"], EX_NOUSER, "there is no user 'nobody'"),
        (["inbox", "tail", "eve", "--after", "7"], EX_NOUSER, "ends at"),
        (["inbox", "show", "eve", "--conversation", "user/nobody"], EX_NOUSER, "'nobody'"),
        (["inbox", "show", "eve", "--conversation", "nobody"], EX_USAGE, "user/NAME"),
        (["inbox", "show", "eve", "--from", "0"], EX_USAGE, "0 is not in the range x>=1"),
        (["inbox", "show", "eve", "--newest", "10001"], EX_USAGE, "1<=x<=10000"),
        (["inbox", "show", "eve", "--from", "3", "--to", "2"], EX_USAGE, "from 3 to 2 there is nothing"),
        (["send", "--from", "nobody", "--to", "user/eve", "x"], EX_NOUSER, "'nobody'"),
        (["send", "--from", "eve", "--to", "user/nobody", "x"], EX_NOUSER, "not sent to user/nobody"),
        (["send", "--from", "eve", "--to", "nobody", "x"], EX_USAGE, "user/NAME"),
        (["send", "--from", "eve", "--to", "user/eve", "--type", "ä", "x"], EX_USAGE, "printable ASCII"),
        (["send", "--from", "eve", "--to", "user/eve", "x" * 131_073], EX_DATAERR, "131072"),
        (["send", "--from", "eve", "--to", "user/eve"], EX_USAGE, "Missing argument"),
    ],
)
def test_what_cannot_be(broker: RunningBroker, words: list[str], status: int, says: str) -> None:
    if "eve" not in broker.ask("users", "list").stdout:
        broker.create_users("eve")
    result = broker.ask(*words)
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("given", "text", "data"),
    [(b"from a pipe\n\n", "from a pipe\n", None), ("zażółć".encode(), "zażółć", None), (b"\xff\x00", None, "/wA=")],
)
def test_what_stands_on_standard_input_is_sent(
    broker: RunningBroker, given: bytes, text: str | None, data: str | None
) -> None:
    name = f"pipe{len(given)}"
    broker.create_users(name)
    words = ("--socket", str(broker.socket), "send", "--from", name, "--to", f"user/{name}", "-")
    subprocess.run([*COMMAND, *words], input=given, timeout=WAIT_S, check=True, capture_output=True)
    (entry,) = json.loads(broker.ask("inbox", "show", name, "--bodies", "--json").stdout)["entries"]
    assert (entry.get("text"), entry.get("data")) == (text, data)
    assert entry["type"] == ("text/plain" if data is None else "application/octet-stream")
    if data is not None:
        assert "2 bytes: ff 00" in broker.ask("inbox", "show", name, "--bodies").stdout


def test_a_live_device_takes_what_is_sent_for_its_own(broker: RunningBroker) -> None:
    """With the client library: the sender's device, which has published nothing, and goes on publishing after it."""
    broker.create_users("fay", "gus")

    async def talk() -> list[roost.Message]:
        heard: list[roost.Message] = []
        async with roost.connect(broker.address, user="fay", terminal="pc", password=PASSWORD) as session:
            await trio.to_thread.run_sync(send, broker, "fay", "user/gus", "in her name")
            await session.publish("user/gus", "by herself")
            with trio.fail_after(WAIT_S):
                async for event in session:
                    if isinstance(event, roost.Message):
                        heard.append(event)
                    if len(heard) == 2:
                        return heard
        return heard

    sent, published = trio.run(talk)
    assert (sent.own, sent.device, sent.n, sent.body, sent.seq) == (True, None, None, "in her name", 1)
    assert (published.own, published.n, published.body, published.seq) == (True, 1, "by herself", 2)
    assert sent.conversation == published.conversation == "user/gus"


def test_what_an_inbox_holds(broker: RunningBroker) -> None:
    broker.create_users("hal", "ida", "joe")
    for to in ("user/ida", "user/joe", "user/ida"):
        send(broker, "hal", to, "x")
    rows = [line.split() for line in broker.ask("inbox", "stat", "hal").stdout.splitlines() if line]
    assert ["head", "3"] in rows
    assert ["conversations", "2"] in rows
    assert rows[-2:] == [["user/ida", "2", "3"], ["user/joe", "1", "2"]]
    result = broker.ask("inbox", "stat", "hal", "--conversations", "1")
    assert result.stdout.splitlines()[-1].split() == ["user/ida", "2", "3"]
    assert result.stderr == "roost: 1 more conversations have only older entries\n"


# --- live ---------------------------------------------------------------------------------------------------------


class Tail:
    """`roost inbox tail` in a process."""

    def __init__(self, broker: RunningBroker, *words: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "--socket", str(broker.socket), "inbox", "tail", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(broker.folder),
        )  # fmt: skip

    def line(self) -> str:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], WAIT_S)[0], "nothing came"
        return self.process.stdout.readline().decode()

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, errors.decode()


@contextmanager
def tail(broker: RunningBroker, *words: str) -> Iterator[Tail]:
    made = Tail(broker, *words)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
        made.process.communicate()


def test_an_inbox_is_followed_until_ctrl_c(broker: RunningBroker) -> None:
    broker.create_users("kim", "lea")
    send(broker, "kim", "user/lea", "before")
    with tail(broker, "lea", "--after", "0", "--json") as followed, tail(broker, "lea", "--after", "0") as plain:
        assert json.loads(followed.line())["seq"] == 1
        assert plain.line().split()[0] == "1"
        for number in (2, 3):
            send(broker, "kim", "user/lea", "now")
            entry = json.loads(followed.line())
            assert (entry["seq"], entry["from"], "text" in entry) == (number, "kim", False)
            assert plain.line().split()[0] == str(number)
        for each in (followed, plain):
            assert each.end(signal.SIGINT) == (130, "")


def test_a_pipe_that_closes_ends_it_quietly(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("mia")
    for _ in range(3):
        send(broker, "mia", "user/mia", "x")
    with tail(broker, "mia", "--after", "0", "--bodies") as followed:
        assert followed.line().rstrip().endswith("x")
        assert followed.process.stdout is not None
        followed.process.stdout.close()
        for _ in range(2):
            send(broker, "mia", "user/mia", "nobody reads this")
        assert followed.process.wait(WAIT_S) == 0
        assert followed.process.stderr is not None
        assert followed.process.stderr.read() == b""
        followed.process.stdout = None
    assert os.listdir(tmp_path) == []


def test_a_broker_that_stops_ends_it_with_a_line(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as own:
        own.create_users("nic")
        send(own, "nic", "user/nic", "x")
        with tail(own, "nic", "--after", "0") as followed:
            followed.line()
            own.stop()
            _, errors = followed.process.communicate(timeout=WAIT_S)
    assert b"Traceback" not in errors
