"""The brokers that are measured: how each is started on a fresh folder, and stopped."""
