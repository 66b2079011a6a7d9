"""When the commit of the wanted version was made, by the Release or an annotation on the workload: whoever deploys it says so."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.api.base import format_time
from tidegate.api.names import ANNOTATION_COMMITTED_AT
from tidegate.api.release import ReleaseSpec
from tidegate.governance.commits import LONGEST


def committed_by(spec: ReleaseSpec, workload: Mapping[str, str]) -> str:
    """Return what is said of the commit; empty where nothing is.

    What a workload says is about its own images, and not about those that a Release lays over them.

    Args:
        spec: of the Release.
        workload: annotations of the workload.
    """
    if spec.committed_at is not None:
        return format_time(spec.committed_at)
    return "" if spec.images else (workload.get(ANNOTATION_COMMITTED_AT) or "")[: LONGEST + 1]
