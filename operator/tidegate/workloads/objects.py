"""What all raw objects have in common: their labels, their controller, their size, and whether a selector is for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.workloads.templates import Json


def controller_of(obj: Mapping[str, Any]) -> Json | None:
    """Return the ownerReference of the controller of an object, None where it has none."""
    references: Sequence[Json] = obj["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of an object or a pod template."""
    return dict((obj.get("metadata") or {}).get("labels") or {})


def annotations_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations of an object."""
    return dict(obj["metadata"].get("annotations") or {})


def replicas_of(obj: Mapping[str, Any]) -> int:
    """Return spec.replicas of an object, with the default that the API gives it."""
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions) selects these labels."""
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        _expression_holds(expression, labels) for expression in selector.get("matchExpressions") or ()
    )


def _expression_holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
