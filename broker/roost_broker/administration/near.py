"""Who may have been meant, when there is nobody of a name."""

import difflib

from roost_broker.store import Store
from roost_protocol.names import AddressKind

NAMES_A_READ = 200
"""Names read from where a name would stand, cut to each of five lengths: 1,000 in all, compared in about 10 ms."""

NEAR_MAX = 3


def near_names(store: Store, kind: AddressKind, name: str) -> list[str]:
    """At most three names that are like `name`, the likeliest first. Blocking."""
    known: dict[str, None] = {}
    # A slip is mostly behind the first letters; the first names of all are for small sites, and slips at the beginning.
    size = len(name)
    for chars in sorted({size - 1, size * 3 // 4, size // 2, 1, 0}):
        known |= dict.fromkeys(store.names_after(kind, name[: max(chars, 0)], NAMES_A_READ))
    return difflib.get_close_matches(name, known, NEAR_MAX)


def nobody(kind: AddressKind, name: str, near: list[str]) -> str:
    """That there is nobody of this name, and who may have been meant."""
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no {kind} {name!r}{hint}"
