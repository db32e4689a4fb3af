"""The story of the demo: who does what, in which order, and what must come of it.

Every step waits for what devices report, never for a time. A step that does not come about ends the demo; whether
what came about is right, the oracle says at the end.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TextIO

import trio

from roost.oracle import BrokerRestarted, MembershipAsked, MembershipConfirmed, TrimAsked, Trimmed
from roost_admin.demo.document import Document, make_document
from roost_admin.demo.journal import Journal
from roost_admin.demo.observer import WAIT_S, DemoFailed, Observer
from roost_admin.demo.processes import Processes
from roost_admin.demo.reports import CatchUp, Device, GoDeaf, Leave, LogIn, Publish
from roost_admin.demo.story import Story
from roost_admin.output import clock_time
from roost_protocol.admin.groups import GROUPS_CREATE, GroupCreate
from roost_protocol.admin.users import USERS_CREATE, USERS_LIST, UserCreate

ALICE_PHONE = Device("alice-phone", "alice", "phone")
ALICE_PC = Device("alice-pc", "alice", "pc")
ALICE_PC_2 = Device("alice-pc-2", "alice", "pc")
ALICE_PAD = Device("alice-pad", "alice", "pad")
BOB_PHONE = Device("bob-phone", "bob", "phone")
BOB_PC = Device("bob-pc", "bob", "pc")
CAROL_PHONE = Device("carol-phone", "carol", "phone")
DEVICES = (ALICE_PHONE, ALICE_PC, ALICE_PC_2, ALICE_PAD, BOB_PHONE, BOB_PC, CAROL_PHONE)

USERS = ("alice", "bob", "carol")
GROUP = "trip"
TO_ALICE, TO_BOB, TO_GROUP = "user/alice", "user/bob", f"group/{GROUP}"

RETENTION_COUNT = 18
"""Entries that an inbox keeps: more than alice and carol ever have in theirs, fewer than bob."""

PACKING = (
    "tent", "stove", "matches", "two pots", "coffee", "more coffee", "rope", "map", "torch", "rain coats", "chocolate",
    "that book",
)  # fmt: skip

PLANS_OF_ALICE = ("First the train to the lake,", "then the ferry,", "and from there we walk.")
PLANS_OF_BOB = ("I can cook on Friday.", "You do the breakfast.", "Deal?")

CONFIG = f"""# The broker of the demo: everything else is at its default.
log_level = "INFO"

[retention]
count = {RETENTION_COUNT}
interval_s = 0.3
"""

POLL_S = 0.05
"""Between two looks at the listing of users."""


async def play(folder: Path, story: Story, history: TextIO) -> Document:
    """Play it all in `folder`, and judge. Ends every process, however it ends itself. Raises DemoFailed, Failure."""
    observer = Observer(DEVICES, history)
    config = folder / "roost.toml"
    config.write_text(CONFIG)
    read_fd, writing = os.pipe()
    reading = trio.lowlevel.FdStream(read_fd)
    async with reading, trio.lowlevel.FdStream(writing), trio.open_nursery() as nursery:
        nursery.start_soon(observer.listen, reading)
        async with Processes(folder, config, writing) as processes:
            document = await Play(processes, observer, story).run()
        nursery.cancel_scope.cancel()
    return document


class Play:
    """The scenes."""

    def __init__(self, processes: Processes, observer: Observer, story: Story) -> None:
        self._processes = processes
        self._observer = observer
        self._story = story
        self._online: list[Device] = []
        self._restarts = 0
        self._passwords = {user: f"the password of {user}" for user in USERS}

    async def run(self) -> Document:
        """Play every scene, and judge; if one does not come about, judge what there is."""
        problems: tuple[str, ...] = ()
        try:
            await self._scenes()
        except DemoFailed as error:
            problems = (str(error),)
        journals = {device.name: Journal(self._processes.folder / f"{device.name}.journal") for device in DEVICES}
        return make_document(
            DEVICES,
            journals,
            self._observer,
            seconds=self._story.seconds,
            restarts=self._restarts,
            problems=problems,
        )

    async def _scenes(self) -> None:
        for scene in (
            self._set_the_stage,
            self._everybody_is_online,
            self._some_go_offline,
            self._a_second_pc,
            self._the_broker_is_killed,
            self._an_answer_is_lost,
            self._behind_the_floor,
            self._back_after_everything,
        ):
            await scene()
        for device in tuple(self._online):
            await self._switch_off(device, quietly=True)

    # --- scenes ---------------------------------------------------------------------------------------------------

    async def _set_the_stage(self) -> None:
        story, api = self._story, self._processes.api
        story.title("roost demo: three users, seven devices, one broker, all of them processes on this machine")
        story.scene("A broker on an empty folder")
        await self._processes.start_broker()
        story.tell(f"it listens on {self._processes.address}; every batch of messages is one fsynced LMDB transaction")
        for user in USERS:
            new = UserCreate(name=user, password=self._passwords[user])
            await trio.to_thread.run_sync(partial(api.ask, USERS_CREATE, body=new))
            self._observer.note(TrimAsked(user))  # from here on retention may trim, whenever it likes
            self._observer.note(MembershipAsked(GROUP, user, True))
        group = GroupCreate(name=GROUP, owner="alice", members=("bob", "carol"))
        await trio.to_thread.run_sync(partial(api.ask, GROUPS_CREATE, body=group))
        for user in USERS:
            self._observer.note(MembershipConfirmed(GROUP, user, True))
        story.tell(f"alice, bob and carol have accounts; all three are in the group {GROUP}")

    async def _everybody_is_online(self) -> None:
        self._story.scene("Everybody is online")
        await self._log_in(ALICE_PHONE, ALICE_PC, ALICE_PAD, BOB_PHONE, BOB_PC, CAROL_PHONE)
        self._story.tell("alice is logged in on phone, pc and pad, bob on phone and pc, carol on her phone")
        await self._say(ALICE_PHONE, TO_BOB, "Are you coming along on Saturday?")
        await self._say(BOB_PC, TO_ALICE, "Yes! Shall I bring the tent?")
        await self._say(CAROL_PHONE, TO_GROUP, "I have a stove.")
        self._story.good("each message is on every device of everybody in the conversation, the sender's own as well")

    async def _some_go_offline(self) -> None:
        self._story.scene("Some devices are switched off")
        await self._switch_off(ALICE_PAD)
        await self._switch_off(BOB_PC)
        await self._say(BOB_PHONE, TO_ALICE, "The tent is in the car.")
        await self._say(ALICE_PC, TO_GROUP, "Train at nine, platform 4.")
        await self._say(CAROL_PHONE, TO_ALICE, "Shall we surprise bob with a cake?")
        self._story.good("whoever is online has them all; for the others they wait in the inbox")

    async def _a_second_pc(self) -> None:
        story, seen = self._story, self._observer.seen[ALICE_PC.name]
        story.scene("alice logs in on a second PC")
        await self._log_in(ALICE_PC_2)
        await self._processes.wait_gone(ALICE_PC)
        self._online.remove(ALICE_PC)
        await self._observer.until(lambda: len(seen.kicks) == 1, "the first PC is told that it was kicked")
        kick = seen.kicks[0]
        story.good(ALICE_PC, f" is told: {kick.by} took over at {clock_time(kick.at)}, from {kick.address}")
        await self._caught_up(ALICE_PC_2)
        story.tell(ALICE_PC_2, " has the whole history, both sides of it")
        story.tell(ALICE_PC, " is restarted by its autostart, and asks to resume its session")
        await self._processes.start_device(ALICE_PC)
        await self._processes.tell(ALICE_PC, LogIn(resume=True))
        await self._processes.wait_gone(ALICE_PC)
        if len(seen.kicks) != 1:
            raise DemoFailed("the first PC has connected again")
        story.good("it remembers what it was told: it stays away until a person logs in there, and does not kick back")

    async def _the_broker_is_killed(self) -> None:
        story, observer = self._story, self._observer
        story.scene("The broker is killed (kill -9) with messages on their way")
        bodies = [*PLANS_OF_ALICE, *PLANS_OF_BOB]
        for of_alice, of_bob in zip(PLANS_OF_ALICE, PLANS_OF_BOB, strict=True):
            await self._processes.tell(ALICE_PC_2, Publish(TO_BOB, of_alice))
            await self._processes.tell(BOB_PHONE, Publish(TO_ALICE, of_bob))
        await observer.until(lambda: any(body in observer.stored for body in bodies), "the first is acknowledged")
        await self._processes.kill_broker()
        await observer.until(lambda: not any(observer.seen[d.name].online for d in self._online), "all lose the line")
        answered = sum(body in observer.stored for body in bodies)
        story.tell(f"six messages were on their way, of alice and bob; {answered} had been acknowledged when it died")
        late = "Did anybody feed the cat?"
        story.message(CAROL_PHONE, TO_GROUP, late)
        await self._processes.tell(CAROL_PHONE, Publish(TO_GROUP, late))
        await self._processes.start_broker()
        observer.note(BrokerRestarted())
        self._restarts += 1
        story.tell("it is started again on the same folder; devices reconnect, and repeat what was not acknowledged")
        everything = [*bodies, late]
        await observer.until(lambda: all(body in observer.stored for body in everything), "all messages are stored")
        for body in everything:
            await self._everywhere(body)
        if not all(map(observer.is_stored_once, everything)):
            raise DemoFailed("a message was stored twice")
        story.good("each of the seven is stored exactly once, and on every device that is online")

    async def _an_answer_is_lost(self) -> None:
        story, observer = self._story, self._observer
        story.scene("An answer is lost on the way")
        body = "My train is late, wait for me!"
        await self._caught_up(ALICE_PHONE)
        await self._processes.tell(ALICE_PHONE, GoDeaf())
        story.tell(ALICE_PHONE, " drives into a tunnel: what it sends still gets out, nothing comes in")
        story.message(ALICE_PHONE, TO_BOB, body)
        await self._processes.tell(ALICE_PHONE, Publish(TO_BOB, body))
        await observer.until(lambda: observer.holds(BOB_PHONE.name, body), "bob's phone has the message")
        story.tell(BOB_PHONE, " has it; ", ALICE_PHONE, " has no answer, and its process is killed")
        await self._processes.kill_device(ALICE_PHONE)
        observer.killed(ALICE_PHONE.name)
        await self._log_in(ALICE_PHONE, slow_line=True)
        await observer.until(
            lambda: any(stored.body == body for stored in observer.retransmissions), "the repeated publish is answered"
        )
        stored = observer.stored[body]
        story.tell(f"started again, it repeats its publish number {stored.n} out of its state file")
        if not observer.is_stored_once(body):
            raise DemoFailed(f"the repeated publish did not get its first outcome, but {stored}")
        await self._everywhere(body)
        story.good(f"the answer is that of the first time: number {stored.seq}, the same message; nothing is doubled")

    async def _behind_the_floor(self) -> None:
        story, observer = self._story, self._observer
        story.scene(f"A device falls behind retention (here: the newest {RETENTION_COUNT} of each inbox)")
        story.tell(f"carol sends bob her packing list, {len(PACKING)} messages: {', '.join(PACKING[:3])}, …")
        for item in PACKING:
            await self._publish(CAROL_PHONE, TO_BOB, f"Packing list: {item}")
            await self._everywhere(f"Packing list: {item}")
        floor = await self._floor_of_bob()
        observer.note(Trimmed("bob", floor))
        story.tell(f"retention has trimmed bob's inbox: its first number is {floor} now")
        await self._log_in(BOB_PC)
        await self._caught_up(BOB_PC)
        gaps = observer.seen[BOB_PC.name].gaps
        if not gaps:
            raise DemoFailed("bob's PC was behind the floor, and was not told")
        for gap in gaps:
            story.good(BOB_PC, f" is told: numbers {gap.first} to {gap.last} are lost ({gap.reason}); the rest follows")

    async def _back_after_everything(self) -> None:
        story, observer = self._story, self._observer
        story.scene("Back after everything")
        before = len(observer.seen[ALICE_PAD.name].delivered)
        await self._log_in(ALICE_PAD)
        await self._caught_up(ALICE_PAD)
        missed = len(observer.seen[ALICE_PAD.name].delivered) - before
        story.good(ALICE_PAD, f" was off nearly all the time; it gets the {missed} it missed, of both sides, in order")
        await self._caught_up(ALICE_PC_2)
        await self._log_in(ALICE_PC)
        await self._processes.wait_gone(ALICE_PC_2)
        self._online.remove(ALICE_PC_2)
        story.good("alice goes back to her first PC, by hand: now ", ALICE_PC_2, " is told, and the first catches up")
        for device in self._online:
            await self._caught_up(device)

    # --- steps ----------------------------------------------------------------------------------------------------

    async def _log_in(self, *devices: Device, slow_line: bool = False) -> None:
        """Start devices, and wait until they are logged in. The first time with a password, later with a token."""
        for device in devices:
            await self._processes.start_device(device)
            known = (self._processes.folder / f"{device.name}.db").exists()
            password = None if known else self._passwords[device.user]
            await self._processes.tell(device, LogIn(password, slow_line=slow_line))
        for device in devices:
            await self._observer.until(self._is_online(device), f"{device.label} is logged in")
            self._online += [] if device in self._online else [device]

    async def _switch_off(self, device: Device, *, quietly: bool = False) -> None:
        await self._caught_up(device)
        await self._processes.tell(device, Leave())
        await self._processes.wait_gone(device)
        self._online.remove(device)
        if not quietly:
            self._story.tell(device, " is switched off")

    async def _caught_up(self, device: Device) -> None:
        """Give a device the time to get everything. If it does not, it is judged for that."""
        seen = self._observer.seen[device.name]
        before = seen.caught_up
        await self._processes.tell(device, CatchUp())
        try:
            await self._observer.until(lambda: seen.caught_up > before, f"{device.label} catches up")
        except DemoFailed:
            self._observer.took_too_long(device.name)

    async def _say(self, sender: Device, to: str, body: str) -> None:
        """Publish a message, and wait until it is on every device that it concerns and that is online."""
        self._story.message(sender, to, body)
        await self._publish(sender, to, body)
        await self._everywhere(body)

    async def _publish(self, sender: Device, to: str, body: str) -> None:
        await self._processes.tell(sender, Publish(to, body))
        await self._observer.until(lambda: body in self._observer.stored, f"“{body}” is stored")

    async def _everywhere(self, body: str) -> None:
        """Wait until a stored message is on every device that it concerns and that is online."""
        stored = self._observer.stored[body]
        kind, _, name = stored.to.partition("/")
        users = USERS if kind == "group" else (name, stored.device.partition("-")[0])
        for device in self._online:
            if device.user in users:
                await self._observer.until(self._holds(device, body), f"“{body}” is on {device.label}")

    async def _floor_of_bob(self) -> int:
        """The floor of bob's inbox, once retention has done what it is configured to do."""
        with trio.move_on_after(WAIT_S):
            while True:
                page = await trio.to_thread.run_sync(self._processes.api.ask, USERS_LIST)
                bob = next(row for row in page.users if row.name == "bob")
                if bob.floor == bob.head - RETENTION_COUNT + 1:
                    return bob.floor
                await trio.sleep(POLL_S)
        raise DemoFailed(f"retention did not trim bob's inbox within {WAIT_S:g} s")

    def _is_online(self, device: Device) -> Callable[[], bool]:
        return lambda: self._observer.seen[device.name].online

    def _holds(self, device: Device, body: str) -> Callable[[], bool]:
        return lambda: self._observer.holds(device.name, body)
