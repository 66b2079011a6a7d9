"""Commands by ReleaseDecisions: each is carried out once, in order, and says what has become of it."""

from __future__ import annotations

import pytest

from simulation.deciders import decide, outcome
from simulation.policies import at_weight, condition, events, finish, idle, policy, reach, step
from simulation.views import at
from simulation.world import World
from tidegate.api.decided import MOST_CARRIED
from tidegate.api.decision import Action
from tidegate.api.names import Cause, Phase
from tidegate.api.status import Outcome
from tidegate.engine.carrying import KEEP
from tidegate.governance.view import GovernanceView

LONG = (step(5, "600s"), step(25, "600s"), step(100))


def climbing() -> World:
    """Return v2 at 5%, held for long."""
    return at_weight(5, policy(*LONG))


def why(world: World, decision) -> str:
    """Return what the status says of a command."""
    return next(one.message for one in world.status.carried_out if one.uid == decision.uid)


def test_rollback_by_decision():
    """A rollback takes the traffic away at once, says by whom, and keeps the version out."""
    world = climbing()
    made = decide(world, Action.ROLLBACK, "ann", reason="payments fail")

    world.operate()
    assert (0, Phase.ROLLING_BACK) == (world.status.weight, world.status.phase)

    finish(world, Phase.ROLLED_BACK)
    assert "rollback was requested (by ann: payments fail)" == world.status.last_rollout.message
    assert "CarriedOut" == outcome(world, made)


def test_pause_resume_promote():
    """Each has the effect of the request of its name; in the end people read who has asked for full promotion."""
    world = climbing()
    made = [decide(world, Action.PAUSE, "ann")]
    world.crank(1)
    assert (Phase.PAUSED, "pause was requested (by ann)") == (world.status.phase, world.status.rollout.paused.message)

    made.append(decide(world, Action.RESUME, "bob"))
    world.crank(1)
    assert Phase.PROGRESSING is world.status.phase

    made.append(decide(world, Action.PROMOTE, "cid"))
    finish(world)
    assert "v2" == world.status.stable.version
    assert "full promotion was requested (by cid), which skips steps and gates" == world.status.last_rollout.message
    assert ["CarriedOut"] * 3 == [outcome(world, one) for one in made]


def test_rollback_and_hold_until_somebody_resumes():
    """With `hold`, no next version starts until a Resume."""
    world = climbing()
    decide(world, Action.ROLLBACK, hold=True)
    finish(world, Phase.ROLLED_BACK)
    world.apply("v3")
    world.crank(5)
    assert (Phase.PAUSED, None) == (world.status.phase, world.status.candidate)

    decide(world, Action.RESUME)
    reach(world, 5)


def test_retry_waits_for_the_end_of_the_rollback():
    """Made while the rollback is on, a retry is carried out after it, and the version starts again at its first step."""
    world = climbing()
    decide(world, Action.ROLLBACK, created=at(int(world.now) - 1))
    world.operate()
    made = decide(world, Action.RETRY, "bob")
    world.operate()
    assert (None, Phase.ROLLING_BACK) == (outcome(world, made), world.status.phase)

    assert world.crank(60, until=lambda: world.status.weight == 5)
    assert "CarriedOut" == outcome(world, made)


def test_nothing_is_carried_out_twice():
    """Whatever the operator forgets and however often it looks, a command that was carried out stays so."""
    world = climbing()
    made = decide(world, Action.PAUSE)
    world.crank(1)
    decide(world, Action.RESUME, created=at(int(world.now) + 1))
    world.crank(1)

    world.people.decisions[0] = made  # Its outcome was lost.
    world.die()
    world.crank(5)

    assert Phase.PROGRESSING is world.status.phase
    assert 1 == len(events(world, "Paused"))
    assert "CarriedOut" == outcome(world, made), "it is told again until the decision says so"


@pytest.mark.parametrize("crash", range(4))
def test_death_at_each_write(crash: int):
    """The uid is in the status with the effect, so a death before or after any write neither loses nor repeats a command."""
    world = climbing()
    made = [decide(world, Action.PAUSE), decide(world, Action.RESUME, created=at(int(world.now) + 1))]

    world.operate(crash_after=crash)
    world.crank(3)

    assert max(len(events(world, "Paused")), len(events(world, "Resumed"))) <= 1
    assert Phase.PROGRESSING is world.status.phase
    assert ["CarriedOut", "CarriedOut"] == [outcome(world, one) for one in made]
    assert [one.uid for one in made] == [one.uid for one in world.status.carried_out]


@pytest.mark.parametrize(
    ("action", "more", "became", "words"),
    [
        (Action.RESUME, {}, "Refused", "the rollout is not paused"),
        (Action.RETRY, {}, "Refused", "a rollout is in progress"),
        (
            Action.PAUSE,
            {"release_uid": "another"},
            "Refused",
            "it is for a Release of this name that was deleted since: decide again",
        ),
        (Action.PAUSE, {"expires": at(1)}, "Expired", "its time (spec.expires) was over before it was carried out"),
        (
            Action.PROMOTE,
            {"revision": "own-v1"},
            "Superseded",
            "it is about revision own-v1; v2 (revision own-v2) is rolled out",
        ),
        (Action.PAUSE, {"revision": "own-v2"}, "CarriedOut", ""),
        (
            Action.ROLLBACK,
            {"to_version": "v0"},
            "Refused",
            (
                "a rollback leads to the version in force, which is v1 and not v0; to have v0 again, write its template into the "
                "Deployment"
            ),
        ),
        (Action.ROLLBACK, {"to_version": "v1"}, "CarriedOut", ""),
    ],
)
def test_what_becomes_of_a_command(action: Action, more: dict, became: str, words: str):
    """What cannot be done is refused once, with the reason in the decision, the status and an Event."""
    world = climbing()
    made = decide(world, action, **more)

    world.crank(3)

    assert (became, words) == (outcome(world, made), why(world, made))
    refused = events(world, "DecisionRefused")
    assert ([f"{action.value.capitalize()} by ann was not carried out: {words}"] if words else []) == refused


def test_rollback_is_carried_out_however_late_it_is_seen():
    """Two API servers have clocks of their own: what takes traffic away counts, and what gives some is void after a later word."""
    world = climbing()
    later = decide(world, Action.PAUSE, "ann", created=at(int(world.now) + 5))
    world.crank(1)
    late = decide(world, Action.RESUME, "bob"), decide(world, Action.ROLLBACK, "cid")
    world.crank(1)

    assert ["CarriedOut", "Superseded", "CarriedOut"] == [outcome(world, one) for one in (later, *late)]
    assert "pause by ann was decided later, and was carried out before this one" == why(world, late[0])
    assert Cause.REQUEST is world.status.rollout.undo


@pytest.mark.parametrize("careful", [Action.PAUSE, Action.ROLLBACK, Action.REJECT])
@pytest.mark.parametrize("action", [Action.PROMOTE, Action.RESUME, Action.RETRY])
def test_what_gives_traffic_is_void_once_a_careful_word_is_known(action: Action, careful: Action):
    """Seen together, as after an outage of the operator, only the later word counts where it is the careful one."""
    world = climbing()
    first = decide(world, action, "ann")
    second = decide(world, careful, "bob", created=at(int(world.now) + 1))

    world.crank(1)

    assert ("Superseded", f"{careful.value.lower()} by bob was decided after it") == (outcome(world, first), why(world, first))
    assert "CarriedOut" == outcome(world, second)
    assert not world.status.rollout.skip_to_end


@pytest.mark.parametrize("action", [Action.PROMOTE, Action.RESUME, Action.RETRY])
def test_who_has_lost_the_right_gives_no_traffic(action: Action):
    """Between its making and its effect the right may be taken away: the API server is asked at that moment."""
    world = climbing()
    made = decide(world, action, "ann")
    world.people.dismissed = {"ann"}

    world.crank(2)

    assert ("Refused", f"ann may not {action.lower()} this Release any more") == (outcome(world, made), why(world, made))


def test_who_has_lost_the_right_still_stops_a_version():
    """What takes traffic away waits for no answer of the API server."""
    world = climbing()
    world.people.dismissed, world.readable = {"ann"}, False
    waits = decide(world, Action.PROMOTE, "bob")
    made = decide(world, Action.PAUSE, "ann")

    world.operate()

    assert (Phase.PAUSED, "CarriedOut", "Superseded") == (world.status.phase, outcome(world, made), outcome(world, waits))


def test_command_waits_until_the_right_was_asked_for():
    """While the API server does not answer, what gives traffic waits, and what is not asked of it goes on."""
    world = climbing()
    world.readable = False
    made = decide(world, Action.PROMOTE, "ann")
    world.crank(2)
    assert (None, False) == (outcome(world, made), world.status.rollout.skip_to_end)
    assert "to ask the API server whether ann still has the right before promote by ann is carried out" in world.words.values()

    world.readable = True
    finish(world)
    assert "CarriedOut" == outcome(world, made)


@pytest.mark.parametrize(
    ("request_text", "carried_out"), [("promote/1", False), ("resume/1", False), ("pause/1", True), ("rollback/1", True)]
)
def test_where_only_decisions_give_traffic(request_text: str, carried_out: bool):
    """Where the operator's configuration wants decisions, an annotation stops a version and gives it nothing."""
    world = climbing()
    world.governance = GovernanceView(by_decision=True)
    world.ask(request_text)
    world.crank(1)

    refused = events(world, "RequestRefused")
    assert carried_out == (refused == [])
    if not carried_out:
        verb = request_text.partition("/")[0]
        assert [
            f"Request {request_text} was not carried out: here it takes a ReleaseDecision: kubectl tidegate {verb} checkout -n shop"
        ] == refused


@pytest.mark.parametrize("by_decision", [False, True])
def test_commands_stand_in_the_message_whatever_reason_people_gave(by_decision: bool):
    """Who reads it at night finds how it goes on and how it goes back; a reason as long as one can be is cut in their favour."""
    world = climbing()
    world.governance = GovernanceView(by_decision=by_decision)
    resume = ", annotate the Release with tidegate.dev/request=resume/<id>"
    ends = f"; to go on{resume}, to roll back with tidegate.dev/request=rollback/<id>"
    if by_decision:
        ends = "; to go on: kubectl tidegate resume checkout -n shop; to roll back: kubectl tidegate rollback checkout -n shop"
        resume = ": kubectl tidegate resume checkout -n shop"
    decide(world, Action.PAUSE, "ann", reason="x" * 1024)
    world.crank(1)
    assert Phase.PAUSED is world.status.phase
    assert world.status.message.startswith("Rollout of v2 (stable: v1) is paused at 5%: pause was requested (by ann: xxx")
    assert world.status.message.endswith(ends)

    decide(world, Action.ROLLBACK, "ann", reason="x" * 1024, hold=True)
    finish(world, Phase.ROLLED_BACK)
    assert f"; to release them{resume}" in world.status.message
    world.apply("v3")
    world.crank(10)
    assert f"; to roll it out{resume}" in world.status.message


def test_commands_of_one_second():
    """Without any other sign of their order, the careful one has the last word."""
    world = climbing()
    decide(world, Action.PAUSE, version=0)
    void = decide(world, Action.PROMOTE, version=0)

    world.crank(1)

    assert (Phase.PAUSED, "Superseded") == (world.status.phase, outcome(world, void))


def test_commands_of_one_second_are_listed_as_they_were_carried_out():
    """Their uids, which are made by chance, say nothing of it: neither in the status nor in the record."""
    world = climbing()
    second = at(int(world.now))
    paused = decide(world, Action.PAUSE, uid="uid-z", created=second)
    world.crank(1)
    resumed = decide(world, Action.RESUME, uid="uid-a", created=second)
    world.crank(1)
    assert [paused.uid, resumed.uid] == [one.uid for one in world.status.carried_out]

    decide(world, Action.PROMOTE)
    finish(world)
    said = world.archive.specs[-1]["decisions"]
    assert ["Pause", "Resume", "Promote"] == [one["action"] for one in said]


def test_list_is_bounded_and_what_left_it_is_over():
    """The status keeps the last; what has made room is not carried out again, not even if its decision forgets that it was."""
    world = climbing()
    made = []
    for number in range(KEEP + 3):
        made.append(decide(world, Action.PAUSE if number % 2 == 0 else Action.RESUME))
        world.crank(2)
    assert KEEP == len(world.status.carried_out)
    assert made[2].created == world.status.carried_until

    world.people.decisions[0] = made[0]
    world.crank(2)

    assert "Expired" == outcome(world, made[0])
    assert Phase.PAUSED is world.status.phase, "the last word stands"


def test_flood_of_commands_is_dealt_with_in_one_pass():
    """However many there are, a rollback behind them all is carried out in the pass that sees it."""
    world = climbing()
    flood = [decide(world, Action.PAUSE) for _ in range(50)]
    made = decide(world, Action.ROLLBACK)

    world.operate()

    assert (0, "CarriedOut") == (world.status.weight, outcome(world, made))
    assert {"CarriedOut": 1, "Refused": 49} == {
        word: [outcome(world, one) for one in flood].count(word) for word in ("CarriedOut", "Refused")
    }


def unheard(world: World) -> World:
    """What became of decisions cannot be written into them."""
    world.people.hear = lambda *_: None
    return world


@pytest.mark.parametrize("later", [0, 1])
@pytest.mark.parametrize("action", [Action.ROLLBACK, Action.REJECT])
def test_rollback_waits_for_no_room(action: Action, later: int):
    """However many commands there are of which nothing can be told, in the same second or before: the traffic goes in this pass."""
    world = unheard(climbing())
    for _ in range(200):
        decide(world, Action.PAUSE, "bob")
    made = decide(world, action, created=at(int(world.now) + later))

    world.operate()
    assert (0, Phase.ROLLING_BACK) == (world.status.weight, world.status.phase)

    assert world.crank(60, until=lambda: world.status.phase is Phase.ROLLED_BACK)
    assert len(world.status.carried_out) <= MOST_CARRIED
    assert later == (made.uid in {one.uid for one in world.status.carried_out})


def test_what_has_made_room_untold_is_over():
    """It is never carried out again, and says so as soon as that can be written."""
    world = unheard(climbing())
    first = decide(world, Action.PAUSE)
    world.crank(1)
    for _ in range(100):
        decide(world, Action.RESUME, "bob", created=at(int(world.now)))
        world.crank(2)

    assert 1 == len(events(world, "Paused"))
    assert first.created < world.status.carried_until
    del world.people.hear
    world.crank(2)
    assert "Expired" == outcome(world, first)


def test_what_gives_traffic_is_not_carried_out_where_it_cannot_be_noted():
    """Or it would be again in each pass until there is room; the last of a flood in one second is void, and says so."""
    world = unheard(climbing())
    for _ in range(MOST_CARRIED):
        decide(world, Action.PAUSE, "bob")
    made = decide(world, Action.PROMOTE, version=10**6)
    world.operate()
    world.operate()
    assert not world.status.rollout.skip_to_end

    del world.people.hear
    world.crank(3)
    assert ([], "Expired") == (events(world, "PromotionRequested"), outcome(world, made))


def test_rollback_is_not_over_with_others_of_its_second():
    """Whoever makes many commands in a second does not make void what takes traffic away, and is seen a moment later."""
    world = climbing()
    now = at(int(world.now))
    for _ in range(KEEP + 4):
        decide(world, Action.PAUSE, "bob", created=now)
    world.operate()
    decide(world, Action.PAUSE, "bob", created=now)
    world.operate()
    assert now == world.status.carried_until

    void, made = decide(world, Action.RESUME, created=now), decide(world, Action.ROLLBACK, created=now)
    world.operate()

    assert (Phase.ROLLING_BACK, "CarriedOut", "Expired") == (world.status.phase, outcome(world, made), outcome(world, void))


def test_command_on_a_release_that_is_deleted():
    """What is being undone for good takes no commands any more."""
    world = climbing()
    world.delete()
    made = decide(world, Action.PROMOTE)

    world.crank(60)

    assert (True, None) == (world.gone, outcome(world, made))


def test_reject_during_a_rollout():
    """A Reject takes the traffic away, and keeps the version out as a breach does, until a Retry."""
    world = climbing()
    made = decide(world, Action.REJECT, "ann", role="qa", reason="totals are wrong")

    world.operate()
    assert 0 == world.status.weight
    finish(world, Phase.ROLLED_BACK)

    assert (Outcome.ROLLED_BACK, Cause.REJECTED) == (world.status.last_rollout.outcome, world.status.last_rollout.cause)
    assert "rejected by ann as qa: totals are wrong" == world.status.rejected[0].message
    assert world.status.message.startswith("v2 was rejected, v1 serves: rejected by ann as qa: totals are wrong")
    assert ("CarriedOut", True) == (outcome(world, made), condition(world, "Stalled"))

    decide(world, Action.RETRY, "bob")
    reach(world, 5)
    world.crank(5)
    assert 5 == world.status.weight, "the same Reject does not count twice"


def test_reject_before_the_start_keeps_a_version_out():
    """What waits is rejected without ever starting; the next version starts."""
    world = idle(policy(*LONG))
    world.ask("rollback-and-hold/1")
    world.apply("v2")
    world.crank(1)
    decide(world, Action.REJECT, "ann")
    world.crank(1)
    world.ask("resume/2")

    finish(world, Phase.ROLLED_BACK)
    assert [0] == world.weights
    assert ["v2 will not be rolled out: rejected by ann as qa"] == events(world, "Rejected")

    world.apply("v3")
    reach(world, 5)


def test_reject_of_what_nobody_wants_is_refused():
    """What serves, and what is gone, is nothing to be kept out."""
    world = idle(policy(*LONG))
    made = decide(world, Action.REJECT, revision="own-v1"), decide(world, Action.REJECT, revision="own-v0")

    world.crank(1)

    assert ["Refused"] * 2 == [outcome(world, one) for one in made]
    assert ["revision own-v1 is neither wanted nor rolled out", "revision own-v0 is neither wanted nor rolled out"] == [
        why(world, one) for one in made
    ]
    assert () == world.status.rejected
