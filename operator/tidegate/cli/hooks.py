"""Checks that call hooks, held against the operator's configuration: which there are, and whose Releases may call them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tidegate.api.policy import RolloutPolicySpec
from tidegate.cli.manifests import Finding, Manifest, Place, Severity

if TYPE_CHECKING:
    from tidegate.controller.observe.hook_config import HookConfig


def uncallable(
    manifests: Sequence[Manifest], hooks: Mapping[str, HookConfig], namespace: str
) -> Iterator[tuple[Manifest, Finding]]:
    """Yield each check of a policy that calls a hook which is not there, or which its namespace may not call.

    Args:
        manifests: Releases and policies, each as sound as its schema asks for.
        hooks: of the operator's configuration.
        namespace: of those that give none.
    """
    for manifest in (one for one in manifests if one.is_policy):
        own = None if manifest.kind == "ClusterRolloutPolicy" else str(manifest.document["metadata"].get("namespace") or namespace)
        for index, check in enumerate(RolloutPolicySpec.model_validate(manifest.document["spec"]).checks):
            if check.http is None:
                continue
            name = check.http.hook
            place: Place = ("spec", "checks", index, "http", "hook")
            if (hook := hooks.get(name)) is None:
                known = ", ".join(sorted(hooks)) or "none"
                yield (
                    manifest,
                    Finding(Severity.ERROR, place, f"the operator's configuration has no hook {name}; there are: {known}"),
                )
            elif own is not None and own not in hook.namespaces:
                message = f"namespace {own} may not call hook {name}: add it to hooks.{name}.namespaces"
                yield manifest, Finding(Severity.ERROR, place, message)
