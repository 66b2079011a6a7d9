"""What is pushed again after it was refused: no other reader is suspected for it, and whoever is to blame is named."""

from __future__ import annotations

from unit.prometheus.test_push_rounds import Shop


def refused_again_and_again() -> Shop:
    """Return a pod of whose scrapes one request is taken at once, and the other is refused and comes 8 seconds later."""
    shop = Shop()
    for number in range(16):
        at = 1 + 15 * number
        shop.scrape(at, 100 + number)
        shop.intake.lose("agent")
        shop.clock.advance(2)
        shop.push(shop.counter(at, number, "500"))
    return shop


def words_of(shop: Shop, seconds: float) -> str:
    found = shop.round(seconds)
    assert found.canary == []
    return next(one.words for one in found.missed)


def test_samples_that_were_refused_and_sent_again_are_no_other_readers() -> None:
    """Each scrape is in two requests, of which one is refused and comes later: that is said, and not that two scrape the pod."""
    assert words_of(refused_again_and_again(), 16 * 15 + 14).startswith(
        "parts of its scrapes are missing, as requests of its sender, or samples of its namespace, are refused"
    )


def test_two_readers_are_told_once_nothing_is_refused() -> None:
    """A request that was refused hides for a while that two scrape the pod, and no longer."""
    shop = Shop()
    for number in range(24):
        at = 1 + 15 * number
        shop.scrape(at, 100 + number, site="a")
        if number == 4:
            shop.intake.lose("agent")
        shop.push(shop.counter(at + 7, 100 + number, site="b"))
    assert words_of(shop, 24 * 15 + 14).endswith("give each an external label __replica__")
