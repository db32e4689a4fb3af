"""`roost chat` as a process: between two people, over a kick, a restart, on a pipe and on a terminal."""

import os
import pwd
import re
import signal
import socket
from pathlib import Path

import pytest
import trio

import roost
from admin.running import PASSWORD, Chat, RunningBroker
from roost_admin.failures import EX_CONFIG, EX_DATAERR, EX_NOPERM, EX_UNAVAILABLE, EX_USAGE
from roost_protocol.admin.groups import GROUPS_CREATE, GroupCreate

pytestmark = pytest.mark.process

WAIT_S = 30


def open_chat(broker: RunningBroker, folder: Path, name: str, to: str, device: str = "pc", **options: object) -> Chat:
    """A chat that is logged in."""
    chat = Chat(folder, name, "--terminal", device, "--to", to, "--server", broker.address, **options)  # type: ignore[arg-type]
    chat.expect(f"· {name} on {device}")
    return chat


def ended(chat: Chat) -> int:
    return chat.process.wait(WAIT_S)


# --- on a pipe ----------------------------------------------------------------------------------------------------


def test_two_people_talk_on_three_devices(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("ada", "bo")
    with (
        open_chat(broker, tmp_path, "ada", "bo", "phone") as phone,
        open_chat(broker, tmp_path, "ada", "bo", "pc") as pc,
        open_chat(broker, tmp_path, "bo", "ada", "tv") as other,
    ):
        phone.expect("· bo is online on tv\n")
        phone.type("hello bo\n")
        phone.expect(r"\d\d:\d\d:\d\d you: hello bo ✓\n")
        pc.expect(r"you \(phone-[0-9a-f]{8}\): hello bo\n")
        other.expect("ada: hello bo\n")
        other.type("żółć 日本\n\n   \nand \x1b[2J\n")
        for chat in (phone, pc):
            chat.expect("bo: żółć 日本\n")
            assert "\x1b" not in chat.expect(r"bo: and \\x1b\[2J\n")
        phone.close_input()
        assert ended(phone) == 0
        other.expect("· ada is gone on phone\n")


def test_a_kick_is_shown_and_ends_the_chat(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("cat", "dan")
    with open_chat(broker, tmp_path, "cat", "dan") as first, open_chat(broker, tmp_path, "cat", "dan") as second:
        said = first.expect(r"! logged in elsewhere: pc-[0-9a-f]{8} took over at \d\d:\d\d:\d\d from 127\.0\.0\.1:\d+")
        assert said
        assert ended(first) == EX_NOPERM
        second.expect(r"· you are logged in here now; the session of pc-[0-9a-f]{8}, from 127")
        assert broker.ask("sessions", "kick", "cat", "pc", "--reason", "lunch").exit_code == 0
        second.expect(rf"! the session was ended by {pwd.getpwuid(os.getuid()).pw_name} at \d\d:\d\d:\d\d: lunch\n")
        assert ended(second) == EX_NOPERM


def test_the_second_start_needs_no_password_and_shows_what_was_said(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("eve", "fay")
    with open_chat(broker, tmp_path, "eve", "fay") as chat:
        chat.type("".join(f"line {number}\n" for number in range(30)))
        chat.close_input()
        assert ended(chat) == 0
        assert chat.rest().count("✓") == 30

    async def fay() -> None:
        async with roost.connect(broker.address, user="fay", terminal="pc", password=PASSWORD) as session:
            await session.publish("user/eve", "while you were away")

    trio.run(fay)
    with open_chat(broker, tmp_path, "eve", "fay", password=None) as chat:
        chat.expect("· there are earlier messages\n")
        chat.expect("you: line 10 ✓\n")
        chat.expect("you: line 29 ✓\n")
        chat.expect("fay: while you were away\n")
        chat.close_input()
        assert ended(chat) == 0
        assert "line" not in chat.rest()


def test_messages_elsewhere_are_remarks(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("gil", "hal", "ida")
    broker.api.ask(GROUPS_CREATE, body=GroupCreate(name="hikers", owner="ida", members=("gil",)))

    async def ida(*bodies: str) -> None:
        async with roost.connect(broker.address, user="ida", terminal="pc", password=PASSWORD) as session:
            for body in bodies:
                await session.publish("group/hikers", body)

    with open_chat(broker, tmp_path, "gil", "hal") as chat:
        trio.run(ida, "now")
        chat.expect("· ida in group hikers: now\n")
        chat.close_input()
        assert ended(chat) == 0
    trio.run(ida, "one", "two", "three")
    with open_chat(broker, tmp_path, "gil", "hal", password=None) as chat:
        chat.expect("· 3 new in group hikers\n")
    with Chat(tmp_path, "gil", "--group", "hikers", "--server", broker.address, password=None) as chat:
        chat.expect("ida: now\n")
        chat.expect("ida: three\n")
        chat.type("hello group\n")
        chat.expect("you: hello group ✓\n")


def test_one_line_and_away(broker: RunningBroker, tmp_path: Path) -> None:
    """`echo … | roost chat …`: it leaves when what was sent is stored and shown."""
    broker.create_users("jan", "kit")
    with Chat(tmp_path, "jan", "--to", "kit", "--server", broker.address) as chat:
        chat.type("backup done")
        chat.close_input()
        assert ended(chat) == 0
        assert "you: backup done ✓\n" in chat.rest()


def test_what_is_refused_is_said(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("lou")
    with open_chat(broker, tmp_path, "lou", "nobody-there") as chat:
        chat.type("anybody?\n")
        chat.expect(r"! not sent \(.*unknown recipient.*\): anybody\?\n")
        chat.type("x" * 200_000 + "\n")
        chat.expect(r"! not sent \(.*at most \d+.*\): x+\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves(broker: RunningBroker, tmp_path: Path, number: int) -> None:
    user = f"mia-{number}"
    broker.create_users(user)
    with open_chat(broker, tmp_path, user, user) as chat:
        chat.process.send_signal(number)
        assert ended(chat) == 0
        assert "Traceback" not in chat.rest()


def test_a_broker_that_goes_and_comes_back(tmp_path: Path) -> None:
    """What is typed meanwhile waits, is said to, and is stored once the broker is there again, or at the next start."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    with RunningBroker(tmp_path, listen=listen) as broker:
        broker.create_users("ned", "oli")
        chat = open_chat(broker, tmp_path, "ned", "oli")
        chat.type("hello\n")
        chat.expect("you: hello ✓\n")
        broker.stop(signal.SIGKILL)
    with chat:
        chat.expect(r"· connection lost \(.*\); trying again by itself\n")
        chat.type("are you there?\n")
        chat.expect(r"· waiting: are you there\?\n")
        with RunningBroker(tmp_path, listen=listen) as broker:
            chat.expect("· connected again\n")
            chat.expect(r"you: are you there\? ✓\n")
            broker.stop(signal.SIGKILL)
        chat.expect(r"· connection lost")
        chat.type("for later\n")
        chat.expect(r"· waiting: for later\n")
        chat.process.send_signal(signal.SIGTERM)
        chat.expect("· 1 not stored yet: kept here, and sent when this device starts again\n")
        assert ended(chat) == 0
    with (
        RunningBroker(tmp_path, listen=listen) as broker,
        open_chat(broker, tmp_path, "ned", "oli", password=None) as chat,
    ):
        chat.expect("you: for later ✓\n")


# --- log-ins that come to nothing ---------------------------------------------------------------------------------


def refused(folder: Path, *args: str, password: str | None = PASSWORD) -> tuple[int, str]:
    """A chat that does not come about: its exit status, and what it says."""
    with Chat(folder, *args, password=password) as chat:
        chat.close_input()
        status = ended(chat)
        return status, chat.rest()


def test_a_wrong_password_and_an_unknown_user_get_the_same(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("pam")
    args = ("--to", "pam", "--server", broker.address)
    status, wrong = refused(tmp_path, "pam", *args, password="wrong")
    other_status, unknown = refused(tmp_path, "nobody", *args)
    assert status == other_status == EX_NOPERM
    assert wrong.replace("pam", "nobody") == unknown
    assert wrong.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (("quin",), EX_USAGE, "--to"),
        (("quin", "--to", "a", "--group", "b"), EX_USAGE, "--to"),
        (("qu/in", "--to", "a"), EX_DATAERR, "no '/'"),
        (("quin", "--to", ""), EX_DATAERR, "1 to 64"),
        (("quin", "--to", "a", "--terminal", "PC"), EX_DATAERR, "terminal type"),
        (("quin", "--to", "a", "--server", "nonsense"), EX_USAGE, "HOST:PORT"),
        (("quin", "--to", "a", "--server", "127.0.0.1:1"), EX_UNAVAILABLE, "no broker at 127.0.0.1:1"),
    ],
)
def test_what_cannot_be(tmp_path: Path, args: tuple[str, ...], status: int, says: str) -> None:
    exit_status, said = refused(tmp_path, *args)
    assert exit_status == status
    assert says in said


def test_a_terminal_type_that_the_broker_does_not_have(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("rob")
    args = ("rob", "--to", "rob", "--terminal", "toaster", "--server", broker.address)
    status, said = refused(tmp_path, *args)
    assert status == EX_NOPERM
    assert "toaster" in said


def test_without_password_or_token(broker: RunningBroker, tmp_path: Path) -> None:
    status, said = refused(tmp_path, "rob", "--to", "rob", "--server", broker.address, password=None)
    assert (status, "--password-fd" in said) == (EX_USAGE, True)


def test_a_state_that_another_chat_has_open(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("sam")
    state = tmp_path / "mine.db"
    args = ("sam", "--to", "sam", "--server", broker.address, "--state", str(state))
    with Chat(tmp_path, *args) as chat:
        chat.expect("· sam on pc")
        status, said = refused(tmp_path, *args)
        assert status == EX_CONFIG
        assert "in use" in said


def test_a_token_that_was_revoked_asks_for_the_password_again(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("tim")
    with open_chat(broker, tmp_path, "tim", "tim", "phone") as chat:
        chat.close_input()
        assert ended(chat) == 0

    async def revoke() -> None:
        async with roost.connect(broker.address, user="tim", terminal="pc", password=PASSWORD) as session:
            for device in await session.devices():
                if device.terminal == "phone":
                    await session.log_out(device.device)

    trio.run(revoke)
    args = ("tim", "--to", "tim", "--terminal", "phone", "--server", broker.address)
    status, said = refused(tmp_path, *args, password=None)
    assert status == EX_USAGE
    assert "not valid any more" in said
    assert "--password-fd" in said
    with open_chat(broker, tmp_path, "tim", "tim", "phone") as chat:
        chat.type("back\n")
        chat.expect("you: back ✓\n")


# --- on a terminal ------------------------------------------------------------------------------------------------


def test_typing_is_not_broken_by_what_comes_in(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("uma", "vic")

    async def vic(body: str) -> None:
        async with roost.connect(broker.address, user="vic", terminal="pc", password=PASSWORD) as session:
            await session.publish("user/uma", body)

    args = ("uma", "--to", "vic", "--server", broker.address)
    with Chat(tmp_path, *args, terminal=True, TERM="xterm") as chat:
        chat.expect("vic> ")
        chat.type("half a sen")
        chat.expect(r"vic> half a sen\r")
        trio.run(vic, "interrupting")
        shown = chat.expect(r"vic\x1b\[0m: interrupting\r?\n.*?vic> half a sen\r\x1b\[15C")
        assert "\r\x1b[K" in shown
        chat.type("tence\r")
        chat.expect("half a sentence ✓")
        chat.type("\x04")
        assert ended(chat) == 0
        assert "\r\x1b[K" in chat.rest()


def test_a_password_is_asked_for_on_a_terminal_and_not_shown(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("wes")
    args = ("wes", "--to", "wes", "--server", broker.address)
    with Chat(tmp_path, *args, terminal=True, password=None, TERM="xterm", NO_COLOR="1") as chat:
        chat.expect("Password of wes: ")
        chat.type(PASSWORD + "\n")
        chat.expect("wes> ")
        chat.type("hi\r")
        shown = chat.expect("you: hi ✓")
        assert PASSWORD not in shown
        assert not re.search(r"\x1b\[\d*m", shown), "NO_COLOR"
        chat.type("\x03")
        assert ended(chat) == 0


def test_a_terminal_that_can_do_nothing_gets_plain_lines(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("xia")
    args = ("xia", "--to", "xia", "--server", broker.address)
    with Chat(tmp_path, *args, terminal=True, TERM="dumb", NO_COLOR="1") as chat:
        chat.expect("· xia on pc")
        chat.type("hi\n")
        assert "\x1b" not in chat.expect("you: hi ✓")


def test_a_new_password_is_asked_for_twice(broker: RunningBroker, tmp_path: Path) -> None:
    args = ("add", "yan", "--socket", str(broker.socket))
    with Chat(tmp_path, *args, verb="users", terminal=True, password=None) as adding:
        for typed in ("first", "other", "s3cret", "s3cret"):
            adding.expect("(Password of yan|Repeat for confirmation): ")
            adding.type(typed + "\n")
        adding.expect("user yan created")
        assert ended(adding) == 0
    with open_chat(broker, tmp_path, "yan", "yan", password="s3cret") as chat:
        chat.close_input()
        assert ended(chat) == 0


def test_nobody_reads_any_more(broker: RunningBroker, tmp_path: Path) -> None:
    broker.create_users("zoe")
    with open_chat(broker, tmp_path, "zoe", "zoe") as chat:
        chat.close_output()
        chat.type("anybody?\n")
        assert ended(chat) == 0
