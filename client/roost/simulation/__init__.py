"""Deterministic simulation: a whole broker, its devices and their faults, in one process, out of one seed.

The broker and the client library are the real ones; the network, the clock, the disk and chance are others, and fail
as the seed says. The oracle judges. A seed replays exactly, in every process and on every machine:

    outcome = play(draw(7))
    assert not outcome.faults

`plan` says what a run consists of, `drawing` makes a plan out of a seed, `play` plays it, `shrink` makes the story of
one that went wrong short, `story` tells it; `roost sim` is all of that on the command line. `scheduler` is the one
module that touches what Trio does not promise.
"""
