"""Who says when a version was committed: the Release, or else its workload."""

from __future__ import annotations

import pytest

from tidegate.api.release import ReleaseSpec
from tidegate.workloads.commits import committed_by

SAID = {"tidegate.dev/committed-at": "2026-11-30T10:00:00+01:00"}


def spec(**more: object) -> ReleaseSpec:
    return ReleaseSpec.model_validate({"targetRef": {"name": "checkout"}, "policyRef": {"name": "p"}, **more})


@pytest.mark.parametrize(
    ("of_release", "of_workload", "said"),
    [
        ({}, SAID, "2026-11-30T10:00:00+01:00"),
        ({}, {}, ""),
        ({"committedAt": "2026-11-30T08:00:00Z"}, SAID, "2026-11-30T08:00:00.000Z"),
        ({"images": {"app": "x:1"}}, SAID, ""),
        ({"images": {"app": "x:1"}, "committedAt": "2026-11-30T08:00:00Z"}, SAID, "2026-11-30T08:00:00.000Z"),
    ],
)
def test_the_release_goes_first_and_the_workload_speaks_of_its_own_images(
    of_release: dict[str, object], of_workload: dict[str, str], said: str
) -> None:
    assert said == committed_by(spec(**of_release), of_workload)


def test_however_long_it_is_no_more_is_read_than_a_time_has() -> None:
    assert 41 == len(committed_by(spec(), {"tidegate.dev/committed-at": "2" * 200_000}))
