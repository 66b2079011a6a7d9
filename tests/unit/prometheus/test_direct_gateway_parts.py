"""A gateway of which only some pods are to be read: what these count is a part of what Prometheus knows, no contradiction."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tidegate.judge.reading import Counts, Tally
from tidegate.prometheus.direct.targets import Missed
from unit.prometheus.test_direct_gateway_rounds import Edge, page
from unit.prometheus.test_direct_gateways import Served, served, source_of

__all__ = ["served"]


class Part(Edge):
    """One pod of a gateway that has four, read for minutes beside Prometheus, which has all."""

    def minutes(self, minutes: int, *, bounded: bool, share_there: float = 0.0) -> str:
        """Have 40 requests a second there, of which the pod that is read has 10; return what is said of both."""
        self.left_out = 3 if bounded else 0
        missed = [Missed("3 more pods of gateway edge", "only 1 are read (direct.gateways.pods)" if bounded else "no connection")]
        done = 0
        for _ in range(60 * minutes):
            done += 10
            before: datetime = self.at
            self.round(missed, a=page((done, 0), (9 * done, 0)))
            there = Counts(before, Tally(40, 40 * share_there), Tally(0), until=before + timedelta(seconds=1))
            self.followed.crosscheck.theirs((there,))
        return self.followed.crosscheck.words


def test_part_of_a_gateway_has_fewer_requests() -> None:
    """Pods that are left out by the configuration explain why Prometheus has four times as many requests."""
    assert Part().minutes(7, bounded=True) == ""


def test_share_of_a_part_is_compared() -> None:
    """Whether requests are good is the same on each pod, so another share is told."""
    assert "and Prometheus 20%" in Part().minutes(7, bounded=True, share_there=0.2)


def test_pods_that_cannot_be_read_are_no_part() -> None:
    """Where nobody wants them left out, what they have is missed, and both numbers are told."""
    assert "in the last minutes, and Prometheus" in Part().minutes(7, bounded=False)


@pytest.mark.parametrize(("pods", "bounded"), [(2, True), (3, False)])
async def test_rounds_say_whether_pods_are_left_out(served: Served, pods: int, bounded: bool) -> None:
    """Three pods, of which the configuration has two or all read."""
    served.pods = ["envoy-1", "envoy-2", "envoy-3"]
    all_of = served.gateways(pods=pods)
    source = source_of(all_of)
    served.clock.advance(1)
    found = await source.round()
    assert (found.chosen.bounded, len(found.chosen.targets), found.chosen.pods) == (bounded, pods, 3)
    await all_of.close()
