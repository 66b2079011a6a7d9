"""A status that contradicts itself, e.g. after a hand has edited it, is mended before anything is decided on it."""

from __future__ import annotations

from tidegate.api.names import Phase
from tidegate.api.release import ReleaseStatus


def mended(status: ReleaseStatus) -> ReleaseStatus:
    """Return a status that the rules can rely on.

    A rollout is on only with a stable version, another version to be rolled out, and the policy. Its step is one of the
    policy's, and the weight is at most that of the step. Where something is missing, traffic goes towards the stable version.
    """
    stable, candidate, rollout, step = status.stable, status.candidate, status.rollout, status.step
    if stable is None or candidate is None or rollout is None or candidate.revision == stable.revision:
        idle = candidate is None and rollout is None and step is None and status.weight == 0
        return status if idle else _changed(status, candidate=None, rollout=None, step=None, gates=(), weight=0)
    if step is not None and step.index >= len(rollout.spec.steps):
        step = None
    weight = 0 if step is None or rollout.undo is not None else min(status.weight, step.weight)
    lost = status.phase is Phase.PROMOTING and (step is None or weight < 100)
    return _changed(status, step=step, weight=weight, phase=Phase.PROGRESSING if lost else status.phase)


def _changed(status: ReleaseStatus, **fields: object) -> ReleaseStatus:
    same = all(getattr(status, name) == value for name, value in fields.items())
    return status if same else status.model_copy(update=fields)
