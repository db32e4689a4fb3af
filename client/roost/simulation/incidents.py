"""What each incident of a plan sets going in the world."""

from typing import TYPE_CHECKING

import trio

from roost.oracle import Erased, ErasureAsked, Sent
from roost.simulation import plan as p
from roost.simulation.device import Device
from roost.simulation.intruder import Intruder
from roost.simulation.messages import body_of, content_of
from roost_broker.administration import NotDone
from roost_broker.app import Broker
from roost_broker.store import CommitRefused
from roost_protocol.admin.messages import MessageSend
from roost_protocol.admin.sessions import Kick

if TYPE_CHECKING:
    from roost.simulation.world import World


def begin(world: "World", incident: p.Incident) -> None:
    """Begin it: what it sets going runs side by side with what follows. Never waits, never raises."""
    world.trace.note("fault", str(incident))
    name = getattr(incident, "device", None)
    if name is not None:
        _with_device(world, world.devices[name], incident)
    elif not _with_broker(world, incident) and world.acts is not None and world.broker is not None:
        _prepare(world, incident)
        world.acts.start_soon(_administer, world, world.broker, incident)


def _with_device(world: "World", device: Device, incident: p.Incident) -> None:
    now = trio.current_time()
    weather = device.weather
    match incident:
        case p.Start():
            device.start(incident)
        case p.Stop(killed=killed):
            device.stop(killed=killed)
        case p.Unreachable(for_s=for_s, silent=True):
            weather.swallowed_until = now + for_s
        case p.Unreachable(for_s=for_s):
            weather.refused_until = now + for_s
        case p.Stall(direction=direction, for_s=for_s):
            weather.stalled_until[direction] = max(weather.stalled_until[direction], now + for_s)
        case p.Cut(direction=direction, after=after, following=True):
            weather.cut_next[direction] = after or 0
        case _ if not device.running:
            device.start(p.Start(at_s=now, device=device.name))
        case p.Say():
            world.nursery.start_soon(device.say, incident)
        case p.Slow(for_s=for_s):
            device.slow_until = max(device.slow_until, now + for_s)
        case p.Ask() | p.ChangeGroup() | p.Block() | p.LogOut():
            world.nursery.start_soon(device.ask, incident)
        case _:
            _with_wire(device, incident)


def _with_wire(device: Device, incident: p.Incident) -> None:
    for wire in device.wires[-1:]:
        match incident:
            case p.Cut(direction=direction, after=int(after)):
                wire.cut_after(direction, after)
            case p.Cut():
                wire.cut()
            case p.HalfOpen(who=who):
                wire.lose(who)
            case _:
                raise AssertionError(f"nobody knows what to do with {incident}")


def _with_broker(world: "World", incident: p.Incident) -> bool:
    """Begin what happens to the broker and its disk; whether it was of that kind."""
    now = trio.current_time()
    match incident:
        case p.Crash():
            world.crash(incident)
        case p.Drain(down_s=down_s):
            world.drain(down_s)
        case p.FailCommit():
            world.disk.fail(incident)
        case p.SlowCommits(for_s=for_s, each_s=each_s):
            world.slow_until, world.slow_s = now + for_s, each_s
        case p.DiskFull():
            world.nursery.start_soon(_fill_disk, world, incident)
        case p.JumpClock(by_s=by_s):
            world.skew_ms += by_s * 1_000
        case p.Intrude():
            intruder = Intruder(incident, world, world.chance(f"intruder at {incident.at_s}"))
            if intruder.name not in world.enrolled:
                world.enrolled.add(intruder.name)
                intruder.enrol()
            world.nursery.start_soon(intruder.run)
        case _:
            return False
    return True


async def _fill_disk(world: "World", incident: p.DiskFull) -> None:
    if incident.reserve:
        world.disk.no_room = True
    else:
        world.disk.full = True
    await trio.sleep(incident.for_s)
    world.disk.full = world.disk.no_room = False


def _prepare(world: "World", incident: p.Incident) -> None:
    """Tell the oracle what is about to be asked for."""
    if isinstance(incident, p.Send):
        world.sent_by_admin += 1
        n = world.sent_by_admin
        text = body_of(f"{incident.user}-by-admin:{n}", incident.padding)
        world.trace.record(Sent(f"{incident.user}-by-admin", n, incident.to, content_of(text, None) or ""))
    elif isinstance(incident, p.Erase):
        world.trace.record(ErasureAsked(incident.user))
        for device in world.devices.values():
            if device.user == incident.user:
                device.gone = True


async def _administer(world: "World", broker: Broker, incident: p.Incident) -> None:
    try:
        match incident:
            case p.Trim():
                await broker.trim()
            case p.Kick(user=user, terminal=terminal):
                await broker.admin.sessions.kick(Kick(user=user, terminal=terminal))
            case p.Send(user=user, to=to, padding=padding):
                text = body_of(f"{user}-by-admin:{world.sent_by_admin}", padding)
                await broker.admin.messages.send(MessageSend(sender=user, to=to, text=text))
            case p.Erase(user=user):
                last = None
                async for step in await broker.admin.erase.erase(user):
                    last = step.step
                if last == "done":
                    world.trace.record(Erased(user))
            case _:
                raise AssertionError(f"nobody knows what to do with {incident}")
    except (NotDone, CommitRefused) as error:
        world.trace.note("admin", f"in vain: {type(error).__name__}")
