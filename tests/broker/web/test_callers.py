"""Who may administer through the web listener, and whose pages may not."""

from typing import Any

import pytest

from broker.house import House, in_house
from roost_broker.http.callers import BearerCallers
from roost_broker.http.server import Request, RequestFailed
from roost_broker.web.callers import WebCallers
from roost_protocol.admin.admins import AdminAdd
from roost_protocol.admin.route import Role

FORGED = "Bearer forged"


def callers(house: House, loopback: Role | None = "operate") -> WebCallers:
    return WebCallers(BearerCallers(house.core), ("https://console.example",), loopback)


def asked(method: str = "GET", address: str = "127.0.0.1:5000", **headers: str) -> Request:
    said = {"host": "localhost:7380", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Request(
        method=method, target="/v1/status", headers={k: v for k, v in said.items() if v}, body=b"", address=address
    )


@pytest.mark.parametrize(
    "request_",
    [
        asked(),
        asked(address="[::1]:5000"),
        asked(host="127.0.0.1:7380"),
        asked("POST"),
        asked("POST", origin="http://localhost:7380"),
        asked("POST", origin="https://console.example"),
        asked(origin="https://evil.example", sec_fetch_site="same-site"),
        asked(sec_fetch_site="same-origin"),
    ],
)
@in_house()
async def test_from_this_machine_no_token_is_needed(house: House, request_: Request) -> None:
    caller = await callers(house)(request_)
    assert (caller.name, caller.role, caller.address) == ("loopback", "operate", request_.address)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asked(host="evil.example"), 403),
        (asked(host=""), 403),
        (asked("POST", origin="https://evil.example"), 403),
        (asked("DELETE", origin="null"), 403),
        (asked("PUT", origin="https://evil.example", host="evil.example"), 403),
        (asked(sec_fetch_site="cross-site"), 403),
        (asked(address="192.0.2.1:5000"), 401),
        (asked(address=""), 401),
        (asked(x_forwarded_for="192.0.2.1"), 401),
        (asked(forwarded="for=192.0.2.1"), 401),
        (asked(via="1.1 proxy"), 401),
        (asked(authorization=FORGED), 401),
    ],
)
@in_house()
async def test_who_is_refused(house: House, request_: Request, status: int) -> None:
    with pytest.raises(RequestFailed) as refused:
        await callers(house)(request_)
    assert refused.value.problem.status == status


@in_house()
async def test_without_a_role_for_it_this_machine_is_nobody(house: House) -> None:
    with pytest.raises(RequestFailed) as refused:
        await callers(house, None)(asked())
    assert refused.value.problem.status == 401


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, None),
        ({"address": "192.0.2.1:1", "host": "roost.example", "x_forwarded_for": "198.51.100.1"}, None),
        ({"method": "POST", "origin": "http://localhost:7380"}, None),
        ({"method": "POST", "origin": "https://evil.example"}, 403),
    ],
)
@in_house()
async def test_a_token_is_a_token_and_no_page_may_borrow_it(
    house: House, more: dict[str, Any], status: int | None
) -> None:
    made = await house.broker.admin.admins.add(AdminAdd(name="ann", role="admin"))
    request_ = asked(authorization=f"Bearer {made.token}", **more)
    if status is None:
        assert (await callers(house)(request_)).name == "ann"
    else:
        with pytest.raises(RequestFailed) as refused:
            await callers(house)(request_)
        assert refused.value.problem.status == status
