"""All cases."""

from __future__ import annotations

from field import other_cases, pod_cases, traffic_cases

ALL = (*traffic_cases.CASES, *pod_cases.CASES, *other_cases.CASES)
SAMPLE = tuple(one for one in ALL if one.sample)
"""Those that CI plays."""
