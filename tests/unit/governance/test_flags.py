"""Definitions of flags: what is read of one, what is written into it, and what of its owner's is kept."""

from __future__ import annotations

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.governance.flags import (
    FlagKind,
    FlagTarget,
    FlagView,
    Setting,
    UnfitError,
    Wish,
    changed,
    outcome,
    step_setting,
    target_of,
    view_of,
)

TARGET = FlagTarget(FlagKind.CONFIG_MAP, "shop-flags", "flags.json", "new-checkout")
OFF, ON = Setting("off"), Setting("on")
BY_MAIL = {"ends_with": [{"var": "email"}, "@example.com"]}
BY_USER = {"var": "userId"}
UNTOLD = {"if": [BY_MAIL, "on", "off"]}


def flag(targeting: object = None, default: str = "off", **more) -> dict:
    """Return a definition."""
    base = {"state": "ENABLED", "variants": {"on": True, "off": False, "beta": "b"}, "defaultVariant": default}
    return base | ({} if targeting is None else {"targeting": targeting}) | more


def shares(percent: int, *, by: object = None) -> dict:
    """Return a fractional."""
    return {"fractional": [*([by] if by else []), ["on", percent], ["off", 100 - percent]]}


def wish(setting: Setting | None = None, *known: Setting, force: str = "", release: bool = False) -> Wish:
    """Return what is wanted."""
    return Wish(target=TARGET, on="on", off="off", setting=setting, known=known, force=force, release=release)


def test_ids_name_where_a_flag_is():
    """A key of a flag may have slashes, names of objects have none."""
    for one in (TARGET, FlagTarget(FlagKind.FEATURE_FLAG, "shop", "", "a/b"), FlagTarget(FlagKind.HOOK, "flags", "", "x")):
        assert one == target_of(one.id)
    assert "flag new-checkout (ConfigMap shop-flags, key flags.json)" == TARGET.words
    assert "flag a/b (FeatureFlag shop)" == FlagTarget(FlagKind.FEATURE_FLAG, "shop", "", "a/b").words


@pytest.mark.parametrize(
    ("definition", "setting", "forced"),
    [
        (flag(), OFF, ""),
        (flag({}), OFF, ""),
        (flag(default="beta"), Setting("beta"), ""),
        (flag(shares(10)), Setting("off", 10), ""),
        (flag(shares(10, by=BY_USER)), Setting("off", 10), ""),
        (flag({"fractional": [["off", 3], ["on", 1]]}), Setting("off", 25), ""),
        (flag({"fractional": [["off"], ["on"]]}), Setting("off", 50), ""),
        (flag({"fractional": [["on", -5], ["off", 7]]}), Setting("off", 0), ""),
        (flag({"if": [BY_MAIL, "on", shares(5)]}), Setting("off", 5), ""),
        (flag({"if": [True, "off"]}), OFF, "off"),
        (flag({"if": [True, "on", shares(30)]}), Setting("off", 30), "on"),
    ],
)
def test_what_a_definition_gives(definition: dict, setting: Setting, forced: str):
    assert FlagView(setting, forced, ("on", "off", "beta")) == view_of(definition, "on", "off")


@pytest.mark.parametrize(
    ("targeting", "why"),
    [
        (
            {"if": [BY_MAIL, "on"]},
            "has a targeting without fractional, which a percentage would take the place of: put one into it",
        ),
        ({"if": [BY_MAIL, shares(5), shares(10)]}, "has 2 fractionals in its targeting, and a percentage can move only one"),
        ({"fractional": [["on", 1], ["off", 2]]}, "has a fractional whose weights of on and off are no whole percentage"),
        ({"fractional": [["on", 50], ["beta", 50]]}, "has a fractional of other than whole weights of on and off"),
        ({"fractional": [["on", 0.5], ["off", 0.5]]}, "has a fractional of other than whole weights of on and off"),
        ({"fractional": [["on", True]]}, "has a fractional of other than whole weights of on and off"),
        ({"fractional": []}, "has a fractional that is no list of variants with weights"),
        ({"fractional": "on"}, "has a fractional that is no list of variants with weights"),
        ({"fractional": [BY_USER]}, "has a fractional that is no list of variants with weights"),
        ({"fractional": [["on", 0], ["off", 0]]}, "has a fractional whose weights of on and off are no whole percentage"),
        ({"fractional": [["on", 5], ["off", 90], ["on", 5]]}, "has a fractional with a variant that is named twice"),
    ],
)
def test_a_targeting_that_no_percentage_can_be_told_of_can_be_forced_all_the_same(targeting: dict, why: str):
    """A switch does not ask what it lays itself around; when it is released, the targeting is as it was."""
    view = view_of(flag(targeting), "on", "off")
    assert (None, why, "") == (view.setting, view.unfit, view.trouble)
    with pytest.raises(UnfitError, match="has "):
        changed(flag(targeting), wish(ON, OFF))

    forced = changed(flag(targeting), wish(force="off"))
    assert forced is not None
    assert {"if": [True, "off", targeting]} == forced["targeting"]
    assert flag(targeting) == changed(forced, wish(release=True))


def test_a_targeting_without_end_is_looked_at_so_deep_and_no_deeper():
    deep: object = "on"
    for _ in range(200):
        deep = {"if": [BY_MAIL, deep]}
    assert "has a targeting of more than 64 levels" == view_of(flag(deep), "on", "off").unfit


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        ("on", "is no JSON object"),
        ({"state": "ENABLED"}, "has no variants"),
        (flag(state="DISABLED"), "has the state DISABLED, so clients take a default of their own"),
    ],
)
def test_what_flagd_would_not_serve_is_trouble(definition: object, why: str):
    assert FlagView(trouble=why) == view_of(definition, "on", "off")
    with pytest.raises(UnfitError, match=why):
        changed(definition, wish(force="off"))


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (flag(default="gone"), "has no defaultVariant that is one of its variants"),
        (flag(variants={"off": False, "yes": True}), "has no variant on; there are off, yes"),
    ],
)
def test_a_definition_whose_setting_cannot_be_told_says_why(definition: dict, why: str):
    assert why == view_of(definition, "on", "off").unfit


@pytest.mark.parametrize(
    ("before", "setting", "after"),
    [
        (flag(), Setting("off", 10), flag(shares(10))),
        (flag(shares(10)), Setting("off", 50), flag(shares(50))),
        (flag(shares(10, by=BY_USER)), Setting("off", 50), flag(shares(50, by=BY_USER))),
        (flag({"fractional": [["off", 19], ["on"]]}), Setting("off", 50), flag({"fractional": [["off", 50], ["on", 50]]})),
        (flag({"if": [BY_MAIL, "on", shares(5)]}), Setting("off", 50), flag({"if": [BY_MAIL, "on", shares(50)]})),
        (flag({"if": [BY_MAIL, "on", shares(5)]}), Setting("on", 100), flag({"if": [BY_MAIL, "on", shares(100)]}, "on")),
        (flag(shares(50)), ON, flag(default="on")),
        (flag(), Setting("beta"), flag(default="beta")),
        (flag({"if": [True, "off", shares(10)]}), Setting("off", 50), flag({"if": [True, "off", shares(50)]})),
        (flag({"if": [True, "off"]}), Setting("off", 50), flag({"if": [True, "off", shares(50)]})),
        (flag({"if": [True, "off", shares(10)]}), ON, flag({"if": [True, "off"]}, "on")),
    ],
)
def test_a_setting_moves_the_default_and_the_weights_alone(before: dict, setting: Setting, after: dict):
    """Who else is told apart, by what, and what a switch forces stays; there and back again is where it was."""
    kept, seen = deepcopy(before), view_of(before, "on", "off").setting
    assert seen is not None
    assert after == changed(before, wish(setting, seen))
    assert kept == before
    assert setting == view_of(after, "on", "off").setting
    assert None is changed(after, wish(setting))


def test_what_somebody_else_has_set_is_not_written_over():
    """Neither what it was before nor what the rollout has set: it is somebody's will."""
    assert None is changed(flag(shares(33)), wish(Setting("off", 50), OFF, Setting("off", 10)))
    assert flag(shares(50)) == changed(flag(shares(10)), wish(Setting("off", 50), OFF, Setting("off", 10)))


def test_a_fractional_within_a_targeting_is_not_taken_away():
    with pytest.raises(UnfitError, match="has a fractional within its targeting, which would be lost"):
        changed(flag({"if": [BY_MAIL, "on", shares(5)]}), wish(ON, Setting("off", 5)))


def test_a_variant_that_is_not_there_cannot_be_set_or_forced():
    for one in (wish(Setting("gold"), OFF), wish(force="gold")):
        with pytest.raises(UnfitError, match="has no variant gold; there are on, off, beta"):
            changed(flag(), one)


@pytest.mark.parametrize(
    ("wanted", "after", "unset", "unforced"),
    [
        (wish(OFF, Setting("off", 50), force="off"), flag({"if": [True, "off", UNTOLD]}), "has a targeting without", ""),
        (wish(OFF, Setting("off", 50), release=True), flag(UNTOLD), "has a targeting without", ""),
        (wish(force="gold"), None, "", "has no variant gold"),
    ],
)
def test_what_cannot_be_set_stands_in_the_way_of_no_switch(wanted: Wish, after: dict | None, unset: str, unforced: str):
    came = outcome(flag({"if": [True, "on", UNTOLD]} if wanted.release else UNTOLD), wanted)
    assert after == came.definition
    assert came.unset.startswith(unset)
    assert came.unforced.startswith(unforced)
    assert (bool(unset), bool(unforced)) == (bool(came.unset), bool(came.unforced))


def test_a_variant_that_cannot_be_forced_keeps_no_setting_back():
    came = outcome(flag(), wish(Setting("off", 10), OFF, force="gold"))
    assert (flag(shares(10)), "") == (came.definition, came.unset)
    assert came.unforced.startswith("has no variant gold")


def test_forcing_and_setting_at_once_are_one_write():
    assert flag({"if": [True, "off", shares(10)]}) == outcome(flag(), wish(Setting("off", 10), OFF, force="off")).definition
    assert flag({"if": [True, "off", shares(10)]}) == changed(flag(), wish(Setting("off", 10), OFF, force="off"))


@pytest.mark.parametrize(
    ("before", "percent", "variant", "after"),
    [
        (OFF, 10, None, Setting("off", 10)),
        (Setting("off", 25), 10, None, Setting("off", 25)),
        (Setting("off", 25), 50, None, Setting("off", 50)),
        (ON, 10, None, ON),
        (Setting("beta"), 10, None, Setting("beta", 10)),
        (OFF, 0, None, OFF),
        (OFF, None, "on", ON),
        (ON, None, "off", OFF),
        (Setting("off", 25), None, "on", Setting("on", 100)),
        (Setting("off", 25), None, "off", Setting("off", 0)),
        (Setting(""), 10, None, Setting("", 10)),
        (Setting(""), None, "on", ON),
    ],
)
def test_a_percentage_takes_a_flag_from_nobody_who_had_it(
    before: Setting, percent: int | None, variant: str | None, after: Setting
):
    """A hotfix of a version whose feature all have does not take it from nine of ten; a variant is set as it is named."""
    assert after == step_setting(before, percent=percent, variant=variant, on="on", off="off")


SETTINGS = st.one_of(
    st.builds(Setting, st.sampled_from(["on", "off"])),
    st.builds(Setting, st.sampled_from(["on", "off"]), st.integers(0, 100)),
)
TARGETINGS = st.sampled_from([None, {}, shares(0), shares(40), shares(100, by=BY_USER)])


@given(
    targeting=TARGETINGS,
    default=st.sampled_from(["on", "off"]),
    steps=st.lists(SETTINGS, max_size=4),
    forced=st.sampled_from(["", "on", "off"]),
)
def test_whatever_was_set_and_forced_a_definition_comes_back_as_it_was(
    targeting: object, default: str, steps: list[Setting], forced: str
):
    """But for an empty targeting, which says nothing; and users are told apart as before where a percentage stays one."""
    first = flag(targeting, default)
    before = view_of(first, "on", "off").setting
    assert before is not None
    now, seen = first, [before]
    for one in steps:
        wanted = one if before.percent is None else Setting(one.variant, one.percent if one.percent is not None else 100)
        now = changed(now, wish(wanted, *seen, force=forced)) or now
        seen.append(wanted)
    now = changed(now, wish(before, *seen, release=True)) or now
    assert first | {"targeting": targeting or None} == now | {"targeting": now.get("targeting") or None}
