"""Flags of Releases, held against the steps of their policies and the operator's hooks: what a rollout would wait for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tidegate.api.flags import StepFlag
from tidegate.api.policy import RolloutPolicySpec, Step
from tidegate.api.release import PolicyKind, ReleaseSpec
from tidegate.cli.manifests import Finding, Manifest, Place, Severity

if TYPE_CHECKING:
    from tidegate.controller.observe.hook_config import HookConfig

Found = Iterator[tuple[Manifest, Finding]]


def unknown(manifests: Sequence[Manifest], namespace: str) -> Found:
    """Yield for each Release the flags that its policy sets and that it does not have: no rollout would start.

    Args:
        manifests: Releases and policies, each as sound as its schema asks for.
        namespace: of those that give none.
    """
    for release in (one for one in manifests if one.kind == "Release"):
        spec = ReleaseSpec.model_validate(release.document["spec"])
        policy = next((one for one in manifests if _is_followed(one, release, spec, namespace)), None)
        if policy is None:
            continue
        has = [one.name for one in spec.flags.items] if spec.flags is not None else []
        place: Place = ("spec", "flags", "items") if has else ("spec", "policyRef", "name")
        there = f"there are: {', '.join(has)}" if has else "there is none"
        told = set(has)
        for steps, (_, *within) in _all_steps(policy):
            for name in dict.fromkeys(one.name for step in steps for one in step.flags if one.name not in told):
                told.add(name)
                lacks = f"flag {name}, which spec.flags does not have ({there})"
                if within == ["steps"]:
                    words = f"steps of {policy.label} set {lacks}: no rollout starts"
                    yield release, Finding(Severity.ERROR, place, words)
                else:
                    words = f"steps of rules[{within[1]}] of {policy.label} set {lacks}: no rollout that it applies to starts"
                    yield release, Finding(Severity.WARNING, place, words)


def of_steps(manifests: Sequence[Manifest]) -> Found:
    """Yield what steps of policies do with flags that is probably not meant: a percentage that falls, or that is the last word."""
    for policy in (one for one in manifests if one.is_policy):
        for steps, place in _all_steps(policy):
            for finding in _of_steps(steps, place):
                yield policy, finding


def closed(manifests: Sequence[Manifest], hooks: Mapping[str, HookConfig], namespace: str) -> Found:
    """Yield each flag of a Release that is set by a hook which is not there, or which opens it to others alone.

    Args:
        manifests: Releases and policies, each as sound as its schema asks for.
        hooks: of the operator's configuration.
        namespace: of those that give none.
    """
    for release in (one for one in manifests if one.kind == "Release"):
        flags = ReleaseSpec.model_validate(release.document["spec"]).flags
        if flags is None or flags.http is None:
            continue
        name, own = flags.http.hook, _namespace(release, namespace)
        if (hook := hooks.get(name)) is None:
            known = ", ".join(sorted(hooks)) or "none"
            words = f"the operator's configuration has no hook {name}; there are: {known}"
            yield release, Finding(Severity.ERROR, ("spec", "flags", "http", "hook"), words)
            continue
        for index, one in enumerate(flags.items):
            if not hook.sets(own, one.flag or one.name):
                words = (
                    f"namespace {own} may not set flag {one.flag or one.name} by hook {name}: add it to hooks.{name}.flags.{own}"
                )
                yield release, Finding(Severity.ERROR, ("spec", "flags", "items", index), words)


def _is_followed(policy: Manifest, release: Manifest, spec: ReleaseSpec, namespace: str) -> bool:
    if not policy.is_policy or (policy.kind, policy.name) != (spec.policy_ref.kind.value, spec.policy_ref.name):
        return False
    return policy.kind == PolicyKind.CLUSTER.value or _namespace(policy, namespace) == _namespace(release, namespace)


def _namespace(manifest: Manifest, namespace: str) -> str:
    return str(manifest.document["metadata"].get("namespace") or namespace)


def _all_steps(policy: Manifest) -> Iterator[tuple[Sequence[Step], Place]]:
    """Yield the steps of a policy, and those that its rules set, with where each are."""
    spec = RolloutPolicySpec.model_validate(policy.document["spec"])
    yield spec.steps, ("spec", "steps")
    for index, rule in enumerate(spec.rules):
        if rule.set.steps:
            yield rule.set.steps, ("spec", "rules", index, "set", "steps")


def _of_steps(steps: Sequence[Step], place: Place) -> Iterator[Finding]:
    last: dict[str, tuple[StepFlag, Place]] = {}
    for index, step in enumerate(steps):
        for number, one in enumerate(step.flags):
            where: Place = (*place, index, "flags", number)
            before = last.get(one.name)
            if before is not None and one.percent is not None and (before[0].percent or 0) > one.percent:
                words = f"flag {one.name} falls from {before[0].percent}% to {one.percent}% while the weight rises"
                yield Finding(Severity.WARNING, (*where, "percent"), words)
            last[one.name] = one, where
    for name, (one, where) in last.items():
        if one.percent is not None:
            words = f"flag {name} ends with {one.percent}%: users without a targeting key do not get it; end with variant"
            yield Finding(Severity.NOTE, (*where, "percent"), words)
