"""Flags follow the steps, are put back after a rollback, and are left to whoever else sets them; switches wait for nothing."""

from __future__ import annotations

import pytest

from simulation.deciders import decide, outcome, why
from simulation.flagd import FEATURE, FLAGS, PAYMENTS, boolean
from simulation.policies import events, finish, gate, idle, policy, reach, step
from simulation.world import World
from tidegate.api.decision import Action
from tidegate.api.flags import Position
from tidegate.api.names import Phase
from tidegate.governance.flags import Setting

OFF, ON = Setting("off"), Setting("on")


def sets(weight: int, hold: str = "5s", **flags: int | str) -> dict:
    """Return a step that sets flags."""
    entries = [{"name": name, "percent" if isinstance(to, int) else "variant": to} for name, to in flags.items()]
    return step(weight, hold) | {"flags": entries}


STEPS = (sets(25, feature=10), sets(50, feature=50), sets(100, feature="on"))


def there(*steps: dict, flags: dict | None = FLAGS, **more) -> World:
    """Return a world with two flags, in which v1 serves."""
    world = idle(policy(*(steps or STEPS), bake="3s", **more))
    world.flags.spec = flags
    world.flags.there = {"new-checkout": boolean(), "payments": boolean("on")}
    return world


def switch(world: World, to: Position, flag: str = "payments", by: str = "ann", **more):
    """`kubectl tidegate switch`."""
    return decide(world, Action.SWITCH, by, flag=flag, switch=to, **more)


def test_flags_follow_the_steps():
    """Each is set once the route carries the weight; with the last step everybody has it, and nothing of it stays in the status."""
    world = there()
    world.apply("v2")
    reach(world, 25)
    world.crank(1)
    assert (Setting("off", 10), "") == world.flags.says("new-checkout")
    (entry,) = world.status.flags
    assert (FEATURE, "feature", "off") == (entry.target, entry.name, entry.before.variant)

    finish(world)
    assert "v2" == world.status.stable.version
    assert ["10%", "50%", "variant on"] == world.flags.given["new-checkout"]
    assert () == world.status.flags
    assert boolean("on") == world.flags.there["new-checkout"]
    where = "flag new-checkout (ConfigMap shop-flags, key flags.json)"
    told = [f"{where} is set to {setting} for v2" for setting in ("10%", "50%", "variant on")]
    assert told == events(world, "FlagSet")


def test_a_rollback_puts_flags_back():
    """The traffic goes first, in the pass that sees the breach; then the flag is what it was, and people read of it."""
    world = there(gates=(gate(),))
    world.apply("v2")
    reach(world, 50)
    world.crank(1)
    assert 50 == world.flags.says("new-checkout")[0].percent
    world.quality["errors"] = 0.5
    assert world.crank(20, until=lambda: world.status.phase is Phase.ROLLING_BACK)
    assert 0 == world.status.weight

    finish(world, Phase.ROLLED_BACK)
    assert boolean() == world.flags.there["new-checkout"]
    where = "flag new-checkout (ConfigMap shop-flags, key flags.json)"
    assert [f"{where} is restored to variant off, as it was before the rollout"] == events(world, "FlagPutBack")
    world.crank(90)
    assert () == world.status.flags


def test_a_rollback_does_not_wait_for_a_flag_that_cannot_be_put_back():
    """It ends as it would without; the flag is tried again until it is done, and the status says what it waits for."""
    world = there(gates=(gate(),))
    world.apply("v2")
    reach(world, 50)
    world.crank(1)
    world.flags.refused = "may not be set"
    world.quality["errors"] = 0.5
    finish(world, Phase.ROLLED_BACK)

    where = "flag new-checkout (ConfigMap shop-flags, key flags.json)"
    assert world.status.message.endswith(f"; {where} is not restored yet: it may not be set")
    assert [f"{where} was not set to variant off: may not be set"] == events(world, "FlagNotSet")
    assert 50 == world.flags.says("new-checkout")[0].percent

    world.flags.refused = ""
    world.crank(2)
    assert (OFF, "") == world.flags.says("new-checkout")


@pytest.mark.parametrize("again", [False, True])
def test_what_somebody_has_set_during_a_rollout_is_left_so(again: bool):
    """Neither the next step nor the rollback writes over it, people are told once, and the next rollout begins from there."""
    world = there(gates=(gate(),))
    world.apply("v2")
    reach(world, 25)
    world.crank(1)
    world.flags.there["new-checkout"]["targeting"]["fractional"] = [["on", 33], ["off", 67]]
    reach(world, 50)
    world.crank(1)
    where = "flag new-checkout (ConfigMap shop-flags, key flags.json)"
    assert [f"{where} was not set to 50%: somebody has set it to 33% meanwhile, and it is left so"] == events(world, "FlagNotSet")
    world.quality["errors"] = 0.5 if again else 0.0
    finish(world, Phase.ROLLED_BACK if again else Phase.IDLE)

    assert 33 == world.flags.says("new-checkout")[0].percent
    assert ["10%"] == world.flags.given["new-checkout"]
    assert () == world.status.flags


def test_users_who_have_a_feature_keep_it_in_the_next_rollout():
    """A hotfix of the version that brought it goes up the same steps, and takes it from nobody."""
    world = there()
    world.apply("v2")
    finish(world)
    world.flags.given.clear()
    world.apply("v3")
    finish(world)

    assert "v3" == world.status.stable.version
    assert {} == world.flags.given


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda world: world.flags.there.pop("new-checkout"), "was not found"),
        (lambda world: setattr(world.flags, "there", None), "was not found"),
        (
            lambda world: world.flags.there["new-checkout"].update(targeting={"if": [{"var": "beta"}, "on"]}),
            "has a targeting without fractional, which a percentage would take the place of: put one into it",
        ),
        (lambda world: world.flags.there["new-checkout"].update(variants={"off": 1}), "has no variant on; there are off"),
    ],
)
def test_a_definition_that_cannot_be_used_keeps_a_rollout_from_starting(spoil, why: str):
    """The sentence names ConfigMap, key and flag; nothing of the version is there, and once it is fixed the rollout starts."""
    world = there()
    before = dict(world.flags.there)
    spoil(world)
    world.apply("v2")
    world.crank(10)

    where = "flag new-checkout (ConfigMap shop-flags, key flags.json)"
    assert (Phase.WAITING, None) == (world.status.phase, world.status.rollout)
    assert f"v2 waits for {where}, which {why}; v1 serves meanwhile" == world.status.message
    assert [("Flag", f"{where} {why}")] == [(one.barrier, one.what) for one in world.status.waiting_for]
    assert 0 == world.flags.written

    world.flags.there = before | {"new-checkout": boolean()}
    finish(world)
    assert "v2" == world.status.stable.version


def test_a_policy_that_sets_a_flag_the_release_does_not_have_is_told_of():
    world = there(flags=None)
    world.apply("v2")
    world.crank(5)

    what = "step 1 sets flag feature, which spec.flags of the Release does not have"
    assert (
        f"v2 waits for flag feature: {what}; add it there, or name a policy without it; v1 serves meanwhile" == world.status.message
    )


def test_a_variant_that_the_definition_does_not_have_is_found_before_the_start():
    world = there(sets(100, feature="gold"))
    world.apply("v2")
    world.crank(5)
    assert "has no variant gold; there are on, off" in world.status.message
    assert Phase.WAITING is world.status.phase


def test_a_step_does_not_end_before_its_flags_are_set():
    """Nor does it take anything from the version; a rollback asks nothing of it."""
    world = there()
    world.apply("v2")
    reach(world, 25)
    world.flags.refused = "may not be set"
    world.flags.there["new-checkout"] = boolean()
    world.crank(60)
    assert 25 == world.status.weight
    assert "to be set to 10%, but it may not be set" in world.status.message

    world.flags.refused = ""
    finish(world)
    assert "v2" == world.status.stable.version


def test_full_promotion_sets_what_the_steps_in_between_would_have_set():
    """A step that is left out sets its flags all the same."""
    world = there(sets(25), sets(50, payments="off"), sets(100, feature="on"))
    world.apply("v2")
    reach(world, 25)
    world.ask("promote/1")
    finish(world)

    assert (OFF, ON) == (world.flags.says("payments")[0], world.flags.says("new-checkout")[0])


def test_an_operator_that_dies_after_the_status_sets_the_flag_all_the_same():
    """What is wanted stands in the status before it is written, and what it was before, too."""
    world = there()
    world.apply("v2")
    reach(world, 25)
    assert world.crank(5, until=lambda: bool(world.status.flags))
    world.flags.there["new-checkout"] = boolean()
    world.die()
    world.crank(2)
    assert 10 == world.flags.says("new-checkout")[0].percent
    finish(world)


def test_a_release_that_is_deleted_during_a_rollout_puts_its_flags_back():
    world = there()
    world.apply("v2")
    reach(world, 50)
    world.crank(1)
    world.deleting = world.now
    assert world.crank(120, until=lambda: world.gone), world.status.message
    assert boolean() == world.flags.there["new-checkout"]


def test_a_flag_keeps_a_release_that_is_deleted_for_a_minute_at_most():
    world = there()
    world.apply("v2")
    reach(world, 50)
    world.crank(1)
    world.flags.refused = "may not be set"
    world.deleting = world.now
    assert not world.crank(30, until=lambda: world.gone)
    assert world.crank(120, until=lambda: world.gone), world.status.message


# Switches


def test_a_switch_is_forced_until_another_decision_takes_it_back():
    """At once, and without a rollout; people read by whom and why, and the decision says what became of it."""
    world = there()
    made = switch(world, Position.OFF, reason="disk full")
    world.crank(1)

    assert (ON, "off") == world.flags.says("payments")
    assert "CarriedOut" == outcome(world, made)
    (entry,) = world.status.flags
    assert (PAYMENTS, "off", "ann", True) == (entry.target, entry.forced, entry.by, entry.in_force is not None)
    where = "flag payments (ConfigMap shop-flags, key flags.json)"
    assert [f"{where} is switched off: everybody gets variant off (by ann: disk full)"] == events(world, "Switched")

    switch(world, Position.BACK, by="bob")
    world.crank(2)
    assert boolean("on") == world.flags.there["payments"]
    assert () == world.status.flags
    assert f"{where} is switched back to its definition (by bob)" == events(world, "Switched")[-1]


def test_a_flag_that_is_switched_off_stays_so_through_rollouts_and_restarts():
    """The rollout sets what lies beneath, which is there once the flag is switched back."""
    world = there()
    switch(world, Position.OFF, flag="feature")
    world.crank(1)
    world.apply("v2")
    finish(world)
    world.die()
    world.crank(5)
    assert (ON, "off") == world.flags.says("new-checkout")

    switch(world, Position.BACK, flag="feature")
    world.crank(2)
    assert boolean("on") == world.flags.there["new-checkout"]


def test_a_switch_during_a_rollout_outlives_its_rollback():
    world = there(gates=(gate(),))
    world.apply("v2")
    reach(world, 50)
    world.crank(1)
    switch(world, Position.OFF, flag="feature")
    world.crank(1)
    assert (Setting("off", 50), "off") == world.flags.says("new-checkout")
    world.quality["errors"] = 0.5
    finish(world, Phase.ROLLED_BACK)
    world.crank(90)

    assert (OFF, "off") == world.flags.says("new-checkout")
    assert [("off", False)] == [(one.forced, one.restore) for one in world.status.flags]


def test_a_tool_that_applies_the_definition_again_does_not_undo_a_switch():
    """It is forced again at the next look."""
    world = there()
    switch(world, Position.OFF)
    world.crank(1)
    world.flags.there["payments"] = boolean("on")
    world.crank(2)
    assert (ON, "off") == world.flags.says("payments")


def test_a_switch_waits_for_no_rollback_and_no_other_command():
    """A retry that waits for the end of a rollback is in nobody's way."""
    world = there(gates=(gate(),))
    world.apply("v2")
    reach(world, 25)
    world.quality["errors"] = 0.5
    assert world.crank(20, until=lambda: world.status.phase is Phase.ROLLING_BACK)
    retry = decide(world, Action.RETRY, "ann")
    made = switch(world, Position.OFF)
    world.crank(0.5)

    assert ("CarriedOut", None) == (outcome(world, made), outcome(world, retry))
    assert "off" == world.flags.says("payments")[1]


def test_a_later_promotion_is_not_overtaken_by_a_switch():
    """Switches are no commands on the rollout: one that is carried out makes none of those void that were made before it."""
    world = there()
    world.apply("v2")
    reach(world, 25)
    made = decide(world, Action.PROMOTE, "ann")
    switch(world, Position.OFF)
    world.crank(3)
    assert "CarriedOut" == outcome(world, made)


def test_of_several_decisions_on_one_flag_the_last_counts():
    world = there()
    first, last = switch(world, Position.ON), switch(world, Position.OFF, by="bob")
    world.crank(2)

    assert ("Superseded", "CarriedOut") == (outcome(world, first), outcome(world, last))
    assert "a switch of payments by bob was decided after it" == why(world, first)
    assert "off" == world.flags.says("payments")[1]


def test_a_kill_switch_is_not_given_up_for_a_decision_that_does_not_count():
    """To switch on again asks for the right; whoever has lost it takes nobody's kill switch away."""
    world = there()
    world.people.dismissed = {"bob"}
    first, last = switch(world, Position.OFF), switch(world, Position.ON, by="bob")
    world.crank(3)
    assert ("CarriedOut", "Refused") == (outcome(world, first), outcome(world, last))
    assert "off" == world.flags.says("payments")[1]


@pytest.mark.parametrize(
    ("to", "flag", "words"),
    [
        (Position.OFF, "search", "Release checkout has no flag search (spec.flags); there are: feature, payments"),
        (Position.BACK, "payments", "flag payments is not switched off or on"),
    ],
)
def test_a_switch_that_nothing_can_be_made_of_is_refused(to: Position, flag: str, words: str):
    world = there()
    made = switch(world, to, flag)
    world.crank(2)
    assert ("Refused", words) == (outcome(world, made), why(world, made))
    assert [f"Switch of {flag} by ann was not carried out: {words}"] == events(world, "DecisionRefused")


@pytest.mark.parametrize("to", [Position.BACK, Position.ON])
def test_who_has_lost_the_right_does_not_switch_back_or_on(to: Position):
    """To switch off is carried out at once, by who had the right when they decided; what gives users something asks again."""
    world = there()
    switch(world, Position.OFF)
    world.crank(1)
    world.people.dismissed = {"bob"}
    made = switch(world, to, by="bob")
    world.crank(2)

    assert ("Refused", "bob may not switch flags of this Release any more") == (outcome(world, made), why(world, made))
    assert "off" == world.flags.says("payments")[1]


def test_a_definition_that_cannot_be_forced_is_told_of_and_tried_again():
    world = there()
    world.flags.refused = "may not be set"
    switch(world, Position.OFF)
    world.crank(2)
    where = "flag payments (ConfigMap shop-flags, key flags.json)"
    assert f"v1 serves; {where} is not switched off yet: it may not be set" == world.status.message
    assert [f"{where} was not switched off: may not be set"] == events(world, "FlagNotSet")

    world.flags.refused = ""
    world.crank(2)
    assert "off" == world.flags.says("payments")[1]
    assert "v1 serves; flag payments is switched off by ann" == world.status.message


GOLD = {"if": [{"==": [{"var": "tier"}, "gold"]}, "on", "off"]}
WHERE = "flag new-checkout (ConfigMap shop-flags, key flags.json)"
UNFIT = "has a targeting without fractional, which a percentage would take the place of: put one into it"


def unfit(world: World, *, renamed: bool) -> None:
    """Somebody gives the flag's definition a form in which the rollout cannot set it."""
    definition = world.flags.there["new-checkout"]
    if renamed:
        definition["variants"] = {"off": False, "yes": True}
    else:
        inner = definition.get("targeting", {})
        forced = inner.get("if", [None])[0] is True
        definition["targeting"] = {"if": [*inner["if"][:2], GOLD]} if forced else GOLD


@pytest.mark.parametrize("renamed", [False, True])
def test_a_flag_that_cannot_be_restored_is_switched_all_the_same(renamed: bool):
    """What is forced is laid around the targeting, whatever that is; that the flag is not restored is told beside it."""
    world = there()
    world.apply("v2")
    reach(world, 50)
    world.crank(1)
    unfit(world, renamed=renamed)
    before = dict(world.flags.there["new-checkout"])
    world.ask("rollback/1")
    world.crank(30)
    why = "has no variant on; there are off, yes" if renamed else UNFIT

    switch(world, Position.OFF, flag="feature")
    world.crank(2)
    assert "off" == world.flags.says("new-checkout")[1]
    assert world.status.flags[0].in_force is not None
    assert f"; flag feature is switched off by ann; {WHERE} is not restored yet: it {why}" in world.status.message

    switch(world, Position.BACK, flag="feature")
    world.crank(2)
    assert before == world.flags.there["new-checkout"]
    (entry,) = world.status.flags
    assert (None, False, True) == (entry.forced, entry.released, entry.restore)
    assert world.status.message.endswith(f"; {WHERE} is not restored yet: it {why}")


def test_a_switch_stays_in_force_where_the_flag_cannot_be_restored_later():
    world = there()
    world.apply("v2")
    reach(world, 50)
    switch(world, Position.OFF, flag="feature")
    world.crank(1)
    since = world.status.flags[0].in_force
    unfit(world, renamed=False)
    world.ask("rollback/1")
    world.crank(30)

    assert "off" == world.flags.says("new-checkout")[1]
    assert since == world.status.flags[0].in_force is not None
    assert f"{WHERE} is not restored yet: it {UNFIT}" in world.status.message


def test_a_flag_that_the_release_does_not_name_any_more_can_be_switched_back():
    world = there()
    switch(world, Position.OFF)
    world.crank(1)
    world.flags.spec = None
    switch(world, Position.BACK)
    world.crank(2)
    assert boolean("on") == world.flags.there["payments"]
    assert () == world.status.flags
