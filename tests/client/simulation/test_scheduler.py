"""The one module that touches what Trio does not promise."""

import pytest
import trio
import trio._core._run as trio_run

from roost.simulation.scheduler import SHUFFLER, SWITCH, SchedulerChanged, check_scheduler, run_seeded


async def order_of_tasks() -> list[int]:
    order: list[int] = []

    async def note(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(note, number)
    return order


def test_a_seed_gives_an_order() -> None:
    assert run_seeded("one", order_of_tasks) == run_seeded("one", order_of_tasks)
    assert len({tuple(run_seeded(f"{seed}", order_of_tasks)) for seed in range(5)}) == 5


def test_trio_is_left_as_it_was() -> None:
    before = vars(trio_run)[SWITCH], vars(trio_run)[SHUFFLER].getstate()
    run_seeded("one", order_of_tasks)
    assert (vars(trio_run)[SWITCH], vars(trio_run)[SHUFFLER].getstate()) == before


@pytest.mark.parametrize("name", [SWITCH, SHUFFLER])
def test_a_name_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delattr(trio_run, name)
    with pytest.raises(SchedulerChanged, match=rf"Trio {trio.__version__} cannot replay .*{name}"):
        run_seeded("one", order_of_tasks)


def test_a_loop_that_goes_another_way_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_run, "unrolled_run", lambda: None)
    with pytest.raises(SchedulerChanged, match="event loop does not use"):
        check_scheduler()
