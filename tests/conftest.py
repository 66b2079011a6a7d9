"""How property tests choose their examples, in all suites."""

from __future__ import annotations

import os

from hypothesis import settings

# The same examples in every run: a change is judged by what it does, not by the luck of the draw. Other ones are tried by
# `make fuzz`, which keeps those that fail. No time limit for one example: machines are busy at times.
settings.register_profile("usual", derandomize=True, database=None, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile("search" if int(os.environ.get("TIDEGATE_FUZZ", "1")) > 1 else "usual")
