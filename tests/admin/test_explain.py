"""`roost explain`, `roost events` and the history of sessions, against a real broker and real devices."""

import json
import re
import select
import signal
import subprocess
from pathlib import Path

import pytest
import trio

import roost
from admin.running import COMMAND, PASSWORD, RunningBroker, environment
from roost_admin.failures import EX_DATAERR, EX_NOUSER, EX_USAGE

pytestmark = pytest.mark.process


def talk(broker: RunningBroker) -> str:
    """Ann writes to Ben, who has been there and is away; the message's id."""

    async def main() -> str:
        async with roost.connect(broker.address, user="ben", terminal="phone", device="b-1", password=PASSWORD):
            pass
        async with roost.connect(broker.address, user="ann", terminal="pc", device="a-1", password=PASSWORD) as ann:
            receipt = await ann.publish("user/ben", "hello")
            last = await ann.publish("user/ben", "again")
            async for event in ann:  # what the program has taken before is acknowledged
                if isinstance(event, roost.Message) and event.id == last.id:
                    break
            await trio.sleep(2.2)  # what real time has to pass for the journal to be written
            return str(receipt.id)

    broker.create_users("ann", "ben")
    return trio.run(main)


def test_explain_events_and_history(broker: RunningBroker, tmp_path: Path) -> None:
    message_id = talk(broker)

    told = broker.ask("explain", "ann/pc", "1")
    assert told.exit_code == 0, told.output
    assert f"message {message_id} from ann to user/ben: 5 bytes of text/plain" in told.stdout
    assert "published by the device a-1, as number 1 of its publishes" in told.stdout
    assert re.search(r"pc a-1: ACKNOWLEDGED: .*\n(.*\n)*.*was put on the wire.*\n.*was acknowledged", told.stdout)

    document = json.loads(broker.ask("explain", "--message", message_id, "--json").stdout)
    assert [(inbox["user"], inbox["seq"]) for inbox in document["inboxes"]] == [("ann", 1), ("ben", 1)]
    (phone,) = document["inboxes"][1]["devices"]
    assert (phone["device"], phone["verdict"]) == ("b-1", "offline")
    assert phone["steps"][-1]["what"] == "closed"
    only = json.loads(broker.ask("explain", "ben/phone", "--message", message_id, "--json").stdout)
    assert [inbox["user"] for inbox in only["inboxes"]] == ["ben"]

    lines = broker.ask("events", "--user", "ben").stdout.splitlines()
    assert [line.split("  ")[1].strip() for line in lines] == ["user changed", "session opened", "session closed"]
    rows = [json.loads(line) for line in broker.ask("events", "--since", "1h", "--json").stdout.splitlines()]
    assert {row["kind"] for row in rows} >= {"broker started", "user changed", "session opened", "progress"}
    assert "session opened" in broker.ask("events", "--newest", "10000", "--terminal", "pc").stdout

    assert len(broker.ask("sessions", "history", "ben").stdout.splitlines()) == 2
    assert broker.ask("sessions", "history", "ben", "--kicks").stdout == ""


def test_what_is_said_when_there_is_nothing_to_explain(broker: RunningBroker) -> None:
    broker.create_users("cyn")
    for words, status in [
        (("explain", "cyn", "1"), EX_NOUSER),
        (("explain", "nobody/pc", "1"), EX_NOUSER),
        (("explain", "--message", "0" * 16), EX_NOUSER),
        (("explain", "--message", "xyz"), EX_DATAERR),
        (("explain", "cyn"), EX_USAGE),
        (("explain", "cyn", "0"), EX_USAGE),
        (("explain", "cyn", "1", "--message", "0" * 16), EX_USAGE),
        (("events", "--user", "nobody"), EX_NOUSER),
        (("events", "--since", "yesterday"), EX_USAGE),
        (("sessions", "show", "cyn"), EX_USAGE),
        (("sessions", "show", "cyn/pc"), EX_NOUSER),
    ]:
        result = broker.ask(*words)
        assert result.exit_code == status, (words, result.output)
        assert result.stderr.strip(), words
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", [("events", "--follow"), ("sessions", "watch")])
def test_following_goes_on_until_ctrl_c(broker: RunningBroker, tmp_path: Path, words: tuple[str, ...]) -> None:
    name = f"f-{words[0]}"
    broker.create_users(name)
    following = subprocess.Popen(
        [*COMMAND, "--socket", str(broker.socket), *words, "--user", name, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path), text=True,
    )  # fmt: skip

    async def visit() -> None:
        async with roost.connect(broker.address, user=name, terminal="pad", password=PASSWORD):
            pass

    try:
        assert following.stdout is not None
        if words[0] == "events":
            assert json.loads(following.stdout.readline())["kind"] == "user changed"
        row: dict[str, object] = {}
        trio.run(visit)
        while not select.select([following.stdout], [], [], 2)[0]:
            trio.run(visit)  # the one before came before the command had begun to look
        while row.get("kind") != "session closed":
            row = json.loads(following.stdout.readline())
        assert (row["user"], row["terminal"]) == (name, "pad")
        following.send_signal(signal.SIGINT)
        _, said = following.communicate(timeout=30)
        assert following.returncode == 130
        assert "Traceback" not in said
    finally:
        following.kill()
        following.communicate()


def test_a_pipe_that_closes_ends_a_stream_quietly(broker: RunningBroker, tmp_path: Path) -> None:
    name = "piped"
    broker.create_users(name)
    following = subprocess.Popen(
        [*COMMAND, "--socket", str(broker.socket), "events", "--follow", "--user", name],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(tmp_path), text=True,
    )  # fmt: skip
    try:
        assert following.stdout is not None
        assert "user changed" in following.stdout.readline()
        following.stdout.close()
        following.stdout = None

        async def visit() -> None:
            async with roost.connect(broker.address, user=name, terminal="pad", password=PASSWORD):
                pass

        trio.run(visit)
        _, said = following.communicate(timeout=30)
        assert said.strip() == ""
    finally:
        following.kill()
        following.communicate()
