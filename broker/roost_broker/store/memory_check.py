"""Checking the model: it has no second place for anything, so what can be wrong is a number that is not there."""

from collections.abc import Generator

from roost_broker.store.fsck_problems import HOLE
from roost_broker.store.memory_state import Start, State
from roost_broker.store.port import CheckEvent
from roost_protocol.admin.fsck import Finding, FsckProgress, FsckVerdict


def check_state(state: State) -> Generator[CheckEvent, None, None]:
    """See `Store.check`. A state that was put in place of another does not change."""
    damages = 0
    for looked_at, (number, user) in enumerate(state.users.items(), 1):
        floor, head = state.starts.get(number, Start()).floor, state.heads.get(number, 0)
        for seq in range(floor, head + 1):
            if (number, seq) not in state.entries:
                damages += 1
                yield Finding(
                    severity=HOLE.severity,
                    code=HOLE.code,
                    table="inbox",
                    user=user.name,
                    user_number=number,
                    seq=seq,
                    found=f"entry {seq} is not there",
                    expected=f"every number from {floor} to {head}",
                    advice=HOLE.advice,
                )
        yield FsckProgress(stage="inboxes", rows=looked_at, of=len(state.users))
    yield FsckVerdict(
        damages=damages,
        warnings=0,
        complete=True,
        users=len(state.users),
        devices=len(state.devices),
        groups=len(state.groups),
        messages=len({entry.message_id for entry in state.entries.values()}),
        entries=len(state.entries),
    )
