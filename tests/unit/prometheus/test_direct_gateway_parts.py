"""A gateway of which only some pods are to be read: what these count is a part of what Prometheus knows, no contradiction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tidegate.judge.reading import Counts, Tally
from tidegate.prometheus.direct import text
from tidegate.prometheus.direct.targets import Missed
from unit.prometheus.direct_pages import NAMES, at_gateway, feed
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


def of_page(series: text.Series, numbers: Iterable[int]) -> tuple[float, float]:
    """Read a page of as many series of two Releases, and return what each has counted."""
    line = 'nginx_ingress_controller_requests{{namespace="{}",path="/{}",service="checkout-canary",status="200"}} 3\n'
    page = text.TextPage(series, 10_000)
    feed(page, "".join(line.format(name, number) for number in numbers for name in ("shop", "bank")).encode(), 64 * 1024)
    counted = page.end().counted
    ours, theirs = (counted[wish].events for wish in series.wishes)
    assert ours is not None
    assert theirs is not None
    return ours.total, theirs.total


def test_series_beyond_what_is_remembered_count_and_cost_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rollouts have a tenth more series than are remembered, each counts the same, and that tenth alone is parsed again."""
    monkeypatch.setattr(text, "_REMEMBERED", 500)
    series, parsed = text.Series((at_gateway("NGINX")[0], at_gateway("NGINX", names=replace(NAMES, namespace="bank"))[0])), [0]
    read = text.Series._read
    monkeypatch.setattr(text.Series, "_read", lambda self, one: parsed.append(1) or read(self, one))
    for times in range(10):
        parsed.clear()
        assert of_page(series, range(1100)) == (3300, 3300)
        assert len(parsed) == (200 if times else 2200)
    # Others come in their place: after a few pages these are known, and those that are gone are not.
    for _ in range(6):
        parsed.clear()
        assert of_page(series, range(2000, 2900)) == (2700, 2700)
    assert len(parsed) == 0
    assert len(series.known) <= 2000
