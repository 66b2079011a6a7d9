"""Flag definitions as flagd has them: what one gives to whom, and how it gives something else with all else that is in it kept.

Two layers are told apart. The *setting* is the default variant and the percentage of its `fractional`: steps of a rollout move it.
What is *forced* is one variant for everybody, laid around the targeting (`{"if": [true, "off", <targeting>]}`): a switch does that,
and the targeting comes back as it was, whatever was done to it meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tidegate.api.base import plain

Json = dict[str, Any]

FRACTIONAL = "fractional"
DEEPEST = 64
"""Levels of a targeting that are looked at."""
_TOLD = 64


class FlagKind(StrEnum):
    """Where a definition is."""

    CONFIG_MAP = "ConfigMap"
    FEATURE_FLAG = "FeatureFlag"
    HOOK = "Hook"


class UnfitError(Exception):
    """A definition cannot be read or written as is needed; the message says why, behind the flag's name, for people."""


@dataclass(frozen=True)
class Setting:
    """What a definition gives, whatever is forced.

    Attributes:
        variant: what those get who fall under no percentage; empty where nobody knows it, as behind a hook.
        percent: how many get the variant `on`, where there is a `fractional`; None where there is none.
    """

    variant: str
    percent: int | None = None

    @property
    def words(self) -> str:
        """For people."""
        if not self.variant and self.percent is None:
            return "what it was before"
        return f"variant {self.variant}" if self.percent is None else f"{self.percent}%"


@dataclass(frozen=True)
class FlagTarget:
    """A flag, and where its definition is.

    Attributes:
        kind: of the object.
        object: its name.
        key: of a ConfigMap's data; empty for others.
        flag: key of the flag.
    """

    kind: FlagKind
    object: str
    key: str
    flag: str

    @property
    def id(self) -> str:
        """By which it is known in the status; none of the first three has a slash."""
        return f"{self.kind}/{self.object}/{self.key}/{self.flag}"

    @property
    def where(self) -> str:
        """Where its definition is, for people."""
        return f"{self.kind} {self.object}" + (f", key {self.key}" if self.key else "")

    @property
    def words(self) -> str:
        """For people."""
        return f"flag {self.flag} ({self.where})"


def target_of(id_: str) -> FlagTarget:
    """Return the flag that is known by an id.

    Raises:
        ValueError: it is none.
    """
    kind, name, key, flag = id_.split("/", 3)
    return FlagTarget(FlagKind(kind), name, key, flag)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a definition is to say.

    Attributes:
        target: which.
        on: its variant that is rolled out.
        off: the other one.
        setting: what it is to give; None to leave that as it is.
        known: what may be written over: what was there before, and what the rollout has set. Anything else is somebody's will.
        force: the variant that everybody is to get; empty for none.
        release: whether what is forced is to be taken away.
    """

    target: FlagTarget
    on: str
    off: str
    setting: Setting | None = None
    known: tuple[Setting, ...] = ()
    force: str = ""
    release: bool = False

    @property
    def writes(self) -> bool:
        """Whether more is wanted than to know what the definition says."""
        return self.setting is not None or bool(self.force) or self.release

    @property
    def told(self) -> str:
        """All that is wanted in one text, by which an answer is known to be one to it."""
        setting = f"{self.setting.variant}/{self.setting.percent}" if self.setting is not None else ""
        return f"{setting}|{self.force}|{'release' if self.release else ''}"


@dataclass(frozen=True)
class FlagView:
    """What was seen of a definition, after what was wanted of it was written.

    Attributes:
        setting: what it gives; None where it cannot be told.
        forced: the variant that is forced on everybody; empty for none.
        variants: their names.
        unfit: why its setting cannot be told, or moved, in words; empty where it can.
        trouble: why the definition cannot be read, or could not be written, in words; empty where all went well.
        told: to what wish it is the answer (`Wish.told`).
    """

    setting: Setting | None = None
    forced: str = ""
    variants: tuple[str, ...] = ()
    unfit: str = ""
    trouble: str = ""
    told: str = ""


def view_of(definition: object, on: str, off: str) -> FlagView:
    """Return what a definition says.

    Args:
        definition: as it stands under `flags`.
        on: its variant that is rolled out.
        off: the other one.
    """
    try:
        sound = _sound(definition)
        variants = tuple(sound["variants"])
        forced, inner = _unwrapped(sound.get("targeting"))
    except UnfitError as error:
        return FlagView(trouble=str(error))
    try:
        setting, unfit = _setting(sound, inner, on, off), ""
    except UnfitError as error:
        setting, unfit = None, str(error)
    return FlagView(setting, forced, variants, unfit)


def changed(definition: object, wish: Wish) -> Json | None:
    """Return a definition as it is wanted; None where it is so, or where somebody has set what nobody here may write over.

    Args:
        definition: as it stands under `flags`.
        wish: what it is to say.

    Raises:
        UnfitError: it cannot say so.
    """
    before = _sound(definition)
    forced, inner = _unwrapped(before.get("targeting"))
    after = dict(before)
    if wish.setting is not None:
        found = _setting(before, inner, wish.on, wish.off)
        if found != wish.setting and found in wish.known:
            _look_for(before, wish.setting.variant)
            after["defaultVariant"] = wish.setting.variant
            inner = _given(inner, wish.setting.percent, wish.on, wish.off)
    if wish.force:
        _look_for(before, wish.force)
        forced = wish.force
    elif wish.release:
        forced = ""
    targeting = _wrapped(forced, inner)
    if targeting != before.get("targeting") and (targeting or before.get("targeting")):
        after["targeting"] = targeting
        if not targeting:
            del after["targeting"]
    return after if after != before else None


@dataclass(frozen=True)
class Outcome:
    """What comes of a wish.

    Attributes:
        definition: as it is to be written; None where nothing is.
        unset: why it cannot be set so, in words; empty where it can.
        unforced: why what is forced cannot be changed so, in words; empty where it can.
    """

    definition: Json | None
    unset: str = ""
    unforced: str = ""


def outcome(definition: object, wish: Wish) -> Outcome:
    """Return what comes of a wish: what cannot be set stands in the way of no switch, nor the other way round.

    Args:
        definition: as it stands under `flags`.
        wish: what it is to say.
    """
    after: Json | None = None
    why: list[str] = []
    for part in (replace(wish, setting=None), replace(wish, force="", release=False)):
        try:
            after = changed(definition if after is None else after, part) or after
            why.append("")
        except UnfitError as error:
            why.append(str(error))
    return Outcome(after, unset=why[1], unforced=why[0])


def _look_for(definition: Json, variant: str) -> None:
    if variant not in definition["variants"]:
        raise UnfitError(f"has no variant {variant}; there are {_names(definition['variants'])}")


def _names(variants: Mapping[str, object]) -> str:
    return plain(", ".join(map(str, variants)), 200)


def _sound(definition: object) -> Json:
    """Return a definition that flagd takes.

    Raises:
        UnfitError: it is none.
    """
    if not isinstance(definition, dict):
        raise UnfitError("is no JSON object")
    variants = definition.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise UnfitError("has no variants")
    if definition.get("state") != "ENABLED":
        raise UnfitError(f"has the state {plain(str(definition.get('state')), _TOLD)}, so clients take a default of their own")
    return definition


def _unwrapped(targeting: object) -> tuple[str, object]:
    """Return what is forced on everybody, and the targeting within."""
    if isinstance(targeting, dict) and targeting.keys() == {"if"}:
        match targeting["if"]:
            case [True, str(variant)]:
                return variant, None
            case [True, str(variant), inner]:
                return variant, inner
    return "", targeting


def _wrapped(forced: str, inner: object) -> object:
    if not forced:
        return inner
    return {"if": [True, forced, inner] if inner else [True, forced]}


def _setting(definition: Json, inner: object, on: str, off: str) -> Setting:
    """Return what a definition gives.

    Raises:
        UnfitError: that cannot be told in a percentage.
    """
    default, variants = definition.get("defaultVariant"), definition["variants"]
    if not isinstance(default, str) or default not in variants:
        raise UnfitError("has no defaultVariant that is one of its variants")
    for variant in (on, off):
        _look_for(definition, variant)
    if not inner:
        return Setting(default)
    found = list(_fractionals(inner))
    if not found:
        raise UnfitError("has a targeting without fractional, which a percentage would take the place of: put one into it")
    if len(found) > 1:
        raise UnfitError(f"has {len(found)} fractionals in its targeting, and a percentage can move only one")
    return Setting(default, _percent(found[0], on, off))


def _fractionals(targeting: object) -> Iterator[object]:
    """Yield the arguments of each fractional in a targeting."""
    level, depth = [targeting], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise UnfitError(f"has a targeting of more than {DEEPEST} levels")
        deeper: list[object] = []
        for one in level:
            if isinstance(one, dict):
                yield from (value for name, value in one.items() if name == FRACTIONAL)
                deeper.extend(value for name, value in one.items() if name != FRACTIONAL)
            elif isinstance(one, list):
                deeper.extend(one)
        level = deeper


def _percent(arguments: object, on: str, off: str) -> int:
    pairs = _pairs(arguments)
    weights = dict.fromkeys((on, off), 0)
    if max(Counter(str(pair[0]) for pair in pairs).values()) > 1:
        # Whoever has the variant by its second share would lose it to others.
        raise UnfitError("has a fractional with a variant that is named twice")
    for pair in pairs:
        weight = pair[1] if len(pair) == 2 else 1
        if not isinstance(pair[0], str) or pair[0] not in weights or isinstance(weight, bool) or not isinstance(weight, int):
            raise UnfitError(f"has a fractional of other than whole weights of {on} and {off}")
        weights[pair[0]] += max(0, weight)
    total = sum(weights.values())
    if not total or weights[on] * 100 % total:
        raise UnfitError(f"has a fractional whose weights of {on} and {off} are no whole percentage")
    return weights[on] * 100 // total


def _pairs(arguments: object) -> Sequence[list[Any]]:
    listed = arguments if isinstance(arguments, list) else []
    # What users are told apart by comes first, if it is given.
    pairs = listed[1:] if listed and not isinstance(listed[0], list) else listed
    if not pairs or not all(isinstance(pair, list) and 1 <= len(pair) <= 2 for pair in pairs):
        raise UnfitError("has a fractional that is no list of variants with weights")
    return pairs


def _given(inner: object, percent: int | None, on: str, off: str) -> object:
    """Return a targeting with another percentage; one that was made for it goes with it."""
    if percent is None:
        if inner and not (isinstance(inner, dict) and inner.keys() == {FRACTIONAL}):
            raise UnfitError("has a fractional within its targeting, which would be lost")
        return None
    weights = [[on, percent], [off, 100 - percent]]
    if not inner:
        return {FRACTIONAL: weights}
    # flagd gives each variant its part of one line, in the order in which they stand: in another order others would have it.
    first = _pairs(next(_fractionals(inner)))[0][0]
    return _replaced(inner, weights if first == on else weights[::-1])


def _replaced(node: object, weights: list[list[Any]]) -> object:
    """Return a targeting whose only fractional has other weights; it is no deeper than `_fractionals` has looked."""
    if isinstance(node, list):
        return [_replaced(one, weights) for one in node]
    if not isinstance(node, dict):
        return node
    replaced: Json = {}
    for name, value in node.items():
        if name == FRACTIONAL:
            head = value[:1] if not isinstance(value[0], list) else []
            replaced[name] = [*head, *weights]
        else:
            replaced[name] = _replaced(value, weights)
    return replaced


def step_setting(before: Setting, *, percent: int | None, variant: str | None, on: str, off: str) -> Setting:
    """Return what a step sets, of a flag that was so before the rollout: a percentage never takes the flag from anybody.

    Args:
        before: what it was.
        percent: of the step; None where it has a variant.
        variant: of the step; None where it has a percentage.
        on: the variant that is rolled out.
        off: the other one.
    """
    if percent is not None:
        all_or_none = {on: 100, off: 0}.get(before.variant)
        had = before.percent if before.percent is not None else all_or_none
        return before if had is not None and had >= percent else Setting(before.variant, percent)
    assert variant is not None
    if before.percent is None:
        return Setting(variant)
    # What users are told apart by stays in the fractional; a variant of neither kind cannot be said by it.
    return Setting(variant, {on: 100, off: 0}.get(variant, before.percent))
