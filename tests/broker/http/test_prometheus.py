"""`/metrics`: what is exported is what the page for admins says, and is what happened."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import trio
from prometheus_client.parser import text_string_to_metric_families

from broker.house import House, in_house
from broker.http.admin_door import acting, admin_door
from broker.http.speaking import Peer
from roost_broker.http.prometheus import CONTENT_TYPE
from roost_broker.outlet import LINGER_S
from roost_protocol.admin.route import PROGRAM, Caller
from roost_protocol.frames import Ack, Disconnect
from roost_protocol.reasons import Reason

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


class Family(NamedTuple):
    """A metric as it is documented."""

    name: str
    kind: str
    label: str
    text: str


@asynccontextmanager
async def scraped(house: House, caller: Caller = PROGRAM) -> AsyncIterator[Peer]:
    """A connection to the admin API of the house."""
    async with admin_door(house, acting(caller)) as door:
        yield door.dial()


async def text_of(house: House) -> str:
    async with scraped(house) as peer:
        answer = await peer.ask("GET", "/metrics")
        assert (answer.status, answer.headers["content-type"]) == (200, CONTENT_TYPE)
        return answer.body.decode()


def exported(text: str) -> set[Family]:
    families = set()
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        if family.type == "histogram":
            labels.remove("le")
        families.add(Family(name, family.type, " ".join(sorted(labels)), family.documentation))
    return families


def values(text: str) -> dict[str, float]:
    """By `name` or `name{value of its label}`."""
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@in_house()
async def test_the_page_names_every_metric_and_no_other(house: House) -> None:
    page = PAGE.read_text("utf-8")
    section = page[page.index("## Metrics") :].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (?:`(\w+)` )?\| (.+) \|$", section, re.MULTILINE)
    documented = {Family(*row) for row in rows}
    assert len(rows) == len(documented) > 40
    found = exported(await text_of(house))
    assert found - documented == set()
    assert documented - found == set()


@in_house()
async def test_names_are_as_they_should_be(house: House) -> None:
    """Prometheus, metric and label naming: base units, `_total` for counters."""
    for name, kind, _, text in exported(await text_of(house)):
        assert re.fullmatch(r"(roost|process)(_[a-z]+)+", name)
        assert text.endswith(".")
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|kib|milliseconds|minutes)$", name)


@in_house(terminal_types=("phone", "pc"))
async def test_what_happened_is_what_is_exported(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob", "pc", receive_max=2)
    await house.fill(alice, "user/bob", 5)
    await alice.publish(6, "user/nobody")
    await bob.rest()
    await house.refusal("alice", password="wrong")
    await bob.say(Ack(seq=1))
    await bob.rest(LINGER_S)
    found = values(await text_of(house))
    expected: dict[str, float] = {
        "roost_connections": 2,
        "roost_connections_accepted_total": 3,
        "roost_connections_closed_total{login_refused}": 1,
        "roost_connections_closed_total{write_timeout}": 0,
        "roost_sessions{phone}": 1,
        "roost_sessions{pc}": 1,
        "roost_logins_total{success}": 2,
        "roost_logins_total{bad_user_name_or_password}": 1,
        "roost_publishes_total{stored}": 5,
        "roost_publishes_total{unknown_recipient}": 1,
        "roost_publishes_total{blocked}": 0,
        "roost_deliveries_total": 5 + 2,
        "roost_acknowledgements_total": 0,
        "roost_backlog_entries": 3,
        "roost_window_entries": 5 + 2,
        "roost_sessions_by_backlog{1.0}": 1,
        "roost_sessions_by_backlog{10.0}": 2,
        "roost_sessions_by_backlog{+Inf}": 2,
        "roost_slow_devices": 1,
        "roost_send_to_deliver_seconds_count": 6,
        "roost_messages": 5,
        "roost_entries": 10,
        "roost_users": 3,
        "roost_draining": 0,
    }
    assert {name: found[name] for name in expected} == expected
    commits = found["roost_commit_seconds_count"]
    assert commits == found["roost_commit_operations_count"] == found["roost_commit_seconds_bucket{+Inf}"]
    assert found["roost_commit_entries_sum"] == 10
    assert found["roost_received_bytes_total"] == house.core.metrics.traffic.received > 0
    assert found["process_resident_memory_bytes"] > 1_000_000


@in_house()
async def test_counters_never_go_back(house: House) -> None:
    alice, bob = await house.log_in("alice"), await house.log_in("bob")
    before: dict[str, float] = {}
    for step in range(4):
        await house.fill(alice, "user/bob", 2, first=2 * step + 1)
        await bob.rest()
        if step == 1:
            await bob.say(Disconnect())
            await bob.expect_end()
            bob = await house.log_in("bob")
        now = values(await text_of(house))
        gone = {name for name in before if re.search(r"_(total|count|bucket)\b", name) and now[name] < before[name]}
        assert not gone
        before = now


@in_house()
async def test_an_age_of_retention(house: House) -> None:
    assert values(await text_of(house))["roost_retention_lag_seconds"] < 1
    await trio.sleep(50)
    assert 49 < values(await text_of(house))["roost_retention_lag_seconds"] < 51
    await trio.sleep(20)
    assert values(await text_of(house))["roost_retention_lag_seconds"] < 15


@in_house()
async def test_a_reason_that_was_not_foreseen_is_exported_all_the_same(house: House) -> None:
    house.core.metrics.publishes_refused[Reason.MESSAGE_RATE_TOO_HIGH] += 1
    assert values(await text_of(house))["roost_publishes_total{message_rate_too_high}"] == 1


@in_house()
async def test_only_reading_is_allowed_and_enough(house: House) -> None:
    async with scraped(house, Caller(name="prometheus", role="read")) as peer:
        size = len((await peer.ask("GET", "/metrics?x=1")).body)
        head = await peer.ask("HEAD", "/metrics")
        assert (head.status, head.body) == (200, b"")
        assert abs(int(head.headers["content-length"]) - size) < 100
        for method in ("POST", "DELETE"):
            answer = await peer.ask(method, "/metrics")
            assert (answer.status, answer.json["title"]) == (405, "Method Not Allowed")
        assert (await peer.ask("GET", "/metrics/")).status == 404
