"""Passwords and device tokens: how they are made and checked, how many at once."""

from random import Random

import argon2
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from broker.house import CHEAP_PASSWORDS, Calls, CountedOffload, in_virtual_time
from roost_broker.accounts import Accounts, PasswordsBusy, PasswordUnfit, token_digest
from roost_broker.offload import InlineOffload
from roost_protocol.limits import PASSWORD_BYTES_MAX, TOKEN_BYTES_MAX, Limits

CHECK_S = 0.5


def accounts(calls: Calls | None = None, limits: Limits | None = None) -> Accounts:
    offload = CountedOffload(InlineOffload(lambda: CHECK_S / 2), Calls() if calls is None else calls)
    return Accounts(CHEAP_PASSWORDS, offload, limits or Limits(), Random(1))  # noqa: S311  # as bad as it may be here


@in_virtual_time
async def test_a_password_is_what_it_was() -> None:
    made = accounts()
    stored = await made.hash("pässword")
    assert stored.startswith("$argon2id$")
    assert await made.check(stored, "pässword")
    assert not await made.check(stored, "password")
    assert await made.hash("pässword") != stored, "salted"


@in_virtual_time
async def test_nobody_has_no_password_and_takes_as_long_to_check() -> None:
    calls = Calls()
    made = accounts(calls)
    stored = await made.hash("secret")
    times = []
    for password_hash, password in [(stored, "secret"), (stored, "wrong"), (None, "secret"), (None, "")]:
        started = trio.current_time()
        calls.clear()
        assert await made.check(password_hash, password) == (password_hash is stored and password == "secret")
        assert sum(calls.values()) == 1
        times.append(trio.current_time() - started)
    assert times == [CHECK_S] * 4


@in_virtual_time
async def test_who_does_not_exist_costs_the_same_hash_as_who_does() -> None:
    """One check of argon2 with the parameters that are configured, whichever it is."""
    made = accounts()
    nobody = made.no_password
    assert argon2.extract_parameters(nobody) == argon2.extract_parameters(await made.hash("x"))


@pytest.mark.parametrize(
    "password", ["", "x" * (PASSWORD_BYTES_MAX + 1), "ä" * (PASSWORD_BYTES_MAX // 2 + 1), "\ud800"]
)
@in_virtual_time
async def test_an_unfit_password_is_refused(password: str) -> None:
    with pytest.raises(PasswordUnfit):
        await accounts().hash(password)


@in_virtual_time
async def test_a_longest_password_is_taken() -> None:
    made = accounts()
    longest = "ä" * (PASSWORD_BYTES_MAX // 2)
    assert await made.check(await made.hash(longest), longest)


@in_virtual_time
async def test_past_a_bounded_queue_the_answer_is_busy() -> None:
    made = accounts(limits=Limits(password_checks_max=1, password_queue_max=2))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(made.check, None, "x")
        await wait_all_tasks_blocked()
        with pytest.raises(PasswordsBusy, match="3 passwords are waiting"):
            await made.check(None, "x")
        with pytest.raises(PasswordsBusy):
            await made.hash("x")
    assert not await made.check(None, "x"), "and then it is not busy any more"


@in_virtual_time
async def test_a_check_that_is_cancelled_leaves_no_place_taken() -> None:
    made = accounts(limits=Limits(password_checks_max=1, password_queue_max=1))
    for _ in range(5):
        with trio.move_on_after(CHECK_S / 4):
            await made.check(None, "x")
    assert not await made.check(None, "x")


def test_tokens_are_long_random_and_kept_as_digests() -> None:
    made = accounts()
    tokens = {made.new_token() for _ in range(100)}
    assert len({token.token for token in tokens}) == len({token.digest for token in tokens}) == 100
    for token, digest in tokens:
        assert digest == token_digest(token)
        assert len(digest) == 32
        assert 43 <= len(token) <= TOKEN_BYTES_MAX
        assert token.isascii()
    assert len(token_digest("\ud800")) == 32
