"""Looks, every second, whether what devices have acknowledged is durable, as is promised within a second.

Only where it can be told from outside: the device is on line, nothing holds up its acknowledgement on the way, and
commits have succeeded for a while.
"""

from typing import TYPE_CHECKING

import trio

from roost.simulation.device import Device

if TYPE_CHECKING:
    from roost.simulation.world import World

EVERY_S = 1.0

DURABLE_S = 4.0
"""By then it is durable: a second, by promise, and what the network and the commits under way take."""


async def audit_cursors(world: "World") -> None:
    """Look until cancelled; complain of each device once."""
    found: set[str] = set()
    while True:
        await trio.sleep(EVERY_S)
        for device in world.devices.values():
            if device.name not in found and (wrong := _wrong_cursor(world, device)):
                found.add(device.name)
                world.complaints.append(wrong)


def _wrong_cursor(world: "World", device: Device) -> str | None:
    life, (at_s, acked) = world.life, device.tap.acked
    now = trio.current_time()
    quiet_since = max(at_s, world.quiet_since, *device.weather.stalled_until.values())
    if life is None or life.died or not device.on_line or device.gone or now - quiet_since < DURABLE_S:
        return None
    account = life.store.account(device.user)
    for record in life.store.devices(account.user) if account is not None else ():
        if record.device_id == device.name and record.cursor != acked:
            text = f"acknowledged {acked} at {at_s:.3f} s, and the store has {record.cursor}"
            return f"{device.name} {text} at {now:.3f} s"
    return None
