"""Conditions of policies: what they may ask, what they are told, and what one may cost."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.api.policy import CONDITION_LENGTH
from tidegate.api.release import ReleaseType
from tidegate.governance.expressions import ExpressionError, Subject, _compiled, applies, check
from unit.fuzz.test_linear import growth

SUBJECT = Subject(
    type=ReleaseType.MAJOR,
    environment="production",
    labels={"team": "cart", "example.com/risk": "high"},
    stable="1.4.2",
    candidate="2.0.0",
)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("release.type == 'major'", True),
        ("release.type in ['minor', 'patch']", False),
        ("environment == 'production' && release.type != 'hotfix'", True),
        ("environment.startsWith('prod') ? labels.team == 'cart' : false", True),
        ("'example.com/risk' in labels && labels['example.com/risk'] == 'high'", True),
        ("has(labels.owner) && labels.owner == 'me'", False),
        ("'owner' in labels && labels['owner'] == 'me'", False),
        ("versions.candidate.endsWith('-rc.1') || versions.stable == '1.4.2'", True),
        ("size(labels) > 2", False),
        ("!versions.candidate.contains('-')", True),
    ],
)
def test_conditions_ask_of_type_environment_labels_and_versions(condition: str, holds: bool) -> None:
    """What a policy may depend on is what the Release and its versions say."""
    check(condition)

    assert holds is applies(condition, SUBJECT)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("release.type ==", "is not CEL: 1:16: Syntax error: mismatched input '<EOF>'"),
        ("env == 'production'", "names env; there are release.type, environment, labels, versions.stable, versions.candidate"),
        ("labels.all(k, k != 'x')", "uses all() or exists(); there are comparisons"),
        ("labels.all(release, true)", "uses all() or exists(); there are comparisons"),
        ("labels.map(release, release) == []", "uses +, map(), filter() or exists_one(); there are comparisons"),
        ("labels.filter(release, true) == []", "uses +, map(), filter() or exists_one(); there are comparisons"),
        ("labels.exists_one(release, true)", "uses +, map(), filter() or exists_one(); there are comparisons"),
        ("versions.candidate.matches('(a*)*')", "uses matches; there are comparisons"),
        ("'a' + 'b' == environment", "uses +, map(), filter() or exists_one(); there are comparisons"),
        ("a" * (CONDITION_LENGTH + 1), f"a condition has at most {CONDITION_LENGTH} characters"),
    ],
)
def test_what_cannot_be_read_is_refused_before_it_is_asked(condition: str, words: str) -> None:
    """What is no condition, or asks for more than there is, is found by reading it, and said in words."""
    with pytest.raises(ExpressionError) as refused:
        check(condition)

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("labels['owner'] == 'me'", "cannot be evaluated: there is no 'owner'"),
        ("release.typ == 'major'", "cannot be evaluated: there is no 'typ'"),
        ("release.type < 1", "cannot be evaluated: the types of its values do not fit what it does with them"),
        ("size(1) == 1", "cannot be evaluated: the types of its values do not fit what it does with them"),
        ("labels.contains('a')", "cannot be evaluated: the types of its values do not fit what it does with them"),
        ("labels.team", "is neither true nor false"),
    ],
)
def test_what_cannot_be_evaluated_is_no_answer(condition: str, words: str) -> None:
    """A condition that fails is neither true nor false: who asks is told why."""
    with pytest.raises(ExpressionError) as refused:
        applies(condition, SUBJECT)

    assert words in str(refused.value)


TOKENS = st.sampled_from(
    [
        *("release.type", "labels", "environment", "versions", "'a'", "1", "(", ")", "[", "]", "{", "}", "==", "&&", "||", "!"),
        *("-", "?", ":", ".", "in", "size", "has", ".startsWith(", ".all(", "x", ",", "null", "true", "b'x'", '"', "\\", "\x00"),
        *("\u00e9", "9" * 30, "1e999"),
    ]
)
TEXTS = st.one_of(st.text(max_size=80), st.lists(TOKENS, max_size=60).map(" ".join), st.lists(TOKENS, max_size=60).map("".join))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
@pytest.mark.no_cover
def test_any_text_is_an_answer_or_a_refusal(text: str) -> None:
    """Whatever people write, the process that reads it goes on."""
    with contextlib.suppress(ExpressionError):
        assert applies(text, SUBJECT) in (True, False)


SHAPES: dict[str, Callable[[int], str]] = {
    "parentheses": lambda n: "(" * n + "true" + ")" * n,
    "not": lambda n: "!" * n + "true",
    "negative": lambda n: "-" * n + "1 == 1",
    "lists": lambda n: "[" * n + "]" * n + " == []",
    "conditional": lambda n: "true ? " * (n // 3) + "true" + " : true" * (n // 3),
    "and": lambda n: "true" + " && true" * (n // 4),
    "or": lambda n: "false" + " || false" * (n // 4),
    "in": lambda n: "'x' in [" + ",".join(["'y'"] * (n // 2)) + "]",
    "same": lambda n: "labels == labels" + " && labels == labels" * (n // 10),
    "unfinished": lambda n: "'" + "a" * n,
    "open": lambda n: "(" * n,
}


def asked(condition: str, subject: Subject = SUBJECT) -> None:
    """Read a condition as if for the first time, and ask it."""
    _compiled.cache_clear()
    with contextlib.suppress(ExpressionError):
        applies(condition, subject)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_condition_costs_time_in_proportion_to_its_length(shape: str) -> None:
    """Four times the text, four times the time, and no text ends the process."""
    assert growth(asked, SHAPES[shape], 60) < 12


def test_a_condition_costs_time_in_proportion_to_the_labels() -> None:
    """Ten times the labels, about ten times the time: nothing is compared with everything."""
    few, many = (
        Subject(type=ReleaseType.MINOR, labels={f"label-{n}": "x" * 63 for n in range(count)}) for count in (1_000, 10_000)
    )
    condition = "labels == labels && 'label-7' in labels && size(labels) > 3"

    least = growth(lambda text: asked(condition, few if text == "few" else many), lambda count: "few" if count == 1 else "many", 1)

    assert least < 40


def test_the_library_comes_without_its_command_line() -> None:
    """The operator loads no terminal library for a condition, and whoever imports the package gets the same extension."""
    text = (
        "import sys; from tidegate.governance import expressions as e; e.check('true');"
        "assert 'prompt_toolkit' not in sys.modules, 'loaded';"
        "import cel; assert cel.compile is sys.modules['cel.cel'].compile"
    )

    assert 0 == subprocess.run([sys.executable, "-c", text], check=False).returncode
