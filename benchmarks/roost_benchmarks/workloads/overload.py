"""Overload: more is offered than the broker can do, and it goes on doing what it can.

Devices in a ring, each of which publishes to the next. First as much as there is (a closed loop) for the best; then an
open loop at parts and multiples of that: messages are due at a fixed rate whatever becomes of those before, and a
device sends as far as its window and what it was told allow. After the last, little is offered, and it is looked at how
long it takes until that is served as half of the best was before. In the end everything that was acknowledged has to be
in the inbox of its recipient, once.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from roost_benchmarks.dialects.patient import PatientDialect, PatientWire
from roost_benchmarks.dialects.port import BrokenPromise
from roost_benchmarks.latency import Latency
from roost_benchmarks.loop import Device, Loop
from roost_benchmarks.progress import Progress
from roost_benchmarks.target import Meter, Target

FACTORS: Final = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Of the best: what is offered, one after the other."""
CLOSED_ROUNDS: Final = 2
"""Looks for the best: on a machine that does other things besides, one of them may be a bad moment."""
AFTERWARDS: Final = 0.25
"""Of the best: what is offered when the overload is over, while what is left of it is done besides."""
TICK_S: Final = 0.002
"""How often what is due is handed to the devices."""
DRAIN_S: Final = 120.0
"""By then everything that is under way has to be settled."""
BIN_S: Final = 0.1
"""What recovery is looked at in."""
AS_BEFORE: Final = 3.0
"""It has recovered when its p99 is no more than so many times that of half of the best before."""
AS_BEFORE_MS: Final = 50.0
"""Or no more than this, where that was very little."""


class OverloadOptions(Struct, frozen=True, kw_only=True):
    """How much is offered by whom."""

    devices: int = 1_000
    """At most, each of a user of its own. So many of them offer that their windows hold `under_way_s` of the best: more
    than there is room for in the queue, and no more than can be done in a moment when it is over."""
    under_way_s: float = 2.0
    closed_devices: int = 200
    """Those who look for the best."""
    body_bytes: int = 128
    closed_window: int = 16
    """Messages in flight for each device, where the best is looked for."""
    phase_s: float = 6.0
    warm_up_s: float = 1.5
    """Of each phase: not measured."""
    recovery_s: float = 8.0
    """How long is looked at after the overload."""


class Phase(Struct, frozen=True, kw_only=True):
    """What came of one rate."""

    factor: float
    """Of the best; 0: as much as there was, in a closed loop."""
    offered_per_s: float
    goodput_per_s: float
    """Acknowledged as stored, a second."""
    p50_ms: float
    p99_ms: float
    """Of those that were acknowledged in it, from the moment they were sent first."""
    busy_share: float
    """Of the answers: refused for now."""
    reasons: dict[str, int]
    broker_cpu_share: float
    generator_cpu_share: float
    goodput_per_cpu_s: float
    """For each second of the processor that the broker had: on a machine with other work, what can be compared."""


class Overload(Struct, frozen=True, kw_only=True):
    """One run."""

    options: OverloadOptions
    offering: int
    """Devices that offered, in the open loops."""
    phases: list[Phase]
    best_per_s: float
    """The most in any phase."""
    goodput_share: float
    """Goodput at the highest rate offered, of the best."""
    goodput_share_of_cpu: float
    """The same for each second of the processor that the broker had: on a machine that does other things besides, how
    much it gets changes from one phase to the next."""
    recovery_s: float
    """From the end of the overload until the last of it was settled, nothing was refused, and latency was as before."""
    acknowledged: int
    lost: int
    doubled: int
    seconds: float

    @property
    def overload(self) -> float:
        """What was offered at last, in multiples of the best that was seen in the end."""
        return self.phases[-1].offered_per_s / self.best_per_s if self.phases else 0.0

    @property
    def line(self) -> str:
        """The figures in one line."""
        worst = self.phases[-1]
        return (
            f"overload: best {self.best_per_s:,.0f} messages/s; at {self.overload:.1f}x "
            f"({worst.offered_per_s:,.0f}/s offered) goodput {worst.goodput_per_s:,.0f}/s = {self.goodput_share:.0%} "
            f"({self.goodput_share_of_cpu:.0%} for each second of the processor), "
            f"p99 of accepted {worst.p99_ms:,.0f} ms, busy {worst.busy_share:.1%}, "
            f"recovered in {self.recovery_s:.1f} s; {self.acknowledged:,} acknowledged, "
            f"{self.lost} lost, {self.doubled} doubled"
        )


class Member(Struct, frozen=True):
    """One device of the ring."""

    device: Device
    wire: PatientWire


def run(target: Target, options: OverloadOptions, progress: Progress) -> Overload:
    """One run. Raises BrokenPromise; RuntimeError for too few accounts."""
    begun = time.monotonic()
    users = target.first_users(options.devices)
    target = replace(target, dialect=PatientDialect())
    with Loop(target) as loop:
        members = _members(loop, target, users, options)
        looking = _Ring(loop, target, members, options.closed_devices, options, progress)
        closed = max((looking.closed() for _ in range(CLOSED_ROUNDS)), key=lambda phase: phase.goodput_per_s)
        phases = [closed]
        offering = offering_devices(closed.goodput_per_s, members[0].wire.publish_max, options)
        ring = _Ring(loop, target, members, offering, options, progress)
        recovery_s = 0.0
        for factor in FACTORS:
            phases.append(ring.offer(factor, factor * closed.goodput_per_s))
            if factor == FACTORS[-1]:
                recovery_s = ring.recover(AFTERWARDS * closed.goodput_per_s, before=phases[1])
            ring.settle()
        lost, doubled = _compared(members)
    best = max(phase.goodput_per_s for phase in phases)
    return Overload(
        options=options,
        offering=offering,
        phases=phases,
        best_per_s=best,
        goodput_share=round(phases[-1].goodput_per_s / best, 4),
        goodput_share_of_cpu=round(phases[-1].goodput_per_cpu_s / max(closed.goodput_per_cpu_s, 1), 4),
        recovery_s=round(recovery_s, 2),
        acknowledged=sum(member.wire.settled for member in members),
        lost=lost,
        doubled=doubled,
        seconds=round(time.monotonic() - begun, 1),
    )


def offering_devices(best_per_s: float, publish_max: int, options: OverloadOptions) -> int:
    """How many devices offer, so that what they have under way is `under_way_s` of the best."""
    return max(2, min(options.devices, round(best_per_s * options.under_way_s / publish_max)))


def _members(loop: Loop, target: Target, users: Sequence[str], options: OverloadOptions) -> list[Member]:
    devices = loop.log_in([target.login(user) for user in users])
    members = []
    for number, device in enumerate(devices):
        wire = device.wire
        if not isinstance(wire, PatientWire):
            raise TypeError(f"not made by the patient dialect: {wire!r}")
        wire.publish_to(f"user/{users[(number + 1) % len(users)]}", options.body_bytes)
        members.append(Member(device, wire))
    return members


def _compared(members: Sequence[Member]) -> tuple[int, int]:
    """What was acknowledged against what came to the next in the ring: how many are missing, and how many too many.

    Raises BrokenPromise if a message came that was never acknowledged, which everything was in the end.
    """
    lost = doubled = 0
    for number, member in enumerate(members):
        came = members[(number + 1) % len(members)].wire.came
        stored = member.wire.stored
        lost += sum(1 for n in range(1, len(stored)) if stored[n] and not (n < len(came) and came[n]))
        doubled += sum(1 for times in came if times > 1)
        if any(came[len(stored) :]):
            raise BrokenPromise(f"{member.device.login.name}: a message came that was never published")
    return lost, doubled


class _Ring:
    def __init__(
        self,
        loop: Loop,
        target: Target,
        members: Sequence[Member],
        offering: int,
        options: OverloadOptions,
        progress: Progress,
    ) -> None:
        self._loop = loop
        self._target = target
        self._everybody = members
        self._members = members[:offering]
        self._options = options
        self._progress = progress
        self._turn = 0
        self._done = 0

    def closed(self) -> Phase:
        """Each device keeps so many in flight: the best."""
        options, members = self._options, self._members

        def refill(_: float) -> None:
            now_ns = time.perf_counter_ns()
            for member in members:
                lacking = options.closed_window - member.wire.unsettled - member.wire.waiting
                if lacking > 0:
                    self._send(member, lacking, now_ns)

        phase = self._measured(0.0, refill, TICK_S)
        self.settle()
        return replace(phase, offered_per_s=phase.goodput_per_s)

    def offer(self, factor: float, rate_per_s: float) -> Phase:
        """An open loop at a rate."""
        return self._measured(factor, self._schedule(rate_per_s), TICK_S, rate_per_s)

    def recover(self, rate_per_s: float, before: Phase) -> float:
        """Offer little again, right after much: how long it takes until that is served as it was `before`, in s."""
        for member in self._members:
            member.wire.waiting = 0  # whoever waited for so long has given up
        self._clear()
        begun_ns = time.perf_counter_ns()
        old_until_ns = begun_ns
        schedule = self._schedule(rate_per_s)

        def look(elapsed_s: float) -> None:
            nonlocal old_until_ns
            schedule(elapsed_s)
            oldest = min((each for member in self._members if (each := member.wire.oldest_ns)), default=None)
            if oldest is not None and oldest < begun_ns:
                old_until_ns = time.perf_counter_ns()

        self._drive(self._options.recovery_s, look, TICK_S)
        accepted = [each for member in self._members for each in member.wire.accepted if each[0] >= begun_ns]
        refusals = [at for member in self._members for at in member.wire.refusals]
        limit_ns = max(before.p99_ms * AS_BEFORE, AS_BEFORE_MS) * 1e6
        late_ns = last_late_bin_ns(accepted, begun_ns, limit_ns)
        return (max([old_until_ns, late_ns, *refusals]) - begun_ns) / 1e9

    def settle(self) -> None:
        """Wait until nothing is under way and everything has come. Raises BrokenPromise."""
        members = self._members
        for member in members:
            member.wire.waiting = 0
        deadline = time.monotonic() + DRAIN_S
        while any(member.wire.unsettled for member in members):
            if time.monotonic() > deadline:
                left = sum(member.wire.unsettled for member in members)
                raise BrokenPromise(f"{left} publishes were not settled within {DRAIN_S:g} s")
            self._resend()
            self._loop.run_for(TICK_S)
        self._loop.run(self._all_came, DRAIN_S)

    def _all_came(self) -> bool:
        members = self._everybody
        return all(
            member.wire.position >= member.wire.settled + members[number - 1].wire.settled
            for number, member in enumerate(members)
        )

    def _schedule(self, rate_per_s: float) -> Callable[[float], None]:
        """What hands out what is due, the devices in turn."""
        handed = 0

        def hand_out(elapsed_s: float) -> None:
            nonlocal handed
            members, now_ns = self._members, time.perf_counter_ns()
            due = int(elapsed_s * rate_per_s) - handed
            handed += due
            each, more = divmod(due, len(members))
            for step in range(len(members) if each else more):
                member = members[(self._turn + step) % len(members)]
                self._send(member, each + (step < more), now_ns)
            self._turn = (self._turn + more) % len(members)
            self._resend()

        return hand_out

    def _send(self, member: Member, count: int, now_ns: int) -> None:
        data = member.wire.offer(count, now_ns)
        if data:
            member.device.send(data)

    def _resend(self) -> None:
        now_ns = time.perf_counter_ns()
        for member in self._members:
            data = member.wire.due(now_ns)
            if data:
                member.device.send(data)

    def _clear(self) -> None:
        for member in self._members:
            member.wire.accepted.clear()
            member.wire.refusals.clear()
            member.wire.reasons.clear()

    def _drive(self, seconds: float, tick: Callable[[float], None], every_s: float) -> None:
        begun = time.perf_counter()
        while (elapsed := time.perf_counter() - begun) < seconds:
            tick(elapsed)
            self._loop.run_for(every_s)

    def _measured(self, factor: float, tick: Callable[[float], None], every_s: float, rate_per_s: float = 0.0) -> Phase:
        options = self._options
        offset = 0.0

        def shifted(elapsed_s: float) -> None:
            tick(offset + elapsed_s)

        self._drive(options.warm_up_s, shifted, every_s)
        offset = options.warm_up_s
        self._clear()
        meter = Meter(self._target)
        self._drive(options.phase_s, shifted, every_s)
        accepted = [each for member in self._members for each in member.wire.accepted]
        refused = sum(len(member.wire.refusals) for member in self._members)
        process, generator = meter.stop(len(accepted))
        latency = Latency().record_all(answered - sent for sent, answered in accepted)
        reasons: dict[str, int] = {}
        for member in self._members:
            for reason, count in member.wire.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
        self._done += 1
        phase = Phase(
            factor=factor,
            offered_per_s=round(rate_per_s, 1),
            goodput_per_s=round(len(accepted) / meter.seconds, 1),
            p50_ms=round(latency.percentile_ms(50), 2),
            p99_ms=round(latency.percentile_ms(99), 2),
            busy_share=round(refused / max(1, refused + len(accepted)), 5),
            reasons=reasons,
            broker_cpu_share=process.cpu_share if process else 0.0,
            generator_cpu_share=generator.cpu_share,
            goodput_per_cpu_s=round(1e6 / process.cpu_us_per_message) if process and accepted else 0.0,
        )
        self._progress.update(self._done / (len(FACTORS) + 1), words(phase))
        return phase


def last_late_bin_ns(accepted: Sequence[tuple[int, int]], begun_ns: int, limit_ns: float) -> int:
    """The end of the last tenth of a second in which the p99 of (sent, answered) was beyond the limit.

    `begun_ns` if there is none.
    """
    bins: dict[int, list[int]] = {}
    bin_ns = int(BIN_S * 1e9)
    for sent, answered in accepted:
        bins.setdefault((answered - begun_ns) // bin_ns, []).append(answered - sent)
    late = [number for number, took in bins.items() if sorted(took)[len(took) * 99 // 100] > limit_ns]
    return begun_ns + (max(late) + 1) * bin_ns if late else begun_ns


def words(phase: Phase) -> str:
    """A phase in one line, for a person who watches."""
    name = f"{phase.factor:g}x" if phase.factor else "closed loop"
    return (
        f"{name}: {phase.offered_per_s:,.0f}/s offered, goodput {phase.goodput_per_s:,.0f}/s, "
        f"p50 {phase.p50_ms:,.1f} ms, p99 {phase.p99_ms:,.1f} ms, busy {phase.busy_share:.1%}, "
        f"{phase.goodput_per_cpu_s:,.0f} for each second of the processor"
    )
