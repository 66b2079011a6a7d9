"""Releases that name some of other clusters, held against the operator's configuration: which there are, and who may read what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tidegate.api.release import ReleaseSpec
from tidegate.cli.manifests import Finding, Manifest, Place, Severity
from tidegate.cluster.config import ClusterConfig


def unreadable(
    manifests: Sequence[Manifest], clusters: Mapping[str, ClusterConfig], namespace: str
) -> Iterator[tuple[Manifest, Finding]]:
    """Yield each `after` or `follow` for which the operator would read nothing, so that no rollout would start.

    Args:
        manifests: Releases and policies, each as sound as its schema asks for.
        clusters: of the operator's configuration.
        namespace: of those that give none.
    """
    for manifest in manifests:
        if manifest.kind != "Release":
            continue
        spec = ReleaseSpec.model_validate(manifest.document["spec"])
        own = str(manifest.document["metadata"].get("namespace") or namespace)
        places: list[Place] = [("spec", "after", index) for index in range(len(spec.after))]
        for place, one in (*zip(places, spec.after, strict=True), *(((("spec", "follow"), spec.follow),) if spec.follow else ())):
            if one.cluster is None:
                continue
            there = one.namespace or own
            if (config := clusters.get(one.cluster)) is None:
                known = ", ".join(sorted(clusters)) or "none"
                message = f"the operator's configuration has no cluster {one.cluster}; there are: {known}"
                yield manifest, Finding(Severity.ERROR, (*place, "cluster"), message)
            elif not config.allows(own, there):
                message = f"the operator's configuration lets no Release of {own} read those of {there} there"
                cure = f"allow it in clusters.{one.cluster}.allow"
                yield manifest, Finding(Severity.ERROR, (*place, "cluster"), f"{message}; {cure}")
