"""What /healthz and /readyz say: how the parts of an operator are.

Only what a new start mends may fail the one, since the kubelet then kills the process; what passes by itself fails the other.
"""

from __future__ import annotations

from tidegate.cluster.election import Election
from tidegate.cluster.reflector import State
from tidegate.cluster.resources import RELEASES
from tidegate.controller.observe.informers import Informers
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.releases import Releases
from tidegate.controller.process.http import Check
from tidegate.runtime.queue import KeyedQueue
from tidegate.runtime.workers import PASS_TIMEOUT, Workers

STUCK_SECONDS = 60.0
"""A Release that waits longer than this for a pass waits for an operator that does not keep up."""
HUNG_SECONDS = PASS_TIMEOUT + 30.0
"""A pass is cancelled before it has run for this long; one that runs on has to be ended with the process."""


def alive(workers: Workers[ReleaseKey], releases: Releases) -> list[Check]:
    """Return what only a new start mends."""
    longest = workers.longest_pass()
    return [
        Check("passes", longest < HUNG_SECONDS, f"the longest has run for {longest:.1f} s"),
        Check("releases", not releases.stuck, "their watch does not try any more" if releases.stuck else "followed"),
    ]


def ready(
    workers: Workers[ReleaseKey], queue: KeyedQueue[ReleaseKey], releases: Releases, informers: Informers, election: Election | None
) -> list[Check]:
    """Return whether this process does its work, or could take it over."""
    age, followed = queue.oldest_age(), releases.health
    stands_by = election is not None and not election.won.is_set()
    works = "running" if workers.running else "standby" if stands_by else "not running yet"
    elected = [election.health()] if election is not None else []
    return [
        Check(RELEASES.qualified, followed.state is State.SYNCED, followed.message or followed.state.value),
        Check("workers", workers.running or stands_by, works),
        Check("queue", age < STUCK_SECONDS, f"{queue.depth()} waiting, the oldest for {age:.1f} s"),
        *(Check("leader election", one.sound, one.words) for one in elected),
        *(Check(resource, known, words) for resource, known, words in informers.report()),
    ]
