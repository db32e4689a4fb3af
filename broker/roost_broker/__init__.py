"""The broker of roost: store, core, transports, admin API, and the application that puts them together.

`docs/architecture.md` says what lives where. Applications that embed a broker use `roost.Broker`.
"""
