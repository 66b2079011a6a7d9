"""The account of flags: a way up with a switch, and back, is told, and then again with one thing wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from e2e.manifests import NAME, Json
from faults.flagging import FEATURE, KEY, OBJECT, PAYMENTS, PERCENT, check, definition
from faults.place import Place
from faults.test_oracle import Tale, at_half
from tidegate.cluster.resources import CONFIG_MAPS, RELEASE_DECISIONS

FORCED = {"targeting": {"if": [True, "off"]}}


def fractional(percent: int) -> Json:
    return {"targeting": {"fractional": [["on", percent], ["off", 100 - percent]]}}


def defines(tale: Tale, feature: Json, payments: Json, *, other: str = "kept") -> None:
    """The object has these definitions."""
    flags = {FEATURE: definition("off") | feature, PAYMENTS: definition("on") | payments}
    data = {KEY: json.dumps({"flags": flags}), "other": other}
    tale.tell(CONFIG_MAPS.kind, OBJECT, metadata={"labels": {"tidegate.dev/flags": "true"}}, data=data)


def wants(tale: Tale, **more: Any) -> None:
    """The status says that the step's flag is set."""
    tale.status(50, flags=[{"target": FEATURE, "given": [{"variant": "off", "percent": PERCENT}]}], **more)


def switched() -> Tale:
    """At half a part of the users has the feature, and payments are off."""
    tale = at_half()
    defines(tale, {}, {})
    wants(tale)
    defines(tale, fractional(PERCENT), {})
    tale.tell(RELEASE_DECISIONS.kind, "switch", spec={"release": NAME, "action": "Switch"})
    defines(tale, fractional(PERCENT), FORCED)
    return tale


def found(tale: Tale) -> set[str]:
    """Return the names of the invariants that do not hold."""
    return {*check(Place(None, None, "shop", tale.recorder, None, tale.prometheus), since=0)}  # type: ignore[arg-type]


def test_orderly_way_is_fine() -> None:
    """The feature is what it was in the end, and payments stay off."""
    tale = switched()
    defines(tale, {}, FORCED)

    assert set() == found(tale)


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        (lambda tale: defines(tale, fractional(PERCENT), {}), "switch-kept"),
        (lambda tale: defines(tale, fractional(99), FORCED), "flag-earned"),
        (lambda tale: defines(tale, {"defaultVariant": "on"}, FORCED), "flag-earned"),
        (lambda tale: defines(tale, {}, FORCED | {"defaultVariant": "off"}), "flags-kept"),
        (lambda tale: defines(tale, {}, FORCED, other="lost"), "flags-kept"),
    ],
)
def test_what_must_not_be_is_seen(wrong: Callable[[Tale], None], seen: str) -> None:
    """Each by its name."""
    tale = switched()
    wrong(tale)

    assert {seen} == found(tale)


def test_flag_that_is_set_too_early_is_seen() -> None:
    """Before the status wants it, or before its step has its weight."""
    tale = at_half()
    defines(tale, fractional(PERCENT), {})

    assert {"flag-earned"} == found(tale)


def test_switch_that_nobody_has_decided_is_seen() -> None:
    tale = at_half()
    defines(tale, {}, FORCED)

    assert {"switch-decided"} == found(tale)
