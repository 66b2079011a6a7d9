"""Rules of a policy: what of it is different for which releases."""

from __future__ import annotations

from datetime import timedelta

from tidegate.api.approvals import Approval
from tidegate.api.policy import PolicySet, RolloutPolicySpec
from tidegate.api.release import ReleaseType
from tidegate.governance.expressions import Subject
from tidegate.governance.rules import ruled

STEPS = [{"weight": 10, "hold": "10m"}, {"weight": 100}]
CAREFUL = {"when": "release.type == 'major'", "set": {"steps": [{"weight": 1, "hold": "1h"}, *STEPS], "bake": "2h"}}
SHORT = {"when": "environment == 'staging'", "set": {"bake": "1m"}}
BROKEN = {"when": "labels['team'] == 'cart'", "set": {"bake": "1m"}}


def spec(*rules: dict) -> RolloutPolicySpec:
    return RolloutPolicySpec.model_validate({"steps": STEPS, "bake": "30m", "rules": list(rules)})


def subject(kind: ReleaseType = ReleaseType.MAJOR, environment: str = "", **labels: str) -> Subject:
    return Subject(type=kind, environment=environment, labels=labels, stable="1.0.0", candidate="2.0.0")


def test_a_rule_sets_what_it_names_and_leaves_the_rest():
    """Where a rule holds, its fields stand in place of the policy's, and the policy that comes of it has no rules."""
    found = ruled(spec(CAREFUL, SHORT), subject())

    assert (1, 10, 100) == tuple(step.weight for step in found.spec.steps)
    assert (timedelta(hours=2), (), (1,), "") == (found.spec.bake, found.spec.rules, found.held, found.trouble)
    assert spec().drain == found.spec.drain


def test_of_several_rules_the_last_one_that_holds_counts():
    """Each field is that of the last rule which sets it."""
    found = ruled(spec(CAREFUL, SHORT), subject(environment="staging"))

    assert (timedelta(minutes=1), 3, (1, 2)) == (found.spec.bake, len(found.spec.steps), found.held)


def test_where_no_rule_holds_the_policy_counts_as_it_is():
    """Rules are exceptions."""
    found = ruled(spec(CAREFUL, SHORT), subject(ReleaseType.PATCH))

    assert (spec(), ()) == (found.spec, found.held)


def test_a_rule_that_cannot_be_evaluated_says_which_and_why():
    """A Release without the label is neither in nor out: nothing comes of the other rules either."""
    found = ruled(spec(CAREFUL, BROKEN), subject())

    assert """spec.rules[1].when: "labels['team'] == 'cart'" cannot be evaluated: there is no 'team'""" == found.trouble
    assert (spec(), ()) == (found.spec, found.held)
    assert "" == ruled(spec(CAREFUL, BROKEN), subject(team="cart")).trouble


ONE, TWO = {"at": "Start", "roles": {"qa": 1}}, {"at": "50%", "roles": {"architect": 2}}


def test_approvals_of_rules_are_added_to_the_policys():
    """Given rules that ask for votes, then all of them are needed, and no rule does away with one."""
    rules = [{"when": "true", "set": {"approvals": [TWO]}}, {"when": "environment == 'x'", "set": {"approvals": [ONE] * 3}}]
    asks = spec(*rules).model_copy(update={"approvals": spec_of_approvals(ONE)})
    found = ruled(asks, subject())

    assert ([("Start", {"qa": 1}), ("50%", {"architect": 2})], (1,)) == (
        [(entry.at, entry.roles) for entry in found.spec.approvals],
        found.held,
    )
    assert 5 == len(asks.all_approvals)
    assert [entry.at for entry in spec_of_approvals(ONE)] == [entry.at for entry in ruled(asks, subject()).spec.approvals][:1]


def test_more_approvals_than_a_policy_may_have_keep_a_rollout_from_starting():
    """As the API server refuses such a policy, which one of before its rule may be: it is no way around votes either."""
    found = ruled(spec(*[{"when": "true", "set": {"approvals": [ONE] * 4}}] * 3), subject())

    assert found.trouble.startswith("spec.rules: 12 approvals come of them, and 10 are the most")


def spec_of_approvals(*entries: dict) -> tuple[Approval, ...]:
    return RolloutPolicySpec.model_validate({"steps": STEPS, "approvals": list(entries)}).approvals


def test_what_a_rule_sets_is_a_field_of_the_policy_with_the_same_values():
    """What a rule may set is read as the policy's own is."""
    example = {
        "steps": STEPS,
        "advanceOnProof": True,
        "bake": "1m",
        "progressDeadline": "1m",
        "onDeadline": "Wait",
        "toleratedLosses": 2,
        "windows": {"timeZone": "UTC", "deny": [{"cron": "0 9 * * *", "for": "1h"}]},
    }
    given = PolicySet.model_validate(example).given()
    whole = RolloutPolicySpec.model_validate({"steps": STEPS} | example)

    assert set(PolicySet.model_fields) - {"approvals"} == given.keys() <= set(RolloutPolicySpec.model_fields)
    assert given == {name: getattr(whole, name) for name in given}
