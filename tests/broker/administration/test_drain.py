"""The act that lets a broker come to its end; the end itself is in `tests/admin/test_drain.py`."""

from random import Random

from broker.house import CHEAP_PASSWORDS, in_virtual_time
from roost_broker.app import Broker
from roost_broker.config import Config
from roost_broker.process import Process
from roost_broker.settings import settings_of
from roost_broker.store.memory import MemoryStore
from roost_broker.transport.memory import MemoryListener
from roost_protocol.limits import Limits


@in_virtual_time
async def test_the_process_is_asked_to_end_and_it_is_said_who_is_there() -> None:
    ends: list[str] = []
    config = Config(passwords=CHEAP_PASSWORDS, drain_s=7)
    process = Process(reread=lambda: settings_of(config), adopt=lambda _: None, end=lambda: ends.append("end"))
    store = MemoryStore(limits=Limits(), random=Random(1))  # noqa: S311
    door = MemoryListener()
    async with Broker(config, store=store, listeners=[door], admin_socket=False, process=process) as broker:
        stranger = await door.dial()
        await stranger.send_all(b"\0")
        draining = await broker.admin.drains.drain()
        assert ends == ["end"]
        assert (draining.sessions, draining.grace_s) == (0, 7)
        await stranger.aclose()
