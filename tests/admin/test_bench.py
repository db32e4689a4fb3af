"""`roost bench` as a user has it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from admin.running import RunningBroker, command
from roost_protocol.admin.groups import GROUPS_LIST
from roost_protocol.admin.users import USERS_LIST


def test_help_of_the_whole_command_does_not_load_the_benchmarks() -> None:
    code = (
        "import sys\nfrom roost_admin.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not any(name.startswith(('roost_benchmarks', 'hdrh', 'matplotlib')) for name in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "bench " in done.stdout


def test_every_verb_explains_itself() -> None:
    from roost_benchmarks.command import VERBS

    assert "disk" in command("bench", "--help").output
    for verb in VERBS:
        result = command("bench", verb, "--help")
        assert result.exit_code == 0
        assert "Example:" in result.output


def test_a_verb_that_is_none_is_wrong_usage() -> None:
    assert command("bench", "nope").exit_code == 64


def test_a_disk_is_measured_without_a_broker(tmp_path: Path) -> None:
    result = command("bench", "disk", str(tmp_path), "--rounds", "10")
    assert result.exit_code == 0, result.output
    assert "commit of 256 messages" in result.stdout
    assert "A sync takes" in result.stdout or "not a disk" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_disk_as_json_is_one_document(tmp_path: Path) -> None:
    result = command("bench", "disk", str(tmp_path), "--rounds", "10", "--body-bytes", "131072", "--json")
    found = json.loads(result.stdout)
    assert found["folder"] == str(tmp_path)
    assert set(found["messages_per_s_at_most"]) == {"1", "16", "256"}


def test_a_folder_that_is_not_there_is_no_input(tmp_path: Path) -> None:
    result = command("bench", "disk", str(tmp_path / "nowhere"))
    assert (result.exit_code, "is not a folder" in result.stderr) == (66, True)


TINY = ("--pairs", "1", "--window", "4", "--duration", "0.2")


@pytest.mark.process
def test_pairs_against_a_running_broker_with_accounts_that_stay(broker: RunningBroker, tmp_path: Path) -> None:
    kept = tmp_path / "users"
    result = broker.ask("bench", "pairs", *TINY, "--json", "--save-users", str(kept))
    assert result.exit_code == 0, result.output
    run = json.loads(result.stdout)
    assert (run["workload"], run["options"]["pairs"], run["oracle"]["missed"]) == ("W1", 1, 0)
    assert run["oracle"]["entries_checked"] > 0
    assert run["process"]["rss_anon_bytes"] > 0
    assert "left on the broker: 2 accounts, bench-" in result.stderr
    made = {user.name for user in broker.api.ask(USERS_LIST).users if user.name.startswith("bench-")}
    assert {line.partition(":")[0] for line in kept.read_text().splitlines()} <= made
    assert all(line.partition(":")[2] not in result.output for line in kept.read_text().splitlines())

    again = broker.ask("bench", "pairs", *TINY, "--users", str(kept), "--connect", broker.address, "--rate", "100")
    assert again.exit_code == 0, again.output
    assert "messages/s" in again.stdout
    assert "left on the broker" not in again.stderr
    assert {user.name for user in broker.api.ask(USERS_LIST).users if user.name.startswith("bench-")} == made


@pytest.mark.process
@pytest.mark.parametrize("hdr", ["run.hgrm", "run.hlog"])
def test_a_fan_out_with_files(broker: RunningBroker, tmp_path: Path, hdr: str) -> None:
    files = ("--csv", str(tmp_path / "run.csv"), "--hdr", str(tmp_path / hdr))
    result = broker.ask("bench", "fanout", "--devices", "4", "--rate", "50", "--duration", "0.2", *files)
    assert result.exit_code == 0, result.output
    (row,) = csv.DictReader((tmp_path / "run.csv").read_text().splitlines())
    assert (row["workload"], row["options.members"], row["options.devices"]) == ("W3", "2", "2")
    assert (tmp_path / hdr).stat().st_size > 100


@pytest.mark.process
def test_two_runs_with_a_group_do_not_meet(broker: RunningBroker) -> None:
    for _ in range(2):
        result = broker.ask("bench", "group", "--members", "3", "--duration", "0.1")
        assert result.exit_code == 0, result.output


@pytest.mark.process
def test_more_members_than_one_request_may_name(broker: RunningBroker, tmp_path: Path) -> None:
    from roost_benchmarks.against import Where, target

    with target(Where(socket=broker.socket), 300) as found:
        found.make_group("bench-large", found.users)
    (group,) = [group for group in broker.api.ask(GROUPS_LIST).groups if group.name == "bench-large"]
    assert set(group.members) == set(found.users)


@pytest.mark.process
def test_idle_devices_on_a_broker_of_its_own(tmp_path: Path) -> None:
    result = command("bench", "idle", "--devices", "8", "--temporary", "--folder", str(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["options"]["devices"] == 8
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_a_refused_log_in_is_a_run_that_does_not_count(broker: RunningBroker, tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("nobody:hunter2\nnobody2:hunter2\n")
    result = broker.ask("bench", "pairs", *TINY, "--users", str(users))
    assert (result.exit_code, "does not count" in result.stderr) == (70, True)
    assert "hunter2" not in result.output


def test_without_a_broker_there_is_nothing_to_measure(tmp_path: Path) -> None:
    result = command("--data", str(tmp_path), "bench", "pairs", *TINY)
    assert (result.exit_code, "no broker here" in result.stderr) == (69, True)


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (("--temporary", "--connect", "localhost:1"), 64, "no --connect"),
        (("--folder", "."), 64, "for the broker that --temporary starts"),
        (("--window", "257"), 64, "is not in the range"),
        (("--users", "nowhere"), 66, "cannot read nowhere"),
        (("--users", os.devnull), 65, "has 0 accounts, this run needs 2"),
    ],
)
def test_wrong_usage_and_bad_files_have_their_status(args: tuple[str, ...], status: int, words: str) -> None:
    result = command("bench", "pairs", *TINY, *args)
    assert (result.exit_code, words in result.stderr) == (status, True), result.stderr


def test_an_address_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("a:x\nb:x\n")
    for address in ("nowhere", "host:", "host:0", "host:99999"):
        result = command("bench", "pairs", *TINY, "--users", str(tmp_path / "users"), "--connect", address)
        assert (result.exit_code, "is no HOST:PORT" in result.stderr) == (64, True)


def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    code = (
        "import sys\nsys.modules['hdrh'] = None\nfrom roost_admin.main import main\n"
        "main(['bench', 'pairs', '--temporary', '--duration', '0.1'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (78, "roost: this needs packages of its own: pip install 'roost[bench]'\n")


@pytest.mark.process
def test_a_device_catches_up_behind_a_slow_link(broker: RunningBroker) -> None:
    result = broker.ask("bench", "catchup", "--entries", "300", "--round-trip", "2", "--json")
    assert result.exit_code == 0, result.output
    run = json.loads(result.stdout)
    assert (run["options"]["entries"], run["oracle"]["entries_checked"]) == (300, 300)


@pytest.mark.process
def test_devices_come_back_at_once(broker: RunningBroker) -> None:
    result = broker.ask("bench", "storm", "--devices", "6", "--backlog", "2", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["oracle"]["entries_checked"] == 12
