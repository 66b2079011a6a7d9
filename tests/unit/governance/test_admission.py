"""Whether the API server vouches for decisions: by the policy and its binding as they are installed."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.governance.admission import IN_FORCE, POLICY, RECORDS_POLICY, SHIPPED, Standing, digest_of, doubt, standing

ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
Json = dict[str, Any]


def shipped(file: str = "decisions.yaml") -> tuple[Json, Json]:
    """Return policy and binding as the API server has them: with its defaults, and what it writes itself."""
    policy, binding = yaml.safe_load_all((ROOT / "deploy/admission" / file).read_text())
    policy["spec"]["matchConstraints"] |= {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    for rule in policy["spec"]["matchConstraints"]["resourceRules"]:
        rule["scope"] = "*"
    for obj, made in ((policy, "2026-11-30T12:00:00Z"), (binding, "2026-11-30T12:00:03Z")):
        obj["metadata"] |= {"creationTimestamp": made, "uid": "x", "generation": 1, "managedFields": []}
    return policy, binding


def test_digests_are_those_of_deploy() -> None:
    """If this fails, the policy has changed: write the digests on the left into SHIPPED."""
    found = {
        name: {obj["kind"]: digest_of(obj["spec"]) for obj in shipped(file)}
        for name, file in ((POLICY, "decisions.yaml"), (RECORDS_POLICY, "records.yaml"))
    }

    assert found == SHIPPED


def test_each_policy_vouches_for_its_own() -> None:
    """The policy of decisions under the name of that of records keeps nobody from writing records."""
    assert "" == standing(*shipped("records.yaml"), RECORDS_POLICY).trouble
    assert "ValidatingAdmissionPolicy tidegate-records is not the one" in standing(*shipped(), RECORDS_POLICY).trouble
    assert "tidegate-records was not found" in standing(None, None, RECORDS_POLICY).trouble


def test_decisions_count_from_some_seconds_after_the_younger_of_the_two() -> None:
    """An API server takes a moment to have a policy in force, and what was written meanwhile was judged by nobody."""
    now = standing(*shipped())

    assert Standing("", NOON + timedelta(seconds=3) + IN_FORCE) == now


@pytest.mark.parametrize("missing", [0, 1])
def test_without_policy_or_binding_none_counts(missing: int) -> None:
    """The words name what is missing, and what it takes."""
    objects: list[Json | None] = [*shipped()]
    kind = str((objects[missing] or {})["kind"])
    objects[missing] = None

    now = standing(*objects)

    assert f"{kind} tidegate-decisions was not found: install deploy/admission, which takes Kubernetes 1.30 or later" == now.trouble
    assert now.since is None


def weakened(policy: Json, binding: Json) -> list[tuple[Json, Json]]:
    """Return policies that let more through than ours, each in another way."""
    found = []
    for change in (
        lambda policy, _: policy["spec"]["validations"].pop(),
        lambda policy, _: policy["spec"].update(failurePolicy="Ignore"),
        lambda policy, _: policy["spec"]["matchConstraints"].update(namespaceSelector={"matchLabels": {"a": "b"}}),
        lambda policy, _: policy["spec"]["matchConstraints"].update(objectSelector={"matchLabels": {"a": "b"}}),
        lambda policy, _: policy["spec"]["matchConstraints"].update(excludeResourceRules=[{"resources": ["*"]}]),
        lambda policy, _: policy["spec"]["matchConstraints"]["resourceRules"][0].update(operations=["UPDATE"]),
        lambda policy, _: policy["spec"].update(matchConditions=[{"name": "never", "expression": "false"}]),
        lambda _, binding: binding["spec"].update(validationActions=["Audit"]),
        lambda _, binding: binding["spec"].update(matchResources={"namespaceSelector": {"matchLabels": {"a": "b"}}}),
        lambda _, binding: binding["spec"].update(policyName="another"),
        lambda policy, _: policy["metadata"].update(deletionTimestamp="2026-11-30T12:10:00Z"),
    ):
        objects = copy.deepcopy(policy), copy.deepcopy(binding)
        change(*objects)
        found.append(objects)
    return found


@pytest.mark.parametrize("objects", weakened(*shipped()))
def test_any_other_policy_of_that_name_is_none(objects: tuple[Json, Json]) -> None:
    """Given one that judges less, in fewer places, or later no more, no decision counts."""
    assert standing(*objects).trouble


@pytest.mark.parametrize(
    ("created", "generation", "words"),
    [
        (
            NOON,
            1,
            "it is older than the admission policy tidegate-decisions, in force since 2026-11-30T12:00:00.000Z: decide again",
        ),
        (NOON - timedelta(days=1), 1, "it is older than the admission policy"),
        (NOON + timedelta(seconds=1), 2, "it was changed after it was made"),
        (NOON + timedelta(seconds=1), 1, ""),
    ],
)
def test_decision_is_believed_if_it_is_younger_and_as_it_was_made(created: datetime, generation: int, words: str) -> None:
    """An edit that was undone shows in the generation."""
    found = doubt(created, generation, Standing(since=NOON))

    assert (found == "") == (words == "")
    assert words in found
