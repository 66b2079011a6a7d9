"""How many pods a version gets at a step, and how much weight the pods that it has can carry.

Both ways are here, since they must agree: a step that asks for its pods must be able to give them its weight.
"""

from __future__ import annotations

import math

from tidegate.api.policy import Step


def canary_size(step: Step, replicas: int, *, routed: bool, limit: int = 0) -> int:
    """Return the pods that the new version needs at a step; never 0 where it is to have traffic.

    Without a route, versions share the requests by their number of pods, so the share is made by the number:
    c / (c + replicas) is at least the weight. The stable version is never smaller than the Deployment says, hence the new
    one gets at most half.

    No step has more pods than its Deployment, whatever its policy says: who writes policies need not have a right on pods.

    Args:
        step: the step of the policy.
        replicas: replicas of the Deployment; at 0 no version has pods.
        routed: whether a route carries the weight.
        limit: pods that a step may ask for although its Deployment has fewer, by the operator's configuration.
    """
    if replicas == 0:
        return 0
    if step.weight >= 100:
        return replicas
    if step.replicas is not None:
        return min(max(_given(step.replicas, replicas), 1 if step.weight > 0 else 0), max(replicas, limit))
    if routed:
        return max(1, math.ceil(replicas * step.weight / 100))
    return min(replicas, math.ceil(replicas * step.weight / (100 - step.weight)))


def _given(size: int | str, replicas: int) -> int:
    return size if isinstance(size, int) else math.ceil(replicas * int(size.removesuffix("%")) / 100)


def cut_from(step: Step, replicas: int, *, limit: int = 0) -> int | None:
    """Return the pods that a step asks for where it gets fewer of them; None where it gets what it asks for.

    Args:
        step: the step of the policy.
        replicas: replicas of the Deployment.
        limit: as in `canary_size`.
    """
    asks = step.replicas
    if replicas == 0 or step.weight >= 100 or not isinstance(asks, int):
        # A percentage of the Deployment's pods is never more than all of them.
        return None
    return asks if asks > max(replicas, limit) else None


def carried(available: int, *, given: int, pods: int, stable: int, routed: bool) -> int:
    """Return the weight that the pods that are left of a version can carry, at most what was given to it; 0 without pods.

    Each pod carries its share of the weight that was given to all. Where stable has lost pods too, none of its pods gets more than
    one of the new version: what is taken from the one goes to the other.

    Args:
        available: pods of the version that are available.
        given: the weight that was given, in percent.
        pods: pods that it was given for.
        stable: available pods of the stable version.
        routed: whether a route carries the weight; without one, pods share the requests anyway.
    """
    if available <= 0:
        return 0
    if available >= pods:
        return given
    fair = 100 * available // (available + stable) if routed else 0
    return min(given, max(given * available // pods, fair))
