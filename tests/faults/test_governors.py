"""The oracle sees what must not become of what people decide: an approval is told, and then again with one thing wrong."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.manifests import NAME
from faults.test_oracle import V2, Tale, at_half, serving

DIGEST = "sha256:2"
CANDIDATE = {"revision": V2, "digest": DIGEST}
PAUSE = {"uid": "pause", "name": "pause", "action": "Pause", "outcome": "CarriedOut"}
ROLLOUT: dict[str, Any] = {"startedAt": "2026-11-30T09:00:00Z"}


def decided(tale: Tale, name: str, outcome: str = "", at: str = "2026-11-30T09:00:00Z", **spec: str) -> None:
    """Somebody has decided, and maybe it is said what has become of it."""
    status = {"outcome": outcome, "at": at} if outcome else {}
    tale.tell("ReleaseDecision", name, spec={"release": NAME, **spec}, status=status)


def voted(*roles: str, digest: str = DIGEST) -> Tale:
    """v2 has half of the traffic, and these have voted for what it has."""
    tale = at_half()
    for role in roles:
        decided(tale, role, action="Approve", role=role, digest=digest)
    return tale


def found(tale: Tale) -> set[str]:
    """Return what the governors find."""
    return tale.violations("approval") & {"approved", "commanded-once", "outcome-once", "effect-first"}


@pytest.mark.parametrize(
    ("roles", "digest", "seen"),
    [
        (("qa", "architect"), DIGEST, set()),
        (("qa",), DIGEST, {"approved"}),
        (("qa", "architect"), "sha256:3", {"approved"}),
    ],
)
def test_weight_without_its_vote_is_seen(roles: tuple[str, ...], digest: str, seen: set[str]) -> None:
    """All traffic takes the vote of the architect, for what is rolled out and for nothing else."""
    tale = voted(*roles, digest=digest)
    tale.status(100, candidate=CANDIDATE, rollout=ROLLOUT)
    tale.route(stable=0, canary=100)

    assert seen == found_since_half(tale)


def found_since_half(tale: Tale) -> set[str]:
    """Return what the governors find in what was told after half of the traffic: that itself had no votes."""
    first = next(seen.order for seen in tale.recorder.changes if seen.kind == "ReleaseDecision")
    return {one.invariant for one in tale.check("approval", since=first) if one.invariant == "approved"}


def test_outcome_that_is_written_twice_is_seen() -> None:
    """What has become of a decision is said once; a vote that counted may still be withdrawn."""
    tale = voted()
    decided(tale, "qa", "Counted", action="Approve", role="qa", digest=DIGEST)
    decided(tale, "qa", "Superseded", action="Approve", role="qa", digest=DIGEST)
    assert "outcome-once" not in found(tale)

    decided(tale, "qa", "Superseded", at="2026-11-30T09:00:01Z", action="Approve", role="qa", digest=DIGEST)

    assert "outcome-once" in found(tale)


@pytest.mark.parametrize(("told", "seen"), [(True, False), (False, True)])
def test_outcome_before_its_effect_is_seen(*, told: bool, seen: bool) -> None:
    """That a command was carried out stands in the Release before it stands in the decision."""
    tale = voted()
    if told:
        tale.status(50, rollout={**ROLLOUT, "paused": {"since": "now"}}, carriedOut=[PAUSE])
    decided(tale, "pause", "CarriedOut", action="Pause")

    assert seen == ("effect-first" in found(tale))


def test_command_that_counts_twice_is_seen() -> None:
    """One pause pauses once, also after it was resumed."""
    tale = voted()
    decided(tale, "pause", action="Pause")
    decided(tale, "resume", action="Resume")
    for paused in (True, False):
        tale.status(50, rollout={**ROLLOUT, **({"paused": {"since": "now"}} if paused else {})}, carriedOut=[PAUSE])
    assert "commanded-once" not in found(tale)

    tale.status(50, rollout={**ROLLOUT, "paused": {"since": "now"}}, carriedOut=[PAUSE])

    assert "commanded-once" in found(tale)


def test_command_that_is_forgotten_is_seen() -> None:
    """What was carried out stays in the status: from there another life of the operator knows it."""
    tale = voted()
    tale.status(50, rollout=ROLLOUT, carriedOut=[PAUSE])
    tale.status(50, rollout=ROLLOUT)

    assert "commanded-once" in found(tale)


@pytest.mark.parametrize(("overridden", "seen"), [(True, False), (False, True)])
def test_hotfix_that_starts_by_nobodys_word_is_seen(*, overridden: bool, seen: bool) -> None:
    """A hotfix starts past its window once somebody has overridden for what it has."""
    tale = serving()
    if overridden:
        decided(tale, "now", action="Override", digest=DIGEST)
    tale.status(0, candidate=CANDIDATE, rollout=ROLLOUT)

    assert seen == ("approved" in tale.violations("hotfix"))


def test_override_that_is_told_twice_is_seen() -> None:
    """That somebody has overridden is told once."""
    tale = serving()
    tale.event("v2 starts as a hotfix without Window, overridden by olga", "Overridden")
    assert "told-once" not in tale.violations("hotfix")

    tale.event("v2 starts as a hotfix without Window, overridden by olga", "Overridden")

    assert "told-once" in tale.violations("hotfix")
