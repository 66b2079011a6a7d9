"""Which traffic a Release is about: what its spec names, unless routes are still shifted for what it has named before."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.api.release import GatewayAPI, HTTPRouteRef, ReleaseSpec, Traffic
from tidegate.api.status import ReleaseStatus


def traffic_in_force(spec: ReleaseSpec, status: ReleaseStatus, is_about: Callable[[str, str], bool]) -> Traffic | None:
    """Return the traffic that counts.

    Who takes `traffic` out of a Release during a rollout, or names another Service, means the time after it: routes that are
    shifted go on being shifted, shut and put back, or requests would go on to pods that are stopped.

    Args:
        spec: as the user wrote it.
        status: knows the routes that are shifted, and for which Service.
        is_about: whether a route of this name is there, and has backends of this Service or of the operator's two beside it;
            where a hand has written others, there is nothing to put back.
    """
    shifted, wanted = status.shifted_service, spec.traffic
    if shifted is None or (wanted is not None and wanted.service == shifted and wanted.gateway_api is not None):
        return wanted
    names = [name for name in dict.fromkeys(rule.route for rule in status.original_rules) if is_about(name, shifted)]
    if not names:
        return wanted
    routes = GatewayAPI.model_construct(http_routes=tuple(HTTPRouteRef.model_construct(name=name) for name in names))
    return Traffic.model_construct(service=shifted, pin_service=status.pinned_service == shifted, gateway_api=routes)
