"""What has a secret in it does not show it, whoever asks for its `repr`."""

from typing import Any

import msgspec
import pytest

from roost_protocol import frames as f
from roost_protocol.admin import admins, users
from roost_protocol.admin.table import ROUTES
from roost_protocol.hiding import HIDDEN, SECRET_FIELDS

CANARY = "canary-7c1e5d90"

WHO: dict[str, Any] = {"user": "alice", "terminal": "pc", "device": "d"}


@pytest.mark.parametrize(
    "struct",
    [
        f.Connect(**WHO, password=CANARY),
        f.Connect(**WHO, token=CANARY),
        f.Connect(**WHO, jwt=CANARY),
        f.Connack(token=CANARY),
        f.Sessions(request=1, action="set_password", password=CANARY, new_password=CANARY),
        users.UserCreate(name="alice", password=CANARY),
        users.PasswordSet(password=CANARY),
        admins.AdminAdded(name="ann", role="read", token=CANARY),
    ],
    ids=lambda struct: type(struct).__name__,
)
def test_a_secret_is_not_shown(struct: msgspec.Struct) -> None:
    for shown in (repr(struct), str(struct), f"{struct}", f"{[struct]!r}"):
        assert CANARY not in shown
        assert HIDDEN in shown
    assert CANARY in str(msgspec.to_builtins(struct)), "it is sent all the same"


def test_everything_else_is_shown() -> None:
    assert repr(f.Puback(n=3, text="x")) == (
        "Puback(n=3, reason=<Reason.SUCCESS: 0>, text='x', retry_after_s=None, seq=None, id=None, time=None, "
        "retransmission=False)"
    )
    assert "password=None" in repr(f.Connect(**WHO)), "that there is none may be seen"


def test_every_type_with_a_secret_hides_it() -> None:
    """Whatever goes over a wire, frame or message of the admin API."""
    bodies = [kind for route in ROUTES for kind in (route.query, route.takes, route.gives) if kind is not None]
    kinds = [kind for kind in (*f.FRAMES, *bodies) if issubclass(kind, msgspec.Struct)]
    with_secrets = [kind for kind in kinds if SECRET_FIELDS & set(kind.__struct_fields__)]
    assert len(with_secrets) >= 6
    for kind in with_secrets:
        other = msgspec.defstruct("Other", [(name, Any) for name in kind.__struct_fields__], kw_only=True)
        filled = other(**{name: CANARY if name in SECRET_FIELDS else None for name in kind.__struct_fields__})
        assert CANARY not in kind.__repr__(filled), kind
        assert CANARY in repr(filled)
