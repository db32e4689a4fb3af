"""How bytes move: one small port, and what fills it. Everything above it is the same code on each."""

from roost_broker.transport.port import ConnectionLost, HandshakeFailed, Listener, PeerCertificate, Transport

__all__ = ["ConnectionLost", "HandshakeFailed", "Listener", "PeerCertificate", "Transport"]
