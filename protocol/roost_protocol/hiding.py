"""What is never shown: a struct that holds a password or a token has a `repr` without it.

A `repr` ends up in logs, in messages of exceptions and in a debugger's output without anybody having meant it to. So
the types that carry secrets leave them out themselves, by the names of their fields.
"""

import msgspec

SECRET_FIELDS = frozenset(
    {"jwt", "new_password", "new_token_digest", "password", "password_hash", "token", "token_digest"}
)
"""Fields of frames, of messages of the admin API and of operations whose value is a secret, or what is kept of one."""

HIDDEN = "<hidden>"


def shown_without_secrets(struct: msgspec.Struct) -> str:
    """The `repr` of a struct, with `<hidden>` in the place of each secret that is there."""
    shown = (
        f"{name}={HIDDEN if name in SECRET_FIELDS and value is not None else repr(value)}"
        for name, value in msgspec.structs.asdict(struct).items()
    )
    return f"{type(struct).__name__}({', '.join(shown)})"
