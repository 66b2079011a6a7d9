"""A channel against real receivers: each message once and in order, whatever the receiver does, and in nobody's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from aiohttp import web

from tidegate.notifications.lanes import OF_ONE
from tidegate.notifications.pauses import FEW
from tidegate.notifications.sending import CONNECTIONS
from tidegate.runtime.clock import ManualClock
from unit.controller.api_server import settled
from unit.notifications.receiver import KEY, SECRET, Receiver, Told, happened, hook, receiving, release
from unit.notifications.test_sending import answered


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


@pytest.fixture
async def told(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Told]:
    one = Told(ManualClock(), hook(tmp_path, receiver))
    one.channel.start()
    yield one
    await one.channel.stop(within=0)


async def test_it_tells_in_order_and_says_so(told: Told, receiver: Receiver) -> None:
    """Given transitions of two Releases, then each Release's come in their order, and its status is to note each."""
    ones = [told.take(number) for number in (1, 2, 3)] + [told.take(1, of="cart")]

    await settled(lambda: told.channel.waiting() == 0)

    assert [1, 2, 3] == [number for name, number in receiver.numbers if name == "checkout"]
    assert ["delivered"] * 4 == told.outcomes
    assert {("shop", "checkout"): 3, ("shop", "cart"): 1} == {one: told.moved.count(one) for one in told.moved}
    assert all(told.channel.taken(release(), one) for one in ones[:3])


async def test_what_is_not_delivered_is_not_taken(told: Told, receiver: Receiver) -> None:
    """Given a receiver that fails, then its message is not taken, nor what comes after it, until it is delivered, with one id."""
    receiver.reply = 500
    first, second = told.take(1), told.take(2)
    await settled(lambda: told.outcomes == ["failed"])
    before = [told.channel.taken(release(), one) for one in (first, second)]

    receiver.reply = 200
    told.clock.advance(1.5)
    await settled(lambda: told.channel.waiting() == 0)

    assert ([False, False], [("checkout", 1), ("checkout", 2)]) == (before, receiver.numbers)
    assert (3, ["failed", "delivered", "delivered"]) == (receiver.asked, told.outcomes)
    assert "uid-checkout.1" == receiver.got[0][0]["webhook-id"]


async def test_a_receiver_is_left_alone_for_as_long_as_it_asks(told: Told, receiver: Receiver) -> None:
    """Given 429 with Retry-After, then nothing is sent to it before, not even of other Releases, and everything after."""
    receiver.reply = answered(429, "120")
    told.take(1)
    await settled(lambda: told.outcomes == ["failed"])
    receiver.reply = 200
    told.take(1, of="cart")
    told.clock.advance(119)
    await asyncio.sleep(0)
    await settled(lambda: told.clock.sleepers > 0)
    early = receiver.asked

    told.clock.advance(2)
    await settled(lambda: told.channel.waiting() == 0)

    assert (1, {("checkout", 1), ("cart", 1)}) == (early, set(receiver.numbers))


async def test_one_message_that_always_fails_keeps_no_other_release_waiting(told: Told, receiver: Receiver) -> None:
    """Given a message over which the receiver fails, then those of other Releases are delivered between its tries."""
    receiver.reply = lambda request: answered(500 if request.headers["webhook-id"] == "uid-checkout.1" else 200)(request)  # type: ignore[operator]
    told.take(1)
    for number in range(1, 6):
        told.take(number, of="cart")
    for _ in range(60):
        told.clock.advance(1.0)
        await settled(lambda: told.clock.sleepers > 0 or told.channel.waiting() == 1)

    assert ([("cart", number) for number in range(1, 6)], 1) == (receiver.numbers, told.channel.waiting())


async def test_messages_of_one_namespace_that_always_fail_keep_no_other_waiting(told: Told, receiver: Receiver) -> None:
    """Given many Releases of one namespace over whose messages the receiver fails, then those of others are told meanwhile."""
    receiver.reply = lambda request: answered(500 if "odd" in request.headers["webhook-id"] else 200)(request)  # type: ignore[operator]
    for number in range(60):
        told.channel.take(release(f"odd-{number}", "others"), happened(1, "rollout-started", told.clock.now()), again=False)
    told.take(1)
    for _ in range(3):
        await settled(lambda: told.clock.sleepers > 0)
        told.clock.advance(1.0)
    await settled(lambda: ("checkout", 1) in receiver.numbers)

    assert (60, [("checkout", 1)]) == (told.channel.waiting(), receiver.numbers)


async def test_messages_that_a_receiver_hangs_over_keep_no_other_namespace_waiting(tmp_path: Path, receiver: Receiver) -> None:
    """Given a receiver that hangs over what one team's messages say, however many, then another's is told beside them."""
    told = Told(ManualClock(), hook(tmp_path, receiver, timeout="30s"))
    receiver.hangs_over = lambda request: "odd" in request.headers["webhook-id"]
    receiver.hangs.clear()
    told.channel.start()
    for number in range(2 * CONNECTIONS):
        told.channel.take(release(f"odd-{number}", "others"), happened(1, "rollout-started", told.clock.now()), again=False)
    await settled(lambda: receiver.asked >= OF_ONE)
    told.take(1, "rolling-back", warns=True)
    await settled(lambda: "delivered" in told.outcomes)

    assert (OF_ONE + 1, [("checkout", 1)]) == (receiver.asked, receiver.numbers)
    receiver.hangs.set()
    await settled(lambda: told.channel.waiting() == 0)
    await told.channel.stop(within=0)


def _only_from_odd(request: web.Request) -> web.Response:
    return answered(500 if "odd" in request.headers["webhook-id"] else 200)(request)


async def _tried(told: Told, times: int) -> None:
    """Have what waits tried so many times more, each as soon as it is time."""
    for _ in range(times):
        count = len(told.outcomes)
        while len(told.outcomes) == count:
            told.clock.advance(1.0)
            await settled(lambda count=count: len(told.outcomes) > count or told.clock.sleepers > 0)


@pytest.mark.parametrize("odd", [1, 2])
async def test_a_namespace_that_failed_alone_for_long_keeps_no_later_message_waiting(
    told: Told, receiver: Receiver, odd: int
) -> None:
    """Given messages of one team that failed while nothing else was there, then a later one of another is told at once."""
    receiver.reply = _only_from_odd
    for number in range(odd):
        told.channel.take(
            release(f"odd-{number}", f"odd-{number}"), happened(1, "rolling-back", told.clock.now(), warns=True), again=False
        )
    await _tried(told, 6 * odd)
    told.take(1, "rolling-back", warns=True)
    await settled(lambda: "delivered" in told.outcomes)

    assert ([("checkout", 1)], odd) == (receiver.numbers, told.channel.waiting())


async def test_one_failure_costs_no_more_for_what_others_have_failed(told: Told, receiver: Receiver) -> None:
    """Given a namespace that is left alone for half a minute, then one of another that fails once is tried again after a second."""
    receiver.reply = _only_from_odd
    told.channel.take(release("odd", "odd"), happened(1, "rollout-started", told.clock.now()), again=False)
    await _tried(told, 6)
    receiver.reply = 500
    told.take(1)
    await settled(lambda: len(told.outcomes) == 7 and told.clock.sleepers > 0)
    receiver.reply = _only_from_odd
    told.clock.advance(1.0)
    await settled(lambda: "delivered" in told.outcomes)

    assert [("checkout", 1)] == receiver.numbers


async def test_a_receiver_that_fails_over_many_namespaces_is_left_alone(told: Told, receiver: Receiver) -> None:
    """Given a receiver that is away, then few namespaces' messages find that out, and all others wait until it is time again."""
    receiver.reply = 500
    for number in range(40):
        told.channel.take(
            release(f"cart-{number}", f"shop-{number}"), happened(1, "rollout-started", told.clock.now()), again=False
        )
    await settled(lambda: told.clock.sleepers == CONNECTIONS)
    asked = receiver.asked
    told.take(1, "rolling-back", warns=True)
    await settled(lambda: told.clock.sleepers == CONNECTIONS)
    receiver.reply = 200
    told.clock.advance(1.0)
    await settled(lambda: told.channel.waiting() == 0)

    assert FEW < asked <= FEW + CONNECTIONS
    assert 41 == len(receiver.got)


async def test_a_refusal_of_the_message_is_final(told: Told, receiver: Receiver) -> None:
    """Given 422, then the message is dropped with a word, it is taken, and the next one is told."""
    receiver.reply = lambda request: answered(422 if request.headers["webhook-id"] == "uid-checkout.1" else 200)(request)  # type: ignore[operator]
    one = told.take(1)
    told.take(2)

    await settled(lambda: told.channel.waiting() == 0)

    assert (["refused", "delivered"], [("checkout", 2)]) == (told.outcomes, receiver.numbers)
    assert [("uid-checkout.1", "HTTP 422 Unprocessable Entity")] == [(message.id, why) for message, why in told.dropped] or [
        "HTTP 422 Unprocessable Content"
    ] == [why for _, why in told.dropped]
    assert told.channel.taken(release(), one)


async def test_it_gives_up_after_a_time(told: Told, receiver: Receiver) -> None:
    """Given a receiver that fails for hours, then its messages are dropped with the last reason, and later ones are told."""
    receiver.reply = 503
    told.take(1)
    await settled(lambda: "failed" in told.outcomes)
    told.clock.advance(timedelta(hours=4).total_seconds())
    await settled(lambda: told.channel.waiting() == 0)
    receiver.reply = 200
    told.take(2)
    await settled(lambda: told.channel.waiting() == 0)

    assert ("expired", "delivered") == tuple(told.outcomes[-2:])
    assert ["it could not be delivered for 4h: HTTP 503 Service Unavailable"] == [why for _, why in told.dropped]
    assert [("checkout", 2)] == receiver.numbers


async def test_what_is_older_than_a_day_is_no_news(told: Told, receiver: Receiver) -> None:
    """Given what an operator that was away for days left untold, then it is dropped with a word."""
    one = told.take(1)
    old = one.model_copy(update={"number": 2, "at": told.clock.now() - timedelta(hours=25)})
    told.channel.take(release(), old, again=True)

    await settled(lambda: told.channel.waiting() == 0)

    assert (["it is older than a day"], [("checkout", 1)]) == ([why for _, why in told.dropped], receiver.numbers)


async def test_the_same_is_told_once_and_again_after_an_hour(told: Told, receiver: Receiver) -> None:
    """Given a wait that comes again and again, then it is told once, and after an hour with how often it was not."""
    ones = []
    for number in range(1, 5):
        ones.append(told.take(number, "waits", message=f"v2 waits for {number} more approvals"))
        await settled(lambda: told.channel.waiting() == 0)
        told.clock.advance(1250)

    assert ["delivered", "repeated", "repeated", "delivered"] == told.outcomes
    texts = [body["data"]["message"] for _, body in receiver.got]
    assert ["v2 waits for 1 more approvals", "v2 waits for 4 more approvals (repeated 2 times since 00:00 UTC)"] == texts
    assert all(told.channel.taken(release(), one) for one in ones), "the status need not keep them"


async def test_a_rotated_secret_counts_at_once(told: Told, receiver: Receiver, tmp_path: Path) -> None:
    """Given an address whose file is missing and then mounted, then what waited is delivered there."""
    address = (tmp_path / "url").read_text()
    (tmp_path / "url").unlink()
    told.take(1)
    await settled(lambda: told.outcomes == ["failed"])
    (tmp_path / "url").write_text(address)
    told.clock.advance(1.5)

    await settled(lambda: told.channel.waiting() == 0)

    assert [("checkout", 1)] == receiver.numbers


async def test_one_that_hangs_keeps_no_other_channel_waiting(tmp_path: Path, receiver: Receiver) -> None:
    """Given a receiver that takes messages and answers none, then another channel tells all of them meanwhile."""
    clock = ManualClock()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with receiving() as other:
        hanging = Told(clock, hook(tmp_path / "one", receiver, "hanging", timeout="30s"))
        living = Told(clock, hook(tmp_path / "two", other, "living"))
        receiver.hangs.clear()
        for channel in (hanging, living):
            channel.channel.start()
            for number in range(1, 9):
                channel.take(number)
        await settled(lambda: living.channel.waiting() == 0)
        kept = hanging.channel.waiting()
        await asyncio.gather(hanging.channel.stop(within=0), living.channel.stop(within=0))

    assert (8, [("checkout", number) for number in range(1, 9)]) == (kept, other.numbers)


async def test_what_is_under_way_at_the_end_is_told_again_with_its_id(tmp_path: Path, receiver: Receiver) -> None:
    """Given a life that ends between a delivery and its answer, then the next one sends it again, and its id tells."""
    first = Told(ManualClock(), hook(tmp_path, receiver))
    first.channel.start()
    receiver.hangs.clear()
    one = first.take(1)
    await settled(lambda: receiver.asked == 1)
    await first.channel.stop(within=0)
    receiver.hangs.set()

    second = Told(first.clock, hook(tmp_path, receiver))
    second.channel.start()
    second.channel.take(release(), one, again=True)
    await settled(lambda: second.channel.waiting() == 0)
    await second.channel.stop(within=0)

    assert {"uid-checkout.1"} == {headers["webhook-id"] for headers, _ in receiver.got}


async def test_nothing_secret_is_in_any_log(told: Told, receiver: Receiver, tmp_path: Path) -> None:
    """Given each way to fail, then what is logged and told has neither address nor key nor what the receiver answers."""
    with structlog.testing.capture_logs() as logs:
        for number, reply in enumerate((answered(400), answered(401), answered(500), answered(307, Location="/x")), 1):
            receiver.reply = reply
            told.take(number)
            count = len(told.outcomes)
            await settled(lambda count=count: len(told.outcomes) > count)
            told.clock.advance(3600)
        (tmp_path / "url").write_text(f"no address {SECRET}")
        told.clock.advance(3600)
        await settled(lambda: any("must look like" in str(entry) for entry in logs))

    said = f"{logs} {told.dropped}"
    assert "HTTP 400" in said
    assert not any(secret in said for secret in (SECRET, KEY, "/services/", str(receiver.port), "you sent"))


async def test_a_bug_says_where_it_is_and_not_what_it_says(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an error that nobody expects, with a secret in its words, then its place is logged, and the message tried again."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(told.channel._courier, "_format", fail)
    with structlog.testing.capture_logs() as logs:
        told.take(1)
        await settled(lambda: told.outcomes == ["failed"])

    assert ("a channel has a bug", "ZeroDivisionError") in [(entry["event"], entry.get("error")) for entry in logs]
    assert SECRET not in f"{logs}"
