"""Whose pods a Service selects: one that selects none of the workload's is neither pinned, nor copied, nor shifted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.api.base import MOST_TOLD, and_more
from tidegate.api.names import VERSION_LABELS, Reason
from tidegate.engine.snapshot import Blocker


@dataclass(frozen=True, kw_only=True)
class Pods:
    """The pods of a workload, as far as Services tell them apart.

    Attributes:
        workload: its kind and name, for people.
        label: the label whose value is the revision of a pod.
        labels: the labels of its pod template.
        revisions: the labels of the pods of each of its versions, by revision.
        declared: names and numbers of the ports that these declare, by revision.
        selector: the labels that the workload selects.
    """

    workload: str
    label: str
    labels: Mapping[str, str]
    revisions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    declared: Mapping[str, frozenset[str]] = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)


def selector_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Return what a Service selects, but for the pin: the pin's key is the operator's and no part of what its user wants."""
    selector = service["spec"].get("selector") or {}
    return {key: value for key, value in selector.items() if key not in VERSION_LABELS}


def pin_of(selector: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the label and the revision by which a selector is kept on one version; None where it is not."""
    return next(((label, selector[label]) for label in VERSION_LABELS if label in selector), None)


def selection_of(service: Mapping[str, Any]) -> str:
    """Return what a Service selects, but for the pin, as a label selector of the API; empty where it selects nothing."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector_of(service).items()))


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether pods of these labels are selected; a Service without a selector selects none."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def stranger(service: Mapping[str, Any], pods: Pods) -> Blocker | None:
    """Return what is wrong with a Service that selects other pods than the workload's, None where it selects these."""
    selector = selector_of(service)
    differing = [key for key in sorted(selector) if pods.labels.get(key) != selector[key]]
    if not differing:
        return None
    name = service["metadata"]["name"]
    wanted = ", ".join(f"{key}={selector[key]}" for key in differing[:MOST_TOLD])
    there = ", ".join(_told(key, pods.labels) for key in differing[:MOST_TOLD])
    words = (
        f"spec.traffic.service: Service {name} selects {wanted}, the pods of {pods.workload} have {there}: "
        f"name the Service of {pods.workload}, or correct the selector or spec.targetRef"
    )
    return Blocker(Reason.INVALID_SPEC, words)


def shared(service: Mapping[str, Any], workload: str, others: Sequence[str]) -> Blocker:
    """Return what is wrong with a Service that selects pods of other workloads beside the Release's.

    Args:
        service: the Service.
        workload: that of the Release, by kind and name.
        others: the other workloads, by kind and name.
    """
    told = [one if one.startswith("Pod ") else f"pods of {one}" for one in others[:MOST_TOLD]]
    named = ", ".join(told) + and_more(len(others))
    words = (
        f"spec.traffic.service: Service {service['metadata']['name']} also selects {named}, which would get no requests "
        f"during a rollout: let it select pods of {workload} alone, and give the others a Service of their own, "
        "which the route may name beside it with a weight"
    )
    return Blocker(Reason.SHARED_SERVICE, words)


def _told(key: str, labels: Mapping[str, str]) -> str:
    return f"{key}={labels[key]}" if key in labels else f"no {key}"
