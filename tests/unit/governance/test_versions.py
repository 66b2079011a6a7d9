"""What names of versions tell of how much changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.release import ReleaseType
from tidegate.governance.versions import numbers, release_type

NUMBER = st.integers(0, 999_999_999)


@pytest.mark.parametrize(
    ("stable", "candidate", "kind"),
    [
        ("1.4.2", "2.0.0", "major"),
        ("1.4.2", "1.5.0", "minor"),
        ("1.4.2", "1.4.3", "patch"),
        ("v1", "v2", "major"),
        ("v1.4", "1.5", "minor"),
        ("1.4", "1.4.1", "patch"),
        ("2.0.0", "1.9.9", "major"),
        ("2.0.0-rc.1", "2.0.0", "patch"),
        ("1.9.0", "2.0.0-rc.1+build.7", "major"),
        ("1.4.2", "1.4.2", "patch"),
        ("1.4.2-alpine", "1.4.3-alpine", "patch"),
        ("0.3.0", "0.4.0", "minor"),
        ("latest", "1.4.2", "major"),
        ("1.4.2", "main-7c2f1e", "major"),
        ("", "1.4.2", "major"),
        ("1.4.2", "1.4.02", "major"),
        ("1.4.2", "1.4.3.1", "major"),
        ("1.4.2", "1.4.3 ", "major"),
    ],
)
def test_the_first_number_that_differs_is_the_type(stable: str, candidate: str, kind: str) -> None:
    """What is no version number counts as the most that it could be."""
    assert kind == release_type(stable, candidate)


@pytest.mark.parametrize("declared", list(ReleaseType))
def test_what_the_release_declares_overrides_the_names(declared: ReleaseType) -> None:
    """A hotfix is never in a number."""
    assert declared is release_type("1.0.0", "2.0.0", declared)


@given(st.tuples(NUMBER, NUMBER, NUMBER), st.tuples(NUMBER, NUMBER, NUMBER))
def test_there_and_back_are_of_one_type(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    """A number is read as it was written, and the way back changes as much as the way there."""
    first, second = ".".join(map(str, one)), ".".join(map(str, other))

    assert one == numbers(first)
    assert release_type(first, second) is release_type(second, first)
    assert (one[0] != other[0]) == (release_type(first, second) is ReleaseType.MAJOR)


@given(st.text(max_size=128))
def test_any_name_has_a_type(name: str) -> None:
    """Names are what people type."""
    assert release_type("1.0.0", name) in ReleaseType
