"""The names of the groups, in the order in which they are measured."""

GROUPS = (
    "services-30",
    "services-200",
    "services-300",
    "services-500",
    "governed-200",
    "votes-200",
    "told-1000",
    "canary-1000",
    "seed-1000",
    "idle-5000",
)
APART = ("soak", "shards-12000", "direct-30")
"""Measured only where they are named."""
SOAK_MINUTES = 30.0
"""How long the soak lasts; the figures of a shorter one are no results."""
