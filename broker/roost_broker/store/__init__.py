"""Where messages are kept: the port, its in-memory model, and LMDB."""

from roost_broker.store.errors import CommitRefused, OutcomeUnknown, ReadFailed, StoreError, StoreUnusable
from roost_broker.store.port import Store

__all__ = ["CommitRefused", "OutcomeUnknown", "ReadFailed", "Store", "StoreError", "StoreUnusable"]
