"""Blind is not bad, and blind is not good: no weight rises without requests that were counted at the present one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.policies import at_weight, carried, events, finish, gate, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.gate import Gate
from tidegate.api.names import Cause, Phase, Verdict
from tidegate.api.status import GateStatus
from tidegate.engine.counted import lacking
from tidegate.engine.gate_status import judged
from tidegate.judge.reading import AtWeight, Counts, Reading, Tally
from unit.engine.test_evidence import counted, say, state

BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG = (step(25, "60s"), step(100))
SHORT = (step(10, "4s"), step(50, "4s"), step(100))
FIFTY_PERCENT = {"versusStable": {"maxIncrease": {"percent": 50}}}
HTTP = {"preset": {"source": "HTTP", "measure": "ErrorRate"}}
NOTHING = Tally(0.0)
SOME, OTHERS = Tally(100.0, 1.0), Tally(1000.0, 10.0)


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def a_gate(**more: object) -> Gate:
    return Gate.model_validate({"name": "g", "metric": HTTP, "interval": "5s"} | FIFTY_PERCENT | more)


class Watched:
    """A gate that is looked at every 5 s.

    Args:
        gate: the gate.
        weight_since: since when the version has its weight, where it had another before.
    """

    def __init__(self, gate: Gate, weight_since: datetime | None = None) -> None:
        self.gate, self.now, self.state = gate, 0.0, None
        self.weight_since = weight_since

    def look(
        self, canary: Tally | None, stable: Tally = OTHERS, *, seconds: float = 5, newest: float | None = None, trouble: str = ""
    ):
        since, self.now = self.now, self.now + seconds
        counts = None if canary is None else Counts(after(since), canary, stable)
        seen = None if newest is None else after(newest)
        reading = Reading("g", "r", after(self.now), counts=counts, newest=seen, newest_stable=seen, trouble=trouble)
        self.state = judged(self.gate, reading, self.state, alpha=0.01, weight_since=self.weight_since)
        return self.state

    def looks(self, times: int, canary: Tally | None, **more: float) -> GateStatus:
        for _ in range(times):
            found = self.look(canary, **more)
        return found


def goes_by(world: World, seconds: int, *, requests: float) -> None:
    """Time goes by, and each second a look finds so many requests."""
    for _ in range(seconds):
        world.cluster.now += 1
        world.cluster.tick()
        say(world, 0.01, requests=requests)


# What is silent.


def test_version_that_is_counted_no_more_does_not_stay_clear():
    """20 looks with requests, then 200 without any: it is not clear, is undecided since the last request, and says so."""
    watched = Watched(a_gate())
    watched.looks(20, SOME)
    assert watched.state.clear

    found = watched.looks(200, NOTHING)

    assert (found.verdict, found.clear) == (Verdict.UNDECIDED, False)
    assert found.undecided_since == after(100)
    assert found.message.startswith(
        "no request of the new version has been counted since 12:01:40 UTC (17 min): its counters stand "
    )


def test_proof_does_not_outlive_the_requests():
    """Pass is said of requests that were counted, and is not kept up without any."""
    watched = Watched(a_gate())
    found = watched.looks(400, Tally(1000.0, 10.0), stable=Tally(10_000.0, 100.0))
    assert found.verdict is Verdict.PASS

    found = watched.looks(200, NOTHING)

    assert (found.verdict, found.clear, found.looks[-1]) == (Verdict.UNDECIDED, False, "U")


def test_harm_outlives_the_requests():
    """What has failed has failed: silence afterwards is no excuse."""
    watched = Watched(a_gate())
    assert watched.look(Tally(100.0, 100.0)).verdict is Verdict.FAIL

    assert watched.looks(100, NOTHING).verdict is Verdict.FAIL


def test_it_is_clear_again_once_requests_are_counted_again():
    """Silence ends with the first request."""
    watched = Watched(a_gate())
    watched.looks(20, SOME)
    watched.looks(100, NOTHING)

    found = watched.look(SOME)

    assert (found.clear, found.undecided_since, found.quiet_since) == (True, None, found.at)


@pytest.mark.parametrize("scrape", [15, 30, 60])
@pytest.mark.parametrize("phases", [(0,), (0, 5), (0, 5, 10)])
def test_scrapes_that_are_rarer_than_looks_are_no_silence(scrape: int, phases: tuple[int, ...]):
    """A look each 5 s, and pods that are scraped at times of their own: most looks find nothing, and that is how it is."""
    watched = Watched(a_gate())
    found = [
        watched.look(SOME if any(second % scrape == phase for phase in phases) else NOTHING, newest=second - second % 5)
        for second in range(5, 900, 5)
    ]

    judged_ = found[scrape // 5 :]
    assert all(one.clear and one.undecided_since is None for one in judged_)


def test_rare_scrapes_are_got_used_to():
    """With a scrape each 5 min it is silent at first, and no longer once it is known that it is always so."""
    watched = Watched(a_gate())
    found = [watched.look(SOME if second % 300 == 0 else NOTHING) for second in range(5, 3600, 5)]

    assert any(one.undecided_since for one in found)
    assert not any(one.undecided_since for one in found[-240:])


def test_outage_of_prometheus_is_not_got_used_to():
    """After ten minutes without any data, two are the most that is taken for usual, and soon less."""
    watched = Watched(a_gate())
    watched.looks(60, SOME)
    watched.looks(120, None, trouble="connection refused")

    assert watched.look(SOME).usual_gap == 120
    assert watched.looks(60, SOME).usual_gap < 10


def test_time_in_which_nobody_looked_is_no_silence():
    """The operator was away and counts anew: nothing is known of that time, and onNoData does not count it."""
    watched = Watched(a_gate(onNoData={"then": "Fail", "after": "1m"}))
    watched.looks(20, SOME)
    watched.now += 595

    found = watched.look(NOTHING)

    assert found.undecided_since is None
    assert found.quiet_since == found.at


def test_silence_that_was_counted_over_is_silence():
    """The operator was away and goes on where it had stopped: that nothing was counted meanwhile is known."""
    watched = Watched(a_gate())
    watched.looks(20, SOME)

    found = watched.look(NOTHING, seconds=600)

    assert (found.clear, found.undecided_since) == (False, after(100))


def test_trouble_counts_from_the_last_request_on():
    """Prometheus is away: undecided at once, since the last request; the message says both once it lasts."""
    watched = Watched(a_gate())
    watched.looks(20, SOME)

    first = watched.look(None, trouble="connection refused")
    last = watched.looks(100, None, trouble="connection refused")

    assert (first.undecided_since, last.undecided_since) == (after(100), after(100))
    assert first.message == "error rate cannot be judged: connection refused"
    assert last.message == (
        "no request of the new version has been counted since 12:01:40 UTC (8 min): error rate cannot be judged: connection refused"
    )


@pytest.mark.parametrize(
    ("newest", "words"),
    [
        (lambda second: 100, "Prometheus' newest sample of it is 17 min old: does it still scrape its pods?"),
        (lambda second: second, "its counters stand still, the newest sample is 0 s old: does it get requests?"),
        (lambda second: None, "its series are gone, the newest sample was 17 min ago: does Prometheus still scrape its pods?"),
    ],
    ids=["stands", "advances", "gone"],
)
def test_message_says_what_stands_still(newest, words: str):
    """Samples that stand still, counters that do, and series that are gone have different cures."""
    watched = Watched(a_gate())
    for second in range(5, 105, 5):
        watched.look(SOME, newest=second)
    for second in range(105, 1105, 5):
        found = watched.look(NOTHING, newest=newest(second))

    assert found.message.endswith(words)


# What the weight waits for.


def test_promotion_needs_requests_at_the_last_weight():
    """The metrics vanish at the last weight: it is not promoted, however long it bakes."""
    world = at_weight(100, policy(step(25), step(100), gates=(counted(),)))
    world.quality["errors"] = None
    world.crank(200)

    assert world.status.phase is Phase.BAKING
    assert "no request of the new version has been counted since" in world.status.message


def test_version_whose_metrics_vanish_is_held_at_the_weight_that_follows():
    """Good at 10%, and from the first second at 50% on nothing is counted any more: never beyond 50%."""
    world = at_weight(50, policy(*SHORT, gates=(counted(),)))
    goes_by(world, 240, requests=0)

    assert max(world.weights) == 50
    assert state(world).weight_requests == 0


def test_requests_of_the_weight_before_do_not_count():
    """What was counted in an interval in which the weight changed counts for neither weight; what comes after it does."""
    watched = Watched(a_gate(), weight_since=after(102))
    watched.looks(20, SOME)
    watched.state = watched.state.model_copy(update={"weight_requests": 0.0})

    assert [watched.look(SOME).weight_requests for _ in range(3)] == [0, 100, 200]


def test_too_few_requests_at_this_weight():
    """MinSamples counts anew at each weight, and the message says how many are there."""
    world = at_weight(50, policy(*SHORT, gates=(counted(minSamples=500),)))
    goes_by(world, 8, requests=60)

    assert carried(world) == 50
    assert "requests of the new version counted since it got this weight, 500 needed" in world.status.message


def test_no_data_that_may_pass_for_good_does_here_too():
    """OnNoData Pass: too few requests at a weight are waited for no longer than that."""
    spec = policy(*SHORT, gates=(counted(minSamples=500, onNoData={"then": "Pass", "after": "30s"}),))
    world = at_weight(50, spec)
    begun = world.now
    while carried(world) == 50 and world.now < begun + 120:
        goes_by(world, 1, requests=1)

    assert 30 <= world.now - begun < 40


def test_no_data_that_counts_as_a_breach_counts_from_the_last_request():
    """The metrics vanish: with onNoData Fail the version is undone, with the last request in the message."""
    world = at_weight(25, policy(*LONG, gates=(counted(onNoData={"then": "Fail", "after": "200s"}),)))
    world.quality["errors"] = 0.01
    world.crank(10)
    world.quality["errors"] = None

    finish(world, Phase.ROLLED_BACK, seconds=600)

    assert world.status.last_rollout.cause is Cause.NO_DATA
    assert "no request of the new version has been counted since" in world.status.last_rollout.message
    assert len(events(world, "GateUndecided")) == 1


def test_gate_that_is_blind_from_its_first_look_tells_it_once():
    """No look has ever had anything to go by, as where a preset finds no series: one Event says so within a minute or so."""
    world = at_weight(25, policy(*LONG, gates=(counted(),)))
    world.quality["errors"] = None
    world.crank(30)
    assert events(world, "GateUndecided") == []

    world.crank(90)

    (told,) = events(world, "GateUndecided")
    assert "Gate errors is undecided" in told
    world.crank(120)
    assert len(events(world, "GateUndecided")) == 1


def test_pause_that_was_answered_begins_silence_anew():
    """A gate that pauses for want of data does not pause again in the instant in which a person has said resume."""
    world = at_weight(25, policy(*LONG, gates=(counted(on_breach="Pause", onNoData={"then": "Fail", "after": "150s"}),)))
    world.quality["errors"] = 0.01
    world.crank(10)
    world.quality["errors"] = None
    assert world.crank(400, until=lambda: world.status.phase is Phase.PAUSED)

    world.ask("resume/1")
    world.crank(20)

    assert (world.status.phase, world.status.weight) == (Phase.PROGRESSING, 25)
    assert "0 requests of the new version counted since it got this weight, 100 needed" in world.status.message


def test_weight_waits_for_requests_that_are_late():
    """Requests that have come every second and come no more hold the weight long before anybody calls that silence."""
    world = at_weight(25, policy(step(25, "30s"), step(100), gates=(counted(),)))
    goes_by(world, 10, requests=100)
    goes_by(world, 60, requests=0)

    assert (world.status.weight, state(world).undecided_since) == (25, None)
    assert "no request of the new version has been counted for 60 s, which is usual every " in world.status.message


def test_gates_whose_news_never_come_together_do_not_wait_for_each_other():
    """Two sources, each scraped every 60 s, half a minute apart, and looks every 2 s: the weight rises."""
    world = at_weight(25, policy(step(25, "200s"), step(100), gates=(counted(), counted("latency"))))
    for _ in range(320):
        world.cluster.now += 1
        world.cluster.tick()
        world.look("errors", 0.01, stable=0.01, requests=1000 if int(world.now) % 60 == 0 else 0)
        world.look("latency", 0.01, stable=0.01, requests=1000 if int(world.now) % 60 == 30 else 0)
        world.operate()

    assert 100 in world.weights


# Samples that are younger than the weight.


@pytest.mark.parametrize("hidden", [30, 60])
def test_newest_sample_is_older_than_the_weight(hidden: int):
    """A back end that hides the newest 30 s: nothing counts until a sample of this weight is seen, nor what straddles it."""
    watched = Watched(a_gate(), weight_since=after(100))
    for second in range(5, 105, 5):
        watched.look(SOME, newest=second - hidden)
    watched.state = watched.state.model_copy(update={"weight_requests": 0.0})
    told, counted_ = [], []
    for second in range(105, 205, 5):
        state_ = watched.look(SOME, newest=second - hidden)
        told.append(lacking(watched.gate, state_, after(100)))
        counted_.append(state_.weight_requests)

    first = next(index for index, words in enumerate(told) if not words)
    assert first == hidden // 5
    assert counted_[first - 1 : first + 1] == [0, 100]
    assert told[0] == (
        "no sample of the new version is newer than 12:01:40 UTC, when it got this weight; "
        f"the newest sample of the new version is {hidden} s old"
    )


def limit_gate(**more: object) -> Gate:
    return Gate.model_validate({"name": "g", "metric": HTTP, "interval": "5s", "judge": "Limit"} | FIFTY_PERCENT | more)


def measured(
    gate: Gate, before: GateStatus | None, at_: float, *, newest: float | None, requests: float | None, since: float = 100.0
):
    window = None if requests is None else AtWeight(after(since), requests)
    told = None if newest is None else after(newest)
    reading = Reading("g", "r", after(at_), 0.01, 0.01, 1000, 1000, newest=told, newest_stable=told, at_weight=window)
    return judged(gate, reading, before, alpha=0.01, weight_since=after(100))


def test_limit_needs_requests_at_this_weight():
    """Judge Limit: the window reaches back beyond the weight, but requests of this weight alone let it rise."""
    gate_ = limit_gate()
    few = measured(gate_, None, 105, newest=104, requests=12.0)
    enough = measured(gate_, few, 115, newest=114, requests=40.0)
    late = measured(gate_, few, 115, newest=114, requests=400.0, since=50.0)

    assert (few.verdict, few.clear) == (Verdict.PASS, True)
    assert lacking(gate_, few, after(100)).startswith(
        "12 requests of the new version counted since it got this weight, 20 needed; "
    )
    assert lacking(gate_, enough, after(100)) == ""
    assert late.weight_requests == 12.0


def test_limit_whose_samples_stand_still_is_no_longer_within_it():
    """Judge Limit on a back end that goes on showing an old sample: undecided since it was new."""
    gate_, state_ = limit_gate(), None
    for second in range(5, 105, 5):
        state_ = measured(gate_, state_, second, newest=second - 1, requests=100.0)
    for second in range(105, 305, 5):
        state_ = measured(gate_, state_, second, newest=99, requests=100.0)

    assert (state_.verdict, state_.clear, state_.undecided_since) == (Verdict.UNDECIDED, False, after(100))
    assert state_.message == (
        "nothing new has been measured of the new version since 12:01:40 UTC (3 min): "
        "Prometheus' newest sample of it is 3 min old: does it still scrape its pods?"
    )


def test_limit_whose_series_are_gone_is_no_longer_within_it():
    """The window still gives a value for a while after the series have gone; that they have is seen."""
    gate_, state_ = limit_gate(), None
    for second in range(5, 105, 5):
        state_ = measured(gate_, state_, second, newest=second - 1, requests=100.0)
    for second in range(105, 305, 5):
        state_ = measured(gate_, state_, second, newest=None, requests=100.0)

    assert (state_.clear, state_.newest) == (False, after(99))
    assert "its series are gone" in state_.message


def test_queries_of_ones_own_that_tell_no_times_go_on_as_ever():
    """Where neither times nor requests are known, a look at this weight is all that can be asked for."""
    world = at_weight(25, policy(step(25, "4s"), step(100), gates=(gate(),)))

    reach(world, 100)

    assert state(world).weight_requests is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([0.0, 5.0, 20.0, 100.0]), min_size=20, max_size=60))
def test_weight_never_rises_without_requests_of_it(requests: list[float]):
    """Whatever comes and goes: between any two weights minSamples requests were counted, of intervals within the one."""
    steps = (step(10, "2s"), step(30, "2s"), step(60, "2s"), step(100))
    world = at_weight(30, policy(*steps, gates=(counted(minSamples=50),), bake="5s"))
    weight, begun, got = 30, world.now, 0.0
    for number in requests:
        since = max(world.now - 1, world.counted["errors"].timestamp() - at(0).timestamp())
        goes_by(world, 1, requests=number)
        if begun is not None and since >= begun:
            got += number
        if world.status.weight != weight or world.status.phase is Phase.PROMOTING:
            assert got >= 50
            weight, begun, got = world.status.weight, None, 0.0
        if world.status.phase is Phase.PROMOTING:
            break
        if begun is None and carried(world) == weight:
            begun = world.now


def test_a_gate_that_lacks_data_names_a_clock_that_is_off():
    """Whoever looks for the reason is to know of it; a verdict on requests does not depend on it."""
    clock = "Prometheus' clock is 60 min behind the operator's"

    def look(canary: Tally | None) -> GateStatus:
        counts = None if canary is None else Counts(BEGIN, canary, OTHERS)
        return judged(a_gate(), Reading("g", "r", after(5), counts=counts, clock=clock), None, alpha=0.01)

    assert look(None).message.endswith(f"; {clock}")
    assert look(Tally(100.0, 100.0)).verdict is Verdict.FAIL
    assert clock not in look(Tally(100.0, 100.0)).message
