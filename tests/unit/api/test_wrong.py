"""What is wrong with a document is said in one way, wherever it is said."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.wrong import problems_of


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"steps": [{"weight": 100, "hold": "soon"}]}, "spec.steps[0].hold: 'soon' is not a duration"),
        ({"steps": [{}]}, "spec.steps[0].weight: is required"),
    ],
)
def test_a_problem_names_its_field_and_the_rule(spec: dict[str, object], said: str):
    """The field is written as the API server does, and the rule's words stand without those of the library before them."""
    with pytest.raises(ValidationError) as wrong:
        RolloutPolicySpec.model_validate(spec)

    assert any(problem.startswith(said) for problem in problems_of(wrong.value, where=("spec",)))


def test_what_is_wrong_with_all_of_a_file_is_said_of_the_file():
    """A problem without a field is the file's."""
    with pytest.raises(ValidationError) as wrong:
        RolloutPolicySpec.model_validate([])

    assert all(problem.startswith("the file: ") for problem in problems_of(wrong.value))
