"""What the Releases of examples/group.yaml do together, under the policy that stands beside them."""

from __future__ import annotations

import yaml

from simulation.grouped import Member, Together
from simulation.policies import ready
from tidegate.api.names import Cause
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import ReleaseSpec
from unit.examples.traffic import EXAMPLES


def shop() -> Together:
    """Return the three, of which each serves v1; gates get their numbers by hand, on a metric that any world has."""
    policy, *releases = yaml.safe_load_all((EXAMPLES / "group.yaml").read_text(encoding="utf-8"))
    assert RolloutPolicySpec.model_validate(policy["spec"]).gates
    plain = {"name": "error-rate", "metric": {"promql": {"canary": "x", "unit": "Ratio"}}, "threshold": {"max": 0.01}}
    spec = policy["spec"] | {"gates": [plain | {"interval": "20s", "minSamples": 0}]}
    members = []
    for one in releases:
        found = ReleaseSpec.model_validate(one["spec"])
        assert found.group is not None
        assert "together" == found.policy_ref.name
        member = Member(one["metadata"]["name"], spec)
        member.gather = found.group.gather
        members.append(member)
    group = Together(*members)
    assert group.crank(15, until=lambda: all(ready(one) for one in group))
    return group


def test_good_versions_are_promoted_within_a_minute_of_each_other():
    """Given all three, the first and the last promotion are no minute apart."""
    group = shop()

    group.apply("v2")

    promoted = group.crank(3600, until=lambda: all(one.status.stable.version == "v2" for one in group), every=10)
    assert promoted, [one.status.message for one in group]
    ends = [one.status.last_rollout.finished_at.timestamp() for one in group]
    assert max(ends) - min(ends) < 60


def test_errors_of_the_workers_take_all_three_back():
    """Given 10% of all three, when the workers fail, then nothing is left of any new version."""
    group = shop()
    group.apply("v2")
    assert group.crank(120, until=lambda: all(one.status.weight == 10 for one in group))
    group.crank(2)

    group["workers"].look("error-rate", 0.2)
    group.crank(1)

    assert [0, 0, 0] == [one.status.weight for one in group]
    assert [Cause.GROUP, Cause.GROUP, Cause.GATE] == [one.status.rollout.undo for one in group]
