"""How much a version changes, by what the two versions are called: semantic versioning read out of names that people give.

Nothing but the names is known here. A name that is no version number counts as the most that it could be, so that a rule for major
releases is not passed by a tag such as `latest`.
"""

from __future__ import annotations

import re

from tidegate.api.release import ReleaseType

_NUMBERS = re.compile(
    r"[vV]?+(0|[1-9][0-9]{0,8}+)(?:\.(0|[1-9][0-9]{0,8}+))?+(?:\.(0|[1-9][0-9]{0,8}+))?+(?:[-+][0-9A-Za-z.+-]*+)?+"
)
_KINDS = (ReleaseType.MAJOR, ReleaseType.MINOR, ReleaseType.PATCH)


def release_type(stable: str, candidate: str, declared: ReleaseType | None = None) -> ReleaseType:
    """Return the type of a release.

    By the first of the three numbers that differs, whether it rises or falls: to go back to another major version changes as much
    as to go forward. Equal numbers (a candidate of the same release, another build, another configuration) are a patch. That a
    release is a hotfix is never in its number; it is declared.

    Args:
        stable: name of the version in force: `1.4.2`, `v2`, `2.0.0-rc.1`; parts that are missing are 0.
        candidate: name of the version to come.
        declared: what the Release says; it overrides the names.
    """
    if declared is not None:
        return declared
    before, after = numbers(stable), numbers(candidate)
    if before is None or after is None:
        return ReleaseType.MAJOR
    differing = (kind for kind, one, other in zip(_KINDS, before, after, strict=True) if one != other)
    return next(differing, ReleaseType.PATCH)


def numbers(version: str) -> tuple[int, int, int] | None:
    """Return major, minor and patch of a version; None where its name is no version number."""
    found = _NUMBERS.fullmatch(version)
    if found is None:
        return None
    major, minor, patch = (int(part or 0) for part in found.groups())
    return major, minor, patch
