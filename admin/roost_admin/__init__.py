"""The `roost` command.

It talks to a running broker through the admin API only, and never opens a store. `serve`, `chat` and `demo` import
what they start when they start it, so that every other command is there at once.
"""
