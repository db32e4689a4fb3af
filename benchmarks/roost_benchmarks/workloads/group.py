"""W3, group: one sender, a group, and the time until the last of its devices has the message. One message at a time."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, structs

from roost_benchmarks.dialects.port import BrokenPromise, Login, Publisher
from roost_benchmarks.latency import Latency
from roost_benchmarks.loop import Device, Loop
from roost_benchmarks.progress import Progress, Unseen
from roost_benchmarks.result import Oracle, Run
from roost_benchmarks.target import Meter, Target
from roost_benchmarks.workloads.pairs import LOOK_EVERY_S, QUIET_S, STALL_S, TERMINALS, check_own

GROUP: Final = "everybody"


class GroupOptions(Struct, frozen=True, kw_only=True):
    """W3. With `rate_per_s`, messages are sent at that rate and the latency is from when each was due."""

    group: str = GROUP
    """Its name: on a broker that keeps its groups, each run needs one of its own."""
    members: int = 500
    """Who get the message, besides the sender."""
    devices: int = 2
    """Of each member."""
    body_bytes: int = 128
    rate_per_s: float = 0.0
    warm_up_messages: int = 3
    messages: int = 100
    duration_s: float = 10.0
    """No message is sent after so long, however few there were."""

    @property
    def users(self) -> int:
        """Accounts that are needed."""
        return 1 + self.members


class _Part:
    """Some of the devices, and when the last of them had each message."""

    def __init__(self, devices: Sequence[Device], due_ns: list[int]) -> None:
        self._wires = [device.wire for device in devices]
        self._due_ns = due_ns
        self._reached = 0
        """Devices that have the oldest message under way, and perhaps reads that brought one of them a later one."""
        self.latencies_ns: list[int] = []
        """From when a message was due until the last device had it."""
        for device in devices:
            device.on_delivered = self._delivered

    def checked(self, messages: int) -> int:
        """Everything is delivered: count it, and see that nothing more than that was. Raises BrokenPromise."""
        if any(wire.delivered != messages for wire in self._wires):
            raise BrokenPromise("a device got more messages than were published")
        return messages * len(self._wires)

    def _delivered(self) -> None:
        # Looking at every device for each delivery would cost more than the delivery: only when as many reads have
        # brought something as there are devices can the last one have it.
        self._reached += 1
        if self._reached < len(self._wires):
            return
        done = min([wire.delivered for wire in self._wires])
        if done > len(self._due_ns):
            raise BrokenPromise("every device got more messages than were published")
        now = time.perf_counter_ns()
        while len(self.latencies_ns) < done:
            self.latencies_ns.append(now - self._due_ns[len(self.latencies_ns)])
        self._reached = sum(1 for wire in self._wires if wire.delivered > done)


class _FanOut:
    """The messages under way, and the devices that do not have them yet."""

    def __init__(self, sender: Device, parts: Mapping[str, Sequence[Device]], publisher: Publisher) -> None:
        self._sender = sender
        self._publisher = publisher
        self._due_ns: list[int] = []
        self.parts = {name: _Part(devices, self._due_ns) for name, devices in parts.items()}

    @property
    def complete(self) -> int:
        """Messages that every device has."""
        return min(len(part.latencies_ns) for part in self.parts.values())

    @property
    def latencies_ns(self) -> list[int]:
        """From when a message was due until the last device of all had it."""
        each = zip(*(part.latencies_ns for part in self.parts.values()), strict=False)
        return [max(latencies) for latencies in each]

    def send(self, due_ns: int) -> None:
        """Send one message, which was due at this moment."""
        self._due_ns.append(due_ns)
        self._sender.send(self._publisher.frames(1))

    def is_complete(self) -> bool:
        """Whether every device has everything that was sent."""
        return self.complete == self._publisher.n

    def is_drained(self) -> bool:
        """Whether, besides, everything is acknowledged."""
        return self.is_complete() and self._sender.wire.settled == self._publisher.n

    def checked(self) -> int:
        """Everything is delivered: count it, and see that nothing more than that was. Raises BrokenPromise."""
        check_own(self._sender, self._publisher.n)
        return sum(part.checked(self._publisher.n) for part in self.parts.values())


ALL: Final[Mapping[str, Sequence[str]]] = {"all": TERMINALS}


def run(target: Target, options: GroupOptions, progress: Progress, parts: Mapping[str, Sequence[str]] = ALL) -> Run:
    """One run. Raises BrokenPromise when a message is missed, doubled or refused; RuntimeError for too few accounts.

    `parts` are terminal types whose devices are looked at apart, by what they are called; if there is more than one,
    each has its own figures.
    """
    sender_name, *members = target.first_users(options.users)
    target.make_group(options.group, [sender_name, *members])
    with Loop(target) as loop:
        sender_login, *logins = _logins(target, sender_name, members, options)
        (sender,) = loop.log_in([sender_login])
        devices = loop.log_in(logins, lambda count: progress.update(0.0, f"{count} of {len(logins)} logged in"))
        publisher = target.dialect.publisher(sender_login, f"group/{options.group}", options.body_bytes)
        apart = {name: [each for each in devices if each.login.terminal in types] for name, types in parts.items()}
        fan_out = _FanOut(sender, apart, publisher)
        _send(loop, fan_out, options, options.warm_up_messages, Unseen())
        loop.run(fan_out.is_drained, STALL_S)
        warm = fan_out.complete
        meter = Meter(target)
        _send(loop, fan_out, options, options.messages, progress)
        loop.run(fan_out.is_drained, STALL_S)
        messages = fan_out.complete - warm
        process, generator = meter.stop(messages)
        loop.run_for(QUIET_S)
        checked = fan_out.checked()
    latency = Latency().record_all(fan_out.latencies_ns[warm:])
    shape = {name: getattr(options, name) for name in ("members", "devices", "body_bytes", "rate_per_s")}
    return Run(
        workload="W3",
        name="group",
        broker=target.name,
        options={name: value for name, value in shape.items() if value},
        figures={
            "messages_per_s": round(messages / meter.seconds, 2),
            "deliveries_per_s": round(messages * len(devices) / meter.seconds, 1),
            **(_figures_of(fan_out, warm) if len(parts) > 1 else {}),
        },
        latency_ms=latency.shown_ms(),
        hdr=latency.encoded(),
        process=process,
        generator=generator,
        oracle=Oracle(entries_checked=checked),
        seconds=round(meter.seconds, 2),
    )


def _figures_of(fan_out: _FanOut, warm: int) -> dict[str, float]:
    """The latency of each part, in ms: until the last of its own devices had a message."""
    figures: dict[str, float] = {}
    for name, part in fan_out.parts.items():
        shown = Latency().record_all(part.latencies_ns[warm:]).shown_ms()
        figures |= {f"{name}_{which}_ms": shown[which] for which in ("p50", "p99")}
    return figures


def _logins(target: Target, sender: str, members: Sequence[str], options: GroupOptions) -> list[Login]:
    """The sender's, and those of every device of every member."""
    terminals = TERMINALS[: options.devices]
    logins = [target.login(sender), *(target.login(name, terminal) for name in members for terminal in terminals)]
    return [login._replace(groups=(options.group,)) for login in logins]


def _send(loop: Loop, fan_out: _FanOut, options: GroupOptions, count: int, progress: Progress) -> None:
    """Send so many messages: each when the one before is complete, or when it is due."""
    begin = shown = time.perf_counter_ns()
    for number in range(count):
        now = time.perf_counter_ns()
        due = begin + int(number * 1e9 / options.rate_per_s) if options.rate_per_s else now
        if due - begin > options.duration_s * 1e9:
            return
        while (left := due - time.perf_counter_ns()) > 0:
            loop.poll(left / 1e9)
        fan_out.send(due)
        if not options.rate_per_s:
            loop.run(fan_out.is_complete, STALL_S)
        if now - shown > LOOK_EVERY_S * 1e9:
            shown = now
            progress.update(number / count, f"{number} messages")


def for_devices(count: int, options: GroupOptions) -> GroupOptions:
    """The same with so many receiving devices: members enough for them."""
    return structs.replace(options, members=max(1, -(-count // options.devices)))
