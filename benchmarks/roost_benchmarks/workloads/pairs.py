"""W1 and W2, pairs: A's phone sends to B; a message is complete when B's devices and A's other ones hold it.

W1 is a closed loop: each sender keeps `window` messages in flight and sends the next when one is complete. W2 is an
open loop: messages are sent at a fixed rate, over all pairs in turn, and the latency is from the moment at which one
was *due*, so that a stall of the broker (or of the generator) is in the figures and not hidden by sending less.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct, to_builtins

from roost_benchmarks.dialects.port import BrokenPromise
from roost_benchmarks.latency import Latency
from roost_benchmarks.loop import Device, Loop
from roost_benchmarks.progress import Progress
from roost_benchmarks.result import Oracle, Run
from roost_benchmarks.target import Meter, Target

TERMINALS: Final = ("phone", "pc", "pad", "web", "watch", "tv", "bot", *(f"type{number}" for number in range(8, 17)))
"""The terminal types of a user's devices, in the order of their use. A roost has the first seven by default."""

STALL_S: Final = 60.0
"""A broker that delivers nothing more for so long has lost something."""
QUIET_S: Final = 0.05
"""After everything has come, until it is counted: one copy too many of the last message comes after it."""
LOOK_EVERY_S: Final = 0.5
"""How often the live figures are shown."""
RECENT: Final = 50
"""The latencies of each pair that are shown: sorting more of them would delay what is due at that moment."""


class PairsOptions(Struct, frozen=True, kw_only=True):
    """W1 if `rate_per_s` is 0, else W2."""

    pairs: int = 20
    window: int = 64
    """Messages in flight for each pair (W1)."""
    rate_per_s: float = 0.0
    """Messages a second over all pairs (W2)."""
    devices: int = 2
    """Of each user."""
    body_bytes: int = 128
    warm_up_s: float = 1.0
    duration_s: float = 8.0

    @property
    def users(self) -> int:
        """Accounts that are needed."""
        return 2 * self.pairs


class Pair:
    """A's phone, which sends, and the devices that complete a message."""

    def __init__(self, loop: Loop, target: Target, names: tuple[str, str], options: PairsOptions) -> None:
        a, b = names
        terminals = TERMINALS[: options.devices]
        sender = target.login(a, terminals[0])
        logins = [sender, *(target.login(a, terminal) for terminal in terminals[1:])]
        logins += [target.login(b, terminal) for terminal in terminals]
        self.sender, *self.receivers = loop.log_in(logins)
        self._publisher = target.dialect.publisher(sender, f"user/{b}", options.body_bytes)
        self._sent_ns: deque[int] = deque()
        self._wires = [device.wire for device in self.receivers]
        self.complete = 0
        self.refill = False
        """Whether what is complete is followed by as many new ones."""
        self.latencies_ns: list[int] = []
        for device in self.receivers:
            device.on_delivered = self._delivered

    @property
    def published(self) -> int:
        """Messages sent."""
        return self._publisher.n

    @property
    def in_flight(self) -> int:
        """Sent, and not complete or not acknowledged."""
        return self._publisher.n - min(self.complete, self.sender.wire.settled)

    def send(self, count: int, due_ns: int) -> None:
        """Send so many messages, which were due at this moment."""
        self._sent_ns.extend([due_ns] * count)
        self.sender.send(self._publisher.frames(count))

    def _delivered(self) -> None:
        """Only A writes to B: the k-th message of each device is the k-th that was sent."""
        done = min([wire.delivered for wire in self._wires]) - self.complete
        if done <= 0:
            return
        if done > len(self._sent_ns):
            raise BrokenPromise(f"{self.sender.login.name}: more messages came than the {self.published} published")
        now = time.perf_counter_ns()
        pop = self._sent_ns.popleft
        self.latencies_ns.extend([now - pop() for _ in range(done)])
        self.complete += done
        if self.refill:
            self.send(done, now)


def run(target: Target, options: PairsOptions, progress: Progress) -> Run:
    """One run. Raises BrokenPromise when a message is missed, doubled or refused; RuntimeError for too few accounts."""
    users = target.first_users(options.users)
    with Loop(target) as loop:
        pairs = [Pair(loop, target, (users[at], users[at + 1]), options) for at in range(0, len(users), 2)]
        return _measured(target, options, progress, loop, pairs)


def _measured(target: Target, options: PairsOptions, progress: Progress, loop: Loop, pairs: Sequence[Pair]) -> Run:
    drive = (
        _Schedule(loop, pairs, options.rate_per_s).run if options.rate_per_s else _ClosedLoop(loop, pairs, options).run
    )
    drive(options.warm_up_s, lambda _: None)
    for pair in pairs:
        pair.latencies_ns.clear()
    complete = sum(pair.complete for pair in pairs)
    meter = Meter(target)
    drive(options.duration_s, lambda share: progress.update(share, _live(pairs, complete, share * options.duration_s)))
    messages = sum(pair.complete for pair in pairs) - complete
    process, generator = meter.stop(messages)
    for pair in pairs:
        pair.refill = False
    loop.run(lambda: not any(pair.in_flight for pair in pairs), STALL_S)
    loop.run_for(QUIET_S)
    latency = Latency().record_all(value for pair in pairs for value in pair.latencies_ns)
    copies = 2 * options.devices - 1
    shape = to_builtins(options)
    del shape["window" if options.rate_per_s else "rate_per_s"], shape["warm_up_s"], shape["duration_s"]
    return Run(
        workload="W2" if options.rate_per_s else "W1",
        name="pairs",
        broker=target.name,
        options=shape,
        figures={
            "messages_per_s": round(messages / meter.seconds, 1),
            "deliveries_per_s": round(copies * messages / meter.seconds, 1),
        },
        latency_ms=latency.shown_ms(),
        hdr=latency.encoded(),
        process=process,
        generator=generator,
        oracle=Oracle(entries_checked=_checked(pairs)),
        seconds=round(meter.seconds, 2),
    )


def _checked(pairs: Sequence[Pair]) -> int:
    """Everything is delivered: count it, and see that nothing more than that was. Raises BrokenPromise."""
    checked = 0
    for pair in pairs:
        for device in pair.receivers:
            if device.wire.delivered != pair.published:
                raise BrokenPromise(
                    f"{device.login.name} got {device.wire.delivered} messages, {pair.published} were published"
                )
            checked += device.wire.delivered
        check_own(pair.sender, pair.published)
    return checked


def check_own(sender: Device, published: int) -> None:
    """A sender is shown each of its messages once or, where a broker does not do that, none. Raises BrokenPromise."""
    shown = sender.wire.delivered
    if shown not in {0, published}:
        raise BrokenPromise(f"{sender.login.name} was shown {shown} messages of its own, {published} were published")


def _live(pairs: Sequence[Pair], complete_before: int, elapsed_s: float) -> str:
    """What is known so far, for a person who watches."""
    recent = sorted(value for pair in pairs for value in pair.latencies_ns[-RECENT:])
    if not recent or not elapsed_s:
        return ""
    rate = (sum(pair.complete for pair in pairs) - complete_before) / elapsed_s
    p50, p99 = recent[len(recent) // 2] / 1e6, recent[len(recent) * 99 // 100] / 1e6
    return f"{rate:,.0f} messages/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms"


class _ClosedLoop:
    """Each pair keeps its window full."""

    def __init__(self, loop: Loop, pairs: Sequence[Pair], options: PairsOptions) -> None:
        self._loop = loop
        self._pairs = pairs
        self._window = options.window

    def run(self, seconds: float, show: Callable[[float], None]) -> None:
        """Go on for so long."""
        for pair in self._pairs:
            pair.refill = True
            if not pair.published:
                pair.send(self._window, time.perf_counter_ns())
        begin = time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < seconds:
            self._loop.run_for(min(LOOK_EVERY_S, seconds - elapsed))
            show(min(1.0, (time.perf_counter() - begin) / seconds))


class _Schedule:
    """A message is due every 1/rate seconds, whatever becomes of those before it; the pairs take turns."""

    def __init__(self, loop: Loop, pairs: Sequence[Pair], rate_per_s: float) -> None:
        self._loop = loop
        self._pairs = pairs
        self._every_ns = 1e9 / rate_per_s
        self._turn = 0

    def run(self, seconds: float, show: Callable[[float], None]) -> None:
        """Go on for so long."""
        begin = time.perf_counter_ns()
        count, total = 0, int(seconds * 1e9 / self._every_ns)
        shown = begin
        while count < total:
            now = time.perf_counter_ns()
            while count < total and (due := begin + int(count * self._every_ns)) <= now:
                self._pairs[self._turn].send(1, due)
                self._turn = (self._turn + 1) % len(self._pairs)
                count += 1
            if now - shown > LOOK_EVERY_S * 1e9:
                shown = now
                show(count / total)
            self._loop.poll((begin + int(count * self._every_ns) - time.perf_counter_ns()) / 1e9)
