"""A record is bounded whatever people have called things, and the end of a rollout never fails for its length."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from simulation.policies import at_weight
from tidegate.api.base import SENTENCE
from tidegate.api.checked import MOST_CHECKS, CheckStatus
from tidegate.api.decision import Action
from tidegate.api.edits import edited
from tidegate.api.flagged import MOST_FLAG_STATUSES, FlagStatus
from tidegate.api.followed import LONGEST_IMAGE, MOST_IMAGES
from tidegate.api.grouped import MOST_MEMBERS, MateStatus
from tidegate.api.hotfix import HotfixStatus
from tidegate.api.kept import as_text
from tidegate.api.migrated import LONGEST_OUTPUT, MigrationStatus
from tidegate.api.migrations import MigrationPhase
from tidegate.api.record import LARGEST_RECORD, MOST_DECISIONS, Omitted, ReleaseRecordSpec
from tidegate.api.recorded import LONGEST_PENDING, MOST_COURSE, RecordedAuthor
from tidegate.api.status import GateStatus, ReleaseStatus
from tidegate.engine.snapshot import Snapshot
from tidegate.governance.canonical import canonical
from tidegate.governance.decisions import DecisionView
from tidegate.governance.records import verify
from unit.engine.recorded import QUICK, last


def largest(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot in which everything that a record is made of is as long as it can be."""
    wide = "\U0001f600"
    status = snapshot.status
    assert status.candidate is not None
    assert status.stable is not None
    assert status.rollout is not None
    assert status.rollout.trail is not None
    text = wide * SENTENCE
    images = {f"{index:063d}": "i" * LONGEST_IMAGE for index in range(MOST_IMAGES)}
    gates = tuple(
        GateStatus(
            name=f"{index:063d}", verdict="Pass", message=text, limit=text, at=status.rollout.started_at, canary=1 / 3, stable=1e300
        )
        for index in range(20)
    )
    course = tuple(
        {"step": 20, "weight": 100, "at": status.rollout.started_at + timedelta(seconds=index)} for index in range(MOST_COURSE)
    )
    trail = status.rollout.trail.model_copy(
        update={
            "images": images,
            "authors": tuple(RecordedAuthor(name=wide * 128, claimed=True) for _ in range(4)),
            "course": type(status.rollout.trail).model_validate({"seenAt": status.rollout.started_at, "course": course}).course,
        }
    )
    digest = status.candidate.digest or ""
    votes = tuple(
        DecisionView(
            name=f"{index:0253d}",
            uid=f"{index:064d}",
            created=status.rollout.started_at,
            action=Action.APPROVE,
            by=f"{index}{wide * 500}",
            role=f"{index:063d}",
            digest=digest,
            release_uid="release",
            reason=text,
            url="https://" + "u" * 1000,
        )
        for index in range(MOST_DECISIONS + 10)
    )
    rollout = status.rollout.model_copy(update={"trail": trail, "undo_message": text})
    stable = status.stable.model_copy(update={"images": images})
    changed = status.model_copy(update={"gates": gates, "rollout": rollout, "stable": stable})
    return replace(snapshot, status=changed, governance=replace(snapshot.governance, decisions=votes))


def test_a_record_is_bounded_whatever_people_have_called_things() -> None:
    """With every text as long as the API server takes it, a record is below its bound, and so is what waits in the status."""
    world = at_weight(25, QUICK)
    world.apply("v3")
    genuine = world.snapshot
    assert world.crank(60, until=lambda: world.status.rollout.undo is not None)
    world.snapshot = lambda: largest(genuine()) if world.status.rollout is not None else genuine()  # type: ignore[method-assign]
    assert world.crank(60, until=lambda: bool(world.archive.records))

    spec = last(world)

    assert (MOST_DECISIONS, 10) == (len(spec["decisions"]), spec["decisionsOmitted"])
    assert 32 * 1024 < len(canonical(spec)) <= LARGEST_RECORD
    assert len(as_text(canonical(spec))) <= LONGEST_PENDING
    assert [] == verify(world.archive.objects)


CHINESE, RARE = (0x4E00, 0x9FFF), (0x20000, 0x2A6DF)
"""Characters of three and of four bytes."""


def words(alphabet: tuple[int, int]) -> Callable[[int], str]:
    """Return what writes texts of a length that nothing packs."""
    chance = random.Random(1)
    return lambda most: "".join(chr(chance.randrange(*alphabet)) for _ in range(most))


def crowded(snapshot: Snapshot, alphabet: tuple[int, int], *, parts: bool) -> Snapshot:
    """Return a snapshot in which everything that a record is made of is as long as it can be, and cannot be packed.

    Args:
        snapshot: of a rollout that ends.
        alphabet: the first and the last of the characters that all is written with.
        parts: there are checks, migrations, flags and a hotfix besides; else what a tenant with Deployments alone can bring about.
    """
    fill = words(alphabet)
    snapshot = largest(snapshot)
    status = snapshot.status
    assert status.rollout is not None
    assert status.rollout.trail is not None
    assert status.stable is not None
    assert status.candidate is not None
    began = status.rollout.started_at
    at = f"{began:%Y-%m-%dT%H:%M:%SZ}"

    def images() -> dict[str, str]:
        return {f"{index:063d}": fill(LONGEST_IMAGE) for index in range(MOST_IMAGES)}

    authors = tuple(RecordedAuthor(name=fill(128)) for _ in range(4))
    mates = tuple(MateStatus(release=f"{index:0253d}", revision="r") for index in range(MOST_MEMBERS))
    rollout = edited(status.rollout, moves_with=mates, trail=edited(status.rollout.trail, images=images(), authors=authors))
    votes = tuple(
        replace(one, by=fill(200), reason=fill(600), url=f"https://ci/{fill(300)}") for one in snapshot.governance.decisions
    )
    status = edited(
        status,
        rollout=rollout,
        stable=edited(status.stable, images=images()),
        gates=tuple(edited(one, message=fill(SENTENCE), limit=fill(SENTENCE)) for one in status.gates),
    )
    if parts:
        status = with_parts(status, fill, at)
    return replace(snapshot, status=status, governance=replace(snapshot.governance, decisions=votes, runs={}))


def with_parts(status: ReleaseStatus, fill: Callable[[int], str], at: str) -> ReleaseStatus:
    """Return a status with as many checks, migrations and flags as there may be, and the words of a hotfix."""
    assert status.rollout is not None
    assert status.candidate is not None
    run = {"seconds": 1, "job": "j" * 63, "result": "Passed", "since": at, "ended": at}
    checks = [
        run
        | {
            "name": f"{index:063d}",
            "at": "Start",
            "digest": status.candidate.digest,
            "result": "Running",
            "message": fill(SENTENCE),
        }
        | {"cronJob": "c" * 63}
        for index in range(MOST_CHECKS)
    ]
    runs = [
        {"phase": one, "cronJob": "c" * 63, "output": fill(LONGEST_OUTPUT), "message": fill(SENTENCE)} | run
        for one in MigrationPhase
    ]
    flags = [
        {"target": f"ConfigMap/flags/{index}/{fill(128)}", "name": f"{index:063d}", "since": at, "done": at, "left": True}
        | {"before": {"variant": fill(64)}, "given": [{"variant": fill(64)}], "forced": fill(64)}
        for index in range(MOST_FLAG_STATUSES)
    ]
    hotfix = {"by": fill(64), "decision": "d" * 253, "reason": fill(SENTENCE)}
    return edited(
        status,
        checks=tuple(CheckStatus.model_validate(one) for one in checks),
        migration=MigrationStatus.model_validate({"version": "v2", "revision": "r", "since": at, "runs": runs}),
        flags=tuple(FlagStatus.model_validate(one) for one in flags),
        rollout=edited(status.rollout, hotfix=HotfixStatus.model_validate(hotfix)),
    )


@pytest.mark.parametrize(
    ("parts", "alphabet", "last_omitted"),
    [
        (False, CHINESE, Omitted.GATE_LIMITS),
        (False, RARE, Omitted.GATE_MESSAGES),
        (True, CHINESE, Omitted.OUTPUTS),
        (True, RARE, Omitted.REASONS),
    ],
)
def test_a_record_that_has_no_room_for_all_says_what_it_leaves_out(
    parts: bool, alphabet: tuple[int, int], last_omitted: Omitted
) -> None:
    """With every text as long as it can be, in words that nothing packs, the rollout ends, and its record is sealed."""
    world = at_weight(25, QUICK)
    world.ask("rollback/1")
    assert world.crank(60, until=lambda: world.status.rollout.undo is not None)
    genuine = world.snapshot

    def snapshot() -> Snapshot:
        return crowded(genuine(), alphabet, parts=parts) if world.status.rollout is not None else genuine()

    world.snapshot = snapshot  # type: ignore[method-assign]
    assert world.crank(60, until=lambda: bool(world.archive.records))

    spec = last(world)
    assert [] == verify(world.archive.objects)
    assert len(canonical(spec)) <= LARGEST_RECORD
    assert len(as_text(canonical(spec))) <= LONGEST_PENDING
    ReleaseRecordSpec.model_validate(spec)
    every = [*Omitted]
    assert every[: every.index(last_omitted) + 1] == spec["omitted"]
    for place, _, field in (one.partition(".") for one in spec["omitted"]):
        found = spec.get(place) or []
        assert [] == [one for one in ([found] if isinstance(found, dict) else found) if field in one]
    assert MOST_IMAGES == len(spec["to"]["images"])
