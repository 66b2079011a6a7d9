"""The model of what a user declares says itself what may come of it."""

from __future__ import annotations

import copy
import random

from faults.declared import EDITS, begins_with, policy_ref
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import ReleaseSpec


def test_edits_are_valid_whatever_chance_does():
    """Both policies and the Release can be read after each, so that only what is named as wrong is."""
    for seed in range(200):
        declared, chance = begins_with(), random.Random(seed)
        for _ in range(10):
            words = chance.choice(EDITS)(declared, chance)

            assert words
            ReleaseSpec.model_validate(declared.release)
            for spec in declared.policies.values():
                gates = [gate.name for gate in RolloutPolicySpec.model_validate(spec).gates]
                assert len(set(gates)) == len(gates)


def test_each_edit_can_change_something():
    """None of them is without effect for ever."""
    first = begins_with()
    for edit in EDITS:
        tried = []
        for seed in range(20):
            declared = copy.deepcopy(first)
            edit(declared, random.Random(seed))
            tried.append(declared)
        assert edit.__name__ == "no_images" or any(one != first for one in tried), edit.__name__


def test_policy_that_is_followed_is_one_of_both_unless_it_is_wrong():
    """A reference to what is not there is what the message has to name."""
    for seed in range(50):
        declared = begins_with()
        policy_ref(declared, random.Random(seed))

        assert (declared.followed not in declared.policies) == ("spec.policyRef" in declared.wrong)


def test_policies_are_told_apart():
    """A rollout under the wrong one of them is seen by its confidence."""
    own, cluster = (RolloutPolicySpec.model_validate(spec) for spec in begins_with().policies.values())

    assert own != cluster
    assert own.gates == cluster.gates
