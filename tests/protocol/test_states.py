"""The table itself: closed, reachable, complete, and told apart by who speaks."""

import pytest

from roost_protocol import frames as f
from roost_protocol.reasons import Reason
from roost_protocol.states import REFUSED, TRANSITIONS, Move, Role, State, allowed, diagram, name_of

MOVES = [(state, move, after) for state, moves in TRANSITIONS.items() for move, after in moves.items()]


def test_every_state_is_in_the_table_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    reached = {State.OPENING}
    while more := {after for state, _, after in MOVES if state in reached} - reached:
        reached |= more
    assert reached == set(State)


def test_every_state_leads_to_closed_and_closed_to_nothing() -> None:
    assert TRANSITIONS[State.CLOSED] == {}
    for state in set(State) - {State.CLOSED}:
        for role in Role:
            assert TRANSITIONS[state][Move(role, "DISCONNECT")] is State.CLOSED


def test_a_log_in_goes_its_way() -> None:
    assert TRANSITIONS[State.OPENING][Move(Role.DEVICE, "CONNECT")] is State.CONNECTING
    assert TRANSITIONS[State.CONNECTING][Move(Role.BROKER, "CONNACK")] is State.LIVE
    assert TRANSITIONS[State.CONNECTING][Move(Role.BROKER, REFUSED)] is State.CLOSED


def test_no_move_goes_back() -> None:
    order = list(State)
    assert all(order.index(after) >= order.index(state) for state, _, after in MOVES)


def test_every_frame_is_said_by_somebody_and_nothing_else_is() -> None:
    assert {move.what for _, move, _ in MOVES} == {kind.name for kind in f.FrameType} | {REFUSED}


def test_only_ephemeral_and_disconnect_come_from_both_sides() -> None:
    said = {role: {move.what for _, move, _ in MOVES if move.by is role} for role in Role}
    assert said[Role.DEVICE] & said[Role.BROKER] == {"EPHEMERAL", "DISCONNECT"}


def test_a_frame_is_said_in_one_state_only_but_for_disconnect() -> None:
    for name in {move.what for _, move, _ in MOVES} - {"DISCONNECT"}:
        assert len({state for state, move, _ in MOVES if move.what == name}) == 1


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[State.CLOSED] = {}  # type: ignore[index]


@pytest.mark.parametrize(
    ("reason", "name"),
    [(0, "CONNACK"), (0x7F, "CONNACK"), (0x80, REFUSED), (Reason.BAD_USER_NAME_OR_PASSWORD, REFUSED), (255, REFUSED)],
)
def test_a_connack_that_refuses_is_a_move_of_its_own(reason: int, name: str) -> None:
    assert name_of(f.Connack(reason=reason)) == name


def test_roles_are_each_others_peer() -> None:
    assert Role.DEVICE.peer is Role.BROKER
    assert Role.BROKER.peer is Role.DEVICE


def test_what_is_allowed_is_listed_for_the_error() -> None:
    assert allowed(State.OPENING, Role.DEVICE) == ["CONNECT", "DISCONNECT"]
    assert allowed(State.CONNECTING, Role.BROKER) == ["CONNACK", REFUSED, "DISCONNECT"]
    assert allowed(State.CLOSED, Role.DEVICE) == []


def test_the_diagram_shows_every_move() -> None:
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert lines[1].strip() == "[*] --> opening"
    assert lines[-1].strip() == "closed --> [*]"
    for state, move, after in MOVES:
        arrow = f"{state.value} --> {after.value}: {move.by.value} "
        told = [line.strip().removeprefix(arrow) for line in lines if line.strip().startswith(arrow)]
        assert any(move.what in said.split(", ") for said in told), f"{arrow}{move.what} is missing"
