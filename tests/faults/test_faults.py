"""A sample of the faults: `make faults` runs them all."""

from __future__ import annotations

import asyncio
import itertools
import os

import pytest

from api.cluster_access import IN_SANDBOX
from faults import edits, runner
from faults.place import Grounds
from faults.plan import Injection, Learned, all_of
from faults.runner import Result
from tidegate_sandbox.cluster import ClusterInfo

NEEDED = {"controllers", "kwok"}
pytestmark = [
    pytest.mark.skipif(not os.environ.get("TIDEGATE_LONG"), reason="a sample of `make faults`: set TIDEGATE_LONG=1"),
    pytest.mark.api,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(
        not IN_SANDBOX or not set(ClusterInfo.from_environment().parts) >= NEEDED,
        reason="no cluster with controllers and kwok: run it inside `tidegate-sandbox run --parts api,controllers,kwok -- pytest`",
    ),
]
SAMPLE = {
    "promotion": (("weight=50", "kill-after"), ("-stable=50", "kill-before"), ("ownerReferences", "lost"), ("weight=100", "stale")),
    "breach": (
        ("phase=RollingBack", "kill-after"),
        ("phase=RollingBack > patch-httproutes", "500"),
        ("", "without-deletions"),
        ("", "nan"),
    ),
    "deletion": (("replicas=0", "kill-before"), ("phase=RollingBack", "dropped"), ("delete-services", "kill-after")),
    "superseding": (("phase=RollingBack", "kill-late"), ("delete-replicasets", "429"), ("create-replicasets", "replayed")),
}
"""By journey: words of the write that is struck, and the fault. `A > B`: the first B after the first A."""


def chosen(journey: str, learned: Learned) -> list[Injection]:
    """Return the sample of a journey: of each fault the first that strikes a write with these words."""
    found = list(all_of(journey, learned))
    return [_first(found, words, kind) for words, kind in SAMPLE[journey]]


def _first(found: list[Injection], words: str, kind: str) -> Injection:
    before, _, words = words.rpartition(" > ")
    rest = itertools.dropwhile(lambda one: before not in one.says, found)
    return next(one for one in rest if one.kind == kind and words in one.says)


def told(results: list[Result]) -> str:
    """Return in words what must not be."""
    bad = [result for result in results if result.violations]
    return "\n\n".join(f"{one.name}: {one.violations}\n{one.account[-6000:]}" for one in bad)


@pytest.mark.parametrize("journey", sorted(SAMPLE))
async def test_journey_ends_well_whatever_fails(ground: Grounds, journey: str) -> None:
    """Whatever fails on the way, the journey ends as it does without faults, and every invariant holds at every instant."""
    learned = await runner.learn(ground, journey)
    wanted = [(injection, learned) for injection in chosen(journey, learned)]

    results = await runner.run(ground, wanted, side_by_side=len(wanted))

    assert not told(results), told(results)
    assert all(result.hits for result in results), [result.name for result in results if not result.hits]


@pytest.mark.parametrize("kind", ["leader-killed", "leader-cut-off"])
async def test_standby_takes_over(ground: Grounds, kind: str) -> None:
    """Of two operators the one that leads fails in the middle of a rollback: the other ends it, and never do both write."""
    learned = await runner.learn(ground, "breach")
    found = next(one for one in all_of("breach", learned) if one.kind == kind and "phase=RollingBack" in one.says)

    result = await runner.inject(ground, found, learned)

    assert not result.violations, told([result])
    assert result.hits


async def test_edits_end_as_declared_or_are_refused(ground: Grounds) -> None:
    """Valid edits of specs end in what they declare or in words that name the field; invalid ones change nothing."""
    results = await edits.run(ground, ["edits/sequence-1/random-edits", "edits/refused/invalid-edits"], side_by_side=2)

    assert not told(results), told(results)


async def test_nothing_is_left_behind(ground: Grounds) -> None:
    """After a place is closed none of its operators runs."""
    async with ground.place(operators=2) as place:
        await asyncio.gather(*(operator.ready() for operator in place.operators))

    assert not any(operator.running for operator in place.operators)
