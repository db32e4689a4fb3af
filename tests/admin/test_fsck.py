"""`roost fsck`: on a running broker, on a stopped folder, on a backup; what it says, and its exit status."""

import json
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import trio

import roost
from admin.running import COMMAND, PASSWORD, WAIT_S, Chat, RunningBroker, command, environment
from broker.store.damaging import BOB, damaging, make_store
from roost_admin.failures import EX_CONFIG, EX_IOERR, EX_NOINPUT, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE
from roost_admin.fsck import finding_lines, verdict_line, where_text
from roost_broker.store.lmdb_tables import PAIR
from roost_protocol.admin.fsck import FSCK, Finding, FsckHow, FsckVerdict

pytestmark = pytest.mark.process


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A stopped folder with nothing wrong."""
    folder = tmp_path / "whole"
    make_store(folder)
    return folder


@pytest.fixture
def damaged(whole: Path) -> Path:
    """One with a hole in Bob's inbox."""
    with damaging(whole) as rows:
        rows.delete("inbox", PAIR.pack(BOB, 9))
    return whole


# --- a running broker ---


async def talk(address: str, count: int) -> None:
    async with (
        roost.connect(address, user="alice", terminal="pc", password=PASSWORD) as alice,
        roost.connect(address, user="bob", terminal="pc", password=PASSWORD),
    ):
        for number in range(count):
            await alice.publish("user/bob", f"text {number}")


def test_a_running_broker_checks_its_store(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        broker.create_users("alice", "bob")
        trio.run(talk, broker.address, 30)
        result = broker.ask("fsck", "--fast")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == "verdict: clean (2 users, 2 devices, 0 groups, 30 messages, 60 entries)\n"
        document = json.loads(broker.ask("fsck", "--json").stdout)
        assert document["findings"] == []
        assert (document["verdict"]["damages"], document["verdict"]["entries"]) == (0, 60)
        # By its folder as well: the broker is asked, and its folder is left alone.
        assert command("fsck", "--data", str(broker.data)).exit_code == 0
        in_use = command("fsck", "--backup", str(broker.data))
        assert in_use.exit_code == EX_CONFIG
        assert "in use" in in_use.stderr


def test_damage_is_found_by_a_running_broker(tmp_path: Path, damaged: Path) -> None:
    shutil.copytree(damaged, tmp_path / "data")
    with RunningBroker(tmp_path) as broker:
        result = broker.ask("fsck")
        assert result.exit_code == 1
        assert "damage (hole): table inbox, user 2 (bob), entry 9: entry 9 is not there" in result.stdout
        assert "verdict: DAMAGED; found: " in result.stdout


def test_leaving_a_check_makes_place_for_the_next(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        broker.create_users(*(f"user{number}" for number in range(3)))
        with broker.api.follow(FSCK, query=FsckHow()) as events:
            next(events)
        while (result := broker.ask("fsck")).exit_code == EX_TEMPFAIL:
            assert "already" in result.stderr
        assert result.exit_code == 0


# --- a stopped folder, a backup ---


def test_a_stopped_folder_is_checked_here(whole: Path) -> None:
    result = command("fsck", "--data", str(whole))
    assert result.exit_code == 0
    assert result.stderr == f"roost: no broker runs here; checking the folder {whole} itself\n"
    assert result.stdout == "verdict: clean (4 users, 4 devices, 2 groups, 16 messages, 29 entries)\n"


def test_a_backup_is_checked_here(damaged: Path) -> None:
    result = command("fsck", "--backup", str(damaged), "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    document = json.loads(result.stdout)
    hole = next(finding for finding in document["findings"] if finding["code"] == "hole")
    assert (hole["table"], hole["user"], hole["user_number"], hole["seq"]) == ("inbox", "bob", 2, 9)
    assert hole["advice"]
    assert document["verdict"]["damages"] == len(document["findings"])


def test_what_to_do_is_said_once_for_each_kind(whole: Path) -> None:
    with damaging(whole) as rows:
        rows.clear("scroll")
    lines = command("fsck", "--backup", str(whole)).stdout.splitlines()
    assert len([line for line in lines if line.startswith("damage (scroll-lost): ")]) == 29
    assert len([line for line in lines if "restore a backup" in line]) == 1


def test_a_file_that_is_cut_short(whole: Path) -> None:
    data = whole / "data.mdb"
    data.write_bytes(data.read_bytes()[:20_000])
    result = command("fsck", "--backup", str(whole))
    assert result.exit_code == 1
    assert "damage (page): the data file: " in result.stdout
    assert "not everything was looked at" in result.stdout


def test_what_cannot_be_checked_is_said_in_one_line(tmp_path: Path, whole: Path) -> None:
    (tmp_path / "empty").mkdir()
    (whole / "data.mdb").write_bytes(b"")
    for arguments, status, says in (
        (("--backup", str(tmp_path / "nowhere")), EX_NOINPUT, "no such folder"),
        (("--data", str(tmp_path / "nowhere")), EX_NOINPUT, "no such folder"),
        (("--backup", str(tmp_path / "empty")), EX_NOINPUT, "no store in it"),
        (("--data", str(tmp_path / "empty")), EX_UNAVAILABLE, "no broker here"),
        (("--backup", str(whole)), EX_IOERR, "is empty"),
        (("--socket", str(tmp_path / "nowhere.sock")), EX_UNAVAILABLE, "no broker here"),
        (("--backup",), EX_USAGE, "--backup"),
    ):
        result = command("fsck", *arguments)
        assert (result.exit_code, result.stdout) == (status, ""), arguments
        assert says in result.stderr
        if status != EX_USAGE:
            assert result.stderr.count("\n") == 1


def test_without_broker_and_folder_it_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = command("fsck")
    assert result.exit_code == EX_UNAVAILABLE
    assert "roost serve" in result.stderr
    make_store(tmp_path / "roost-data")
    assert command("fsck").exit_code == 0


def test_ctrl_c_is_no_verdict(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        process = subprocess.Popen(
            [*COMMAND, "fsck", "--socket", str(tmp_path / "s")], stderr=subprocess.PIPE, env=environment(tmp_path)
        )
        connection, _ = listening.accept()
        with connection, process:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, errors) == (130, b"")


# --- what is shown ---


@pytest.fixture
def finding() -> Finding:
    return Finding(
        severity="damage", code="hole", table="inbox", found="entry 9 is not there", expected="\x1b[1mevery\nnumber",
        advice="look", user="al\x1bice", user_number=1, device_number=3, group="team", group_number=2, seq=9,
        message="00ff",
    )  # fmt: skip


def test_a_finding_says_where(finding: Finding) -> None:
    assert where_text(finding) == ("table inbox, user 1 (al\x1bice), device 3, group 2 (team), entry 9, message 00ff")
    lines = finding_lines(finding)
    assert len(lines) == 3
    assert not [line for line in lines if "\x1b" in line or "\n" in line]


def test_a_verdict_counts() -> None:
    sizes = {"users": 1000, "devices": 2, "groups": 3, "messages": 4, "entries": 5}
    verdict = FsckVerdict(damages=1, warnings=2, complete=False, **sizes)
    assert verdict_line(verdict) == (
        "verdict: DAMAGED; found: 1 damage, 2 warnings; not everything was looked at "
        "(1,000 users, 2 devices, 3 groups, 4 messages, 5 entries)"
    )
    assert "clean; found: 1 warning (" in verdict_line(FsckVerdict(damages=0, warnings=1, complete=True, **sizes))


def test_on_a_terminal_it_ends_with_the_verdict(damaged: Path, tmp_path: Path) -> None:
    with Chat(tmp_path, "--backup", str(damaged), verb="fsck", terminal=True, password=None) as shown:
        text = shown.rest()
        assert shown.process.wait(WAIT_S) == 1
    assert text.rstrip().splitlines()[-1].startswith("verdict: DAMAGED")
