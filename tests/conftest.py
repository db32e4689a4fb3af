"""What every test shares: the Hypothesis profiles.

`ci` is a fixed budget for each run and prints the blob that replays a failure; `deep` looks fifty times as long.
The environment variable HYPOTHESIS_PROFILE chooses one.
"""

import os

from hypothesis import settings

# On a busy machine the wall clock is a bad judge of one example: no deadline, pytest's time limit for a test holds.
settings.register_profile("ci", max_examples=100, deadline=None, print_blob=True)
settings.register_profile("deep", max_examples=5_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
