"""Definitions of flags are read and written where they stand, with all else as it was; what cannot be written says why."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tidegate.cluster.errors import Unavailable
from tidegate.controller.observe.flags import Flags, asked, seen
from tidegate.controller.observe.hook_config import HookConfig
from tidegate.controller.observe.hooks import Hooks
from tidegate.governance.flags import FlagKind, FlagTarget, FlagView, Setting, Wish
from unit.controller.api_server import ApiServer
from unit.controller.stage import Stage

Json = dict[str, Any]
CONFIG_MAP = "/api/v1/namespaces/shop/configmaps/shop-flags"
TARGET = FlagTarget(FlagKind.CONFIG_MAP, "shop-flags", "flags.json", "new-checkout")
OFF = Setting("off")


def flag(default: str = "off", **more: Any) -> Json:
    """Return a definition."""
    return {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": default} | more


def config_map(api: ApiServer, text: str | None = None, **metadata: Any) -> Json:
    """Put a ConfigMap on stage."""
    whole = {"namespace": "shop", "name": "shop-flags", "labels": {"tidegate.dev/flags": "true"}} | metadata
    body = json.dumps({"flags": {"new-checkout": flag(), "other": {"any": [1.5, "\u00e4"]}}}, indent=4) + "\n"
    data = {"flags.json": body if text is None else text, "more": "kept"}
    return api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": whole, "data": data})


def wish(**more: Any) -> Wish:
    """Return what is wanted; by default 10%, of a flag that was off."""
    return Wish(**({"target": TARGET, "on": "on", "off": "off", "setting": Setting("off", 10), "known": (OFF,)} | more))


@pytest.fixture
def flags(stage: Stage) -> Flags:
    return Flags(stage.cluster, Hooks({}))


async def look(flags: Flags, *wishes: Wish) -> FlagView:
    """Have the first of some wishes fulfilled."""
    return seen(await flags.read("shop", asked("checkout", wishes)))[wishes[0].target.id]


def stored(api: ApiServer) -> str:
    return str(api.objects[CONFIG_MAP]["data"]["flags.json"])


async def test_a_flag_is_set_and_all_else_is_as_it_was(flags: Flags, api: ApiServer) -> None:
    """Order, indent, letters beyond ASCII and the end of the file; a second look writes nothing."""
    before = config_map(api)["data"]["flags.json"]
    first = await look(flags, wish())
    written = stored(api)
    again = await look(flags, wish())

    wanted = flag(targeting={"fractional": [["on", 10], ["off", 90]]})
    assert (
        json.dumps({"flags": {"new-checkout": wanted, "other": {"any": [1.5, "\u00e4"]}}}, indent=4, ensure_ascii=False) + "\n"
        == written
    )
    assert before != written == stored(api)
    assert (Setting("off", 10), "") == (first.setting, first.trouble) == (again.setting, again.trouble)


async def test_what_is_only_looked_at_is_not_written(flags: Flags, api: ApiServer) -> None:
    config_map(api)
    view = await look(flags, wish(setting=None, known=()))
    assert FlagView(OFF, "", ("on", "off"), told="||") == view
    assert [] == api.requests


async def test_what_somebody_else_has_set_is_told_and_left(flags: Flags, api: ApiServer) -> None:
    other = flag(targeting={"fractional": [["on", 33], ["off", 67]]})
    config_map(api, json.dumps({"flags": {"new-checkout": other}}))
    assert Setting("off", 33) == (await look(flags, wish())).setting
    assert [] == api.requests


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("flags: {}", "cannot be read: the definitions are no JSON (line 1, column 1)"),
        ('{"flags": {"a": 1, "a": 2}}', "cannot be read: the definitions have a key twice"),
        ('{"flags": {"a": NaN}}', "cannot be read: the definitions are no JSON"),
        ('{"flags": {"a": 1e999}}', "cannot be read: the definitions are no JSON"),
        ("[" * 100_000, "cannot be read: the definitions are nested too deep"),
        ('"' + "x" * 300_000 + '"', "cannot be read: the definitions have more than 256 KiB"),
        (
            '{"flags": {"new-checkout": {}, "other": {"variants": {"a": "\\ud800"}}}}',
            "cannot be read: the definitions have half a surrogate pair, such as \\ud800: write the whole pair",
        ),
        ("[]", "is not defined there: no object flags is in the definitions"),
        ('{"flags": {}}', "is not defined there"),
    ],
)
async def test_what_cannot_be_read_says_why_without_a_value(flags: Flags, api: ApiServer, text: str, why: str) -> None:
    config_map(api, text)
    assert why == (await look(flags, wish())).trouble
    assert [] == api.requests


async def test_the_object_has_to_agree(flags: Flags, api: ApiServer) -> None:
    """Without the label it is not even parsed."""
    config_map(api, labels={"tidegate.dev/flags": "false"})
    why = "may not be set by Tidegate: label its ConfigMap with tidegate.dev/flags=true if it may"
    assert why == (await look(flags, wish())).trouble


async def test_what_is_missing_or_forbidden_is_named(flags: Flags, api: ApiServer) -> None:
    assert "was not found: there is no ConfigMap of that name in shop" == (await look(flags, wish())).trouble
    feature = FlagTarget(FlagKind.FEATURE_FLAG, "shop-flags", "", "new-checkout")
    words = ", or the cluster does not have featureflags.core.openfeature.dev"
    assert (await look(flags, wish(target=feature))).trouble.endswith(words)
    config_map(api)
    api.fault("GET", CONFIG_MAP, status=403, reason="Forbidden", times=1)
    assert "cannot be read: the operator lacks the permission to get configmaps in shop" == (await look(flags, wish())).trouble


async def test_an_api_server_that_is_away_says_nothing_of_a_flag(flags: Flags, api: ApiServer) -> None:
    """It is asked again: nobody is told that the definition is wrong."""
    config_map(api)
    api.fault("GET", CONFIG_MAP, status=503, times=9)
    with pytest.raises(Unavailable):
        await look(flags, wish())


async def test_two_flags_of_an_object_are_one_write(flags: Flags, api: ApiServer) -> None:
    config_map(api, json.dumps({"flags": {"new-checkout": flag(), "payments": flag("on")}}))
    payments = FlagTarget(FlagKind.CONFIG_MAP, "shop-flags", "flags.json", "payments")
    view = await look(flags, wish(target=payments, setting=None, known=(), force="off"), wish())

    found = json.loads(stored(api))["flags"]
    assert ("off", 1) == (view.forced, len(api.requests))
    assert {"if": [True, "off"]} == found["payments"]["targeting"]
    assert {"fractional": [["on", 10], ["off", 90]]} == found["new-checkout"]["targeting"]


async def test_a_switch_is_written_where_the_setting_cannot_be(flags: Flags, api: ApiServer) -> None:
    """Both are told: what is forced, and why it is not set."""
    config_map(api, json.dumps({"flags": {"new-checkout": flag(targeting={"if": [{"var": "beta"}, "on"]})}}))
    view = await look(flags, wish(force="off"))
    assert {"if": [True, "off", {"if": [{"var": "beta"}, "on"]}]} == json.loads(stored(api))["flags"]["new-checkout"]["targeting"]
    assert ("off", "") == (view.forced, view.trouble)
    assert view.unfit.startswith("has a targeting without fractional")


async def test_what_cannot_be_sent_is_trouble_and_no_silence(flags: Flags, api: ApiServer) -> None:
    """A FeatureFlag's values go into the patch as they are: what JSON's writer does not take would end the reading unseen."""
    deep: Json = {"a": 1}
    for _ in range(400):
        deep = {"a": deep}
    api.put(
        {
            "apiVersion": "core.openfeature.dev/v1beta1",
            "kind": "FeatureFlag",
            "metadata": {"namespace": "shop", "name": "shop-flags", "labels": {"tidegate.dev/flags": "true"}},
            "spec": {"flagSpec": {"flags": {"new-checkout": flag(metadata=deep)}}},
        }
    )
    target = FlagTarget(FlagKind.FEATURE_FLAG, "shop-flags", "", "new-checkout")
    assert (await look(flags, wish(target=target))).trouble.startswith("could not be set: the definitions cannot be sent")


@pytest.mark.parametrize("opened", [None, {}, {"pay": ["new-checkout"]}, {"shop": ["new", "new-checkout-", "payments*"]}])
async def test_a_hook_that_is_not_open_for_the_flag_is_not_called(opened: dict[str, list[str]] | None) -> None:
    """A namespace for checks opens no flag: whoever may write a Release there would set any with the operator's rights."""
    hooks = {} if opened is None else {"flags": HookConfig(address="http://localhost:1", namespaces=("shop",), flags=opened)}
    target = FlagTarget(FlagKind.HOOK, "flags", "", "new-checkout")
    for one in (wish(target=target), wish(target=target, setting=None, known=()), wish(target=target, setting=None, force="off")):
        (item,) = await Flags(None, Hooks(hooks)).tell("shop", asked("checkout", [one]))  # type: ignore[arg-type] - it asks no API
        why = "the operator's configuration lets namespace shop set it by no hook flags"
        assert f"{why}; have its administrator add the flag to hooks.flags.flags.shop" in item["view"].trouble


@pytest.mark.parametrize("pattern", ["new-checkout", "new-*", "*"])
async def test_a_hook_sets_the_flags_that_it_is_open_for(pattern: str) -> None:
    """It needs to be open to no check for that; nor does it become so."""
    hooks = Hooks({"flags": HookConfig.model_validate({"address": "http://localhost:1", "flags": {"shop": [pattern]}})})
    target = FlagTarget(FlagKind.HOOK, "flags", "", "new-checkout")
    called, looked = await Flags(None, hooks).tell(  # type: ignore[arg-type] - it asks no API
        "shop", asked("checkout", [wish(target=target), wish(target=target, setting=None, known=())])
    )
    assert ("could not be set: its hook could not be reached", "") == (called["view"].trouble, looked["view"].trouble)
    assert "has no hook flags that namespace shop may call" in hooks.there("shop", "flags")


async def test_a_reading_that_is_let_go_of_ends_its_write_first(flags: Flags, api: ApiServer) -> None:
    """Whoever asks for something else meanwhile reads what the write before came to."""
    config_map(api)
    first = asyncio.create_task(look(flags, wish()))
    await asyncio.sleep(0)
    first.cancel()
    after = await look(flags, wish(setting=OFF, known=(OFF, Setting("off", 10))))
    assert OFF == after.setting
    assert flag() == json.loads(stored(api))["flags"]["new-checkout"]
