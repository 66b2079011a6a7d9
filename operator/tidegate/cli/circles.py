"""Releases that wait for each other: none of them would ever begin a rollout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tidegate.api.release import ReleaseSpec
from tidegate.cli.manifests import Finding, Manifest, Place, Severity

Node = tuple[str, str, str]
"""Namespace, name and cluster of a Release; the manifests are those of one cluster, the empty one."""


def circles(manifests: Sequence[Manifest], namespace: str) -> Iterator[tuple[Manifest, Finding]]:
    """Yield each `after` or `follow` that leads back to its own Release, with the way that it leads.

    Args:
        manifests: Releases and policies, each as sound as its schema asks for.
        namespace: of those that give none.
    """
    releases = {_node(one, namespace): one for one in manifests if one.kind == "Release"}
    after = {node: _after(one, node) for node, one in releases.items()}
    for node, manifest in releases.items():
        for index, first in enumerate(after[node]):
            if (way := _way(first, node, after)) is not None:
                told = ", then ".join(f"{name} in {place}" for place, name, _ in way)
                message = f"a circle, so no rollout of {manifest.name} would ever start: it comes after {told}"
                place: Place = ("spec", "after", index) if index < _asked(manifest) else ("spec", "follow")
                yield manifest, Finding(Severity.ERROR, place, message)


def _node(manifest: Manifest, namespace: str) -> Node:
    return str(manifest.document["metadata"].get("namespace") or namespace), manifest.name, ""


def _after(manifest: Manifest, node: Node) -> list[Node]:
    spec = ReleaseSpec.model_validate(manifest.document["spec"])
    named = (*spec.after, *((spec.follow,) if spec.follow else ()))
    return [(one.namespace or node[0], one.release, one.cluster or "") for one in named]


def _asked(manifest: Manifest) -> int:
    return len(manifest.document["spec"].get("after") or ())


def _way(start: Node, end: Node, after: Mapping[Node, Sequence[Node]]) -> list[Node] | None:
    """Return the shortest way from one Release to another by what each comes after; None where there is none."""
    came: dict[Node, Node | None] = {start: None}
    queue = [start]
    for node in queue:
        if node == end:
            way: list[Node] = []
            step: Node | None = node
            while step is not None:
                way.insert(0, step)
                step = came[step]
            return way
        for further in after.get(node, ()):
            if further not in came:
                came[further] = node
                queue.append(further)
    return None
