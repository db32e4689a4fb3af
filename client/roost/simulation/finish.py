"""The end of a run: the faults stop, every publish is settled, every device catches up; then the books are compared."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from roost.oracle import CaughtUp
from roost.simulation.audit import DURABLE_S
from roost.simulation.device import Device
from roost.simulation.plan import Start
from roost_protocol.admin.fsck import Finding

if TYPE_CHECKING:
    from roost.simulation.world import World

PATIENCE_S = 300.0
"""Virtual time for one device to settle, or to catch up, once the faults have stopped."""

SETTLING_S = 0.5
"""After the last incident: what was set going has come to its end."""

LOOK_S = 0.1
"""How often to look meanwhile."""


STUCK_S = 60.0
"""A device that is on line, and has not come to what it is waited for by then, will not: nobody may have to log in
again for what he lacks."""


async def finish(world: "World") -> None:
    """Come to the end, and complain of what should not be there."""
    await trio.sleep(SETTLING_S)
    _mend(world)
    devices = [device for device in world.devices.values() if not device.gone]
    for device in devices:
        if device.session is not None and device.session.unsettled:
            await _wait_for(world, device, "to settle its publishes", _settled)
    for device in devices:
        await _wait_for(world, device, "to settle its publishes", _settled)
        await _wait_for(world, device, "to catch up", lambda each: each.application.last >= _head(world, each.user))
    await _wait_idle(world)
    for device in devices:
        await _wait_for(world, device, "to catch up", lambda each: each.application.last >= _head(world, each.user))
        if not world.over:
            world.trace.record(CaughtUp(device.name))
    await trio.sleep(2 * DURABLE_S)
    for number, device in enumerate(devices):
        device.application.check_receipts()
        if number % 2:
            device.vanish()
        device.stop()
    await _check_connections(world)
    _check_store(world)
    await world.stop_broker()


def _mend(world: "World") -> None:
    world.trace.note("fault", "no more faults")
    world.disk.mend()
    world.slow_until = min(world.slow_until, trio.current_time())
    for device in world.devices.values():
        device.weather.clear()
        device.slow_until = 0.0
        if device.gone:
            device.stop()


def _settled(device: Device) -> bool:
    return device.session is not None and not device.session.unsettled


def _head(world: "World", user: str) -> int:
    """The highest number in the inbox of this user, as the store has it."""
    life = world.life
    account = None if life is None else life.store.account(user)
    return 0 if life is None or account is None else int(life.store.read_inbox(account.user, 0, 1, 1).head)


async def _wait_idle(world: "World") -> None:
    await world.up.wait()
    if world.broker is not None:
        await world.broker.core.batcher.wait_idle()


async def _wait_for(world: "World", device: Device, what: str, done: Callable[[Device], bool]) -> None:
    """Wait until the device is `done`; a person starts it when it does not run."""
    # Where one device has been waited for in vain, the others get little time: the verdict stands.
    patience_s, stuck_s = (PATIENCE_S, STUCK_S) if not world.waited_in_vain else (PATIENCE_S / 20, STUCK_S / 20)
    since = trio.current_time()
    on_line_since = math.inf
    while not (device.on_line and done(device)) and not world.over:
        now = trio.current_time()
        if not device.running:
            device.start(Start(at_s=now, device=device.name))
        on_line_since = min(on_line_since, now) if device.on_line else math.inf
        if now - since > patience_s or now - on_line_since > stuck_s:
            world.waited_in_vain = True
            where = "though it is on line" if device.on_line else "which does not get on line"
            world.complaints.append(f"waited {now - since:.0f} s in vain for {device.name} {what}, {where}")
            return
        await trio.sleep(LOOK_S)


async def _check_connections(world: "World") -> None:
    """Connections that nobody has any more are closed: those that were half open, when their keepalive has run out."""
    await trio.sleep(2 * world.terms.keepalive_s + 30)
    broker = world.broker
    if broker is not None and broker.server.connections:
        world.complaints.append(
            f"the broker still has {broker.server.connections} connections, long after everybody had gone"
        )


def _check_store(world: "World") -> None:
    life = world.life
    for event in life.store.check() if life is not None else ():
        if isinstance(event, Finding) and event.severity == "damage":
            world.complaints.append(f"fsck: {event.code}: {event.found} (expected: {event.expected})")
