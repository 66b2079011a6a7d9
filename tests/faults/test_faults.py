"""A sample of the faults: `make faults` runs them all."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial

import pytest

from api.cluster_access import IN_SANDBOX
from faults import edits, runner, timetable
from faults.place import Grounds
from faults.plan import Injection, Learned, all_of
from faults.runner import Result
from faults.timetable import Case
from tidegate_sandbox.cluster import ClusterInfo

NEEDED = {"controllers", "kwok"}
pytestmark = [
    pytest.mark.api,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.xdist_group("faults"),
    pytest.mark.skipif(
        not IN_SANDBOX or not set(ClusterInfo.from_environment().parts) >= NEEDED,
        reason="no cluster with controllers and kwok: run it inside `tidegate-sandbox run --parts api,controllers,kwok -- pytest`",
    ),
]
SAMPLE = {
    "approval": (("weight=100", "kill-after"), ("CarriedOut", "kill-late")),
    "asked": (("weight=50", "kill-after"), ("checks", "kill-late")),
    "asked-in-vain": (("phase=RollingBack", "kill-before"),),
    "burst": (("route 10 of 20", "kill-after"),),
    "promotion": (("weight=50", "kill-after"), ("ownerReferences", "lost"), ("weight=100", "stale"), ("", "old")),
    "breach": (
        ("phase=RollingBack", "kill-after"),
        ("-stable=50,-canary=50 > -stable=100,-canary=0", "500"),
        ("-stable=50,-canary=50 > -stable=100,-canary=0", "429"),
        ("two: weight=50", "leader-killed"),
        ("two: phase=RollingBack", "shard-leader-killed"),
        ("judge", "poisoned"),
    ),
    "follow": (("weight=50", "kill-after"),),
    "notification": (("weight=50", "kill-after"), ("phase=RollingBack", "kill-after")),
    "hotfix": (("Overridden", "kill-before"),),
    "frozen": (("phase=Waiting", "kill-after"), ("phase=RollingBack", "kill-before")),
    "hostile": (("phase=RollingBack", "kill-after"), ("-stable=50,-canary=50 > -stable=100,-canary=0", "500")),
    "deletion": (("replicas=0", "kill-before"), ("phase=RollingBack", "dropped"), ("phase=RollingBack", "clock-behind")),
    "superseding": (("phase=RollingBack", "kill-late"), ("create-replicasets", "replayed")),
}
"""By journey: words of the write that is struck, and the fault. `A > B`: the first B after the first A; `two:`: two operators."""
SEQUENCE = "edits/sequence-2/random-edits"
AT_A_TIME = 5
LEARNED_ANEW = 2
"""How often a journey is told without faults again, to find a write that did not come."""
PATIENT = 60.0
"""Seconds in which traffic has to leave a bad version: other tests are running, too."""


async def met(ground: Grounds, journey: str, words: str, kind: str, learned: Learned) -> Result:
    """Meet a fault of the sample: the first of its kind that strikes a write with these words.

    What is stored in one write depends on how quick pods are. Where the write of a clean run did not come, the machine is busier or
    freer by now, and the journey is learned anew.
    """
    injection = first_of(journey, words, kind, learned)
    for _ in range(LEARNED_ANEW):
        result = await runner.inject(ground, injection, learned)
        if result.hits or result.violations:
            return result
        learned = await runner.learn(ground, journey)
        injection = first_of(journey, words, kind, learned)
    return await runner.inject(ground, injection, learned)


def first_of(journey: str, words: str, kind: str, learned: Learned) -> Injection:
    """Return the fault that is meant by an entry of the sample."""
    return _first(list(all_of(journey, learned)), words, kind)


def _first(found: list[Injection], words: str, kind: str) -> Injection:
    operators = 2 if words.startswith("two: ") else 1
    before, _, words = words.removeprefix("two: ").rpartition(" > ")
    rest = itertools.dropwhile(lambda one: before not in one.says, found)
    return next(one for one in rest if one.kind == kind and words in one.says and one.operators == operators)


def told(results: list[Result]) -> str:
    """Return in words what must not be."""
    bad = [result for result in results if result.violations]
    return "\n\n".join(f"{one.name}: {one.violations}\n{one.account[-6000:]}" for one in bad)


@pytest.mark.timeout(600)
async def test_journeys_end_well_whatever_fails(ground: Grounds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails on the way, a journey ends as it does without faults, and every invariant holds at every instant."""
    monkeypatch.setattr(runner, "SHUT_WITHIN", PATIENT)
    learned = dict(zip(SAMPLE, await asyncio.gather(*(runner.learn(ground, journey) for journey in SAMPLE)), strict=True))
    wanted = [(journey, words, kind, learned[journey]) for journey, sample in SAMPLE.items() for words, kind in sample]

    strikes = [(one, first_of(*one)) for one in wanted]
    cases = [Case(fault.name, partial(met, ground, *one), fault.waits) for one, fault in strikes]
    cases.append(Case(SEQUENCE, partial(edits.meet, ground, SEQUENCE), waits=True))

    results = await timetable.run(cases, side_by_side=AT_A_TIME)

    assert not told(results), told(results)
    assert all(result.hits for result in results), [result.name for result in results if not result.hits]


@pytest.mark.timeout(600)
async def test_edits_that_are_not_valid_are_refused(ground: Grounds) -> None:
    """The API server refuses each in words that name the field, and nothing changes."""
    result = await edits.meet(ground, "edits/refused/invalid-edits")

    assert not told([result]), told([result])


@pytest.mark.timeout(600)
async def test_nothing_is_left_behind(ground: Grounds) -> None:
    """After a place is closed none of its operators runs."""
    async with ground.place(operators=2) as place:
        await asyncio.gather(*(operator.ready() for operator in place.operators))

    assert not any(operator.running for operator in place.operators)
