"""Pod templates: when two are the same, what a new one is called, and which version it is for people.

All templates here are as the API server returns them, with its defaults filled in.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from tidegate.api.base import plain
from tidegate.api.followed import LONGEST_IMAGE, MOST_IMAGES
from tidegate.api.names import ANNOTATION_RESTARTED_AT, LABEL_POD_TEMPLATE_HASH
from tidegate.workloads.quantities import quantity

Json: TypeAlias = dict[str, Any]

HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Letters and digits without vowels and look-alikes, as in k8s.io/apimachinery/pkg/util/rand: no words, valid in names."""
HASH_LENGTH = 10

_MAPS = frozenset(
    {"annotations", "labels", "limits", "matchLabels", "nodeSelector", "options", "overhead", "requests", "volumeAttributes"}
)
"""Fields that are maps: empty is the same as absent. Any other empty object means something (`emptyDir: {}`)."""
_STRUCTS = frozenset({"metadata", "resources"})
"""Fields that the API always has, whether a manifest gives them or not."""
_QUANTITY_MAPS = frozenset({"limits", "requests", "overhead"})
_QUANTITIES = frozenset({"divisor", "sizeLimit"})
_DIGEST_DIGITS = 12
_LONGEST_VERSION = 128
"""Characters of a version's name that the status can hold; the API server sets an image's name no limit."""


def normalise(template: Mapping[str, Any]) -> Json:
    """Return the template in the one form that all templates have which the Deployment controller takes for the same.

    The controller compares without pod-template-hash, takes empty lists and maps for absent ones, and compares quantities
    by value (EqualIgnoreHash in pkg/controller/deployment/util; Semantic.DeepEqual in k8s.io/apimachinery/pkg/api/equality).
    """
    plain: Json = {"metadata": {}, "spec": {}, **_fields(template)}
    labels = {k: v for k, v in plain["metadata"].get("labels", {}).items() if k != LABEL_POD_TEMPLATE_HASH}
    plain["metadata"] = {k: v for k, v in plain["metadata"].items() if k != "labels"} | ({"labels": labels} if labels else {})
    return plain


def _fields(node: Mapping[str, Any]) -> Json:
    plain = {key: _value(key, value) for key, value in node.items() if key != "creationTimestamp"}
    return {key: value for key, value in plain.items() if not _absent(key, value)}


def _value(key: str, value: object) -> object:
    if isinstance(value, Mapping):
        if key in _QUANTITY_MAPS:
            return {name: _quantity(amount) for name, amount in value.items()}
        # The keys of a map are the user's: none of them is a field.
        return dict(value) if key in _MAPS else _fields(value)
    if isinstance(value, list):
        return [_value("", item) for item in value]
    return _quantity(value) if key in _QUANTITIES else value


def _absent(key: str, value: object) -> bool:
    return value is None or value == [] or (value == {} and (key in _MAPS or key in _STRUCTS))


def _quantity(value: object) -> str:
    amount = quantity(value)
    return f"{amount.normalize():f}" if amount is not None else str(value)


def same_template(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether the Deployment controller takes the two pod templates for the same."""
    return normalise(a) == normalise(b)


def same_but_restarted(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two pod templates differ, and in nothing but the annotation that `kubectl rollout restart` writes."""
    left, right = normalise(a), normalise(b)
    return left != right and _without_restart(left) == _without_restart(right)


def _without_restart(template: Json) -> Json:
    metadata = dict(template["metadata"])
    annotations = {k: v for k, v in metadata.pop("annotations", {}).items() if k != ANNOTATION_RESTARTED_AT}
    return {**template, "metadata": metadata | ({"annotations": annotations} if annotations else {})}


def containers_of(template: Mapping[str, Any]) -> list[Json]:
    """Return the containers of a pod template: the main ones, then the init containers."""
    spec = template.get("spec") or {}
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def images_of(template: Mapping[str, Any]) -> dict[str, str]:
    """Return the images of a pod template by container name; none where a status cannot hold all: a part would prove too much."""
    found = {str(one["name"]): str(one.get("image") or "") for one in containers_of(template)}
    return found if len(found) <= MOST_IMAGES and all(len(image) <= LONGEST_IMAGE for image in found.values()) else {}


def unknown_containers(template: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return those of the names that no container of the template has."""
    known = {container["name"] for container in containers_of(template)}
    return [name for name in names if name not in known]


def overlay(template: Mapping[str, Any], images: Mapping[str, str]) -> Json:
    """Return a copy of the pod template with other images.

    Args:
        template: a pod template.
        images: images by name of a container or init container.

    Raises:
        ValueError: the template has no container of such a name; the message names it and those that there are.
    """
    changed = copy.deepcopy(dict(template))
    unknown = unknown_containers(template, images)
    if unknown:
        there = ", ".join(container["name"] for container in containers_of(template))
        raise ValueError(f"no container is named {', '.join(unknown)}: there are {there}")
    for container in containers_of(changed):
        if container["name"] in images:
            container["image"] = images[container["name"]]
    return changed


def template_hash(template: Mapping[str, Any]) -> str:
    """Return the name that a ReplicaSet of this template gets: ten characters, valid in a label and in a name.

    It is a digest of what the template says, so that it stays the same over versions of Tidegate. Changing how it is made
    would make every held template look like a new version.
    """
    return digest_of(json.dumps(normalise(template), sort_keys=True, separators=(",", ":"), ensure_ascii=True))


def content_digest(template: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a template says, but for a restart: by this it is approved.

    A revision will not do: anybody can make two templates of which ten characters are the same, or call one revision as another was
    called. `kubectl rollout restart` changes nothing that anybody approves.
    """
    content = json.dumps(_without_restart(normalise(template)), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def digest_of(text: str) -> str:
    """Return ten characters that stand for a text, valid in a label and in a name."""
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(HASH_ALPHABET[byte % len(HASH_ALPHABET)] for byte in digest[:HASH_LENGTH])


def tag_of(image: str) -> str:
    """Return the tag of an image; its digest, shortened, where it has none; `latest` where it has neither."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if tag:
        return tag
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}:{value[:_DIGEST_DIGITS]}" if value else "latest"


def version_of(template: Mapping[str, Any], images: Mapping[str, str], spec_version: str | None = None) -> str:
    """Return the name of a version for people.

    Args:
        template: its pod template.
        images: the Release's images by container name: they say which container carries the version.
        spec_version: the Release's own name for it, which goes first.
    """
    if spec_version:
        return plain(spec_version, _LONGEST_VERSION)
    containers = containers_of(template)
    telling = next((container for container in containers if container["name"] in images), None)
    chosen = telling or (containers[0] if containers else None)
    return plain(tag_of(chosen.get("image") or ""), _LONGEST_VERSION) if chosen else ""
