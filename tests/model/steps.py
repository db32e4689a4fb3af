"""What each step of a plan sets going in the world."""

from typing import TYPE_CHECKING

import trio

from model import plan as p
from model.around import PASSWORD, Body
from model.device import Device
from roost.oracle import Sent
from roost_broker.administration import NotDone
from roost_broker.app import Broker
from roost_broker.store import CommitRefused
from roost_protocol.admin.messages import MessageSend
from roost_protocol.admin.sessions import Kick
from roost_protocol.frames import Ephemeral, Fetch, Group, Ping, Relation, Sessions, Subscribe

if TYPE_CHECKING:
    from model.world import World


def begin_step(world: "World", step: p.Step) -> None:
    """Begin the step: what it sets going runs side by side with what follows. Never waits."""
    device = _device_for(world, step)
    match step:
        case p.LogIn() if device:
            device.log_in(step)
        case p.Reconnect() if device:
            ask = p.LogIn(device=step.device, receive_max=step.receive_max, ack_every=step.ack_every)
            device.log_in(ask, resume=True)
        case p.Part(how=how) if device:
            {"leave": device.leave, "cut": device.cut, "vanish": device.vanish}[how]()
        case p.Stall(stalled=stalled) if device and device.link:
            device.link.stall(stalled)
        case p.Acknowledge(short_by=short_by, every=every) if device and device.link:
            device.link.acknowledge(short_by)
            device.link.ack_every = every
        case p.Publish() if device:
            for _ in range(step.count):
                device.publish(step.to, step.padding, step.data)
            if step.cut_after_s is not None and device.link:
                world.nursery.start_soon(_cut_later, device, step.cut_after_s)
        case p.Race(other=other) if device:
            world.devices[other].log_in(p.LogIn(device=other))
            world.nursery.start_soon(_publish_on, device, step)
        case p.Overtake(other=other, back_after_s=back_after_s) if device:
            device.cut()
            world.devices[other].log_in(p.LogIn(device=other))
            world.nursery.start_soon(_come_back, device, back_after_s)
        case p.Retransmit(conflict=True, back=back, to=to) if device:
            device.contradict(back, to)
        case p.Retransmit() if device:
            device.retransmit()
        case p.FailCommit() if world.store:
            world.store.fail(step)
        case p.Restart(how=how):
            _stop_broker(world, how)
        case p.JumpClock(by_s=by_s):
            world.skew_ms += by_s * 1_000
        case p.Trim() | p.Kick():
            if world.acts is not None and world.broker is not None:
                world.acts.start_soon(_administer, world.broker, step)
        case p.Send():
            if world.acts is not None and world.broker is not None:
                world.acts.start_soon(_administer, world.broker, _message(world, step))
        case _ if device and device.link and device.online:
            _request(device, step)
        case _:
            pass


def _device_for(world: "World", step: p.Step) -> Device | None:
    """The device that does the step, if any does; see `Step`."""
    name = getattr(step, "device", None)
    if name is None or isinstance(step, p.LogIn | p.Reconnect):
        return world.devices.get(name or "")
    names = list(world.devices)
    start = names.index(name)
    for other in (*names[start:], *names[:start]):
        if world.devices[other].online:
            return world.devices[other]
    world.devices[name].log_in(p.LogIn(device=name))
    return None


def _request(device: Device, step: p.Step) -> None:
    link = device.link
    assert link is not None
    request = link.next_request()
    match step:
        case p.ChangeGroup(action=action, group=group, user=user):
            others = (user,) if action != "leave" else ()
            link.say(Group(request=request, action=action, group=group, users=others))
        case p.Block(user=user, blocked=blocked):
            action = "add" if blocked else "remove"
            link.say(Relation(request=request, action=action, kind="block", user=user))
        case p.LogOut(other=other):
            link.say(Sessions(request=request, action="log_out", device=other))
        case p.Ask(what="ping"):
            link.say(Ping())
        case p.Ask(what="fetch"):
            link.say(Fetch(request=request))
        case p.Ask(what="subscribe", user=user):
            link.say(Subscribe(request=request, users=(user,)))
        case p.Ask(what="ephemeral", user=user):
            link.say(Ephemeral(to=f"user/{user}", text="…"))
        case p.Ask(what="sessions"):
            link.say(Sessions(request=request, action="list"))
        case p.Ask(what="password"):
            # The same again: it ends every token but this device's.
            link.say(Sessions(request=request, action="set_password", password=PASSWORD, new_password=PASSWORD))
        case _:
            pass


async def _publish_on(device: Device, race: p.Race) -> None:
    for _ in range(race.count):
        device.publish(race.to)
        await trio.sleep(race.every_s)


async def _come_back(device: Device, after_s: float) -> None:
    await trio.sleep(after_s)
    device.log_in(p.LogIn(device=device.name), resume=True)


async def _cut_later(device: Device, after_s: float) -> None:
    link = device.link
    await trio.sleep(after_s)
    if link is not None:
        link.cut()


def _stop_broker(world: "World", how: str) -> None:
    if how == "drain":
        world.drain.set()
        return
    if how == "crash and cut":
        for stream in world.streams:
            stream.cut()
    world.life.cancel()


def _message(world: "World", step: p.Send) -> MessageSend:
    """What is sent; the oracle is told where it comes from, and left to find out whether it was stored."""
    world.sent_by_admin += 1
    origin = f"{step.user}-by-admin"
    body = Body(step.to, f"{origin}#{world.sent_by_admin}", step.padding)
    world.record.record(Sent(origin, world.sent_by_admin, body.to, body.in_history))
    return MessageSend(sender=step.user, to=step.to, text=body.frame(1).text)


async def _administer(broker: Broker, step: p.Step | MessageSend) -> None:
    try:
        if isinstance(step, MessageSend):
            await broker.admin.messages.send(step)
        elif isinstance(step, p.Kick):
            await broker.admin.sessions.kick(Kick(user=step.user, terminal=step.terminal))
        else:
            await broker.trim()
    except (NotDone, CommitRefused):
        pass  # there was no such session, or the commit was made to fail
