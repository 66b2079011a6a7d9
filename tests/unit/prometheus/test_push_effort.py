"""What it takes to count what is pushed has its namespace's share of the processor, and nothing is lost for want of it."""

from __future__ import annotations

from unit.prometheus.test_push_rounds import Shop


def test_what_takes_too_much_to_count_comes_later() -> None:
    """While counting has taken more than its namespace's share, nothing is new; then all of it is, and nothing is lost."""
    shop = Shop()
    shop.scrape(1, 100)
    shop.pushes.charge(2.5)
    late = shop.scrape(16, 120)
    assert late.canary == []
    assert "put off" in late.missed[0].words
    shop.scrape(31, 150)
    assert shop.counts() == [(100, None), (150, None)]
