"""How bytes move: one small port, and what fills it. Everything above it is the same code on each."""

from roost_broker.transport.port import ConnectionLost, HandshakeFailed, Listener, Transport

__all__ = ["ConnectionLost", "HandshakeFailed", "Listener", "Transport"]
