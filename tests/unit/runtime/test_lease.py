"""Of several processes at most one leads at any instant, whatever is late, lost or stopped; and one does, if nothing is."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tidegate.runtime.lease import VACANT, Advice, Candidate, Claim, Step, Timing

TIMING = Timing(duration=15.0, renew_deadline=10.0, retry=2.0)
THEIRS = Claim("other", 15.0, "7")


def candidate() -> Candidate:
    return Candidate("me", TIMING)


def leader(begun: float = 100.0) -> Candidate:
    return candidate().saw(Claim("", 1.0, "7"), begun).won(Claim("me", 15.0, "8"), begun, begun + 0.1)


# What one process does.


def test_lease_is_read_before_anything_else() -> None:
    """Nothing is written on what was never read."""
    assert Step.READ is candidate().advise(0.0).step


def test_free_lease_is_taken_at_once() -> None:
    """Given a lease that was given up, it is written without waiting."""
    assert Advice(Step.CLAIM) == candidate().saw(Claim("", 1.0, "7"), 50.0).advise(50.0)


def test_lease_of_another_is_left_to_it_for_as_long_as_it_was_promised() -> None:
    """Given a holder that was promised 40 s, these count from when the lease was seen, and not the 15 s of one's own."""
    seen = candidate().saw(Claim("other", 40.0, "7"), 50.0)

    assert Advice(Step.WAIT, 90.0) == seen.advise(51.0)
    assert Advice(Step.CLAIM) == seen.advise(90.0)


def test_lease_that_is_read_again_unchanged_is_as_old_as_before() -> None:
    """Only a change puts the takeover off."""
    seen = candidate().saw(THEIRS, 50.0)

    assert Advice(Step.WAIT, 65.0) == seen.saw(THEIRS, 60.0).advise(60.0)
    assert Advice(Step.WAIT, 75.0) == seen.saw(Claim("other", 15.0, "9"), 60.0).advise(60.0)


def test_lease_that_is_not_there_is_made_for_nobody() -> None:
    """Given no lease, somebody may lead who has not noticed its removal: one is made, and taken when its whole duration is over."""
    none = candidate().saw(None, 50.0)
    made = none.saw(Claim(VACANT, 15.0, "1"), 50.1)

    assert Step.MAKE is none.advise(50.0).step
    assert Advice(Step.WAIT, 65.1) == made.advise(50.1)
    assert Step.CLAIM is made.advise(65.1).step


def test_leader_whose_lease_was_removed_has_it_back_at_once() -> None:
    """Given its own lease that somebody has removed, a leader does not wait, whether a standby has made another one or not."""
    surprised = leader(100.0).failed(102.0, 102.1, outdated=True)

    assert Step.CLAIM is surprised.saw(None, 102.2).advise(102.2).step
    assert Step.CLAIM is surprised.saw(Claim(VACANT, 15.0, "1"), 102.2).advise(102.2).step


def test_leader_renews_now_and_then() -> None:
    """Between renewals there is a pause; they rest on the version that was written last."""
    leads = leader(100.0)

    assert Advice(Step.WAIT, 102.0) == leads.advise(100.2)
    assert Advice(Step.CLAIM) == leads.advise(102.0)


def test_leadership_ends_by_its_own_clock() -> None:
    """Given no renewal, a leader ends ten seconds after the beginning of the last one, before anybody else may begin."""
    leads = leader(100.0)

    assert pytest.approx(0.5) == leads.remaining(109.5)
    assert 0.0 == leads.remaining(110.0)
    assert leads.paused(110.0)


def test_leader_that_could_not_renew_goes_on_if_nobody_else_has_led() -> None:
    """Given an API server that was away past the deadline, the lease is tried again soon, and is kept if unchanged."""
    paused = leader(100.0).failed(108.0, 108.1).failed(110.1, 110.2)
    assert Advice(Step.WAIT, pytest.approx(110.6)) == paused.advise(110.2)
    assert Step.READ is paused.advise(110.6).step
    back = paused.saw(Claim("me", 15.0, "8"), 120.0)
    assert Step.CLAIM is back.advise(120.0).step
    assert 0.0 == back.remaining(120.0)

    assert pytest.approx(9.9) == back.won(Claim("me", 15.0, "9"), 120.0, 120.1).remaining(120.1)


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (THEIRS, "the lease was taken by other"),
        (Claim("", 1.0, "9"), "the lease was taken by another replica, which has released it"),
        (Claim(VACANT, 15.0, "9"), f"the lease was taken by {VACANT}"),
        (None, "the lease was taken by no replica: it was removed"),
    ],
)
def test_leader_that_could_not_renew_ends_if_somebody_else_may_have_led(claim: Claim | None, words: str) -> None:
    """Given a lease that is not as this process has written it, what it has in memory may be of the past."""
    back = leader(100.0).failed(110.1, 110.2).saw(claim, 120.0)

    assert Advice(Step.STEP_DOWN, words=words) == back.advise(120.0)
    assert 0.0 == back.remaining(120.0)


def test_failed_renewal_is_tried_again_on_what_is_stored_by_then() -> None:
    """Given a renewal whose answer was lost, the lease is read first, for the renewal may have been done."""
    lost = leader(100.0).failed(102.0, 107.0)

    assert Step.READ is lost.advise(107.0).step
    assert Step.CLAIM is lost.saw(Claim("me", 15.0, "9"), 107.1).advise(107.1).step
    assert pytest.approx(2.9) == lost.saw(Claim("me", 15.0, "9"), 107.1).remaining(107.1)


def test_failed_request_is_not_repeated_at_once() -> None:
    """Given a refusal, the API server is left alone for the pause between attempts."""
    assert Advice(Step.WAIT, 102.0) == candidate().failed(100.0, 100.1).advise(100.1)


def test_refusals_one_after_the_other_do_not_become_a_storm() -> None:
    """Given a write that was refused because the lease has changed, it is read at once; after a second refusal there is a pause."""
    once = leader(100.0).failed(102.0, 102.1, outdated=True)
    twice = once.saw(Claim("me", 15.0, "9"), 102.2).failed(102.2, 102.3, outdated=True)

    assert Step.READ is once.advise(102.1).step
    assert Advice(Step.WAIT, pytest.approx(104.2)) == twice.advise(102.3)


def test_leader_that_finds_another_steps_down_at_once() -> None:
    """Given the lease in another's hands, nothing is written any more although the time is not over."""
    taken = leader(100.0).failed(102.0, 102.1, outdated=True).saw(THEIRS, 102.2)

    assert 0.0 == taken.remaining(102.2)
    assert Advice(Step.STEP_DOWN, words="the lease was taken by other") == taken.advise(102.2)


def test_answer_that_comes_too_late_makes_no_leader() -> None:
    """Given a process that was stopped while it took the lease, it does not lead when it goes on, and reads the lease anew."""
    late = candidate().saw(Claim("", 1.0, "7"), 100.0).won(Claim("me", 15.0, "8"), 100.0, 160.0)

    assert 0.0 == late.remaining(160.0)
    assert Step.READ is late.advise(160.0).step


def test_who_resigned_leads_no_more() -> None:
    """Given up is given up, even before the API server knows."""
    assert 0.0 == leader(100.0).resigned().remaining(100.5)


# What several do together.


@dataclass
class Request:
    """A request on its way. `after` is the version that a write rests on: None makes the lease."""

    write: bool = False
    holder: str = ""
    after: str | None = None
    begun: float = 0.0
    arrived: bool = False
    refused: bool = False
    found: Claim | None = None


@dataclass
class Process:
    """One process with a clock of its own: another zero, and a little faster or slower than the others."""

    number: int
    offset: float
    rate: float
    lives: int = 0
    candidate: Candidate = field(init=False)
    request: Request | None = None

    def __post_init__(self) -> None:
        self.candidate = Candidate(f"{self.number}.{self.lives}", TIMING)

    def clock(self, now: float) -> float:
        return self.offset + self.rate * now


class Cluster(RuleBasedStateMachine):
    """An API server with one lease, and processes whose every message may be late or lost and that may stand still at any point."""

    @initialize(
        clocks=st.lists(st.tuples(st.floats(0, 1e6, allow_nan=False), st.sampled_from([0.99, 1.0, 1.01])), min_size=2, max_size=3)
    )
    def begin(self, clocks: list[tuple[float, float]]) -> None:
        self.now, self.versions = 0.0, 0
        self.lease: Claim | None = None
        self.history: list[Claim | None] = [None]
        self.processes = [Process(number, *clock) for number, clock in enumerate(clocks)]
        self.late: list[Request] = []

    def one(self, which: int) -> Process:
        return self.processes[which % len(self.processes)]

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.5, 1.0, 2.0, 4.0, 5.0, 9.9, 10.1, 14.9, 15.1, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(which=st.integers(0, 2))
    def goes_on(self, which: int) -> None:
        one = self.one(which)
        if one.request is not None:
            return
        clock = one.clock(self.now)
        match one.candidate.advise(clock).step:
            case Step.READ:
                one.request = Request(begun=clock)
            case Step.MAKE:
                one.request = Request(True, VACANT, None, clock)
            case Step.CLAIM:
                known = one.candidate.claim
                one.request = Request(True, one.candidate.identity, known.version if known else None, clock)
            case Step.STEP_DOWN:
                self.is_killed(which)

    @rule(which=st.integers(0, 2))
    def works(self, which: int) -> None:
        """A request goes well."""
        self.goes_on(which)
        self.request_arrives(which)
        self.answer_arrives(which)

    @rule(which=st.integers(0, 2), seconds=st.integers(1, 20))
    def works_on(self, which: int, seconds: int) -> None:
        """For some seconds one process works, while the others stand still."""
        for _ in range(2 * seconds):
            self.now += 0.5
            self.works(which)
            self.at_most_one_leads()

    @rule(which=st.integers(0, 2))
    def request_arrives(self, which: int) -> None:
        request = self.one(which).request
        if request is not None and not request.arrived:
            self.serve(request)

    @rule(which=st.integers(0, 2))
    def answer_arrives(self, which: int) -> None:
        one = self.one(which)
        if one.request is None or not one.request.arrived:
            return
        request, one.request, clock = one.request, None, one.clock(self.now)
        if not request.write or (request.holder == VACANT and not request.refused):
            one.candidate = one.candidate.saw(request.found, clock)
        elif request.refused:
            one.candidate = one.candidate.failed(request.begun, clock, outdated=True)
        else:
            assert request.found is not None
            one.candidate = one.candidate.won(request.found, request.begun, clock)

    @rule(which=st.integers(0, 2))
    def answer_is_lost(self, which: int) -> None:
        one = self.one(which)
        if one.request is not None:
            self.late.append(one.request)
            one.candidate, one.request = one.candidate.failed(one.request.begun, one.clock(self.now)), None

    @rule(which=st.integers(0, 10))
    def lost_request_arrives_all_the_same(self, which: int) -> None:
        if self.late:
            request = self.late.pop(which % len(self.late))
            if not request.arrived:
                self.serve(request)

    @rule(which=st.integers(0, 2), back=st.integers(1, 4))
    def standby_watches(self, which: int, back: int) -> None:
        """The watch tells of the lease, as it is or as it was."""
        one = self.one(which)
        if one.candidate.renewed is None:
            one.candidate = one.candidate.saw(self.history[-min(back, len(self.history))], one.clock(self.now))

    @rule(which=st.integers(0, 2))
    def resigns(self, which: int) -> None:
        one = self.one(which)
        claim = one.candidate.claim
        if one.candidate.remaining(one.clock(self.now)) and one.request is None and claim is not None:
            one.candidate = one.candidate.resigned()
            self.late.append(Request(True, "", claim.version))
            self.is_killed(which)

    @rule(which=st.integers(0, 2))
    def is_killed(self, which: int) -> None:
        one = self.one(which)
        if one.request is not None:
            self.late.append(one.request)
        self.processes[one.number] = Process(one.number, one.offset, one.rate, one.lives + 1)

    @rule()
    def lease_is_removed(self) -> None:
        self.lease = None
        self.history.append(None)

    def serve(self, request: Request) -> None:
        """Do what an API server does: a write that rests on another version than the stored one is refused."""
        request.arrived = True
        if not request.write:
            request.found = self.lease
        elif request.after != (self.lease.version if self.lease else None):
            request.refused = True
        else:
            self.versions += 1
            self.lease = request.found = Claim(request.holder, 15.0 if request.holder else 1.0, str(self.versions))
            self.history.append(self.lease)

    @invariant()
    def at_most_one_leads(self) -> None:
        leading = [one.number for one in self.processes if one.candidate.remaining(one.clock(self.now)) > 0]
        assert len(leading) <= 1, leading


Cluster.TestCase.settings = settings(max_examples=300, stateful_step_count=50)
TestCluster = Cluster.TestCase


def lead(processes: list[Process], cluster: Cluster, until: float) -> list[tuple[float, int]]:
    """Let everything work, in steps of a tenth of a second; return who began to lead when."""
    began: list[tuple[float, int]] = []
    while cluster.now < until:
        cluster.now = round(cluster.now + 0.1, 3)
        for one in processes:
            before = one.candidate.remaining(one.clock(cluster.now)) > 0
            cluster.standby_watches(one.number, 1)
            cluster.works(one.number)
            if not before and one.candidate.remaining(one.clock(cluster.now)) > 0:
                began.append((cluster.now, one.number))
            cluster.at_most_one_leads()
    return began


def test_one_leads_and_the_next_takes_over_when_it_is_gone() -> None:
    """Given three processes, one leads on and on; when it is killed, another one leads at most 15 s and a little later."""
    cluster = Cluster()
    cluster.begin([(0.0, 1.0), (500.0, 1.0), (7e5, 1.0)])
    first = lead(cluster.processes, cluster, until=100.0)
    killed = first[-1][1]

    rest = [one for one in cluster.processes if one.number != killed]
    second = lead(rest, cluster, until=200.0)

    assert 1 == len(first)
    assert 1 == len(second)
    assert second[0][0] - 100.0 <= TIMING.duration + 2 * TIMING.retry
