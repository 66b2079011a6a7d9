"""Flags that follow the steps, and a switch thrown meanwhile: whoever dies when, none is set too early, and each comes back."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from api import deciders
from api.people import rights
from e2e.manifests import Json, step
from e2e.story import HELD
from e2e.world import canary_share
from faults.deciding import decides, person
from faults.place import Place
from faults.recorder import Instant, instants
from faults.standing import status_of
from tidegate.cluster.resources import CONFIG_MAPS, RELEASE_DECISIONS
from tidegate.governance.flags import UnfitError, view_of

OBJECT, KEY = "shop-flags", "flags.json"
FEATURE, PAYMENTS = "new-checkout", "payments"
FLAGS = {"configMap": {"name": OBJECT}, "items": [{"name": "feature", "flag": FEATURE}, {"name": PAYMENTS}]}
PERCENT = 30
STEPS = (
    {**step(50, HELD), "flags": [{"name": "feature", "percent": PERCENT}]},
    {**step(100), "flags": [{"name": "feature", "variant": "on"}]},
)
"""At half a part of the users has the feature, and with all of the traffic everybody."""
SWITCHES = rights(deciders.GROUP, "releases", "switch")
Told = Iterator[tuple[str, str]]
"""What must not be: which invariant, and what was seen."""


def definition(default: str) -> Json:
    return {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": default}


TEXT = json.dumps({"flags": {FEATURE: definition("off"), PAYMENTS: definition("on")}}, indent=2) + "\n"


def with_flags(begin: Callable[[Place], Awaitable[None]]) -> Callable[[Place], Awaitable[None]]:
    """Have the definitions there, as their team has them."""

    async def begins(place: Place) -> None:
        metadata = {"name": OBJECT, "labels": {"tidegate.dev/flags": "true"}}
        data = {KEY: TEXT, "other": "kept"}
        await place.apply({"apiVersion": CONFIG_MAPS.api_version, "kind": CONFIG_MAPS.kind, "metadata": metadata, "data": data})
        await begin(place)

    return begins


async def is_switched_off_at_half(place: Place) -> None:
    """While a part of the users has the feature, somebody turns payments off for everybody."""
    rex = await person(place, "rex", SWITCHES)
    await place.until(f"{PERCENT}% have the feature", lambda: says(place)[0] == ("off", PERCENT, ""))
    uid = place.release["metadata"]["uid"]
    await decides(place, rex, "Switch", releaseUID=uid, flag=PAYMENTS, switch="Off")
    await place.until("payments are off", lambda: says(place)[1] == ("on", None, "off"))


async def is_back(place: Place) -> None:
    """The feature is what it was, and payments are off still."""
    await place.until("the feature is as before", lambda: says(place) == (("off", None, ""), ("on", None, "off")))


def says(place: Place) -> tuple[tuple[str, int | None, str], ...]:
    """Return what the definitions of both flags say now."""
    found = place.history.get(CONFIG_MAPS.kind, OBJECT)
    return _said(found) if found is not None else ()


def _said(obj: Json) -> tuple[tuple[str, int | None, str], ...]:
    """Return default variant, percentage and what is forced, of both flags."""
    flags = json.loads(obj["data"][KEY])["flags"]
    found = []
    for name in (FEATURE, PAYMENTS):
        view = view_of(flags[name], "on", "off")
        assert view.setting is not None
        found.append((view.setting.variant, view.setting.percent, view.forced))
    return tuple(found)


def left(place: Place) -> Any:
    """Return what the object has in the end; nothing where there is none."""
    found = place.history.get(CONFIG_MAPS.kind, OBJECT)
    return (found["data"], found["metadata"].get("labels")) if found is not None else None


class Defined:
    """Looks at each change with an account of its own."""

    def __init__(self) -> None:
        self._wanted: set[int | None] = set()
        self._most = 0.0
        self._forced = False

    def look(self, now: Instant) -> Told:
        """Yield what must not be of what has just happened."""
        if now.seen.type == "DELETED":
            return
        match now.seen.kind, now.seen.name:
            case "HTTPRoute", _:
                self._most = max(self._most, canary_share(now.seen.object))
            case "Release", _:
                entries = status_of(now).get("flags") or ()
                self._wanted |= {one.get("percent") for entry in entries for one in entry.get("given") or ()}
            case CONFIG_MAPS.kind, name if name == OBJECT:
                yield from self._definitions(now)

    def _definitions(self, now: Instant) -> Told:
        data = now.seen.object["data"]
        try:
            feature, payments = _said(now.seen.object)
        except (ValueError, KeyError, UnfitError) as error:
            yield "flags-kept", f"the definitions cannot be read any more: {error!r}"
            return
        if data.get("other") != "kept" or now.seen.object["metadata"].get("labels") != {"tidegate.dev/flags": "true"}:
            yield "flags-kept", "something else than the definitions has changed in their object"
        if feature not in (("off", None, ""), ("off", PERCENT, "")):
            yield "flag-earned", f"the feature is {feature}, which no step that was reached says"
        if feature[1] is not None and (self._most < 50 or PERCENT not in self._wanted):
            yield (
                "flag-earned",
                f"the feature is {feature} at {self._most:g}%, where the status wants {sorted(map(str, self._wanted))}",
            )
        if payments not in (("on", None, ""), ("on", None, "off")):
            yield "flags-kept", f"payments are {payments}"
        decided = any(one["spec"]["action"] == "Switch" for one in now.all(RELEASE_DECISIONS.kind))
        if payments[2] and not decided:
            yield "switch-decided", "payments were switched off, and nobody has decided so"
        if self._forced and not payments[2]:
            yield "switch-kept", "payments were switched on again, and nobody has decided so"
        self._forced = bool(payments[2])


def check(place: Place, *, since: int) -> Mapping[str, str]:
    """Look at every instant of a journey with flags, and return what must not be, the first of each kind."""
    watch, found = Defined(), dict[str, str]()
    for now in instants(place.recorder.changes):
        for invariant, words in watch.look(now):
            if now.seen.order > since:
                found.setdefault(invariant, f"{words} (version {now.seen.order}: {now.seen.kind} {now.seen.name})")
    return found
