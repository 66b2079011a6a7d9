"""Which traffic a Release is about: what its spec names, unless routes are still shifted for what it has named before."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.api.originals import OriginalRule
from tidegate.api.release import ReleaseSpec, Traffic
from tidegate.api.status import ReleaseStatus


def traffic_in_force(
    spec: ReleaseSpec, status: ReleaseStatus, *, routed: bool, is_about: Callable[[OriginalRule, str], bool]
) -> Traffic | None:
    """Return the traffic that counts.

    Who takes `traffic` out of a Release during a rollout, or names another Service, means the time after it: routes that are
    shifted go on being shifted, shut and put back, or requests would go on to pods that are stopped.

    Args:
        spec: as the user wrote it.
        status: knows the routes that are shifted, and for which Service.
        routed: whether the spec names a route.
        is_about: whether the route that a note is of is there, and has backends of this Service or of the operator's two beside
            it; where a hand has written others, there is nothing to put back.

    Returns:
        What the spec has; or the Service of the routes that are shifted, which then are those that the status notes.
    """
    shifted, wanted = status.shifted_service, spec.traffic
    if shifted is None or (wanted is not None and wanted.service == shifted and routed):
        return wanted
    if not any(is_about(rule, shifted) for rule in status.original_rules):
        return wanted
    return Traffic.model_construct(service=shifted, pin_service=status.pinned_service == shifted)
