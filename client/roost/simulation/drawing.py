"""A plan out of a seed: which world, how small, and what happens in it.

A run is a few scenes with quiet between them. In a scene, a dozen things happen within seconds, so that they meet; in
the quiet, time passes: keepalives run out, back-offs end, retention walks. Everything is drawn small, so that every
edge is near: windows of one to four entries, tails and pages of a few, pipes that one message fills.
"""

from collections.abc import Callable
from random import Random
from typing import get_args

from roost.simulation import plan as p
from roost.simulation.network import Direction
from roost.simulation.plan import Incident, Installation, Plan, Terms

USERS = ("ann", "bob", "cem", "dan")
TERMINALS = ("phone", "pc", "phone", "pc", "pad")
"""Of a user's devices, one after the other: two on one terminal type take over from each other."""

SCENES = (2, 3, 3, 4)
IN_A_SCENE = (20, 60)
SCENE_S = (0.05, 0.5, 3.0, 10.0)
"""How long a scene lasts: the shorter, the more meets."""
QUIET_S = (5.0, 20.0, 60.0, 120.0)

WHATS: tuple[p.What, ...] = get_args(p.What)
MANNERS: tuple[p.Manner, ...] = get_args(p.Manner)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
COMMIT_FAULTS: tuple[p.CommitFault, ...] = ("refused", *get_args(p.CommitFault))

SMALL = (512, 512, 1, 2, 3, 5, 8)


def draw(seed: int) -> Plan:
    """The plan of a seed; always the same one."""
    random = Random(f"roost simulation {seed}: plan")  # noqa: S311  # it shall be foreseen
    users = USERS[: random.choice((2, 3, 3, 4))]
    installations = tuple(
        Installation(f"{user[0]}{number + 1}", user, TERMINALS[number])
        for user in users
        for number in range(random.choice((1, 2, 3, 3)))
    )
    members = tuple(user for user in users[1:] if random.random() < 0.8)
    drawing = _Drawing(random, users, installations)
    incidents: list[Incident] = [p.Start(at_s=0.0, device=each.name) for each in installations if random.random() < 0.6]
    now = 1.0
    for _ in range(random.choice(SCENES)):
        lasts_s = random.choice(SCENE_S)
        incidents += [
            incident
            for _ in range(random.randint(*IN_A_SCENE))
            for incident in drawing.incidents(now + random.uniform(0, lasts_s))
        ]
        now += lasts_s + random.choice(QUIET_S)
    incidents += drawing.erasure(now)
    incidents.sort(key=lambda incident: incident.at_s)
    return Plan(seed, _terms(random), installations, members, round(now, 3), tuple(incidents))


def _terms(random: Random) -> Terms:
    pick = random.choice
    return Terms(
        store="lmdb" if random.random() < 0.25 else "memory",
        tail_entries=pick(SMALL),
        page_entries=pick(SMALL),
        batch_operations=pick((1_024, 1_024, 1, 2, 3, 8)),
        publish_max=pick((256, 256, 1, 2, 3, 8)),
        trim_slice=pick(SMALL),
        pipe_bytes=pick((65_536, 65_536, 65_536, 4_000, 300)),
        takeovers_max=pick((1_000, 1_000, 1_000, 2, 6)),
        keepalive_s=pick((60, 60, 10)),
        keep_age_s=pick((0, 0, 0, 0, 5, 40)),
        keep_count=pick((0, 0, 0, 0, 1, 3, 8)),
        keep_bytes=pick((0, 0, 0, 0, 100, 500)),
        trim_interval_s=pick((60, 2, 10)),
        hold_s=pick((0, 0, 0, 0, 20, 10_000)),
        store_delay_s=pick((0.002, 0.0, 0.02)),
        lag_s=pick((0.0, 0.01, 0.1)),
        tokens=random.random() < 0.2,
        first_wait_s=pick((0.05, 0.5, 1.0)),
    )


class _Drawing:
    """Draws incidents for one world."""

    def __init__(self, random: Random, users: tuple[str, ...], installations: tuple[Installation, ...]) -> None:
        self._random = random
        self._users = users
        self._devices = tuple(each.name for each in installations)
        self._sessions = tuple(dict.fromkeys((each.user, each.terminal) for each in installations))
        self._installations = installations
        self._rivals = tuple(
            (a.name, b.name)
            for a in installations
            for b in installations
            if a is not b and (a.user, a.terminal) == (b.user, b.terminal)
        )
        self._to = (*(f"user/{user}" for user in users), "group/team", "group/team")
        self._kinds: list[Callable[[float], list[Incident]]] = [
            kind
            for kind, weight in (
                (self._say, 14),
                (self._start, 6),
                (self._stop, 3),
                (self._takeover, 5),
                (self._network, 9),
                (self._slow, 2),
                (self._relations, 3),
                (self._asks, 2),
                (self._intruder, 3),
                (self._commits, 4),
                (self._broker, 4),
                (self._admin, 3),
            )
            for _ in range(weight)
        ]

    def incidents(self, at_s: float) -> list[Incident]:
        """What happens next: one incident, or some that belong together."""
        return self._random.choice(self._kinds)(round(at_s, 4))

    # --- devices ------------------------------------------------------------------------------------------------------

    def _say(self, at_s: float) -> list[Incident]:
        pick = self._random.choice
        return [
            p.Say(
                at_s=at_s,
                device=pick(self._devices),
                to=pick(self._to),
                count=pick((1, 1, 2, 3, 5, 9)),
                every_s=pick((0.0, 0.0, 0.001, 0.02)),
                padding=pick((0, 0, 0, 0, 0, 300, 9_000)),
            )
        ]

    def _start(self, at_s: float) -> list[Incident]:
        return [self._starts(at_s, self._random.choice(self._devices))]

    def _starts(self, at_s: float, device: str) -> p.Start:
        pick = self._random.choice
        return p.Start(
            at_s=at_s,
            device=device,
            resume=pick((False, False, True)),
            receive_max=pick((4_096, 4_096, 1, 2, 3, 4)),
            receive_bytes_max=pick((1 << 20, 1 << 20, 1 << 20, 1, 200, 12_000)),
            newest=pick((None,) * 5 + (0, 2)),
        )

    def _stop(self, at_s: float) -> list[Incident]:
        random = self._random
        device, killed = random.choice(self._devices), random.random() < 0.6
        stop = p.Stop(at_s=at_s, device=device, killed=killed)
        if random.random() < 0.5:
            return [stop]
        return [stop, self._starts(round(at_s + random.choice((0.0, 0.01, 0.3, 2.0)), 4), device)]

    def _takeover(self, at_s: float) -> list[Incident]:
        """Two devices want the same session at about the same time, and one of them is in the middle of publishing."""
        if not self._rivals:
            return self._start(at_s)
        random = self._random
        mine, other = random.choice(self._rivals)
        found: list[Incident] = []
        for _ in range(random.choice((1, 1, 2, 4))):
            found.append(p.Say(at_s=at_s, device=mine, to=random.choice(self._to), count=6, every_s=0.002))
            if random.random() < 0.4:
                found.append(p.Cut(at_s=round(at_s + random.choice((0.0, 0.004)), 4), device=mine))
            at_s = round(at_s + random.choice((0.0, 0.002, 0.01, 0.2)), 4)
            found.append(p.Start(at_s=at_s, device=other))
            at_s = round(at_s + random.choice((0.0, 0.003, 0.05, 1.0)), 4)
            mine, other = other, mine
        return found

    def _slow(self, at_s: float) -> list[Incident]:
        device = self._random.choice(self._devices)
        return [p.Slow(at_s=at_s, device=device, for_s=self._random.choice((1.0, 10.0, 60.0)))]

    def _relations(self, at_s: float) -> list[Incident]:
        random, pick = self._random, self._random.choice
        device, user = pick(self._devices), pick(self._users)
        if random.random() < 0.6:
            return [p.ChangeGroup(at_s=at_s, device=device, action=pick(("add", "add", "remove", "leave")), user=user)]
        return [p.Block(at_s=at_s, device=device, user=user, blocked=random.random() < 0.5)]

    def _asks(self, at_s: float) -> list[Incident]:
        pick = self._random.choice
        device = pick(self._installations)
        if self._random.random() < 0.25:
            others = [each.name for each in self._installations if each.user == device.user]
            return [p.LogOut(at_s=at_s, device=device.name, other=pick(others))]
        what = pick(WHATS)
        return [p.Ask(at_s=at_s, device=device.name, what=what, user=pick(self._users))]

    def _intruder(self, at_s: float) -> list[Incident]:
        pick = self._random.choice
        user, terminal = pick(self._sessions)
        how = pick(MANNERS)
        terminal = pick((terminal, "tv"))
        return [
            p.Intrude(at_s=at_s, user=user, terminal=terminal, how=how, for_s=pick((1.0, 20.0)), count=pick((3, 12)))
        ]

    # --- the network --------------------------------------------------------------------------------------------------

    def _network(self, at_s: float) -> list[Incident]:
        random, pick = self._random, self._random.choice
        device = pick(self._devices)
        kind = random.randrange(10)
        if kind < 5:
            after = pick((None, None, 0, 1, 3, 5, 20, 100, 400))
            following = after is not None and random.random() < 0.4
            direction = pick(DIRECTIONS)
            return [p.Cut(at_s=at_s, device=device, direction=direction, after=after, following=following)]
        if kind < 7:
            return [
                p.Stall(at_s=at_s, device=device, direction=pick(("up", "down")), for_s=pick((0.5, 5.0, 30.0, 100.0)))
            ]
        if kind < 9:
            return [p.HalfOpen(at_s=at_s, device=device, who=pick(("device", "broker", "both")))]
        return [p.Unreachable(at_s=at_s, device=device, for_s=pick((1.0, 30.0)), silent=random.random() < 0.5)]

    # --- the broker ---------------------------------------------------------------------------------------------------

    def _commits(self, at_s: float) -> list[Incident]:
        random, pick = self._random, self._random.choice
        kind = random.randrange(8)
        if kind < 4:
            how = pick(COMMIT_FAULTS)
            return [p.FailCommit(at_s=at_s, how=how, after=pick((0, 0, 1, 2)))]
        if kind < 6:
            return [p.SlowCommits(at_s=at_s, for_s=pick((0.5, 5.0, 20.0)), each_s=pick((0.2, 2.0, 12.0)))]
        return [p.DiskFull(at_s=at_s, for_s=pick((0.5, 5.0, 30.0)), reserve=random.random() < 0.6)]

    def _broker(self, at_s: float) -> list[Incident]:
        random, pick = self._random, self._random.choice
        kind = random.randrange(8)
        down_s = pick((0.05, 0.5, 8.0))
        if kind < 4:
            steps = pick((0, random.randrange(40), random.randrange(300)))
            return [p.Crash(at_s=at_s, after_steps=steps, down_s=down_s, cut=random.random() < 0.5)]
        if kind < 5:
            return [p.Drain(at_s=at_s, down_s=down_s)]
        if kind < 7:
            return [p.Trim(at_s=at_s)]
        return [p.JumpClock(at_s=at_s, by_s=pick((-5, 5, -7_200, 7_200)))]

    def _admin(self, at_s: float) -> list[Incident]:
        random, pick = self._random, self._random.choice
        if random.random() < 0.4:
            user, terminal = pick(self._sessions)
            return [p.Kick(at_s=at_s, user=user, terminal=terminal)]
        return [p.Send(at_s=at_s, user=pick(self._users), to=pick(self._to), padding=pick((0, 0, 300)))]

    def erasure(self, until_s: float) -> list[Incident]:
        """Of the last user, at some time; in every third world that has enough of them."""
        if len(self._users) < 3 or self._random.random() > 0.4:
            return []
        random = self._random
        at_s = random.uniform(2.0, max(3.0, until_s))
        erased = self._users[-1]
        theirs = [each.name for each in self._installations if each.user == erased]
        others = [each.name for each in self._installations if each.user != erased]
        returning = random.sample(others, min(2, len(others)))
        found: list[Incident] = [p.Start(at_s=at_s - 1.9, device=each) for each in (*others, theirs[0])]
        found += [p.Stop(at_s=at_s - 1.2, device=each) for each in returning]
        found += [p.Say(at_s=at_s - 1.0 + n / 10, device=theirs[0], to=random.choice(self._to)) for n in range(4)]
        found += [p.Start(at_s=at_s + 1.0, device=each) for each in returning]
        return [*found, p.Erase(at_s=at_s, user=erased)]
