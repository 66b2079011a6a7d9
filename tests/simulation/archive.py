"""The records that the API server has, how the operator writes them, and an account of its own of which rollouts have ended."""

from __future__ import annotations

from typing import Any

from tidegate.api.kept import read_text
from tidegate.api.status import LastRollout, ReleaseStatus
from tidegate.engine.recording import without_written
from tidegate.governance.records import name_of, verify

Json = dict[str, Any]


class Archive:
    """The records of one Release."""

    def __init__(self) -> None:
        self.records: dict[int, Json] = {}
        """Specs by number."""
        self.known: set[int] = set()
        """Those of which the operator that is alive knows that they are written."""
        self.ended: list[LastRollout] = []
        """How rollouts ended, as it was stored."""

    def settled(self, status: ReleaseStatus) -> ReleaseStatus:
        """Return a status without records that are known to be written."""
        return without_written(status, self.known)

    def write(self, status: ReleaseStatus) -> None:
        """Write the records that a stored status has: where there is one already, it is the same."""
        for one in status.records.pending if status.records is not None else ():
            spec = read_text(one.kept)
            assert spec is not None
            assert self.records.setdefault(one.number, spec) == spec, f"two records with number {one.number}"
            self.known.add(one.number)

    def passed(self, before: ReleaseStatus, after: ReleaseStatus, *, stored: bool) -> None:
        """Note a rollout that has ended; a decision that could not be stored has ended nothing."""
        if stored and after.last_rollout is not None and after.last_rollout != before.last_rollout:
            self.ended.append(after.last_rollout)

    def check(self, *, gone: bool = False) -> None:
        """Each rollout that has ended has exactly one record, in the order of their ends, and the chain is whole.

        Args:
            gone: the Release was deleted; an operator that dies a minute after its last rollout may leave that one without.
        """
        told = [(spec["to"]["version"], spec["outcome"], spec["startedAt"], spec["endedAt"]) for spec in self.specs]
        wire = (one.to_wire() for one in self.ended)
        ended = [(one["version"], one["outcome"], one["startedAt"], one["finishedAt"]) for one in wire]
        assert told == ended or (gone and told == ended[:-1])
        assert verify(self.objects) == []

    @property
    def specs(self) -> list[Json]:
        """All that was written, in the order of the chain."""
        return [self.records[number] for number in sorted(self.records)]

    @property
    def objects(self) -> list[Json]:
        """The same as objects."""
        return [object_of(spec) for spec in self.specs]


def object_of(spec: Json) -> Json:
    """Return a record as the API server has it."""
    name = name_of(spec["release"], spec["releaseUID"], spec["number"])
    return {"metadata": {"name": name, "namespace": spec["namespace"]}, "spec": spec}
