"""Which version people decide on: the one that is rolled out, and before that the one that is wanted."""

from __future__ import annotations

from simulation.policies import at_weight, finish, gate, idle, policy, reach, step
from tidegate.api.names import Phase

LONG = (step(5, "60s"), step(100))


def test_what_people_approve_has_a_digest_of_its_content():
    """It is shown of what is rolled out, and before that of what is wanted; a restart of it is another revision of the same."""
    world = idle(policy(*LONG))
    world.ask("rollback-and-hold/1")
    world.apply("v2")
    world.crank(1)
    wanted = world.status.wanted
    assert ("v2", "own-v2", None) == (wanted.version, wanted.revision, world.status.candidate)

    world.ask("resume/2")
    reach(world, 5)
    assert (None, wanted.digest) == (world.status.wanted, world.status.candidate.digest)

    world.apply("v2", "restarted")
    world.crank(0.5)
    assert ("own-v2restarted", wanted.digest) == (world.status.wanted.revision, world.status.wanted.digest)
    assert world.crank(30, until=lambda: world.status.candidate.revision == "own-v2restarted")
    assert wanted.digest == world.status.candidate.digest


def test_what_is_rejected_is_still_shown():
    """Whoever wants it tried again reads which revision that is; what serves is not wanted any more."""
    world = at_weight(5, policy(*LONG, gates=(gate(),)))
    world.look("errors", 0.5)
    finish(world, Phase.ROLLED_BACK)
    assert "own-v2" == world.status.wanted.revision

    world.apply("v1")
    finish(world)
    assert world.status.wanted is None
