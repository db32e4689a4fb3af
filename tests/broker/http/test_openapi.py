"""The OpenAPI document says what there is; and a real broker keeps to it, asked whatever it allows and more."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from admin.running import CHEAP, RunningBroker
from roost_broker.http.openapi import document, openapi_document
from roost_protocol.admin.admins import ADMINS_ADD, ADMINS_REVOKE, AdminAdd
from roost_protocol.admin.drain import DRAIN
from roost_protocol.admin.route import Route
from roost_protocol.admin.table import ROUTES

HEALTH = 2
"""Operations that are in no table: `/livez` and `/readyz`."""

EXAMPLES = 8
"""For each operation, besides the edge cases that are worked out from its schemas."""

CASES_MIN = 20
"""Requests for each operation, at the least, or hardly anything was looked at (measured: 44)."""

RUN_S = 100

REVOKE = ADMINS_REVOKE.path

UNTHROTTLED = """
[limits]
login_failures_per_address_max = 10000
"""
"""Wrong tokens are tried here by the thousand, and each is to be answered."""


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_the_document_is_whole() -> None:
    whole = json.loads(openapi_document())
    assert set(whole) == set(document())
    assert whole["openapi"] == "3.1.0"
    assert len(set(references(whole))) > len(ROUTES)
    for reference in references(whole):
        found = whole
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_in_it(route: Route[Any]) -> None:
    whole = document()
    operation = whole["paths"][route.path][route.method.lower()]
    assert operation["x-role"] == route.role
    assert operation["summary"] == route.summary
    parameters = {(each["in"], each["name"]): each for each in operation["parameters"]}
    assert {name for where, name in parameters if where == "path"} == set(re.findall(r"\{(\w+)\}", route.path))
    wanted = set() if route.query is None else set(route.query.__struct_encode_fields__)
    assert {name for where, name in parameters if where == "query"} == wanted
    assert ("requestBody" in operation) == (route.takes is not None)
    assert operation.get("x-streams", False) == route.streams
    (content_type,) = operation["responses"]["200"]["content"]
    assert content_type == ("text/event-stream" if route.streams else "application/json")
    assert {"400", "401", "403", "404", "405"} <= set(operation["responses"])
    assert whole["security"] == [{"bearer": []}]


def test_names_of_operations_are_unique() -> None:
    operations = [each for path in document()["paths"].values() for each in path.values()]
    ids = [each["operationId"] for each in operations if "operationId" in each]
    assert len(ids) == len(set(ids)) == len(ROUTES)
    assert len(operations) == len(ROUTES) + HEALTH


def test_a_query_that_is_left_out_is_not_null() -> None:
    parameters = document()["paths"]["/v1/users"]["get"]["parameters"]
    limit = next(each for each in parameters if each["name"] == "limit")
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 10_000}
    assert limit["required"] is False


def ask_anything(url: str, token: str, folder: Path, *which: str) -> Any:
    """Ask whatever the document allows, and what it does not, of some operations; the report of it."""
    report = folder / "report.json"
    run = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{url}/v1/openapi.json",
            "--header", f"Authorization: Bearer {token}", "--generation-deterministic",
            "--max-examples", str(EXAMPLES), "--phases", "coverage,fuzzing", "--checks", "all",
            "--exclude-checks", "positive_data_acceptance", "--report", "json", "--report-json-path", report, *which,
        ],
        cwd=folder, capture_output=True, text=True, timeout=RUN_S, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-8_000:] + run.stderr
    return json.loads(report.read_text())


@pytest.mark.process
def test_a_broker_keeps_to_its_document_whatever_it_is_asked(tmp_path: Path) -> None:
    """Streams are left out: they do not end. What a name may be, no schema says: such a refusal is as it should be."""
    with RunningBroker(tmp_path, config='admin_listen = "127.0.0.1:0"\n' + CHEAP + UNTHROTTLED) as broker:
        token = broker.api.ask(ADMINS_ADD, body=AdminAdd(name="the one who asks", role="admin")).token
        url = f"http://{broker.admin_address}"
        # Revoking goes by itself: next to the listing it learns the names, and revokes the one who asks.
        runs = [
            ask_anything(
                url,
                token,
                tmp_path,
                "--exclude-by",
                "/x-streams == true",
                "--exclude-path",
                REVOKE,
                "--exclude-path",
                DRAIN.path,
            ),
            ask_anything(url, token, tmp_path, "--include-path", REVOKE),
        ]
        asked = urllib.request.Request(f"{url}/v1/status", headers={"authorization": f"Bearer {token}"})  # noqa: S310
        with urllib.request.urlopen(asked) as answer:  # noqa: S310
            assert answer.status == 200, "the token was good to the end"
        assert broker.stop() == 0
    expected = sum(not route.streams for route in ROUTES) - len((DRAIN,)) + HEALTH
    assert sum(run["operations"]["tested"] for run in runs) == expected
    assert sum(run["operations"]["errored"] for run in runs) == 0
    assert sum(run["test_cases"]["generated"] for run in runs) >= CASES_MIN * expected
    assert "Traceback" not in broker.log.read_text()
