"""`roost check`: what each stage makes of what it finds, how it is said, and all of it on a real broker."""

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

import roost
from admin.running import CHEAP, COMMAND, PASSWORD, RunningBroker, command, environment, password_fd
from broker.test_certificates import AUTHORITY, issue
from roost_admin.check import stages
from roost_admin.check.report import Figure, Stage, nagios_line, nagios_status, report_on
from roost_admin.failures import EX_UNAVAILABLE, EX_USAGE
from roost_protocol.admin.health import Health
from roost_protocol.admin.status import BrokerStatus
from roost_protocol.limits import MIB

GIB = 1024 * MIB

WELL = Health(
    pid=1,
    started=0,
    now=0,
    clock_moved_ms=0,
    queued=0,
    oldest_queued_ms=0,
    commit_under_way_ms=0,
    last_commit_ago_ms=None,
    retention_lag_ms=0,
    store_used_bytes=MIB,
    store_map_bytes=GIB,
    store_reserve_bytes=64 * MIB,
    disk_free_bytes=100 * GIB,
    disk_bytes=200 * GIB,
)
STATUS = BrokerStatus(
    version="1", pid=os.getpid(), started=0, listeners=(), draining=False, connections=0, sessions=0, published=0,
    users=0, devices=0, groups=0, messages=0, store_used_bytes=0, store_map_bytes=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ({}, "ok"),
        ({"oldest_queued_ms": 999, "queued": 5}, "ok"),
        ({"oldest_queued_ms": 1_000}, "warning"),
        ({"commit_under_way_ms": 1_000}, "warning"),
        ({"commit_under_way_ms": 10_000}, "critical"),
        ({"oldest_queued_ms": 10_000, "retention_lag_ms": 3_600_000}, "critical"),
        ({"retention_lag_ms": 3_600_000}, "warning"),
    ],
)
def test_the_writer(found: dict[str, int], state: str) -> None:
    assert stages.writer(replace(WELL, **found)).state == state


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ({}, "ok"),
        ({"disk_free_bytes": None, "disk_bytes": None}, "ok"),
        ({"store_used_bytes": GIB - 256 * MIB}, "ok"),
        ({"store_used_bytes": GIB - 256 * MIB + 1}, "warning"),
        ({"store_used_bytes": GIB - 64 * MIB}, "critical"),
        ({"disk_free_bytes": 256 * MIB, "disk_bytes": GIB}, "ok"),
        ({"disk_free_bytes": 256 * MIB - 1, "disk_bytes": GIB}, "warning"),
        ({"disk_free_bytes": 9 * GIB}, "warning"),
        ({"disk_free_bytes": 64 * MIB}, "critical"),
    ],
)
def test_the_disk(found: dict[str, int | None], state: str) -> None:
    assert stages.disk(replace(WELL, **found)).state == state


def test_the_process() -> None:
    assert stages.process(STATUS).state == "ok"
    assert stages.process(replace(STATUS, draining=True)).state == "warning"
    elsewhere = stages.process(replace(STATUS, pid=2**22 + 1))  # Linux: pid_max is at most 2^22
    assert "not on this machine" in elsewhere.text


def test_the_listeners() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"0.0.0.0:{port}"):
            assert stages.listeners(replace(STATUS, listeners=(address,))).state == "ok"
    refused = stages.listeners(replace(STATUS, listeners=(f"127.0.0.1:{port}",)))
    assert refused.state == "critical"
    assert f"127.0.0.1:{port}: " in refused.text
    assert stages.listeners(STATUS).state == "critical"


@pytest.mark.parametrize(
    ("address", "dialled"),
    [
        ("0.0.0.0:7300", ("127.0.0.1", 7300)),
        ("[::]:7300", ("::1", 7300)),
        ("[2001:db8::1]:7", ("2001:db8::1", 7)),
        ("gate.example:7300", ("gate.example", 7300)),
    ],
)
def test_a_listener_is_reached_at(address: str, dialled: tuple[str, int]) -> None:
    assert stages.dialled(address) == dialled


# --- how it is said -----------------------------------------------------------------------------------------------


def test_the_worst_stage_is_what_the_broker_is() -> None:
    ok, skipped, warning, critical = (
        Stage("a", "ok", "fine"),
        Stage("b", "skipped", "no"),
        Stage("c", "warning", "w"),
        Stage("d", "critical", "c"),
    )
    for some, state, status in [
        ([ok], "ok", 0),
        ([ok, skipped], "ok", 0),
        ([skipped], "ok", 0),
        ([warning, ok], "warning", 1),
        ([ok, critical, warning], "critical", 2),
    ]:
        report = report_on(some)
        assert (report.state, nagios_status(report)) == (state, status)


def test_the_line_of_a_plugin() -> None:
    """Monitoring Plugins Development Guidelines: one line, text before the bar, name=value[unit];warning;critical."""
    figures = (Figure("echo", 3.25, "ms", 1_000, 10_000), Figure("lag", 0, "ms", 3_600_000), Figure("n", 7))
    well = report_on([Stage("echo", "ok", "fine", figures), Stage("x", "skipped", "no")])
    assert nagios_line(well) == "ROOST OK - 1 stages are ok | echo=3.25ms;1000;10000 lag=0ms;3600000 n=7"
    ill = report_on([Stage("a", "critical", "a|b\nc\x1b[2J"), Stage("b", "warning", "w")])
    assert nagios_line(ill) == "ROOST CRITICAL - a: a/b\\nc\\x1b[2J; b: w"


# --- on a broker --------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_a_broker_that_is_well(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as broker:
        report = json.loads(broker.ask("check", "--json").stdout)
        assert report["state"] == "ok"
        states = {stage["name"]: stage["state"] for stage in report["stages"]}
        assert states == {
            "process": "ok",
            "listeners": "ok",
            "echo": "ok",
            "writer": "ok",
            "disk": "ok",
            "clock": "ok",
            "certificates": "skipped",
        }
        again = broker.ask("check")
        assert again.exit_code == 0
        assert re.search(r"echo +ok +roost-check logged in in", again.stdout)

        broker.create_users("monitor")
        with password_fd() as fd:
            line = broker.ask("check", "--format", "nagios", "--user", "monitor", "--password-fd", str(fd))
        assert line.exit_code == 0, line.output
        assert re.fullmatch(r"ROOST OK - 6 stages are ok \| echo=[\d.]+ms;1000;10000 [^|\n]+\n", line.stdout)
        devices = json.loads(broker.ask("users", "list", "--json").stdout)["users"]
        assert {row["name"]: row["devices"] for row in devices} == {"monitor": 1, "roost-check": 1}


@pytest.mark.process
def test_a_log_in_that_fails_is_critical(broker: RunningBroker) -> None:
    broker.create_users("wrong")
    for options, says in [
        (["--user", "wrong"], "bad user name or password"),
        (["--user", "nobody"], "bad user name or password"),
        (["--user", "wrong", "--terminal", "toaster"], "toaster"),
    ]:
        with password_fd("not the password") as fd:
            result = broker.ask("check", *options, "--password-fd", str(fd))
        assert result.exit_code == 1, result.output
        assert re.search(rf"echo +critical .*{says}", result.stdout), result.stdout
    with password_fd("not the password") as fd:
        line = broker.ask("check", "--user", "wrong", "--password-fd", str(fd), "--format", "nagios")
    assert (line.exit_code, line.stdout.startswith("ROOST CRITICAL - echo: wrong on bot: ")) == (2, True), line.stdout


@pytest.mark.process
def test_a_session_that_is_there_is_left_alone(broker: RunningBroker) -> None:
    broker.create_users("busy")

    async def check_meanwhile() -> str:
        async with roost.connect(broker.address, user="busy", terminal="bot", password=PASSWORD) as session:
            with password_fd() as fd:
                words = ("check", "--user", "busy", "--password-fd", str(fd))
                result = await trio.to_thread.run_sync(broker.ask, *words)
            assert result.exit_code == 0, result.output
            assert session.connected
            return result.stdout

    assert re.search(r"echo +skipped +busy is logged in on bot with ", trio.run(check_meanwhile))


@pytest.mark.process
def test_a_broker_that_is_not_there_or_does_not_answer(tmp_path: Path) -> None:
    socket_option = ("--socket", str(tmp_path / "none.sock"))
    assert command(*socket_option, "check").exit_code == EX_UNAVAILABLE
    line = command(*socket_option, "check", "--format", "nagios")
    assert (line.exit_code, line.stdout.startswith("ROOST CRITICAL - no broker here: ")) == (2, True)
    assert command(*socket_option, "check", "--password-fd", "3").exit_code == EX_USAGE
    with RunningBroker(tmp_path) as broker:
        broker.stop(signal.SIGKILL)
        assert broker.ask("check").exit_code == EX_UNAVAILABLE
        assert broker.ask("check", "--format", "nagios").exit_code == 2


@pytest.mark.parametrize(
    ("days", "state", "text"),
    [
        (90, "ok", "ends on .*, in 90 days"),
        (20, "warning", "in 20 days"),
        (2, "critical", "in 2 days"),
        (-1, "critical", "ended on .*: devices refuse it"),
    ],
)
def test_a_certificate_is_judged_by_its_end(days: int, state: str, text: str) -> None:
    stage = stages.certificates(replace(WELL, certificate_expires=WELL.now + days * 86_400_000))
    assert stage.state == state
    assert re.search(text, stage.text)


@pytest.mark.process
def test_a_broker_with_tls_is_well_and_people_chat_with_it(tmp_path: Path) -> None:
    tls = issue(tmp_path, "localhost")
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    more = f'[tls]\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n'
    with RunningBroker(tmp_path, config=CHEAP + more) as broker:
        report = json.loads(broker.ask("check", "--json").stdout)
        states = {stage["name"]: stage["state"] for stage in report["stages"]}
        assert (states["echo"], states["certificates"]) == ("ok", "ok"), report
        broker.create_users("alice", "bob")
        server = f"localhost:{broker.address.rpartition(':')[2]}"
        words = ("chat", "alice", "--terminal", "pc", "--to", "bob", "--server", server, "--state", tmp_path / "s.db")
        for extra, status in ((("--tls", "--ca", tmp_path / "ca.pem"), 0), (("--tls",), 69), ((), 69)):
            with password_fd() as fd:
                said = subprocess.run(
                    [*COMMAND, *map(str, (*words, *extra, "--password-fd", fd))],
                    input="hi\n", capture_output=True, text=True,
                    pass_fds=(fd,), env=environment(tmp_path), check=False,
                )  # fmt: skip
            assert said.returncode == status, said.stderr
        assert json.loads(broker.ask("inbox", "stat", "alice", "--json").stdout)["entries"] == 1
