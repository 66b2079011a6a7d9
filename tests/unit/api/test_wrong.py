"""What is wrong with a document is said in one way, wherever it is said."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic_core.core_schema import ErrorType

from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import ReleaseSpec
from tidegate.api.status import ReleaseStatus
from tidegate.api.wrong import cause_of, not_yaml, problems_of
from tidegate.controller.process.config import Config

CORPUS = Path(__file__).parents[2] / "corpus" / "valid"
LIBRARYS = ("Input", "should", " valid ", "Value error", "pydantic", "instance of", "Unable to", "Extra inputs", "Field required")
"""Words of the library that reads documents; nobody who operates this knows it."""
WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    10**30,
    float("nan"),
    "",
    "No such",
    "x" * 5000,
    [],
    [{}],
    {},
    {"": 1},
    {"a": {}},
    [1],
)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"steps": [{"weight": 100, "hold": "soon"}]}, "spec.steps[0].hold: 'soon' is not a duration"),
        ({"steps": [{}]}, "spec.steps[0].weight: is required"),
        ({"steps": [{"weight": "ten"}]}, "spec.steps[0].weight: must be a whole number"),
        ({"steps": [{"weight": 101}]}, "spec.steps[0].weight: must be at most 100"),
        ({"steps": []}, "spec.steps: must not be empty"),
        (
            {"steps": [{"weight": 100}], "gates": [{"name": "g", "onBreach": "Explode"}]},
            "spec.gates[0].onBreach: must be one of Rollback",
        ),
        ({"steps": [{"weight": 100}], "gates": [{"name": 1}]}, "spec.gates[0].name: must be text"),
        ({"steps": {}}, "spec.steps: must be a list"),
        ({"steps": [10]}, "spec.steps[0]: must be a map"),
    ],
)
def test_a_problem_names_its_field_and_the_rule(spec: dict[str, object], said: str):
    """The field is written as the API server does, and the rule is in our words."""
    with pytest.raises(ValidationError) as wrong:
        RolloutPolicySpec.model_validate(spec)

    problems = list(problems_of(wrong.value, where=("spec",)))
    assert any(problem.startswith(said) for problem in problems), problems


def test_what_is_wrong_with_all_of_a_file_is_said_of_the_file():
    """A problem without a field is the file's."""
    with pytest.raises(ValidationError) as wrong:
        RolloutPolicySpec.model_validate([])

    assert list(problems_of(wrong.value)) == ["the file: must be a map"]


@pytest.mark.parametrize("kind", get_args(ErrorType))
def test_no_type_of_error_is_told_in_the_words_of_the_library(kind: str):
    """Also where it knows more of them than our models can raise, or names what it means otherwise."""
    context = {
        **dict.fromkeys(("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length"), 7),
        **dict.fromkeys(("pattern", "expected"), "'a' or 'b'"),
    }
    said = cause_of(
        {
            "type": kind,
            "msg": "Value error, our own" if kind in ("value_error", "assertion_error") else "Input should be",
            "ctx": context,
        }
    )

    assert said
    assert not any(word in said for word in LIBRARYS)
    assert "{" not in said


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _places(item, (*place, name))


def _with(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.copy(document)
    changed[place[0]] = _with(document[place[0]], place[1:], value)
    return changed


def _documents() -> Iterator[tuple[type[BaseModel], Any]]:
    for path in sorted(CORPUS.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        yield (ReleaseSpec if document["kind"] == "Release" else RolloutPolicySpec), document["spec"]
    connection = {"name": "a", "address": "http://x", "concurrency": 8, "headers": {"X-A": "b"}, "namespaces": ["shop"]}
    yield (
        Config,
        {"connections": [connection], "workers": 8, "warmUp": "5s", "budgets": {"series": 10}, "dataPlaneDelays": {"a/b": "1s"}},
    )
    at = "2026-01-02T03:04:05Z"
    rejected = {"revision": "abc", "version": "v1", "at": at, "cause": "Gate", "message": "m", "attempt": 1}
    yield (
        ReleaseStatus,
        {"phase": "Idle", "weight": 10, "rejected": [rejected], "conditions": [{"type": "Ready", "status": "True"}]},
    )


DOCUMENTS = list(_documents())


@given(st.data())
def test_no_document_is_told_of_in_the_words_of_the_library(data: st.DataObject):
    """Whatever stands anywhere in it in the place of what should."""
    model, document = data.draw(st.sampled_from(DOCUMENTS))
    place, value = data.draw(st.sampled_from(list(_places(document)))), data.draw(st.sampled_from(WRONG))
    try:
        model.model_validate(_with(document, place, value))
    except ValidationError as error:
        said = list(problems_of(error, where=("spec",)))
        assert not [one for one in said if any(word in one for word in LIBRARYS) or one.endswith("is invalid")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [\n", "is not YAML (line 2, column 1: expected the node content, but found '<stream end>')"),
        ("a: b: c\n", "is not YAML (line 1, column 5: mapping values are not allowed here)"),
        ("token: *aGVsbG8\n", "is not YAML (line 1, column 8: found undefined alias)"),
        ("token: !aGVsbG8 x\n", "is not YAML (line 1, column 8: could not determine a constructor for the tag)"),
        ("a: \x00\n", "is not YAML"),
    ],
)
def test_a_text_that_is_no_yaml(text: str, said: str):
    """Is said where it is not, in one way, and without what stands there, which may be a secret."""
    with pytest.raises(yaml.YAMLError) as wrong:
        yaml.safe_load(text)

    assert not_yaml(wrong.value) == said
