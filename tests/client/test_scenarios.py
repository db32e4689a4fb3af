"""The scenarios of `scenarios.json`, played by the Python client over TCP with a real broker process.

Each act of their vocabulary is a method of `Stage`, and what is said with it are the method's arguments.
"""

import inspect
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

import roost
from admin.running import PASSWORD
from client.players import WAIT_S, Ending, Names, Player, outcome_of, published, refusal_of
from web.town import Town

Step = dict[str, Any]

STORY: dict[str, Any] = json.loads((Path(__file__).parent / "scenarios.json").read_text())
SCENARIOS: list[dict[str, Any]] = STORY["scenarios"]
FALSE: dict[str, Any] = STORY["false"]

_numbers = count(1)


class Stage:
    """A town, the devices of one scenario, and what can be done with them: one public method for each act."""

    def __init__(self, town: Town, names: Names, players: dict[str, Player], nursery: trio.Nursery) -> None:
        self._town = town
        self._names = names
        self._players = players
        self._nursery = nursery
        self._over: set[str] = set()
        """Devices whose session is known to be over."""

    # --- sessions ---

    async def log_in(
        self, device: str, password: str = PASSWORD, newest: int | None = None, took_over: str | None = None,
        refused: str | None = None,
    ) -> None:  # fmt: skip
        await self._start(device, refused, None, password=password, newest=newest)
        if took_over is not None:
            assert self._players[device].took_over == took_over

    async def resume(self, device: str, refused: str | None = None, by: str | None = None) -> None:
        await self._start(device, refused, by, resume=True)

    async def leave(self, device: str) -> None:
        await self._players[device].leave()

    async def comes_back(self, device: str) -> None:
        player = self._players[device]
        await player.until("was live", lambda: player.online and player.session.connected)

    async def lose_network(self, device: str) -> None:
        self._players[device].network.cut()
        await self.goes_offline(device)

    async def regain_network(self, device: str) -> None:
        player = self._players[device]
        player.network.up = True
        try:
            session = player.session
        except AssertionError:
            return  # it was left meanwhile
        await player.until("was live or ended", lambda: session.connected or player.ending)

    async def lose_next(self, device: str, what: str) -> None:
        self._players[device].network.lose_next(what)

    async def goes_offline(self, device: str) -> None:
        player = self._players[device]
        await player.until("was offline", lambda: not player.online)

    async def ended(self, device: str, reason: str, by: str | None = None) -> None:
        player = self._players[device]
        await player.until("had ended", lambda: player.ending)
        assert player.ending is not None
        assert player.ending == Ending(reason, by or player.ending.by)
        self._over.add(device)

    async def live(self, user: str, devices: list[str]) -> None:
        sessions = json.loads(await self._roost("sessions", "list", "--json"))["sessions"]
        assert sorted(one["device"] for one in sessions if one["user"] == self._names.fresh(user)) == devices

    # --- messages ---

    async def publish(
        self, device: str, to: str, outcome: str, text: str | None = None, hex: str | None = None,  # noqa: A002
        letters: int | None = None, type: str | None = None, seq: int | None = None, n: int | None = None,  # noqa: A002
    ) -> None:  # fmt: skip
        bodies = [text, None if hex is None else bytes.fromhex(hex), None if letters is None else "x" * letters]
        (body,) = (one for one in bodies if one is not None)
        publication = published(self._session(device), self._names.fresh(to), body, type)
        assert await outcome_of(publication) == outcome
        if seq is not None:
            assert isinstance(publication, roost.Publication)
            assert publication.receipt is not None
            assert publication.receipt.seq == seq
        if n is not None:
            assert isinstance(publication, roost.Publication)
            assert publication.n == n

    async def write(self, device: str, to: str, texts: list[str]) -> None:
        player = self._players[device]
        for text in texts:
            publication = player.session.publish_nowait(self._names.fresh(to), text)
            player.written[publication.n] = publication

    async def settled(self, device: str, outcomes: list[str]) -> None:
        player = self._players[device]
        assert [f"{one.body!s}: {await outcome_of(one)}" for one in player.written.values()] == outcomes
        player.written.clear()

    async def holds(self, device: str, items: list[str]) -> None:
        player = self._players[device]
        head = json.loads(await self._roost("users", "show", player.user, "--json"))["head"]
        await player.until(f"held entry {head}", lambda: player.position == head)
        assert player.items() == items

    async def still_holds(self, device: str, items: list[str]) -> None:
        assert self._players[device].items() == items

    async def starts_over(self, device: str) -> None:
        player = self._players[device]
        await player.until("started over", lambda: player.starts)
        player.starts -= 1

    async def history(
        self, device: str, items: list[str], more: bool, conversation: str | None = None,
        before: int | None = None, after: int | None = None, limit: int = 50,
    ) -> None:  # fmt: skip
        address = None if conversation is None else self._names.fresh(conversation)
        player = self._players[device]
        with trio.fail_after(WAIT_S):
            page = await player.session.fetch(address, before=before, after=after, limit=limit)
        assert ([player.line(entry) for entry in page.entries], page.more) == (items, more)

    # --- groups, contacts, blocks ---

    async def create_group(self, device: str, group: str, users: list[str], refused: str | None = None) -> None:
        await self._change_group("create_group", device, group, users, refused)

    async def add_members(self, device: str, group: str, users: list[str], refused: str | None = None) -> None:
        await self._change_group("add_members", device, group, users, refused)

    async def remove_members(self, device: str, group: str, users: list[str], refused: str | None = None) -> None:
        await self._change_group("remove_members", device, group, users, refused)

    async def leave_group(self, device: str, group: str, refused: str | None = None) -> None:
        assert await refusal_of(self._session(device).leave_group(self._names.fresh(group))) == refused

    async def members(self, device: str, group: str, are: list[str] | None = None, refused: str | None = None) -> None:
        name = self._names.fresh(group)
        if refused is not None:
            assert await refusal_of(self._session(device).group_members(name)) == refused
            return
        found = await self._session(device).group_members(name)
        assert [f"{self._names.told(one.user)}{'*' if one.owner else ''}" for one in found] == are

    async def groups(self, device: str, are: list[str]) -> None:
        assert self._told(await self._session(device).groups()) == are

    async def block(self, device: str, user: str, refused: str | None = None) -> None:
        assert await refusal_of(self._session(device).block(self._names.fresh(user))) == refused

    async def unblock(self, device: str, user: str) -> None:
        assert await refusal_of(self._session(device).unblock(self._names.fresh(user))) is None

    async def blocked(self, device: str, are: list[str]) -> None:
        assert self._told(await self._session(device).blocked()) == are

    async def add_contact(self, device: str, user: str, refused: str | None = None) -> None:
        assert await refusal_of(self._session(device).add_contact(self._names.fresh(user))) == refused

    async def remove_contact(self, device: str, user: str) -> None:
        assert await refusal_of(self._session(device).remove_contact(self._names.fresh(user))) is None

    async def contacts(self, device: str, are: list[str]) -> None:
        assert self._told(await self._session(device).contacts()) == are

    # --- presence, signals, devices, the password ---

    async def follow(self, device: str, users: list[str], refused: str | None = None) -> None:
        assert await refusal_of(self._session(device).subscribe(map(self._names.fresh, users))) == refused

    async def unfollow(self, device: str, users: list[str]) -> None:
        assert await refusal_of(self._session(device).unsubscribe(map(self._names.fresh, users))) is None

    async def sees(self, device: str, user: str, on: list[str]) -> None:
        player = self._players[device]
        await player.until(f"saw {user} on {on}", lambda: player.presence.get(user) == set(on))

    async def signal(self, device: str, to: str, text: str) -> None:
        await self._session(device).send_ephemeral(self._names.fresh(to), text)

    async def hears(self, device: str, signals: list[str]) -> None:
        player = self._players[device]
        await player.until("heard signals", lambda: len(player.signals) >= len(signals))
        assert player.signals == signals

    async def devices(self, device: str, online: list[str]) -> None:
        assert sorted(one.device for one in await self._session(device).devices() if one.online) == online

    async def log_out(self, device: str, other: str) -> None:
        assert await refusal_of(self._session(device).log_out(other)) is None

    async def set_password(self, device: str, old: str, new: str, refused: str | None = None) -> None:
        assert await refusal_of(self._session(device).set_password(old, new)) == refused

    # --- the broker ---

    async def broker(self, act: str) -> None:
        if act not in ("stop", "kill", "start", "save", "go_back"):
            raise ValueError(f"nobody can {act} a broker")
        await trio.to_thread.run_sync(self._town.act, act)

    async def command(self, args: list[str]) -> None:
        await self._roost(*map(self._names.fresh, args))

    # --- how ---

    async def _roost(self, *args: str) -> str:
        done: Any = await trio.to_thread.run_sync(self._town.act, "roost", *args)
        assert done["status"] == 0, f"roost {' '.join(args)}: {done['output']}"
        return str(done["output"])

    async def _start(self, device: str, refused: str | None, by: str | None, **terms: Any) -> None:
        self._over.discard(device)
        with trio.fail_after(WAIT_S):
            ending = await self._players[device].start(self._nursery, **terms)
        assert (ending.reason if ending else None) == refused
        if by is not None:
            assert ending is not None
            assert ending.by == by

    async def _change_group(self, act: str, device: str, group: str, users: list[str], refused: str | None) -> None:
        asking = getattr(self._session(device), act)(self._names.fresh(group), [*map(self._names.fresh, users)])
        assert await refusal_of(asking) == refused

    def _session(self, device: str) -> roost.Session:
        return self._players[device].session

    def _told(self, names: tuple[str, ...]) -> list[str]:
        return [self._names.told(name) for name in names]

    def _check_end(self) -> None:
        """Nobody was sent away, or told to start over, without the scenario saying so."""
        for device, player in self._players.items():
            assert player.ending is None or device in self._over, f"{device}: {player.ending}"
            assert player.starts == 0, f"{device} was told to start over"
            assert not player.written, f"{device}: nobody asked what became of {player.written}"


def _acts() -> dict[str, list[str]]:
    """The vocabulary as `Stage` has it: of each act, what is said with it, with `?` where it may be left out."""
    acts = {}
    for name, method in inspect.getmembers(Stage, inspect.isfunction):
        if not name.startswith("_"):
            said = [*inspect.signature(method).parameters.values()][1:]
            acts[name] = [f"{one.name}{'?' if one.default is not one.empty else ''}" for one in said]
    return acts


def _names_in(steps: list[Step]) -> tuple[set[str], set[str], set[str]]:
    """Users that have accounts, groups, and devices: whoever a device or a group is asked of."""
    devices = {step["device"] for step in steps if "device" in step}
    groups = {step["group"] for step in steps if "group" in step}
    return {device.partition("/")[0] for device in devices}, groups, devices


async def _play(stage: Stage, step: Step) -> None:
    said = dict(step)
    act = said.pop("do")
    if act not in STORY["vocabulary"]:
        raise ValueError(f"nobody knows how to {act}")
    await getattr(stage, act)(**said)


async def _objection(stage: Stage, step: Step) -> Exception | None:
    try:
        await _play(stage, step)
    except (AssertionError, ValueError, TypeError) as error:
        return error
    return None


@asynccontextmanager
async def _stage(town: Town, steps: list[Step]) -> AsyncIterator[Stage]:
    """A stage with the devices of these steps, whose users have accounts and nothing else."""
    users, groups, devices = _names_in(steps)
    names = Names(users | groups, next(_numbers))
    await trio.to_thread.run_sync(town.act, "rise")
    await trio.to_thread.run_sync(partial(town.act, "users", *map(names.fresh, sorted(users))))
    async with trio.open_nursery() as nursery:
        players = {device: Player(town.address, names, device) for device in devices}
        yield Stage(town, names, players, nursery)
        for player in players.values():
            await player.leave()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One broker for all scenarios; each has users of its own."""
    town = Town(tmp_path_factory.mktemp("town"))
    yield town
    town.close()


@pytest.mark.process
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["name"] for scenario in SCENARIOS])
async def test_scenario(town: Town, scenario: dict[str, Any]) -> None:
    async with _stage(town, scenario["steps"]) as stage:
        for number, step in enumerate(scenario["steps"], 1):
            try:
                await _play(stage, step)
            except Exception as error:
                error.add_note(f"step {number}: {json.dumps(step)}")
                raise
        stage._check_end()


@pytest.mark.process
async def test_what_is_not_so_is_objected_to(town: Town) -> None:
    async with _stage(town, [*FALSE["steps"], *FALSE["said"]]) as stage:
        for step in FALSE["steps"]:
            await _play(stage, step)
        for step in FALSE["said"]:
            assert await _objection(stage, step), f"nobody objected to {json.dumps(step)}"


def test_the_vocabulary_is_played_word_for_word() -> None:
    wanted = {act: sorted(said) for act, (_, *said) in STORY["vocabulary"].items()}
    assert {act: sorted(said) for act, said in _acts().items()} == wanted


def test_every_word_is_used_and_every_story_has_its_name() -> None:
    steps = [step for scenario in SCENARIOS for step in scenario["steps"]]
    used = {(step["do"], word) for step in steps for word in step}
    words = {(act, word.rstrip("?")) for act, (_, *said) in STORY["vocabulary"].items() for word in (*said, "do")}
    assert used == words
    assert len({scenario["name"] for scenario in SCENARIOS}) == len(SCENARIOS) > 20
