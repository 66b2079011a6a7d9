"""What is written into definitions, as flagd's own evaluator reads it: who gets what, over the whole life of a rollout."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flag_clients import USERS, Clients, is_near
from simulation.deciders import decide
from simulation.flagd import FLAGS, boolean
from simulation.policies import finish, gate, idle, policy, reach, step
from simulation.world import World
from tidegate.api.decision import Action
from tidegate.api.flags import Position
from tidegate.api.names import Phase
from tidegate.governance.flags import FlagKind, FlagTarget, Setting, Wish, outcome
from tidegate.workloads.flag_files import definitions, patch

KEY = "new-checkout"
BY_MAIL = {"ends_with": [{"var": "email"}, "@example.com"]}


class Definitions:
    """A ConfigMap, written by what the operator writes."""

    def __init__(self, definition: dict) -> None:
        text = json.dumps({"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {KEY: definition}}, indent=2)
        metadata = {"name": "shop-flags", "uid": "1", "labels": {"tidegate.dev/flags": "true"}}
        self.obj = {"metadata": metadata, "data": {"flags.json": text}}

    def write(self, setting: Setting | None = None, *known: Setting, force: str = "", release: bool = False) -> Clients:
        """Have it say something else; return who reads it then."""
        target = FlagTarget(FlagKind.CONFIG_MAP, "shop-flags", "flags.json", KEY)
        wish = Wish(target=target, on="on", off="off", setting=setting, known=known, force=force, release=release)
        found = definitions(self.obj, FlagKind.CONFIG_MAP, "flags.json")
        came = outcome(found.of(KEY), wish)
        assert (came.unset, came.unforced) == ("", "")
        if came.definition is not None:
            self.obj["data"]["flags.json"] = patch(found, {KEY: came.definition})[-1]["value"]
        return self.clients

    @property
    def clients(self) -> Clients:
        return Clients(self.obj["data"]["flags.json"])


def rolling() -> World:
    """v2 has 20% of the traffic, and 20% of the users have its feature; payments are there for all, maintenance for nobody."""
    steps = [
        step(20, "5s") | {"flags": [{"name": "feature", "percent": 20}]},
        step(50, "5s") | {"flags": [{"name": "feature", "percent": 50}]},
        step(100) | {"flags": [{"name": "feature", "variant": "on"}]},
    ]
    world = idle(policy(*steps, bake="10s", gates=(gate(),)))
    world.flags.spec = FLAGS | {"items": [*FLAGS["items"], {"name": "maintenance"}]}
    world.flags.there = {KEY: boolean(), "payments": boolean("on"), "maintenance": boolean()}
    world.apply("v2")
    come_to(world, 20)
    return world


def come_to(world: World, weight: int) -> None:
    """Have a step come, with its flags."""
    reach(world, weight)
    world.crank(1)


def clients(world: World) -> Clients:
    return Clients(json.dumps({"flags": world.flags.there}))


def test_users_who_are_in_stay_in_until_the_rollout_is_taken_back() -> None:
    """20%, 50%, all, and after a breach in the bake nobody: as it was before."""
    world = rolling()
    at_20 = clients(world).having()
    come_to(world, 50)
    at_50 = clients(world).having()
    come_to(world, 100)
    at_100, without_key = clients(world).having(), clients(world).gets()
    world.quality["errors"] = 0.5
    finish(world, Phase.ROLLED_BACK)

    assert (is_near(at_20, 20), is_near(at_50, 50)) == (True, True)
    assert at_20 < at_50 < at_100
    assert (at_100, without_key) == (frozenset(USERS), True)
    assert (clients(world).having(), clients(world).gets()) == (frozenset(), False)


def test_a_switch_is_for_everybody_and_leaves_who_had_what() -> None:
    """Off while 20% have it, and a step goes by meanwhile; back at 50% all who had it have it again. Maintenance is on for all."""
    world = rolling()
    had = clients(world).having()
    for flag, to in (("feature", Position.OFF), ("payments", Position.OFF), ("maintenance", Position.ON)):
        decide(world, Action.SWITCH, "ann", flag=flag, switch=to)
    world.crank(2)
    off = clients(world)
    come_to(world, 50)
    later = clients(world)
    for flag in ("feature", "payments", "maintenance"):
        decide(world, Action.SWITCH, "ann", flag=flag, switch=Position.BACK)
    world.crank(2)
    back = clients(world)

    for one in (off, later):
        assert (one.having(), one.gets(), one.having("payments")) == (frozenset(), False, frozenset())
        assert (one.having("maintenance"), one.gets(flag="maintenance")) == (frozenset(USERS), True)
    assert had < back.having()
    assert is_near(back.having(), 50)
    assert (back.having("payments"), back.having("maintenance")) == (frozenset(USERS), frozenset())


def test_rules_for_single_users_stay_and_a_switch_counts_for_them_too() -> None:
    """Whoever has it by mail has it at each percentage, and does not have it while it is switched off."""
    file = Definitions(boolean() | {"targeting": {"if": [BY_MAIL, "on", {"fractional": [["on", 5], ["off", 95]]}]}})
    before = file.clients.having()
    at_20 = file.write(Setting("off", 20), Setting("off", 5))
    off = file.write(force="off")
    back = file.write(Setting("off", 5), Setting("off", 20), release=True)

    assert before < at_20.having()
    assert (at_20.gets("ann", email="ann@example.com"), at_20.gets(email="ann@example.com")) == (True, True)
    assert (off.gets("ann", email="ann@example.com"), off.having()) == (False, frozenset())
    assert (back.having(), back.gets("ann", email="ann@example.com")) == (before, True)


@pytest.mark.parametrize(
    "weights", [[["on", 5], ["off", 95]], [["off", 95], ["on", 5]], [["off", 19], ["on"]], [["on"], ["off", 19]]], ids=str
)
def test_who_had_it_before_the_rollout_keeps_it_in_whatever_order_the_variants_stand(weights: list) -> None:
    """And after a rollback they have it again, and nobody else."""
    file = Definitions(boolean() | {"targeting": {"fractional": weights}})
    before = file.clients.having()
    during = file.write(Setting("off", 20), Setting("off", 5)).having()
    after = file.write(Setting("off", 5), Setting("off", 20)).having()

    assert is_near(before, 5)
    assert before < during
    assert (is_near(during, 20), after) == (True, before)


def test_users_without_a_key_fall_under_no_percentage() -> None:
    """They get the default variant, until a step names one."""
    file = Definitions(boolean())
    at_50 = file.write(Setting("off", 50), Setting("off"))
    on = file.write(Setting("on"), Setting("off", 50))

    assert (at_50.gets(), on.gets()) == (False, True)


@settings(max_examples=25)
@given(
    percents=st.lists(st.integers(0, 100), min_size=2, max_size=4),
    by=st.sampled_from([[], [{"var": "company"}]]),
    first=st.sampled_from(["on", "off"]),
)
def test_a_higher_percentage_takes_it_from_nobody(percents: list[int], by: list, first: str) -> None:
    """Whatever users are told apart by, and whichever variant stands first."""
    pairs = [["on", 0], ["off", 100]]
    file = Definitions(boolean() | {"targeting": {"fractional": [*by, *(pairs if first == "on" else pairs[::-1])]}})
    had, known = frozenset[str](), Setting("off", 0)
    for percent in sorted(percents):
        wanted = Setting("off", percent)
        reads = file.write(wanted, known)
        has = frozenset(user for user in USERS[:200] if reads.gets(user, company=f"of {user}"))
        assert had <= has
        assert percent not in {0, 100} or len(has) == 2 * percent
        had, known = has, wanted
