"""Each rollout whose end was stored has one record, whoever has died on the way, and the chain is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from e2e.manifests import NAME, Json
from faults.oracle import Violation
from faults.place import Place
from tidegate.api.status import ReleaseStatus
from tidegate.cli.archive import head_of
from tidegate.cluster.resources import RELEASE_RECORDS
from tidegate.governance.records import chains, verify


async def check(place: Place) -> list[Violation]:
    """Compare the records that there are with the statuses that there have been."""
    found: list[Json] = (await place.cluster.list(RELEASE_RECORDS.path(place.namespace))).items
    parted = chains(one for one in found if one["spec"]["release"] == NAME)
    return [Violation("recorded", words) for uid, seen in _lives(place).items() for words in _wrong(parted, place, uid, seen)]


def _lives(place: Place) -> dict[str, list[Json]]:
    """Return all that the Release has been, by its uid."""
    lives: dict[str, list[Json]] = {}
    for seen in place.recorder.versions("Release", NAME):
        lives.setdefault(seen.object["metadata"]["uid"], []).append(seen.object)
    return lives


def _wrong(parted: dict[tuple[str, str, str], list[Any]], place: Place, uid: str, seen: list[Json]) -> Iterator[str]:
    records = parted.get((place.namespace, NAME, uid), [])
    status = ReleaseStatus.model_validate(seen[-1].get("status") or {})
    gone = place.recorder.get("Release", NAME) is None
    yield from (f"{one.fault} {one.record}: {one.words}" for one in verify(records, None if gone else head_of(status)))
    ended = list(dict.fromkeys(_end(last) for one in seen if (last := (one.get("status") or {}).get("lastRollout"))))
    told = [_recorded(one["spec"]) for one in sorted(records, key=lambda one: int(one["spec"]["number"]))]
    waiting = len(status.records.pending) if status.records is not None and not gone else 0
    if told not in (ended, ended[: len(ended) - waiting]):
        yield f"rollouts ended {ended}, and there are records of {told}"


def _end(last: Json) -> tuple[str, ...]:
    return last["version"], last["outcome"], last["startedAt"], last["finishedAt"]


def _recorded(spec: Json) -> tuple[str, ...]:
    return spec["to"]["version"], spec["outcome"], spec["startedAt"], spec["endedAt"]
