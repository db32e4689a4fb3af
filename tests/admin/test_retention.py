"""`roost retention`, against a real broker."""

import json
from pathlib import Path

import pytest
import trio

import roost
from admin.running import CHEAP, PASSWORD, RunningBroker
from roost_admin.failures import EX_NOUSER

pytestmark = pytest.mark.process

CONFIG = f"{CHEAP}\n[retention]\ncount = 3\ninterval_s = 3600\n"


def fill(broker: RunningBroker, count: int) -> None:
    for number in range(count):
        sent = broker.ask("send", "--from", "ann", "--to", "user/ben", f"{number}")
        assert sent.exit_code == 0, sent.output


async def acknowledge_all(broker: RunningBroker, user: str) -> None:
    async with roost.connect(broker.address, user=user, terminal="pc", password=PASSWORD, device="pc-1") as session:
        async for event in session:
            if isinstance(event, roost.Message) and event.seq == 2:
                break
        await session.acknowledge(2)


def test_who_would_lose_what_and_then_it_is_gone(tmp_path: Path) -> None:
    with RunningBroker(tmp_path, config=CONFIG) as broker:
        broker.create_users("ann", "ben")
        fill(broker, 2)
        trio.run(acknowledge_all, broker, "ben")
        fill(broker, 5)
        planned = broker.ask("retention", "plan")
        assert planned.exit_code == 0, planned.output
        ann, ben, loss, summary = planned.stdout.splitlines()
        assert ann == "ann: 1 to 4 would go by count; 5 to 7 stay"
        assert ben == "ben: 1 to 4 would go by count; 5 to 7 stay"
        assert loss.startswith("  pc-1 (pc, last seen 20")
        assert loss.endswith(") would lose 3 to 4: 2 entries")
        assert summary.startswith("8 entries of 2 inboxes would go (looked at: 2); 1 device would lose 2 entries ")
        lines = [json.loads(line) for line in broker.ask("retention", "plan", "--json").stdout.splitlines()]
        assert [line["inbox"]["user"] for line in lines[:-1]] == ["ann", "ben"]
        assert lines[-1]["summary"]["lost"] == 2
        only = broker.ask("retention", "plan", "--user", "ann").stdout.splitlines()
        assert [line[:5] for line in only] == ["ann: ", "4 ent"]
        assert broker.ask("retention", "plan", "--user", "nobody").exit_code == EX_NOUSER

        ran = broker.ask("retention", "run")
        assert (ran.exit_code, ran.stdout) == (0, "")
        assert ran.stderr.startswith("roost: trimmed 8 entries of 2 inboxes in ")
        after = broker.ask("retention", "plan").stdout
        assert after.startswith("0 entries of 0 inboxes would go")
        shown = broker.ask("inbox", "show", "ben", "--from", "1")
        assert [line.split()[0] for line in shown.stdout.splitlines()] == ["SEQ", "5", "6", "7"]
        assert shown.stderr == "roost: what was below number 5 was trimmed by retention\n"
        rows = {line[:18].strip(): line[18:].strip() for line in broker.ask("retention", "show").stdout.splitlines()}
        assert rows["by count"] == "3 entries of an inbox"
        assert rows["hold"] == "off"
        assert rows["last walk"].endswith(": trimmed 8 entries of 2 inboxes")


def test_what_is_held_stays(tmp_path: Path) -> None:
    with RunningBroker(tmp_path, config=f"{CONFIG}hold_days = 1\n") as broker:
        broker.create_users("ann", "ben")
        fill(broker, 2)
        trio.run(acknowledge_all, broker, "ben")
        fill(broker, 5)
        lines = broker.ask("retention", "plan").stdout.splitlines()
        assert lines[:2] == [
            "ann: 1 to 4 would go by count; 5 to 7 stay",
            "ben: 1 to 2 would go by count; 3 to 7 stay",
        ]
        assert "0 devices would lose 0" in lines[2]
        assert "what devices seen within 1 days lack" in broker.ask("retention", "show").stdout
